package restore

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/tasks"
)

const reportHead = "user_id,role_id,outcome,reason,errcode,errmsg,request_id,attempts,finished_at,before,scope_departments\n"

// Two reports may stand in one file, or a row twice: a pair gets back the scope that all its rows agree on, or nothing is given back.
func TestRowsOfAPairHaveToAgreeOnItsScope(t *testing.T) {
	pair := enqueue.SnapshotPair{UserID: "a", RoleID: 7}
	wide := strings.Repeat("1;", tasks.MaxDepartments) + "2;3"
	for i := range tasks.MaxDepartments {
		wide += ";" + strings.Repeat("4", i%15+1) + strings.Repeat("5", i/15+1)
	}
	for name, c := range map[string]struct {
		scopes [2]string
		want   []enqueue.SnapshotScope
		agree  bool
	}{
		"the same":            {[2]string{"11;12", "12;11"}, []enqueue.SnapshotScope{{Pair: pair, Departments: []int64{11, 12}}}, true},
		"everybody, twice":    {[2]string{"", ""}, nil, true},
		"other departments":   {[2]string{"11", "12"}, nil, false},
		"everybody, then few": {[2]string{"", "11"}, nil, false},
		"few, then everybody": {[2]string{"11", ""}, nil, false},
		"too many, then all":  {[2]string{wide, ""}, nil, false},
		"all, then too many":  {[2]string{"", wide}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			text := reportHead + "a,7,removed,,,,,,,held," + c.scopes[0] + "\na,7,removed,,,,,,,held," + c.scopes[1] + "\n"
			p, _, err := OfReport(strings.NewReader(text), lists.Options{Name: "r.csv"}, Wish{}, nil)
			var refused *lists.Refused
			switch {
			case !c.agree && (!errors.As(err, &refused) || !strings.Contains(err.Error(), "r.csv:3:1: a/7 had another management scope")):
				t.Errorf("said %v", err)
			case c.agree && (err != nil || p.Removals.Pairs() != 1 || !slices.Equal(p.Removals.Users(), []string{"a"})):
				t.Errorf("%+v %v", p, err)
			case c.agree:
				if diff := cmp.Diff(c.want, p.Scopes); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}
