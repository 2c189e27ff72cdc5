package lists

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
)

// endless repeats a text without end, and counts what was taken of it.
type endless struct {
	text  string
	taken int64
}

func (e *endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		at := int((e.taken + int64(n)) % int64(len(e.text)))
		n += copy(p[n:], e.text[at:])
	}
	e.taken += int64(n)
	return n, nil
}

// TestEndlessRowsAreRefusedEarly: input that never ends costs no more than the longest row, whatever it consists of.
func TestEndlessRowsAreRefusedEarly(t *testing.T) {
	tests := []struct{ name, head, text, want string }{
		{"from the start", "", "x", "f:1:1: the row is longer than 4,194,304 bytes: is this the right file?\nthe rest was not read"},
		{"a row", "user_id,role_id\na,1\n", "x", "f:3:1: the row is longer than 4,194,304 bytes: is this the right file?\nthe rest was not read"},
		{"Chinese", "user_id,role_id\na,1\n", "张", "f:3:1: the row is longer than 4,194,304 bytes: is this the right file?\nthe rest was not read"},
		{"columns", "user_id,role_id\na,1\n", ",", "f:3:1: the row is longer than 4,194,304 bytes: is this the right file?\nthe rest was not read"},
		{"quotes", "user_id,role_id\na,1\n", `"`, "f:3:1: the row is longer than 4,194,304 bytes: is this the right file?\nthe rest was not read"},
		{"JSON", `{"user_id":"a","role_ids":[1`, ",2", "f:1:1: the row is longer than 4,194,304 bytes: is this the right file?\nthe rest was not read"},
		{"deep JSON", `{"user_id":"a","role_ids":[1`, "[", "f:1:1: the row is longer than 4,194,304 bytes: is this the right file?\nthe rest was not read"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			source := &endless{text: tt.text}
			_, _, err := read(io.MultiReader(strings.NewReader(tt.head), source), Options{Name: "f"})
			if err == nil || err.Error() != tt.want {
				t.Errorf("error %.300v", err)
			}
			if source.taken > 3*MaxRowBytes {
				t.Errorf("read %d bytes", source.taken)
			}
		})
	}
}

// TestOpenQuoteCostsOneLook: a quote that nothing closes is reported, and the rows after it are looked at all the same.
func TestOpenQuoteCostsOneLook(t *testing.T) {
	row := "b,1," + strings.Repeat("x", 251) + "\n"
	rows := 2 * MaxRowBytes / len(row)
	text := "user_id,role_id,note\n\"a,1\n" + strings.Repeat(row, rows) + "c,x\n"
	_, report, err := read(strings.NewReader(text), Options{Name: "f"})
	want := fmt.Sprintf("f:2:1: a quote is opened here and not closed within 4,194,304 bytes\nf:%d:3: role id \"x\" is not a whole number\n", rows+3)
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
	if report.Rows != rows+2 {
		t.Errorf("report %+v", report)
	}
}

func TestManyColumnsAreRefused(t *testing.T) {
	for _, text := range []string{
		"user_id,role_id\na,1" + strings.Repeat(",", 1_000_000) + "\nb,x\n",
		"user_id,role_id\na,1" + strings.Repeat(`,""`, 1_000_000) + "\nb,x\n",
	} {
		_, _, err := read(strings.NewReader(text), Options{Name: "f"})
		if err == nil || !strings.Contains(err.Error(), "the row has more than 16,384 columns\nf:3:3: role id") {
			t.Errorf("row: %v", err)
		}
	}
	_, _, err := read(strings.NewReader("user_id,role_id"+strings.Repeat(",x", 1_000_000)+"\na,1\n"), Options{Name: "f"})
	if err == nil {
		t.Error("a header of a million columns is taken")
	}
}

// TestMemoryGrowsWithPairsNotText: 64 MiB of repeated rows leave next to nothing behind.
func TestMemoryGrowsWithPairsNotText(t *testing.T) {
	const size = 64 << 20
	rows := &endless{text: "\"" + strings.Repeat("note ", 200) + "\",u1,1\n"}
	r := io.MultiReader(strings.NewReader("note,user_id,role_id\n"), io.LimitReader(rows, size-size%int64(len(rows.text))))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	set, report, err := read(r, Options{})
	runtime.ReadMemStats(&after)
	if err != nil || set.Pairs() != 1 || report.Rows != size/len(rows.text) || set.Duplicates() != report.Rows-1 {
		t.Fatalf("Read = %+v, %v", report, err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
		t.Errorf("allocated %d bytes for one pair in %d bytes of text", grown, size)
	}
}

func TestASourceThatStallsIsAnError(t *testing.T) {
	stalled := readerFunc(func([]byte) (int, error) { return 0, nil })
	_, _, err := read(io.MultiReader(strings.NewReader("user_id,role_id\n张,1\n"), stalled), Options{})
	if !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("error %v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// million is a file of a million pairs, 200,000 users with five roles each of eighty, one pair per row or five.
func million(perRow int) []byte {
	var b bytes.Buffer
	b.WriteString("name,department,user_id,role_ids\n")
	for u := range 200_000 {
		for r := 0; r < 5; r += perRow {
			fmt.Fprintf(&b, "Employee %d,Dept %d,%08d,", u, u%40, u*7)
			for i := range perRow {
				fmt.Fprintf(&b, "%d;", 1507113500+(u*31+(r+i)*13)%80)
			}
			b.Truncate(b.Len() - 1)
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

func millionLines() []byte {
	var b bytes.Buffer
	for u := range 200_000 {
		for r := range 5 {
			fmt.Fprintf(&b, "{\"user_id\":\"%08d\",\"role_ids\":[%d]}\n", u*7, 1507113500+(u*31+r*13)%80)
		}
	}
	return b.Bytes()
}

// BenchmarkRead reads 1,000,000 pairs; heap-MB is what is live afterwards, the pairs themselves.
//
//	go test -run '^$' -bench Read -benchmem ./internal/in/lists
func BenchmarkRead(b *testing.B) {
	gb := bytes.ReplaceAll(million(1), []byte("Employee"), []byte("\xd4\xb1\xb9\xa4"))
	for _, bench := range []struct {
		name string
		text []byte
	}{
		{"CSV-row-per-pair", million(1)},
		{"CSV-row-per-user", million(5)},
		{"CSV-GB18030", gb},
		{"JSONL-row-per-pair", millionLines()},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(int64(len(bench.text)))
			b.ReportAllocs()
			for b.Loop() {
				set, _, err := read(bytes.NewReader(bench.text), Options{})
				if err != nil || set.Pairs() != 1_000_000 {
					b.Fatalf("%v", err)
				}
				b.StopTimer()
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				runtime.KeepAlive(set)
				set = nil
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(before.HeapAlloc-after.HeapAlloc)/(1<<20), "heap-MB")
				b.StartTimer()
			}
		})
	}
}
