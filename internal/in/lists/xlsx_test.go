package lists

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"
	"pgregory.net/rapid"
)

// workbook writes sheets by name, each a list of rows; what is an int or float is a number cell.
func workbook(t interface{ Fatal(...any) }, change func(*excelize.File), sheets ...any) *bytes.Buffer {
	f := excelize.NewFile()
	defer f.Close()
	for i := 0; i < len(sheets); i += 2 {
		name := sheets[i].(string)
		if i == 0 {
			f.SetSheetName("Sheet1", name)
		} else {
			f.NewSheet(name)
		}
		for r, row := range sheets[i+1].([][]any) {
			if err := f.SetSheetRow(name, fmt.Sprintf("A%d", r+1), &row); err != nil {
				t.Fatal(err)
			}
		}
	}
	if change != nil {
		change(f)
	}
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	return &b
}

func TestAWorkbookIsReadLikeCSV(t *testing.T) {
	b := workbook(t, func(f *excelize.File) {
		style, _ := f.NewStyle(&excelize.Style{NumFmt: 3}) // #,##0
		f.SetCellStyle("离职", "C6", "C6", style)
		padded, _ := f.NewStyle(&excelize.Style{CustomNumFmt: ptr("00000")})
		f.SetCellStyle("离职", "A7", "A7", padded)
		f.SetRowVisible("离职", 7, false)
	}, "离职", [][]any{
		{"2026年12月离职人员"},
		{},
		{"员工UserID", "姓名", "角色ID"},
		{"w.chen", "陈伟", 1507113578},
		{"20553652611590912", "李蕾", "1507113578；1507113579"},
		{"x.wu", "吴", 1507113579},
		{412, "周", 1507113578},
		{"合计", "", 4},
	}, "说明", [][]any{{"请勿修改"}})
	set, report, err := read(b, Options{Name: "list.xlsx"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"w.chen 1507113578", "20553652611590912 1507113578", "20553652611590912 1507113579", "x.wu 1507113579", "00412 1507113578"}
	if got := pairsOf(set); !slices.Equal(got, want) {
		t.Errorf("took %q", got)
	}
	for _, words := range []string{"the header is line 3", "a total, not a person: line 8", "1 row of the sheet is hidden", `read from the sheet "离职"`} {
		if said := fmt.Sprint(report.Notes); !strings.Contains(said, words) {
			t.Errorf("does not say %q: %s", words, said)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// A number cell is taken for exactly the id that was typed, or refused: a spreadsheet keeps 15 digits.
func TestANumberCellIsNeverAnIDThatItCouldHaveRounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.Int64Range(1, 1<<62).Draw(t, "id")
		b := workbook(t, nil, "s", [][]any{{"user_id", "role_id"}, {id, 7}, {"other", 7}})
		set, _, err := read(b, Options{Columns: map[string]string{"user_id": "user_id"}})
		if id >= 1_000_000_000_000_000 {
			if err == nil || !strings.Contains(err.Error(), "input:A2: ") || !strings.Contains(err.Error(), "keeps 15 digits") {
				t.Fatalf("%d: %v", id, err)
			}
			return
		}
		if err != nil || set.Users()[0] != fmt.Sprint(id) {
			t.Fatalf("%d: %v", id, err)
		}
	})
}

func TestTwoListsInAWorkbookNeedAName(t *testing.T) {
	list := [][]any{{"user_id", "role_id"}, {"a", 7}}
	book := func() *bytes.Buffer {
		return workbook(t, nil, "11月", list, "12月", [][]any{{"user_id", "role_id"}, {"b", 7}})
	}
	_, _, err := read(book(), Options{})
	if said := refusal(t, err); !strings.Contains(said, `"11月", "12月" have lists: say which with --sheet`) {
		t.Errorf("said %q", said)
	}
	set, _, err := read(book(), Options{Sheet: "12月"})
	if err != nil || !slices.Equal(pairsOf(set), []string{"b 7"}) {
		t.Errorf("took %v, %v", set, err)
	}
	_, _, err = read(book(), Options{Sheet: "1月"})
	if said := refusal(t, err); !strings.Contains(said, `there is no sheet "1月"; there are: "11月", "12月"`) {
		t.Errorf("said %q", said)
	}
}

func TestAnEncryptedWorkbookAndAnOldOneAreToldApart(t *testing.T) {
	var b bytes.Buffer
	f := excelize.NewFile()
	if err := f.Write(&b, excelize.Options{Password: "secret"}); err != nil {
		t.Fatal(err)
	}
	_, _, err := read(&b, Options{})
	if said := refusal(t, err); !strings.Contains(said, "encrypted with a password") {
		t.Errorf("said %q", said)
	}
	_, _, err = read(strings.NewReader("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"+strings.Repeat("\x00", 512)), Options{})
	if said := refusal(t, err); !strings.Contains(said, "an old workbook (.xls)") {
		t.Errorf("said %q", said)
	}
}

func TestKeptRowsComeBackInTheirOrder(t *testing.T) {
	text := "姓名,user_ids,role_ids,部门\n陈伟,a;b,7;8,财务\n李蕾,c,7\n"
	kept := &Kept{}
	report, err := Read(strings.NewReader(text), Options{Cells: true}, func(r Row) error { kept.Add(r); return nil })
	if err != nil {
		t.Fatal(err)
	}
	kept.Header = report.Header
	var got []string
	for row := range kept.All() {
		got = append(got, fmt.Sprint(row.Line, row.People, row.Roles, strings.Join(row.Cells, "|")))
	}
	want := []string{"2 [a b] [{7 } {8 }]陈伟|a;b|7;8|财务", "3 [c] [{7 }]李蕾|c|7|"}
	if !slices.Equal(got, want) || kept.Len() != 2 || !slices.Equal(kept.Header, []string{"姓名", "user_ids", "role_ids", "部门"}) {
		t.Errorf("%q under %q", got, kept.Header)
	}
}

// BenchmarkXLSX reads 100,000 rows of six columns.
//
//	go test -run '^$' -bench XLSX -benchtime 1x -benchmem ./internal/in/lists
func BenchmarkXLSX(b *testing.B) {
	f := excelize.NewFile()
	w, err := f.NewStreamWriter("Sheet1")
	if err != nil {
		b.Fatal(err)
	}
	w.SetRow("A1", []any{"工号", "姓名", "部门", "员工UserID", "角色ID", "备注"})
	const rows = 100_000
	for i := range rows {
		w.SetRow(fmt.Sprintf("A%d", i+2), []any{fmt.Sprintf("%05d", i), "员工", "财务部", fmt.Sprintf("2055365261%07d", i+1), 1507113500 + i%80, ""})
	}
	w.Flush()
	var book bytes.Buffer
	if err := f.Write(&book); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		set, _, err := read(bytes.NewReader(book.Bytes()), Options{})
		if err != nil || set.Pairs() != rows {
			b.Fatal(err)
		}
	}
}
