package dingtalk_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/simtest"
)

func TestWhatIsGivenBackIsHeldWithItsScope(t *testing.T) {
	server := simtest.Start(t, simulator.Options{})
	server.Grant("anna", 11)
	server.Grant("bert", 12)
	server.AddDepartment(simulator.Department{ID: 7, Name: "Sales", Parent: 1})
	c := connectTo(t, dingtalk.Config{BaseURL: server.URL, AppKey: server.AppKey, AppSecret: server.AppSecret})
	for range 2 { // giving what is held is no error
		if _, err := c.AddRoles(t.Context(), []int64{11, 12}, []string{"anna", "bert"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.SetScope(t.Context(), 12, "anna", []int64{7}); err != nil {
		t.Fatal(err)
	}
	page, err := c.RoleHolders(t.Context(), 12, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]dingtalk.Person{{UserID: "anna", Scope: []int64{7}}, {UserID: "bert"}}, page.Holders); diff != "" {
		t.Errorf("who holds the role (-want +got):\n%s", diff)
	}

	var e *dingtalk.Error
	if _, err := c.SetScope(t.Context(), 12, "anna", []int64{99}); !errors.As(err, &e) || e.Class != dingtalk.ClassBadRequest {
		t.Errorf("a department that does not exist: %v", err)
	}
	if _, err := c.AddRoles(t.Context(), []int64{11}, []string{"nobody"}); !errors.As(err, &e) || e.Class != dingtalk.ClassInvalidUser {
		t.Errorf("a user who does not exist: %v", err)
	}
}

func TestACallThatGivesBackHasLimitsOfItsOwn(t *testing.T) {
	server := simtest.Start(t, simulator.Options{Open: true})
	c := connectTo(t, dingtalk.Config{BaseURL: server.URL, AppKey: server.AppKey, AppSecret: server.AppSecret})
	many := make([]int64, 51)
	users := make([]string, 21)
	for i := range many {
		many[i] = int64(i + 1)
	}
	for i := range users {
		users[i] = string(rune('a' + i))
	}
	if _, err := c.AddRoles(t.Context(), many[:20], users[:20]); err != nil {
		t.Errorf("20 roles and 20 users: %v", err)
	}
	calls := server.Stats().Calls
	for name, err := range map[string]error{
		"21 users":       second(c.AddRoles(t.Context(), many[:1], users)),
		"21 roles":       second(c.AddRoles(t.Context(), many[:21], users[:1])),
		"no user":        second(c.AddRoles(t.Context(), many[:1], nil)),
		"51 departments": second(c.SetScope(t.Context(), 1, "a", many)),
		"no department":  second(c.SetScope(t.Context(), 1, "a", nil)),
		"no role":        second(c.SetScope(t.Context(), 0, "a", slices.Clone(many[:1]))),
	} {
		if !errors.Is(err, dingtalk.ErrNotSent) {
			t.Errorf("%s: have %v, want ErrNotSent", name, err)
		}
	}
	if n := server.Stats().Calls - calls; n != 0 {
		t.Errorf("%d calls were sent", n)
	}
}

func second(_ dingtalk.Reply, err error) error { return err }
