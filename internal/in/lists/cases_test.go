package lists

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// cases are files as people have them: what becomes of each, and what its reader is told.
var cases = map[string]struct {
	opt   Options
	pairs string // what is taken, "user role" by commas; empty where it is refused
	said  []string
}{
	"apostrophes.csv":      {pairs: "00412 1507113578, 00413 1507113578", said: []string{"4 apostrophes before ids were taken off"}},
	"chinese-headings.csv": {pairs: "w.chen 1507113578", said: []string{"columns not used: 姓名, 部门"}},
	"ctrl-z.csv":           {pairs: "w.chen 1507113578"},
	"encrypted.csv":        {said: []string{"encrypted by your company's leak prevention", "ask IT for a plain copy"}},
	"fifteen-digits.csv":   {said: []string{":2:1: ", ":3:1: ", ":4:1: ", "a spreadsheet keeps 15 digits only", "--column user_id=user_id"}},
	"full-width.csv":       {pairs: "00412 1507113578", said: []string{"15 full-width digits"}},
	"german.csv": {said: []string{`:2:1: user id "2,05537E+14" was shortened by a spreadsheet`, `:2:13: role id "1,50711E+09" was shortened by a spreadsheet`,
		"good rows: 0 of 1"}},
	"invisible.csv":    {pairs: "w.chen 1507113578, l.lei 1507113578", said: []string{"3 invisible signs"}},
	"joined-lists.csv": {pairs: "w.chen 1507113578, w.chen 1507113579, l.lei 1507113578, l.lei 1507113579"},
	"joined.csv":       {said: []string{":3:1: a header again", "two files were joined"}},
	"lost-zeros.csv": {pairs: "003756 1507113578, 3757 1507113578, 003758 1507113578, 003759 1507113578",
		said: []string{"line 3: user ids with fewer digits than the others"}},
	"mobiles.csv": {said: []string{`"手机号": a mobile number is no user id`, "credentials", "--preflight"}},
	"others.jsonl": {pairs: "w.chen 1507113578, l.lei 1507113578, x.wu 1507113578, x.wu 1507113579",
		said: []string{"columns not used: name, last_day"}},
	"powershell.csv":     {pairs: "w.chen 1507113578", said: []string{"passed over as a hint for programs: line 1"}},
	"role-names.csv":     {said: []string{`"角色" names roles`, "credentials", "unrole roles"}},
	"shifted.csv":        {said: []string{":3:28: the row has 6 cells, the header 5", "good rows: 1 of 2", "--skip-invalid"}},
	"sqlcmd.txt":         {pairs: "w.chen 1507113578", said: []string{"a ruler: line 2", "a count of rows: line 5"}},
	"staff-number.csv":   {said: []string{`"工号": a staff number is no user id and has to be looked up`, "credentials", "--preflight"}},
	"title.csv":          {pairs: "w.chen 1507113578", said: []string{"the header is line 4; 2 lines were passed over above it"}},
	"total.csv":          {pairs: "w.chen 1507113578, l.lei 1507113578", said: []string{"a total, not a person: line 4"}},
	"total-numbered.csv": {pairs: "w.chen 1507113578, l.lei 1507113578", said: []string{"a total, not a person: line 4"}},
	"users-only.csv":     {said: []string{"no column role_id", "--role", "--all-roles"}},
	"wide-separators.csv": {pairs: "zhang3 1507113578, zhang3 1507113579, li4 1507113578, li4 1507113579, wang5 1507113578, wang5 1507113579, " +
		"zhao6 1507113578, zhao6 1507113579, sun7 1507113578, sun7 1507113579, qian8 1507113578, qian8 1507113579"},
	"wrong-kind.csv": {said: []string{`:2:1: "13800001234" looks like a mobile number`, ":3:1: ", "an e-mail address", ":4:1: ", "a dingId", `:5:1: "陈伟" looks like a name`,
		"4 of 4 ids are so"}},
}

func TestFilesAsPeopleHaveThem(t *testing.T) {
	files, err := filepath.Glob("testdata/cases/*")
	if err != nil || len(files) != len(cases) {
		t.Fatalf("%d files, %d cases, %v", len(files), len(cases), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			c := cases[name]
			c.opt.Name = name
			set, report, err := read(f, c.opt)
			var pairs []string
			said := fmt.Sprint(report.Notes)
			if err != nil {
				said = refusal(t, err)
			} else {
				pairs = pairsOf(set)
			}
			if got := strings.Join(pairs, ", "); got != c.pairs {
				t.Errorf("took %q, want %q\n%s", got, c.pairs, said)
			}
			for _, words := range c.said {
				if !strings.Contains(said, words) {
					t.Errorf("does not say %q:\n%s", words, said)
				}
			}
		})
	}
}

func TestALearntColumnCompletesAList(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		opt  Options
		want []string
	}{
		"people only":               {"user_id\nw.chen\nl.lei\n", Options{Roles: []Role{{ID: 7}, {ID: 8}}}, []string{"w.chen 7", "w.chen 8", "l.lei 7", "l.lei 8"}},
		"roles only":                {"角色ID\n7\n8\n", Options{People: []Person{{UserID, "u"}}}, []string{"u 7", "u 8"}},
		"people only, in JSON":      {`{"userid":"w.chen"}`, Options{Roles: []Role{{ID: 7}}}, []string{"w.chen 7"}},
		"a column that is named":    {"账号,角色\nw.chen,7\n", Options{Columns: map[string]string{"user_id": "账号", "role_ids": "角色"}}, []string{"w.chen 7"}},
		"a field that is named":     {`{"login":"w.chen","role_id":7}`, Options{Columns: map[string]string{"user_id": "login"}}, []string{"w.chen 7"}},
		"ids that are mobiles":      {"user_id,role_id\n13800001234,7\n", Options{Columns: map[string]string{"user_id": "user_id"}}, []string{"13800001234 7"}},
		"a staff number beside ids": {"工号,员工UserID,角色ID\n00412,w.chen,7\n", Options{}, []string{"w.chen 7"}},
		"the same header again":     {"user_id,role_id\na,7\nuser_id,role_id\nb,7\n", Options{}, []string{"a 7", "b 7"}},
	} {
		t.Run(name, func(t *testing.T) {
			set, _, err := read(strings.NewReader(c.text), c.opt)
			if err != nil {
				t.Fatal(err)
			}
			if got := pairsOf(set); !slices.Equal(got, c.want) {
				t.Errorf("took %q", got)
			}
		})
	}
	for name, c := range map[string]struct {
		text string
		opt  Options
		want string
	}{
		"two lists of roles":      {"user_id,role_id\na,7\n", Options{Roles: []Role{{ID: 8}}}, "--role is for an input without"},
		"a heading that is not":   {"user_id,x\na,7\n", Options{Columns: map[string]string{"role_id": "y"}}, `there is no column "y"`},
		"ids above the header":    {"w.chen,1507113578\nuser_id,role_id\na,7\n", Options{}, `"1507113578" above it looks like an id`},
		"a sign in the middle":    {"user_id,role_id\na\u200db,7\n", Options{}, "ZERO WIDTH JOINER (U+200D)"},
		"thousands":               {"user_id,role_ids\na,\"1,507,113,578\"\n", Options{}, "signs between its thousands"},
		"another header, skipped": {"user_id,role_id\na,7\nrole_id,user_id\n8,b\n", Options{Reject: &strings.Builder{}}, "a header again"},
		"a total of ids":          {"user_id,role_id\na,1507113578\n合计,1507113578\n", Options{}, `"合计" is a total, not a person`},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := read(strings.NewReader(c.text), c.opt)
			if said := refusal(t, err); !strings.Contains(said, c.want) {
				t.Errorf("said %q", said)
			}
		})
	}
}
