package lists

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/report"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

const (
	reportHead = "user_id,role_id,outcome,reason,errcode,errmsg,request_id,attempts,finished_at"
	reportRows = "w.chen,7,removed,,,,r1,1,2026-12-31T18:00:00+08:00\nl.lei,7,dead_letter,user_gone,60121,x,r2,1,2026-12-31T18:00:00+08:00\n" +
		"x.wu,8,pending,,,,,,\ny.li,8,cancelled,,,,,,\nz.sun,8,not_held,,,,,,2026-12-31T18:00:00+08:00\n"
)

func TestAReportThatComesBackAsksForWhatIsNotDone(t *testing.T) {
	notDone := []string{"l.lei 7", "x.wu 8", "y.li 8"}
	withOwn := reportHead + ",before,姓名,员工UserID,list: role_id,row,meaning,what_to_do\n" +
		"w.chen,7,removed,,,,,,,held,陈伟,w.chen,7,2,已移除,\n" +
		"l.lei,7,dead_letter,,,,,,,held,雷,l.lei;m,7,3,,\n" +
		",,unresolved,,,,,,,,吴,x.wu,8,4,,\n"
	for name, c := range map[string]struct {
		text string
		opt  Options
		want []string
		said string
	}{
		"as it was written": {"\ufeff" + reportHead + "\n" + reportRows, Options{}, notDone,
			"3 of its rows are taken (cancelled 1, dead_letter 1, pending 1), 2 are passed over (not_held 1, removed 1)"},
		"its columns in another order": {"outcome,finished_at,role_id,user_id,errcode,reason\nremoved,,7,a,,\ndead_letter,,8,b,,\n", Options{}, []string{"b 8"}, "1 of its rows are"},
		"a row that was added":         {reportHead + "\nnew,9,,,,,,,\n" + reportRows, Options{}, append([]string{"new 9"}, notDone...), ""},
		"its list's own columns":       {withOwn, Options{}, []string{"l.lei 7", "x.wu 8"}, "columns not used: 姓名"},
		"what was removed":             {reportHead + "\n" + reportRows, Options{Outcomes: []string{"removed"}, Returned: true}, []string{"w.chen 7"}, "(removed 1), 4 are passed over"},
		"JSON": {`{"user_id":"a","role_id":7,"outcome":"removed","reason":"","errcode":0,"errmsg":"","request_id":"r","attempts":1,"finished_at":"x"}` + "\n" +
			`{"user_id":"b","role_id":7,"outcome":"dead_letter","reason":"busy","errcode":-1,"errmsg":"","request_id":"r","attempts":1,"finished_at":"x","input":{"用户ID":"b","x":"1"}}` + "\n" +
			`{"user_id":"","role_id":0,"outcome":"unresolved","reason":"","errcode":0,"errmsg":"","request_id":"","attempts":0,"finished_at":"","input":{"用户ID":"c","list: role_id":"8"}}` + "\n",
			Options{}, []string{"b 7", "c 8"}, "2 of its rows are taken (dead_letter 1, unresolved 1), 1 are"},
	} {
		t.Run(name, func(t *testing.T) {
			set, read, err := read(strings.NewReader(c.text), c.opt)
			if err != nil {
				t.Fatal(err)
			}
			if got := pairsOf(set); !slices.Equal(got, c.want) {
				t.Errorf("took %q", got)
			}
			if said := fmt.Sprint(read.Notes); !strings.Contains(said, c.said) {
				t.Errorf("said %s", said)
			}
		})
	}
	for name, c := range map[string]struct {
		text string
		opt  Options
		want string
	}{
		"all is done":                  {reportHead + "\nw.chen,7,removed,,,,,,\n", Options{}, "every row is done"},
		"of a simulation":              {reportHead + ",simulated\na,7,removed,,,,,,,SIMULATION\n", Options{}, ":2:1: this is the report of a simulation"},
		"of a restore":                 {reportHead + ",action\na,7,pending,,,,,,,add\n", Options{}, "gave roles back"},
		"of an older restore":          {reportHead + "\na,7,restored,,,,,,\n", Options{}, "gave roles back"},
		"an unknown outcome":           {reportHead + "\na,7,已移除,,,,,,\n", Options{}, `the outcome "已移除" is none`},
		"a simulation's JSON":          {`{"user_id":"a","role_id":7,"outcome":"removed","reason":"","errcode":0,"finished_at":"x","simulated":true}`, Options{}, "report of a simulation"},
		"no outcome, to be given back": {reportHead + "\na,7,,,,,,,\n", Options{Returned: true, Outcomes: []string{"removed"}}, ":2:5: the row has no outcome"},
		"nothing removed":              {reportHead + "\na,7,pending,,,,,,\n", Options{Returned: true, Outcomes: []string{"removed"}}, "no row with the outcome removed"},
		"a scope that a spreadsheet spoiled": {reportHead + ",before,scope_departments\na,7,removed,,,,,,,held,1.2E+09\n",
			Options{Returned: true, Outcomes: []string{"removed"}}, `"1.2E+09" is not the id of a department`},
		"a scope that is text, JSON": {`{"user_id":"a","role_id":7,"outcome":"removed","reason":"","errcode":0,"finished_at":"x","before":"held","scope_departments":["x"]}`,
			Options{Returned: true, Outcomes: []string{"removed"}}, ":1:"},
		"a scope that is no list, JSON": {`{"user_id":"a","role_id":7,"outcome":"removed","reason":"","errcode":0,"finished_at":"x","before":"held","scope_departments":"11;12"}`,
			Options{Returned: true, Outcomes: []string{"removed"}}, ":1:"},
		"two outcomes": {"user_id,role_id,outcome,outcome,reason,errcode,finished_at\na,7,removed,pending,,,\n",
			Options{Returned: true, Outcomes: []string{"removed"}}, ":1:1: outcome stands there twice"},
		"two scopes": {reportHead + ",before,scope_departments,scope_departments\na,7,removed,,,,,,,held,,11\n",
			Options{Returned: true, Outcomes: []string{"removed"}}, ":1:1: scope_departments stands there twice"},
		"no report, JSON": {`{"user_id":"a","role_id":7}`, Options{Returned: true}, "this is no report of unrole"},
		"no report, CSV":  {"user_id,role_id\na,7\n", Options{Returned: true}, "this is no report of unrole"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := read(strings.NewReader(c.text), c.opt); !strings.Contains(refusal(t, err), c.want) {
				t.Errorf("said %v", err)
			}
		})
	}
}

// Whoever gives back has no way to leave rows out, and is not told of one.
func TestAReportThatIsGivenBackAdvisesNoSkipping(t *testing.T) {
	_, _, err := read(strings.NewReader(reportHead+"\na,7,removed,,,,,,\nb,x,removed,,,,,,\n"), Options{Returned: true, Outcomes: []string{"removed"}})
	if said := refusal(t, err); !strings.Contains(said, "good rows: 1 of 2") || strings.Contains(said, "--skip-invalid") {
		t.Errorf("said %s", said)
	}
}

func TestAReportSaysHowAPairWasBefore(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want Was
	}{
		"a scope":                {reportHead + ",before,scope_departments\na,7,removed,,,,,,,held,11;12\n", Was{true, []int64{11, 12}}},
		"the scope is all":       {reportHead + ",before,scope_departments\na,7,removed,,,,,,,held,\n", Was{Seen: true}},
		"nobody looked":          {reportHead + "\na,7,removed,,,,,,\n", Was{}},
		"of an older version":    {reportHead + ",before\na,7,removed,,,,,,,held\n", Was{}},
		"JSON":                   {`{"user_id":"a","role_id":7,"outcome":"removed","reason":"","errcode":0,"finished_at":"x","before":"held","scope_departments":[11,-7]}`, Was{true, []int64{11, -7}}},
		"JSON, the scope is all": {`{"user_id":"a","role_id":7,"outcome":"removed","reason":"","errcode":0,"finished_at":"x","before":"held","scope_departments":[]}`, Was{Seen: true}},
		"JSON, no scope":         {`{"user_id":"a","role_id":7,"outcome":"removed","reason":"","errcode":0,"finished_at":"x","before":"held","scope_departments":null}`, Was{}},
		"older JSON":             {`{"user_id":"a","role_id":7,"outcome":"removed","reason":"","errcode":0,"finished_at":"x","before":"held"}`, Was{}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []Was
			_, err := Read(strings.NewReader(c.text), Options{Returned: true, Outcomes: []string{"removed"}}, func(r Row) error {
				got = append(got, r.Was)
				return nil
			})
			if diff := cmp.Diff([]Was{c.want}, got); err != nil || diff != "" {
				t.Errorf("%v %s", err, diff)
			}
		})
	}
}

// Whatever the ids and the form of the report: what comes back asks for exactly the pairs that are not done, and its rows carry
// the columns that the list had.
func TestWhateverTheReportItAsksForWhatIsNotDone(t *testing.T) {
	_, rdb := redistest.Memory(t)
	ctx := t.Context()
	l := ledger.New(rdb, time.Hour)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ids := userIDs(difficult).Filter(func(id string) bool { return id[0] != '\'' }) // which a workbook cannot tell from its marks
	kinds := []ledger.Kind{ledger.Removed, ledger.Dead, ledger.Cancelled, ledger.Pending}
	for seed := range 4 {
		users := rapid.SliceOfNDistinct(ids, 1, 30, rapid.ID).Example(seed)
		part := tasks.Part{JobID: fmt.Sprint("j", seed), Part: "0", UserIDs: users, RoleIDs: []int64{1507113578}}
		_, err := l.Create(ctx, ledger.NewJob{JobID: part.JobID, CreatedAt: time.Now(), Pairs: len(users), Users: len(users), Roles: 1, Content: "c", Plan: "p", Parts: 1})
		must(err)
		_, err = l.PutParts(ctx, part.JobID, "p", []tasks.Part{part})
		must(err)
		must(l.Planned(ctx, part.JobID, "p", 1))
		must(l.Submitted(ctx, part.JobID))
		claims, err := l.Claim(ctx, ledger.Request{Part: &part, Lane: "default"})
		must(err)
		var settled []ledger.Settlement
		var list []report.ListRow
		var want []string
		for i, user := range users {
			kind := kinds[(i+1)%len(kinds)]
			if kind != ledger.Pending {
				settled = append(settled, ledger.Settlement{Pairs: pairs.Rectangle{Users: []pairs.User{pairs.User(i)}},
					Outcome: ledger.Outcome{Kind: kind, Reason: tasks.ReasonUnknown, At: time.Now()}})
			}
			if kind != ledger.Removed {
				want = append(want, fmt.Sprintf("%s 1507113578 note %s", user, user))
			}
			list = append(list, report.ListRow{Line: i + 2, Users: []string{user}, Roles: part.RoleIDs, Cells: []string{user, "note " + user, "x"}})
		}
		_, err = l.Settle(ctx, claims[0], settled...)
		must(err)
		job, err := l.Get(ctx, part.JobID)
		must(err)
		for _, form := range []string{"r.csv", "r.xlsx", "r.json"} {
			write, err := report.FormatOf(form)
			must(err)
			var file bytes.Buffer
			must(write(ctx, l, job, &file, report.Options{Words: true, List: &report.List{Header: []string{"员工UserID", "user_id", "reason"}, Rows: slices.Values(list)}}))
			var got []string
			note := 0
			// Dead letters are of ids that look wrong, more often than not: a person says that they are right.
			opt := Options{Cells: true, Columns: map[string]string{"user_id": "user_id"}}
			_, err = Read(&file, opt, func(row Row) error {
				for _, cell := range row.Cells { // the fields of JSON have no order
					if strings.HasPrefix(cell, "note ") {
						note++
						got = append(got, fmt.Sprintf("%s %d %s", row.People[0].Text, row.Roles[0].ID, cell))
					}
				}
				return nil
			})
			if err != nil || !slices.Equal(got, want) || note != len(want) {
				t.Errorf("%s: %v: took %q, want %q", form, err, got, want)
			}
		}
	}
}
