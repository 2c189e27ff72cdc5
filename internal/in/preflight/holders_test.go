package preflight_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/in/preflight"
	"github.com/unrole/unrole/internal/out/dingtalk"
)

// desk is an organisation in which each holds a role of their own, and the mobile number of each is their user id.
type desk struct {
	directory.Source
	people int
}

func (d desk) ListRoles(context.Context, int, int) (page dingtalk.RolesPage, err error) {
	for i := range d.people {
		page.Roles = append(page.Roles, dingtalk.Role{ID: int64(1 + i), Name: fmt.Sprint(i), Group: "g"})
	}
	return page, nil
}

func (d desk) Admins(context.Context) ([]string, error) { return nil, nil }

func (d desk) UserByMobile(_ context.Context, mobile string) (string, error) { return mobile, nil }

func (d desk) User(_ context.Context, id string) (dingtalk.User, error) {
	var role int64
	_, err := fmt.Sscan(id, &role)
	return dingtalk.User{UserID: id, Name: id, Roles: []dingtalk.Role{{ID: role, Name: id, Group: "g"}}}, err
}

func (d desk) RoleHolders(_ context.Context, role int64, _, _ int) (dingtalk.HoldersPage, error) {
	return dingtalk.HoldersPage{Holders: []dingtalk.Person{{UserID: fmt.Sprint(role)}}}, nil
}

func TestWhoHoldsARoleIsReadWhilePeopleAreLookedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const people, qps = 100, 20
		d, err := directory.New(desk{people: people}, qps)
		if err != nil {
			t.Fatal(err)
		}
		var rows []lists.Row
		for i := range people {
			rows = append(rows, lists.Row{Line: 1 + i, AllRoles: true, People: []lists.Person{{By: lists.Mobile, Text: fmt.Sprint(1 + i)}}})
		}
		began := time.Now()
		seen, err := preflight.Run(t.Context(), d, preflight.Request{Rows: slices.Values(rows)})
		if err != nil || seen.Removals.Pairs() != people {
			t.Fatal(seen, err)
		}
		if took := time.Since(began); took > people*time.Second/qps+200*time.Millisecond {
			t.Errorf("it took %v: each of three APIs needs 5 s", took)
		}
	})
}
