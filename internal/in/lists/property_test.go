package lists

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
	"pgregory.net/rapid"

	"github.com/unrole/unrole/internal/base/sheet"
	"github.com/unrole/unrole/tasks"
)

// row is what one row of a file asks for.
type row struct {
	users []string
	roles []int64
}

// userIDs draws what DingTalk may know, with what files make difficult: quotes, apostrophes, Chinese, leading zeros,
// what looks like a formula. What a spreadsheet would have made of it is left out, being refused.
func userIDs(alphabet string) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		return rapid.StringOfN(rapid.SampledFrom([]rune(alphabet)), 1, 8, -1).Draw(t, "user")
	}).Filter(func(id string) bool {
		_, wrong := wrongUserID([]byte(id))
		_, spoiled := spoiledUserID([]byte(id))
		var m marks
		return !wrong && !spoiled && !isTotal([]byte(id)) && !ruler(id) && string(m.clean([]byte(sheet.Cell(id)))) == id
	})
}

const (
	difficult = `aZ09_.-=+@'"#:/{}[]\|é茅张三丰龘𠮷한`
	chinese   = `aZ09-=茅张三丰龘镕喆堃赵钱孙李`
)

func rowsOf(t *rapid.T, alphabet string) []row {
	roles := rapid.OneOf(rapid.Int64Range(1, 9), rapid.Int64Range(1507113000, 1507113999), rapid.Int64Range(1, 1<<63-1))
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) row {
		return row{
			users: rapid.SliceOfN(userIDs(alphabet), 1, 3).Draw(t, "users"),
			roles: rapid.SliceOfN(roles, 1, 4).Draw(t, "roles"),
		}
	}), 1, 8).Draw(t, "rows")
}

func pairSet(rows []row) map[string]bool {
	set := map[string]bool{}
	for _, row := range rows {
		for _, user := range row.users {
			for _, role := range row.roles {
				set[fmt.Sprintf("%s %d", user, role)] = true
			}
		}
	}
	return set
}

// writeCSV writes rows in some dialect of CSV.
func writeCSV(t *rapid.T, rows []row) string {
	sep := rapid.SampledFrom([]string{",", ";", "\t"}).Draw(t, "separator")
	eol := rapid.SampledFrom([]string{"\n", "\r\n", "\r"}).Draw(t, "line break")
	manyUsers, manyRoles := rapid.Bool().Draw(t, "user_ids"), rapid.Bool().Draw(t, "role_ids")
	for _, row := range rows {
		for _, user := range row.users {
			// In a list these are ambiguous at its beginning, and quotes wrap what is not a list.
			if manyUsers && (strings.ContainsAny(user, `;'"=|`) || sheet.Cell(user) != user) {
				manyUsers = false
			}
		}
	}
	between := rapid.SampledFrom([]string{";", " ", "; ", "\n", "；", "、", "，", ",", "|"}).Draw(t, "between ids")
	wrap := rapid.Bool().Draw(t, "wrapped")

	cell := func(s string) string {
		if strings.ContainsAny(s, sep+"\"\r\n") || rapid.Bool().Draw(t, "quoted") {
			return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
		}
		return s
	}
	names := []string{"user_id", "role_id"}
	if manyUsers {
		names[0] = "user_ids"
	}
	if manyRoles {
		names[1] = "role_ids"
	}
	order := rapid.Permutation([]int{0, 1, 2}).Draw(t, "columns")
	var b strings.Builder
	line := func(user, role, note string) {
		cells := []string{user, role, note}
		for i, c := range order {
			if i > 0 {
				b.WriteString(sep)
			}
			b.WriteString(cell(cells[c]))
		}
		b.WriteString(eol)
		if rapid.Bool().Draw(t, "blank line") {
			b.WriteString(eol)
		}
	}
	line(strings.ToUpper(names[0]), names[1], "note")
	note := func() string {
		return rapid.SampledFrom([]string{"x", "", "a, \"b\"; c\td", "two\nlines", "=1+1"}).Draw(t, "note")
	}
	for _, row := range rows {
		users, roles := row.users, make([]string, len(row.roles))
		for i, role := range row.roles {
			roles[i] = strconv.FormatInt(role, 10)
		}
		if manyUsers {
			users = []string{strings.Join(users, between)}
		}
		if manyRoles {
			list := strings.Join(roles, between)
			if thousands([]byte(list)) {
				list = strings.Join(roles, ";") // 1,100 is refused: it may be one number
			}
			roles = []string{list}
		}
		for _, user := range users {
			switch {
			case manyUsers:
			case wrap && !strings.Contains(user, `"`):
				user = `="` + user + `"`
			default:
				user = sheet.Cell(user)
			}
			for _, role := range roles {
				line(user, role, note())
			}
		}
	}
	return b.String()
}

// meant says that the ids are right whatever they look like.
var meant = Options{Columns: map[string]string{"user_id": "user_id", "user_ids": "user_ids"}}

func checkSame(t *rapid.T, text string, rows []row) {
	got, _, err := read(strings.NewReader(text), meant)
	if err != nil {
		t.Fatalf("%v\n%q", err, text)
	}
	want := slices.Sorted(maps.Keys(pairSet(rows)))
	have := slices.Sorted(slices.Values(pairsOf(got)))
	if !slices.Equal(want, have) {
		t.Fatalf("got %q, want %q\n%q", have, want, text)
	}
}

func TestAnyCSVReadsBackAsItWasMeant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rowsOf(t, difficult)
		text := writeCSV(t, rows)
		switch rapid.SampledFrom([]string{"byte order mark", "UTF-16LE", "UTF-16BE"}).Draw(t, "encoding") {
		case "byte order mark":
			text = "\ufeff" + text
		case "UTF-16LE":
			text, _ = unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String(text)
		case "UTF-16BE":
			text, _ = unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewEncoder().String(text)
		}
		checkSame(t, text, rows)
	})
}

// TestUnmarkedEncodingsAreReadRightOrRefused: without a byte order mark a very short text may read well in two ways.
// Then it is refused; what is taken is right, unless it is a GB18030 text that is faultless UTF-8 as a whole.
func TestUnmarkedEncodingsAreReadRightOrRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rowsOf(t, chinese)
		text := writeCSV(t, rows)
		if rapid.Bool().Draw(t, "GB18030") {
			text, _ = simplifiedchinese.GB18030.NewEncoder().String(text)
			if utf8.ValidString(text) && survey([]byte(text), true).long > 0 {
				t.Skip("faultless UTF-8 by chance")
			}
		}
		_, _, err := read(strings.NewReader(text), meant)
		var invalid *Refused
		if errors.As(err, &invalid) && (strings.Contains(err.Error(), "may be UTF-8 or GB18030") || strings.Contains(err.Error(), "could not be read")) {
			return
		}
		checkSame(t, text, rows)
	})
}

func TestAnyJSONLReadsBackAsItWasMeant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rowsOf(t, difficult+";")
		var b strings.Builder
		for _, row := range rows {
			object := map[string]any{"user_ids": row.users, "role_ids": row.roles}
			if len(row.users) == 1 && rapid.Bool().Draw(t, "user_id") {
				object = map[string]any{"user_id": row.users[0], "role_ids": row.roles}
			}
			line, err := json.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			b.Write(line)
			b.WriteString(rapid.SampledFrom([]string{"\n", "\r\n", " \n\n"}).Draw(t, "line break"))
		}
		checkSame(t, b.String(), rows)
	})
}

// TestSheetCellIsHarmlessAndExact: no spreadsheet takes it for a formula, and Read gets the text back.
func TestSheetCellIsHarmlessAndExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		cell := sheet.Cell(text)
		if cell != "" && strings.IndexByte("=+-@\t\r\n", cell[0]) >= 0 {
			t.Fatalf("sheet.Cell(%q) = %q", text, cell)
		}
		id := userIDs(difficult).Draw(t, "id")
		if back := string(sheet.Value([]byte(sheet.Cell(id)))); back != id {
			t.Fatalf("%q came back as %q", id, back)
		}
	})
}

// FuzzReadCSV and FuzzReadJSONL: whatever comes in, Read does not panic, takes no id that DingTalk cannot know, and
// accounts for every row.
func FuzzReadCSV(f *testing.F) { fuzzRead(f, FormatCSV) }

func FuzzReadJSONL(f *testing.F) { fuzzRead(f, FormatJSONL) }

func fuzzRead(f *testing.F, format Format) {
	f.Fuzz(func(t *testing.T, data []byte) {
		strict, report, err := read(bytes.NewReader(data), Options{Format: format})
		checkOutcome(t, strict, report, err)

		var rejected bytes.Buffer
		loose, report, err := read(bytes.NewReader(data), Options{Format: format, Reject: &rejected})
		checkOutcome(t, loose, report, err)
		if strict != nil && (loose == nil || !maps.Equal(loose.seen, strict.seen)) {
			t.Fatal("what is good is read otherwise when bad rows may be skipped")
		}
		if rejected.Len() == 0 {
			return
		}
		// Spreadsheets take the byte order mark away; encoding/csv takes it for the begin of a cell.
		records, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(rejected.Bytes(), []byte("\ufeff")))).ReadAll()
		if err != nil {
			t.Fatalf("rejected rows: %v\n%q", err, rejected.String())
		}
		for _, record := range records[1:] {
			for _, cell := range record {
				if cell != "" && strings.IndexByte("=+-@\t\r", cell[0]) >= 0 {
					t.Fatalf("a formula among the rejected rows: %q", cell)
				}
			}
		}
	})
}

func checkOutcome(t *testing.T, r *pairsRead, report *Report, err error) {
	t.Helper()
	if report == nil || (r == nil) == (err == nil) {
		t.Fatalf("Read = %v, %v, %v", r, report, err)
	}
	var invalid *Refused
	if errors.As(err, &invalid) {
		if invalid.Total < len(invalid.Rows) || len(invalid.Rows) == 0 || !utf8.ValidString(err.Error()) {
			t.Fatalf("error %+v", invalid)
		}
	}
	if r == nil {
		return
	}
	pairs := 0
	for u, user := range r.Users() {
		if err := tasks.ValidateUserID(user); err != nil {
			t.Fatal(err)
		}
		for range r.RolesOf(u) {
			pairs++
		}
	}
	for _, role := range r.Roles() {
		if err := tasks.ValidateRoleID(role); err != nil {
			t.Fatal(err)
		}
	}
	if pairs == 0 || pairs != r.Pairs() || report.Rejected >= report.Rows {
		t.Fatalf("%d pairs, said %d; %+v", pairs, r.Pairs(), report)
	}
}
