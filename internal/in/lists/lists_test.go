package lists

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"

	"github.com/unrole/unrole/internal/base/texts"
)

// pairsOf lists the pairs of a set as "user role", by user and in order of first appearance.
func pairsOf(r *pairsRead) []string {
	var pairs []string
	for u, user := range r.Users() {
		for p := range r.RolesOf(u) {
			pairs = append(pairs, fmt.Sprintf("%s %d", user, p))
		}
	}
	return pairs
}

func gb18030(t testing.TB, s string) string {
	t.Helper()
	out, err := simplifiedchinese.GB18030.NewEncoder().String(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func utf16(t testing.TB, s string) string {
	t.Helper()
	out, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestReadTakesWhatSpreadsheetsAndProgramsWrite(t *testing.T) {
	abc := []string{"a 1", "a 2", "b 3"}
	tests := []struct {
		name, text string
		want       []string
	}{
		{"one pair per row", "user_id,role_id\na,1\na,2\nb,3\n", abc},
		{"several roles, semicolons", "user_id,role_ids\na,1;2\nb,3\n", abc},
		{"several roles, blanks", "user_id,role_ids\na,1 2\nb, 3 \n", abc},
		{"several roles, line breaks in the cell", "user_id,role_ids\na,\"1\n2\"\nb,3\n", abc},
		{"several users", "user_ids,role_id\na;b,1\na b,2\n", []string{"a 1", "a 2", "b 1", "b 2"}},
		{"no line break at the end", "user_id,role_id\na,1\na,2\nb,3", abc},
		{"CRLF", "user_id,role_id\r\na,1\r\na,2\r\nb,3\r\n", abc},
		{"CR alone", "user_id,role_id\ra,1\ra,2\rb,3\r", abc},
		{"byte order mark", "\ufeffuser_id,role_id\na,1\na,2\nb,3\n", abc},
		{"UTF-16 and tabs, Excel's Unicode text", utf16(t, "user_id\trole_ids\r\na\t1;2\r\nb\t3\r\n"), abc},
		{"semicolons between columns", "user_id;role_ids\na;1 2\nb;3\n", abc},
		{"semicolons and quotes", "\"user_id\";\"role_ids\"\n\"a\";\"1;2\"\n\"b\";\"3\"\n", abc},
		{"sep= hint", "sep=|\nuser_id|role_ids\na|1;2\nb|3\n", abc},
		{"quoted fields", "\"user_id\",\"role_ids\"\n\"a\",\"1;2\"\n \"b\" ,\"3\"\n", abc},
		{"doubled quotes, commas and lines in other columns",
			"name,user_id,note,role_ids\n\"A \"\"Al\"\" B\",a,\"x,\ny\",1;2\n,b,,3\n", abc},
		{"a header of several lines", "\"full\nname\",user_id,role_ids\nx,a,1;2\ny,b,3\n", abc},
		{"columns in any order and case", "Role IDs,name, User ID \n1;2,x,a\n3,y,b\n", abc},
		{"blank rows", "\n,,\nuser_id,role_ids\n\na,1;2\n,\n  \nb,3\n\n", abc},
		{"empty columns at the end", "user_id,role_ids,,\na,1;2,,\nb,3\n", abc},
		{"blanks around values", "user_id,role_ids\n a ,\t1 ; 2 \n\u3000b\u00a0,3\n", abc},
		{"leading zeros, case", "user_id,role_id\n007,1\n7,1\nA,1\na,1\n", []string{"007 1", "7 1", "A 1", "a 1"}},
		{"wrapped against losing zeros", "user_id,role_id\n=\"007\",1\n\"=\"\"008\"\"\",1\n", []string{"007 1", "008 1"}},
		{"marked as text", "user_id,role_id\n'+86138,1\n''x,1\n'y,1\n", []string{"+86138 1", "'x 1", "'y 1"}},
		{"Chinese among others", "user_id,role_id\n张三,1\na,1\n", []string{"张三 1", "a 1"}},
		{"Chinese in GB18030", gb18030(t, "姓名,user_id,role_id\n张三,zhangsan,1\n李四,李四,2\n"), []string{"zhangsan 1", "李四 2"}},
		{"a byte of damage in a column that does not count",
			"name,user_id,role_ids\n张三\xe4\xb8,a,1;2\n李四王五赵六,b,3\n", abc},
		{"JSONL", `{"user_id":"a","role_ids":[1,2]}` + "\n" + `{"user_id":"b","role_id":3}`, abc},
		{"JSONL, strings, blanks, blank lines, CRLF, byte order mark",
			"\ufeff\r\n { \"role_ids\" : [ \"1\" , 2 ] , \"user_ids\" : [\"\\u0061\"]}\r\n\r\n{\"user_id\":\"b\",\"role_id\":\"3\"}\r\n", abc},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, slow := range []bool{false, true} {
				var r io.Reader = strings.NewReader(tt.text)
				if slow {
					r = iotest.OneByteReader(r)
				}
				got, _, err := read(r, Options{Name: "f"})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, pairsOf(got)); diff != "" {
					t.Errorf("slow %v: pairs (-want +got):\n%s", slow, diff)
				}
			}
		})
	}
}

func TestReadNamesPlaceAndReason(t *testing.T) {
	const head = "user_id,role_id\n"
	tests := []struct{ name, text, want string }{
		{"nothing", "", "f: empty: no header and no rows"},
		{"blanks", " \n\n", "f: empty: no header and no rows"},
		{"blank columns only", ",,\n,,\n", "f: empty: no header and no rows"},
		{"header only", head, "f: no rows after the header: nothing to remove"},
		{"no header", "u1,1507113578\n", `f:1:1: no header: no column user_id (or user_ids) and no column role_id (or role_ids) here, but: "u1", "1507113578"; name them with --column user_id=HEADING and --column role_id=HEADING
the rest was not read`},
		{"a column missing", "userid;dept\n1;2\n", `f:1:1: no column role_id (or role_ids) in the header, which has: "userid", "dept"; name it with --column role_id=HEADING, or say what all of these people lose: --role ID,… or --all-roles
the rest was not read`},
		{"the same column twice", "user_id,role_id,user_ids\n", `f:1:1: the columns "user_id" (1) and "user_ids" (3) mean the same: keep one, or name it with --column user_id=HEADING
the rest was not read`},
		{"both in a row", head + "a b,x\n", `f:2:1: user id "a b" has a blank
f:2:5: role id "x" is not a whole number`},
		{"columns count characters", "name,user_id,role_ids\n张三丰,李四,1;2;x3\n", `f:2:12: role id "x3" is not a whole number`},
		{"lines count all line breaks", "name,user_id,role_id\r\n\"a\r\nb\",u,x\r\n\r\n\"c\",u,y\r\n", `f:3:6: role id "x" is not a whole number
f:5:7: role id "y" is not a whole number`},
		{"empty user", head + ",1\n", "f:2:1: user id is empty"},
		{"empty role", head + "a,\n", "f:2:3: role id is empty"},
		{"short row", head + "a\n", "f:2:2: role_id is missing: the row has 1 of 2 columns"},
		{"long row", head + "a,1,2\n", "f:2:5: the row has 3 cells, the header 2: a cell with a separator in it needs quotes around it"},
		{"shortened by Excel", head + "1.23457E+18,1.23E+09\n", `f:2:1: user id "1.23457E+18" was shortened by a spreadsheet and has lost digits: format the column as text and export it again
f:2:13: role id "1.23E+09" was shortened by a spreadsheet and has lost digits: format the column as text and export it again`},
		{"decimal", head + "a,12.0\n", `f:2:3: role id "12.0" has a decimal point: format the column as text and export it again`},
		{"thousands", head + "a,\"1,507,113\"\n", `f:2:4: role id "1,507,113" has signs between its thousands: format the column as text and export it again`},
		{"failed formula", head + "#N/A,#REF!\n", `f:2:1: user id "#N/A" is what a spreadsheet shows where it has no value
f:2:6: role id "#REF!" is what a spreadsheet shows where it has no value`},
		{"zero", head + "a,0\n", `f:2:3: role id "0" is not positive`},
		{"negative", head + "a,-5\n", `f:2:3: role id "-5" is not positive`},
		{"largest", head + "a,9223372036854775808\n", `f:2:3: role id "9223372036854775808" is larger than any role id`},
		{"leading zero", head + "a,012\n", `f:2:3: role id "012" has leading zeros`},
		{"list in role_id", head + "a,1;2\n", `f:2:3: role id "1;2" looks like several: name the column role_ids, or say --column role_ids=role_id`},
		{"comma in a user", head + "\"a,b\",1\n", `f:2:2: user id "a,b" has a comma, which DingTalk cannot take`},
		{"invisible", head + "a\u200bb,1\n", `f:2:1: user id "a\u200bb" has a sign in it that no id has: ZERO WIDTH SPACE (U+200B)`},
		{"too long", head + strings.Repeat("x", 65) + ",1\n", `f:2:1: user id "` + strings.Repeat("x", 65) + `" has 65 characters, at most 64 are possible`},
		{"quote inside", head + "a\"b,1\nc,x\n", `f:2:2: a quote inside an unquoted field: quote the whole field and double the quotes inside it
f:3:3: role id "x" is not a whole number`},
		{"quoted and more", head + "\"a\"b,1\nc,x\n", `f:2:1: a quoted field begins here and goes on after its closing quote: double the quotes inside it
f:3:3: role id "x" is not a whole number`},
		{"never closed", head + "\"a,1\nb,x\nc,2\n", `f:2:1: a quote is opened here and never closed
f:3:3: role id "x" is not a whole number`},
		{"not UTF-8", head + "abc,1\n张\xe4,1\n", `f:3:1: user id "张\xe4" has a character that could not be read: check the encoding of the file`},
		{"replacement character", head + "a\ufffd,1\n", `f:2:1: user id "a�" has a character that could not be read: check the encoding of the file`},
		{"too short to tell the encoding", head + gb18030(t, "茅,1\n"), `f:2:1: user id "é" may be UTF-8 or GB18030, the file does not tell: save it as CSV UTF-8 (with a byte order mark)`},
		{"workbook", "PK\x03\x04…", "f: this is a zip archive, but no workbook that can be read (zip: not a valid zip file): open it and save it as .xlsx or CSV UTF-8"},
		{"UTF-16 without a mark", "u\x00s\x00e\x00r\x00", "f: this is binary, or UTF-16 without a byte order mark, not a list: save it as .xlsx or as CSV (in Excel: CSV UTF-8)"},
		{"HTML", "<html><table>", "f: this is HTML or XML, whatever its name says: open it in a spreadsheet and save it as .xlsx or CSV"},
		{"JSON array", `[{"user_id":"a","role_id":1}]`, "f: this is a JSON array: write one object per line, without brackets around and commas between them"},
		{"JSON: roles by name", `{"user_id":"a","roles":["x"]}`, `f:1:16: roles names roles, which have to be looked up in DingTalk: that takes the app's credentials (see unrole roles for their ids)`},
		{"JSON: a person by mobile", `{"mobile":"13800001234","role_id":1}`, `f:1:2: mobile: a mobile number is no user id and has to be looked up in DingTalk, which takes the app's credentials and --preflight`},
		{"JSON: missing", "{}\n{\"user_id\":\"a\"}", `f:1:1: user_id (or user_ids) is missing
f:1:1: role_id (or role_ids) is missing
f:2:1: role_id (or role_ids) is missing`},
		{"JSON: twice", `{"user_id":"a","user_id":"b","role_id":1}`, `f:1:16: user_id stands there twice`},
		{"JSON: both", `{"user_id":"a","userIds":["b"],"role_id":1}`, `f:1:16: user_id and userIds mean the same: keep one`},
		{"JSON: bad ids", `{"user_ids":["张三"," a"],"role_ids":[1,2.5,"x"]}`, `f:1:19: user id " a" has a blank
f:1:39: role id "2.5" has a decimal point: format the column as text and export it again
f:1:43: role id "x" is not a whole number`},
		{"JSON: number for a user", `{"user_id":7,"role_id":1}`, `f:1:12: user_id must be a string in quotes, since leading zeros count, or a list of them; every line is one object, whole and with nothing after it`},
		{"JSON: null", `{"user_id":"a","role_id":null}`, `f:1:26: role_id must be a number or a list of numbers; every line is one object, whole and with nothing after it`},
		{"JSON: empty list", `{"user_ids":[],"role_id":1}`, `f:1:13: user_ids is empty`},
		{"JSON: nested", `{"user_ids":[["a"]],"role_id":1}`, `f:1:14: user_ids must be a string in quotes, since leading zeros count, or a list of them; every line is one object, whole and with nothing after it`},
		{"JSON: pretty", "{\n  \"user_id\": \"a\"}", `f:1:2: a field name in quotes is missing here; every line is one object, whole and with nothing after it
f:2:3: not a JSON object such as {"user_id":"u","role_ids":[1,2]}; every line is one object, whole and with nothing after it`},
		{"JSON: commas between lines", `{"user_id":"a","role_id":1},`, `f:1:28: a comma after the object; every line is one object, whole and with nothing after it`},
		{"JSON: two in a line", `{"user_id":"a","role_id":1}{}`, `f:1:28: something follows the object; every line is one object, whole and with nothing after it`},
		{"JSON: cut off", `{"user_id":"a`, `f:1:12: a string begins here and does not end; every line is one object, whole and with nothing after it`},
		{"JSON: control by escape", `{"user_id":"a\u0000b","role_id":1}`, `f:1:12: user id "a\x00b" has a sign in it that no id has: <control> (U+0000)`},
		{"JSON: bad escape", `{"user_id":"a\x","role_id":1}`, `f:1:12: a string with an escape that JSON does not know begins here; every line is one object, whole and with nothing after it`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, report, err := read(strings.NewReader(tt.text), Options{Name: "f"})
			if refusal(t, err); report == nil {
				t.Fatal("no report")
			}
			got, _, _ := strings.Cut(err.Error(), "\ngood rows: ")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadReportsWhatItMet(t *testing.T) {
	_, report, err := read(strings.NewReader(gb18030(t, "姓名,user_id,role_ids,\n张三,a,1;2;1,\n李四,a,2,\n\n")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := &Report{Format: FormatCSV, Encoding: "GB18030", Header: []string{"姓名", "user_id", "role_ids"}, Rows: 2, Ignored: []string{"姓名"}}
	if len(report.Notes) != 1 || report.Notes[0].String() != `columns not used: 姓名` {
		t.Errorf("notes %v", report.Notes)
	}
	report.Notes = nil
	if diff := cmp.Diff(want, report); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

func TestReadCountsBeyondTheErrorsItNames(t *testing.T) {
	text := "user_id,role_id\n" + strings.Repeat("a,x\n", 120)
	_, report, err := read(strings.NewReader(text), Options{Name: "f"})
	var invalid *Refused
	if !errors.As(err, &invalid) {
		t.Fatal(err)
	}
	if len(invalid.Rows) != 50 || invalid.Total != 120 || report.Rejected != 120 || report.Rows != 120 {
		t.Errorf("named %d of %d errors, report %+v", len(invalid.Rows), invalid.Total, report)
	}
	if lines := strings.Split(err.Error(), "\n"); lines[50] != "… and 70 more" {
		t.Errorf("last line %q", lines[50])
	}
}

func TestReadSkipsBadRowsOnRequest(t *testing.T) {
	text := "name,user_id,role_ids\n" +
		"=HYPERLINK(\"x\")&A1,u1,1\n" + // the quotes are bare
		"\"=1+1\",u 2,2;x\n" +
		"张三,u3,3\n" +
		"@x,u4\n" +
		"\"a\nb\",=u5,0\n"
	var rejected bytes.Buffer
	got, report, err := read(strings.NewReader(text), Options{Reject: &rejected})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"u3 3"}, pairsOf(got)); diff != "" {
		t.Errorf("pairs (-want +got):\n%s", diff)
	}
	if report.Rows != 5 || report.Rejected != 4 {
		t.Errorf("report %+v", report)
	}
	want := "\ufeffname,user_id,role_ids,rejected_line,rejected_reason\n" +
		"\"'=HYPERLINK(\"\"x\"\")&A1,u1,1\",,,2,a quote inside an unquoted field: quote the whole field and double the quotes inside it\n" +
		"'=1+1,u 2,2;x,3,\"user id \"\"u 2\"\" has a blank; role id \"\"x\"\" is not a whole number\"\n" +
		"'@x,u4,,5,role_ids is missing: the row has 2 of 3 columns\n" +
		"\"a\nb\",'=u5,0,6,\"role id \"\"0\"\" is not positive\"\n"
	if diff := cmp.Diff(want, rejected.String()); diff != "" {
		t.Errorf("rejected rows (-want +got):\n%s", diff)
	}

	var chinese bytes.Buffer
	if _, _, err := read(strings.NewReader(text), Options{Reject: &chinese, Lang: texts.Chinese}); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(chinese.String(), "\n"); strings.Contains(chinese.String(), "missing") || !strings.Contains(lines[3], "缺少") {
		t.Errorf("in Chinese:\n%s", &chinese)
	}

	corrected := strings.NewReplacer("u 2", "u2", "2;x", "2;3", "'=u5,0", "'=u5,5", "u4,,", "u4,4,").Replace(rejected.String())
	corrected = strings.Join(slices.Delete(strings.SplitAfter(corrected, "\n"), 1, 2), "")
	again, report, err := read(strings.NewReader(corrected), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"u2 2", "u2 3", "u4 4", "=u5 5"}, pairsOf(again)); diff != "" {
		t.Errorf("pairs of the corrected file (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"name"}, report.Ignored); diff != "" {
		t.Errorf("ignored (-want +got):\n%s", diff)
	}
}

func TestSkippingStopsWhereRowsCannotBeTold(t *testing.T) {
	for _, text := range []string{
		"user_id,role_id\na,1\n\"b,2\nc,3\nd,4\n",    // never closed
		"user_id,role_id\na,1\n\"b,2\nc\"x,3\nd,4\n", // closed in another line, and more follows
	} {
		var rejected bytes.Buffer
		got, _, err := read(strings.NewReader(text), Options{Name: "f", Reject: &rejected})
		var invalid *Refused
		if !errors.As(err, &invalid) || got != nil {
			t.Fatalf("Read = %v, %v; want an *Refused", got, err)
		}
		if !strings.HasPrefix(err.Error(), "f:3:1: a quote") || !invalid.Truncated {
			t.Errorf("error %q", err)
		}
	}
}

func TestSkippingEverythingIsAnError(t *testing.T) {
	var rejected bytes.Buffer
	_, report, err := read(strings.NewReader("user_id,role_id\na,x\nb,\n"), Options{Name: "f", Reject: &rejected})
	if err == nil || err.Error() != "f: none of the 2 rows is good: nothing to remove" {
		t.Errorf("error %v", err)
	}
	if report.Rejected != 2 || strings.Count(rejected.String(), "\n") != 3 {
		t.Errorf("report %+v, rejected %q", report, rejected.String())
	}
}

func TestSkippingWritesJSONLinesAsText(t *testing.T) {
	var rejected bytes.Buffer
	got, _, err := read(strings.NewReader(`{"user_id":"a","role_id":1}`+"\n"+`{"user_id":"b","role_id":0}`), Options{Reject: &rejected})
	if err != nil || got.Pairs() != 1 {
		t.Fatalf("Read = %v, %v", got, err)
	}
	want := "\ufefftext,rejected_line,rejected_reason\n" +
		`"{""user_id"":""b"",""role_id"":0}",2,"role id ""0"" is not positive"` + "\n"
	if diff := cmp.Diff(want, rejected.String()); diff != "" {
		t.Errorf("rejected rows (-want +got):\n%s", diff)
	}
}

var errDisk = errors.New("disk trouble")

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errDisk }

func TestReadReturnsErrorsOfItsStreams(t *testing.T) {
	r := io.MultiReader(strings.NewReader("user_id,role_id\na,1\n"), iotest.ErrReader(errDisk))
	if _, _, err := read(r, Options{Name: "f"}); !errors.Is(err, errDisk) || err.Error() != "read f after line 2: disk trouble" {
		t.Errorf("source: %v", err)
	}
	r = io.MultiReader(strings.NewReader("user_id,role_id\n张,1\n"), iotest.ErrReader(errDisk))
	if _, _, err := read(r, Options{}); !errors.Is(err, errDisk) {
		t.Errorf("source, beyond ASCII: %v", err)
	}
	r = strings.NewReader("user_id,role_id\na,1\nb,x\n")
	if _, _, err := read(r, Options{Reject: failingWriter{}}); !errors.Is(err, errDisk) || err.Error() != "write rejected rows: disk trouble" {
		t.Errorf("rejected rows: %v", err)
	}
}
