package dingtalk_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/simulator"
)

func TestTheDirectoryIsReadPageByPage(t *testing.T) {
	sim := simulator.New(simulator.Options{})
	sim.AddRole(11, "主管", "默认")
	sim.AddRole(12, "Auditor", "Finance")
	sim.AddRole(13, "Cashier", "Finance")
	var want []dingtalk.Person
	for i := range 7 {
		id := fmt.Sprintf("u%02d", i)
		sim.AddUser(id, "员工"+id)
		sim.Grant(id, 12)
		want = append(want, dingtalk.Person{UserID: id, Name: "员工" + id})
	}
	sim.Grant("u03", 11)
	c := connect(t, sim)

	var holders []dingtalk.Person
	for offset, more := 0, true; more; {
		page, err := c.RoleHolders(t.Context(), 12, offset, 3)
		if err != nil {
			t.Fatal(err)
		}
		holders = append(holders, page.Holders...)
		offset, more = page.NextOffset, page.HasMore
	}
	if d := cmp.Diff(want, holders); d != "" {
		t.Errorf("holders: %s", d)
	}

	var roles []dingtalk.Role
	for offset, more := 0, true; more; {
		page, err := c.ListRoles(t.Context(), offset, 1)
		if err != nil {
			t.Fatal(err)
		}
		roles = append(roles, page.Roles...)
		offset, more = offset+page.Groups, page.HasMore
	}
	if d := cmp.Diff([]dingtalk.Role{{12, "Auditor", "Finance"}, {13, "Cashier", "Finance"}, {11, "主管", "默认"}}, roles); d != "" {
		t.Errorf("roles: %s", d)
	}

	user, err := c.User(t.Context(), "u03")
	if d := cmp.Diff(dingtalk.User{UserID: "u03", Name: "员工u03", Active: true, Departments: []int64{1},
		Roles: []dingtalk.Role{{11, "主管", "默认"}, {12, "Auditor", "Finance"}}}, user); err != nil || d != "" {
		t.Errorf("user: %v %s", err, d)
	}
	_, err = c.User(t.Context(), "nobody")
	if e := refusal(t, err, sim.Token()); e.Class != dingtalk.ClassInvalidUser {
		t.Errorf("nobody: %v", e)
	}
	_, err = c.RoleHolders(t.Context(), 99, 0, 10)
	if e := refusal(t, err, sim.Token()); e.Class != dingtalk.ClassInvalidRole {
		t.Errorf("no such role: %v", e)
	}
}

func TestAReadOutsideTheLimitsIsNotSent(t *testing.T) {
	sim := simulator.New(simulator.Options{Open: true})
	c := connect(t, sim)
	for name, read := range map[string]func() error{
		"size 0":     func() error { _, err := c.ListRoles(t.Context(), 0, 0); return err },
		"size 201":   func() error { _, err := c.ListRoles(t.Context(), 0, 201); return err },
		"offset -1":  func() error { _, err := c.RoleHolders(t.Context(), 1, -1, 10); return err },
		"size 101":   func() error { _, err := c.RoleHolders(t.Context(), 1, 0, 101); return err },
		"role 0":     func() error { _, err := c.RoleHolders(t.Context(), 0, 0, 10); return err },
		"empty user": func() error { _, err := c.User(t.Context(), ""); return err },
	} {
		if err := read(); !errors.Is(err, dingtalk.ErrNotSent) {
			t.Errorf("%s: have %v", name, err)
		}
	}
	if n := sim.Stats().Calls; n != 0 {
		t.Errorf("%d calls were sent", n)
	}
}

// answers is a client to which DingTalk always says the same.
func answers(t *testing.T, body string) *dingtalk.Client {
	t.Helper()
	return connect(t, nil, func(cfg *dingtalk.Config) {
		cfg.AppKey, cfg.AppSecret, cfg.AccessToken = "", "", "given"
		cfg.HTTP = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return answering(200, body), nil })}
	})
}

func TestAnAnswerWithoutAListMeansNobody(t *testing.T) {
	for _, body := range []string{`{"errcode":0}`, `{"errcode":0,"result":null}`, `{"errcode":0,"result":[]}`, `{"errcode":0,"result":{}}`,
		`{"errcode":"0","result":{"hasMore":"false"}}`, `{"errcode":0,"result":{"hasMore":false,"list":null}}`} {
		page, err := answers(t, body).RoleHolders(t.Context(), 1, 0, 10)
		if err != nil || len(page.Holders) != 0 || page.HasMore {
			t.Errorf("%s: %+v %v", body, page, err)
		}
	}
}

func TestAnAnswerOfAnotherShapeIsBusy(t *testing.T) {
	for _, body := range []string{`{"errcode":0,"result":{"list":7}}`, `{"errcode":0,"result":"soon"}`, `{"errcode":0,"result":{"hasMore":"perhaps"}}`} {
		_, err := answers(t, body).RoleHolders(t.Context(), 1, 0, 10)
		if e := refusal(t, err, "given"); e.Class != dingtalk.ClassBusy {
			t.Errorf("%s: %v", body, e)
		}
	}
}
