package directory

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/simulator"
)

func open(t *testing.T, sim *simulator.Simulator, qps float64) *Directory {
	t.Helper()
	client, err := dingtalk.New(dingtalk.Config{BaseURL: "http://dingtalk.invalid", AppKey: simulator.AppKey, AppSecret: simulator.AppSecret,
		HTTP: &http.Client{Transport: sim.Transport()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	d, err := New(client, qps)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// company has two people of one name, one who left, one contact from outside, and a role of the default group.
func company(opt simulator.Options) *simulator.Simulator {
	sim := simulator.New(opt)
	sim.AddDepartment(simulator.Department{ID: 10, Name: "财务部"})
	sim.AddDepartment(simulator.Department{ID: 11, Parent: 10, Name: "出纳组"})
	sim.AddRole(7, "出纳", "财务")
	sim.AddRole(8, "出纳", "门店")
	sim.AddRole(9, "主管", "默认")
	sim.AddPerson(simulator.Person{UserID: "wang1", Name: "王芳", Mobile: "13812345678", JobNumber: "00412", Departments: []int64{10, 11}})
	sim.AddPerson(simulator.Person{UserID: "wang2", Name: "王芳", JobNumber: "412", Email: "Wang@example.com", Departments: []int64{11}})
	sim.AddPerson(simulator.Person{UserID: "left", Name: "李雷", Mobile: "13900000000"})
	sim.AddPerson(simulator.Person{UserID: "ext", Name: "外部", UnionID: "u-ext", External: true})
	sim.AddPerson(simulator.Person{UserID: "twin1", JobNumber: "77"})
	sim.AddPerson(simulator.Person{UserID: "twin2", JobNumber: "77"})
	sim.Grant("wang1", 7, 9)
	sim.Leave("left")
	return sim
}

func ids(users []dingtalk.User) []string {
	var ids []string
	for _, u := range users {
		ids = append(ids, u.UserID)
	}
	return ids
}

func TestPeopleAreFoundByAnyNameAndNeverGuessed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, company(simulator.Options{Latency: time.Second}), 20)
		for who, want := range map[lists.Person][]string{
			{By: lists.UserID, Text: "wang2"}:           {"wang2"},
			{By: lists.UserID, Text: "nobody"}:          nil,
			{By: lists.Mobile, Text: "13812345678"}:     {"wang1"},
			{By: lists.JobNumber, Text: "00412"}:        {"wang1"},
			{By: lists.JobNumber, Text: "412"}:          {"wang2"},
			{By: lists.JobNumber, Text: "77"}:           {"twin1", "twin2"},
			{By: lists.Email, Text: "wang@EXAMPLE.com"}: {"wang2"},
			{By: lists.Name, Text: "王芳"}:                {"wang1", "wang2"},
			{By: lists.Name, Text: "王"}:                 nil,
			{By: lists.UnionID, Text: "u-none"}:         nil,
		} {
			found, err := d.Find(t.Context(), who)
			if err != nil || !cmp.Equal(ids(found.Users), want) {
				t.Errorf("%v: %v %v, want %v", who, ids(found.Users), err, want)
			}
		}
		if found, err := d.Find(t.Context(), lists.Person{By: lists.UnionID, Text: "u-ext"}); err != nil || !found.External || found.Users != nil {
			t.Errorf("a contact from outside: %+v %v", found, err)
		}
		for _, who := range []lists.Person{{By: lists.UserID, Text: "left"}, {By: lists.Mobile, Text: "13900000000"}} {
			found, err := d.Find(t.Context(), who)
			if err != nil || found.Users != nil || len(found.Left) != 1 || found.Left[0].Name != "李雷" {
				t.Errorf("%v, who left: %+v %v", who, found, err)
			}
		}
	})
}

func TestRolesGoByTheirNameOrGroupAndName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, company(simulator.Options{}), 20)
		roles, err := d.Roles(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for text, want := range map[string]int{"财务/出纳": 1, "出纳": 2, "纳": 2, "主管": 1, "nobody": 0} {
			if got := RolesNamed(roles, text); len(got) != want {
				t.Errorf("%s: %v, want %d", text, got, want)
			}
		}
		for _, role := range roles {
			if IsDefault(role) != (role.ID == 9) {
				t.Errorf("%v is of the default group: %v", role, IsDefault(role))
			}
		}
	})
}

func TestEachAPIHasAPaceOfItsOwnWhateverItsLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := company(simulator.Options{QPS: 20})
		for i := range 1050 {
			sim.AddPerson(simulator.Person{UserID: fmt.Sprintf("p%04d", i)})
			sim.Grant(fmt.Sprintf("p%04d", i), 7)
		}
		d := open(t, sim, 20)
		began := time.Now()
		holders, err := d.Holders(t.Context(), 7)
		if err != nil || len(holders) != 1051 {
			t.Fatalf("%d holders, %v", len(holders), err)
		}
		if took := time.Since(began); took != 500*time.Millisecond {
			t.Errorf("11 pages at 20 a second took %v, want 500ms", took)
		}
		if _, err := d.Roles(t.Context()); err != nil || time.Since(began) != 500*time.Millisecond {
			t.Errorf("another API waited for the first: %v %v", time.Since(began), err)
		}
	})
}

func TestABusyDirectoryIsAskedAgainAndAnAbsentPermissionIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, company(simulator.Options{Busy: 0.3, Seed: 3}), 20)
		for range 20 {
			if _, err := d.Find(t.Context(), lists.Person{By: lists.UserID, Text: "wang1"}); err != nil {
				t.Fatal(err)
			}
		}
		sim := company(simulator.Options{Faults: []simulator.Fault{{Kind: simulator.FaultPermission}}})
		_, err := open(t, sim, 20).Roles(t.Context())
		var failed *dingtalk.Error
		if !errors.As(err, &failed) || failed.Class != dingtalk.ClassPermission {
			t.Errorf("without the permission: %v", err)
		}
		if n := sim.Stats().Calls; n > 3 {
			t.Errorf("it was asked %d times", n)
		}
	})
}
