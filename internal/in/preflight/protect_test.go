package preflight_test

import (
	"context"
	"errors"
	"testing"

	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/in/preflight"
	"github.com/unrole/unrole/internal/out/dingtalk"
)

// vague tells of one thing in one place and leaves it out in the other.
type vague struct {
	directory.Source
	admin bool
}

func (vague) ListRoles(context.Context, int, int) (dingtalk.RolesPage, error) {
	return dingtalk.RolesPage{Groups: 1, Roles: []dingtalk.Role{{ID: 7, Name: "Cashier", Group: "Finance"}, {ID: 9, Name: "Lead", Group: "Default"}}}, nil
}

func (vague) RoleHolders(context.Context, int64, int, int) (dingtalk.HoldersPage, error) {
	return dingtalk.HoldersPage{Holders: []dingtalk.Person{{UserID: "u"}}}, nil
}

func (vague) Admins(context.Context) ([]string, error) { return nil, nil }

func (vague) UserByMobile(context.Context, string) (string, error) { return "u", nil }

func (v vague) User(context.Context, string) (dingtalk.User, error) {
	return dingtalk.User{UserID: "u", Admin: v.admin, Roles: []dingtalk.Role{{ID: 7, Name: "Cashier", Group: "Finance"}, {ID: 9, Name: "Lead"}}}, nil
}

// One place that says so is enough to protect somebody, or a role.
func TestWhatOneAnswerProtectsNoOtherAnswerGivesAway(t *testing.T) {
	for _, admin := range []bool{false, true} {
		d, err := directory.New(vague{admin: admin}, 1e6)
		if err != nil {
			t.Fatal(err)
		}
		seen, err := preflight.Run(t.Context(), d, preflight.Request{AllRoles: true, Rows: rows(lists.Row{People: people("mobile:13812345678")}).All()})
		if err != nil {
			t.Fatal(err)
		}
		switch got := pairsOf(seen.Removals); {
		case admin && (len(got) > 0 || len(seen.Problems) != 1):
			t.Errorf("an administrator loses %v, %d problems", got, len(seen.Problems))
		case !admin && (len(got) != 1 || got[0] != "u 7"):
			t.Errorf("%v are taken, want the role that is not of the default group", got)
		}
	}
}

// unreadable has administrators whom the app may not read.
type unreadable struct{ vague }

var errForbidden = errors.New("no permission to read administrators")

func (unreadable) Admins(context.Context) ([]string, error) { return nil, errForbidden }

func TestNothingIsPlannedWhereAdministratorsMayNotBeRead(t *testing.T) {
	for _, even := range []bool{false, true} {
		d, err := directory.New(unreadable{}, 1e6)
		if err != nil {
			t.Fatal(err)
		}
		_, err = preflight.Run(t.Context(), d, preflight.Request{EvenAdmins: even, Rows: rows(lists.Row{People: people("u"), Roles: []lists.Role{{ID: 7}}}).All()})
		if asked := !even; errors.Is(err, errForbidden) != asked {
			t.Errorf("administrators touched %v: the error is %v", even, err)
		}
	}
}
