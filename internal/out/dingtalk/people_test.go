package dingtalk_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/simulator"
)

// company is a simulated organisation with a little of everything.
func company(opt simulator.Options) *simulator.Simulator {
	sim := simulator.New(opt)
	sim.AddDepartment(simulator.Department{ID: 10, Name: "财务部"})
	sim.AddDepartment(simulator.Department{ID: 11, Parent: 10, Name: "出纳组"})
	sim.AddRole(7, "出纳", "财务")
	sim.AddPerson(simulator.Person{UserID: "manager4220", Name: "王芳", Mobile: "13812345678", JobNumber: "00412", UnionID: "u-wang",
		Email: "wang@example.com", Departments: []int64{10, 11}})
	sim.AddPerson(simulator.Person{UserID: "boss", Name: "Li Lei", Mobile: "+49-1511234567", Admin: 1})
	sim.AddPerson(simulator.Person{UserID: "ext", Name: "外部", UnionID: "u-ext", External: true})
	sim.AddPerson(simulator.Person{UserID: "w2", Name: "王芳", Departments: []int64{11}})
	sim.Grant("manager4220", 7)
	return sim
}

func TestPeopleAreFoundByWhatHRHas(t *testing.T) {
	for _, quirks := range []bool{false, true} {
		sim := company(simulator.Options{Quirks: quirks, StringErrCode: quirks})
		c := connect(t, sim)
		user, err := c.User(t.Context(), "manager4220")
		want := dingtalk.User{UserID: "manager4220", Name: "王芳", Mobile: "13812345678", JobNumber: "00412", UnionID: "u-wang",
			Email: "wang@example.com", Departments: []int64{10, 11}, Active: true, Roles: []dingtalk.Role{{ID: 7, Name: "出纳", Group: "财务"}}}
		if d := cmp.Diff(want, user); err != nil || d != "" {
			t.Errorf("quirks %v: %v %s", quirks, err, d)
		}
		if id, err := c.UserByMobile(t.Context(), "13812345678"); id != "manager4220" || err != nil {
			t.Errorf("by mobile: %q %v", id, err)
		}
		if id, err := c.UserByMobile(t.Context(), "+49-1511234567"); id != "boss" || err != nil {
			t.Errorf("by a mobile abroad: %q %v", id, err)
		}
		if id, external, err := c.UserByUnionID(t.Context(), "u-wang"); id != "manager4220" || external || err != nil {
			t.Errorf("by union id: %q %v %v", id, external, err)
		}
		if _, external, err := c.UserByUnionID(t.Context(), "u-ext"); !external || err != nil {
			t.Errorf("an external contact: %v %v", external, err)
		}
		if page, err := c.Search(t.Context(), "王芳", 0, 10); err != nil || !cmp.Equal(page.UserIDs, []string{"manager4220", "w2"}) || page.Total != 2 {
			t.Errorf("by name: %+v %v", page, err)
		}
		if admins, err := c.Admins(t.Context()); err != nil || !cmp.Equal(admins, []string{"boss"}) {
			t.Errorf("administrators: %v %v", admins, err)
		}
		scope, err := c.Scope(t.Context())
		if err != nil || !cmp.Equal(scope.Departments, []int64{dingtalk.RootDepartment}) || len(scope.Fields) == 0 {
			t.Errorf("scope: %+v %v", scope, err)
		}
	}
}

func TestNobodyIsFoundWhoIsNotThere(t *testing.T) {
	sim := company(simulator.Options{})
	sim.Leave("manager4220")
	c := connect(t, sim)
	for name, read := range map[string]struct {
		class dingtalk.Class
		ask   func() error
	}{
		"the mobile of a leaver": {dingtalk.ClassUserGone, func() error { _, err := c.UserByMobile(t.Context(), "13812345678"); return err }},
		"no mobile":              {dingtalk.ClassInvalidUser, func() error { _, err := c.UserByMobile(t.Context(), "王芳"); return err }},
		"the union of a leaver":  {dingtalk.ClassUserGone, func() error { _, _, err := c.UserByUnionID(t.Context(), "u-wang"); return err }},
		"a leaver":               {dingtalk.ClassUserGone, func() error { _, err := c.User(t.Context(), "manager4220"); return err }},
	} {
		if e := refusal(t, read.ask(), sim.Token()); e.Class != read.class {
			t.Errorf("%s: %v", name, e)
		}
	}
	now := time.Now()
	page, err := c.Leavers(t.Context(), now.Add(-time.Hour), now.Add(time.Hour), "", 50)
	if err != nil || len(page.Leavers) != 1 || page.Leavers[0].UserID != "manager4220" || page.Leavers[0].Mobile != "13812345678" || page.Next != "" {
		t.Errorf("leavers: %+v %v", page, err)
	}
	if _, err := c.Leavers(t.Context(), now.Add(-2*dingtalk.MaxLeaversSpan), now, "", 50); !errors.Is(err, dingtalk.ErrNotSent) {
		t.Errorf("two years: %v", err)
	}
}

func TestTheTreeOfDepartmentsIsReadPageByPage(t *testing.T) {
	sim := company(simulator.Options{})
	for i := range 205 {
		sim.AddPerson(simulator.Person{UserID: fmt.Sprintf("p%03d", i), Departments: []int64{11}})
	}
	c := connect(t, sim)
	seen := map[string]int{}
	var walk func(id int64)
	walk = func(id int64) {
		for cursor, more := int64(0), true; more; {
			page, err := c.Members(t.Context(), id, cursor, dingtalk.MaxMembersPage)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range page.Users {
				seen[u.UserID]++
			}
			cursor, more = page.Next, page.HasMore
		}
		below, err := c.Departments(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range below {
			walk(d.ID)
		}
	}
	walk(dingtalk.RootDepartment)
	if len(seen) != 208 || seen["manager4220"] != 2 || seen["ext"] != 0 {
		t.Errorf("%d people, manager4220 %d times, the external contact %d times", len(seen), seen["manager4220"], seen["ext"])
	}
}

func TestTheNewHostsRefusalsHaveTheirClass(t *testing.T) {
	for body, want := range map[string]struct {
		status int
		class  dingtalk.Class
		limit  dingtalk.Limit
		named  string
	}{
		`{"code":"Forbidden.AccessDenied.AccessTokenPermissionDenied","message":"m","requestid":"r","accessdenieddetail":{"requiredScopes":["qyapi_addresslist_search"]}}`: {
			403, dingtalk.ClassPermission, dingtalk.LimitNone, "qyapi_addresslist_search"},
		`{"code":"Forbidden.AccessDenied.IpNotInWhiteList","message":"192.0.2.7 is not on it"}`: {403, dingtalk.ClassIPNotAllowed, dingtalk.LimitNone, "192.0.2.7"},
		`{"code":"Forbidden.AccessDenied.QpsLimitForAppkeyAndApi","message":"m"}`:               {403, dingtalk.ClassThrottled, dingtalk.LimitAPI, ""},
		`{"code":"Forbidden.AccessDenied.QpsLimitForApi","message":"m"}`:                        {403, dingtalk.ClassThrottled, dingtalk.LimitGlobal, ""},
		`{"code":"Forbidden.AccessDenied.QpmLimitForAppkeyAndApi","message":"m"}`:               {403, dingtalk.ClassThrottled, dingtalk.LimitWide, ""},
		`{"code":"Forbidden.AccessDenied.ApiCountLimitForOrg","message":"m"}`:                   {403, dingtalk.ClassThrottled, dingtalk.LimitQuota, ""},
		`{"code":"InvalidAuthentication","message":"m"}`:                                        {400, dingtalk.ClassToken, dingtalk.LimitNone, ""},
		`{"code":"invalidParameter.param.invalid","message":"m"}`:                               {400, dingtalk.ClassBadRequest, dingtalk.LimitNone, ""},
		`{"code":"system.busy","message":"m"}`:                                                  {500, dingtalk.ClassBusy, dingtalk.LimitNone, ""},
		`{"code":"somethingNew","message":"m"}`:                                                 {400, dingtalk.ClassUnknown, dingtalk.LimitNone, ""},
		`{"code":"somethingNew","message":"n"}`:                                                 {500, dingtalk.ClassBusy, dingtalk.LimitNone, ""},
		`{"status":1111,"wait":5,"punish":"deny"}`:                                              {200, dingtalk.ClassThrottled, dingtalk.LimitIPBan, ""},
		`<html>bad gateway</html>`:                                                              {502, dingtalk.ClassBusy, dingtalk.LimitNone, ""},
	} {
		c := connect(t, nil, func(cfg *dingtalk.Config) {
			cfg.AppKey, cfg.AppSecret, cfg.AccessToken = "", "", "given"
			cfg.HTTP = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.Header.Get("x-acs-dingtalk-access-token") != "given" || r.URL.Query().Has("access_token") {
					t.Errorf("the token is not in the header alone: %s", r.URL)
				}
				return answering(want.status, body), nil
			})}
		})
		_, err := c.Search(t.Context(), "王芳", 0, 10)
		if e := refusal(t, err, "given"); e.Class != want.class || e.Limit != want.limit || e.Named != want.named {
			t.Errorf("%s: %v (%v, %v, %q)", body, e, e.Class, e.Limit, e.Named)
		}
	}
}

func TestEachSiteHasItsNewHost(t *testing.T) {
	for base, want := range map[string]string{
		"https://oapi.dingtalk.com": "api.dingtalk.com", "https://oapi.dingtalk.io": "api.dingtalk.io", "https://proxy.example/dingtalk": "proxy.example",
	} {
		host := ""
		c := connect(t, nil, func(cfg *dingtalk.Config) {
			cfg.BaseURL, cfg.AppKey, cfg.AppSecret, cfg.AccessToken = base, "", "", "given"
			cfg.HTTP = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				host = r.URL.Host
				return answering(200, `{"hasMore":false,"list":[]}`), nil
			})}
		})
		if _, err := c.Search(t.Context(), "王芳", 0, 10); err != nil || host != want {
			t.Errorf("%s: %q %v", base, host, err)
		}
	}
}
