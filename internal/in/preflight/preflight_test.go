package preflight_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/in/preflight"
	"github.com/unrole/unrole/internal/in/resolve"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/simulator"
)

func open(t interface {
	Fatal(...any)
	Cleanup(func())
}, sim *simulator.Simulator, qps float64) *directory.Directory {
	client, err := dingtalk.New(dingtalk.Config{BaseURL: "http://dingtalk.invalid", AppKey: simulator.AppKey, AppSecret: simulator.AppSecret,
		HTTP: &http.Client{Transport: sim.Transport()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	d, err := directory.New(client, qps)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// rows keeps rows as a list has them, numbered from line 2.
func rows(all ...lists.Row) *lists.Kept {
	kept := &lists.Kept{}
	for i, row := range all {
		row.Line = i + 2
		kept.Add(row)
	}
	return kept
}

func people(texts ...string) []lists.Person {
	var all []lists.Person
	for _, text := range texts {
		p, err := lists.ParsePerson(text, true)
		if err != nil {
			panic(err)
		}
		all = append(all, p)
	}
	return all
}

func pairsOf(r *enqueue.Removals) []string {
	pairs := []string{}
	for u, user := range r.Users() {
		for role := range r.RolesOf(u) {
			pairs = append(pairs, fmt.Sprintf("%s %d", user, role))
		}
	}
	slices.Sort(pairs)
	return pairs
}

func company(opt simulator.Options) *simulator.Simulator {
	opt.Company = simulator.Company{
		Departments: []simulator.Department{{ID: 10, Name: "财务部"}, {ID: 11, Parent: 10, Name: "出纳组"}},
		People: []simulator.Person{
			{UserID: "wang1", Name: "王芳", Mobile: "13812345678", JobNumber: "00412", Departments: []int64{10}, RoleIDs: []int64{7, 8, 9}},
			{UserID: "wang2", Name: "王芳", JobNumber: "412", Departments: []int64{11}, RoleIDs: []int64{7}},
			{UserID: "li", Name: "李雷", Mobile: "13900005678", RoleIDs: []int64{8}},
			{UserID: "boss", Name: "张总", Admin: 1, RoleIDs: []int64{7}},
		},
		Left: []simulator.Person{{UserID: "gone", Name: "赵四", Mobile: "13600000001"}},
	}
	sim := simulator.New(opt)
	sim.AddRole(7, "出纳", "财务")
	sim.AddRole(8, "出纳", "门店")
	sim.AddRole(9, "主管", "默认")
	sim.SetScope("wang1", 7, 10, 11)
	return sim
}

func TestOnlyHeldPairsAreTakenAndTheirScopesKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, company(simulator.Options{}), 20)
		seen, err := preflight.Run(t.Context(), d, preflight.Request{Rows: rows(
			lists.Row{People: people("mobile:+86-13812345678", "li"), Roles: []lists.Role{{Name: "财务/出纳"}, {ID: 8}}},
		).All()})
		if err != nil || len(seen.Problems) > 0 {
			t.Fatal(err, seen)
		}
		if diff := cmp.Diff([]string{"li 8", "wang1 7", "wang1 8"}, pairsOf(seen.Removals)); diff != "" {
			t.Errorf("pairs (-want +got):\n%s", diff)
		}
		want := &enqueue.Snapshot{SeenAt: seen.Snapshot.SeenAt, NotHeld: []enqueue.SnapshotPair{{UserID: "li", RoleID: 7}},
			Scopes: []enqueue.SnapshotScope{{Pair: enqueue.SnapshotPair{UserID: "wang1", RoleID: 7}, Departments: []int64{10, 11}}}}
		if diff := cmp.Diff(want, seen.Snapshot); diff != "" {
			t.Errorf("snapshot (-want +got):\n%s", diff)
		}
	})
}

func TestWhoMayBeMeantIsSaidOnceAndWhoWasFoundByName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		row := lists.Row{People: people("name:王芳"), Roles: []lists.Role{{Name: "出纳"}}}
		seen, err := preflight.Run(t.Context(), open(t, company(simulator.Options{}), 20), preflight.Request{Rows: rows(row, row,
			lists.Row{People: people("mobile:13900005678", "wang1"), Roles: []lists.Role{{ID: 8}}}).All()})
		if err != nil {
			t.Fatal(err)
		}
		want := []preflight.Doubt{
			{Person: row.People[0], Fit: 2, People: []resolve.Candidate{{UserID: "wang1", Name: "王芳", Department: "财务部"}, {UserID: "wang2", Name: "王芳", Department: "出纳组"}}},
			{Role: row.Roles[0], Fit: 2, Roles: []dingtalk.Role{{ID: 7, Name: "出纳", Group: "财务"}, {ID: 8, Name: "出纳", Group: "门店"}}},
		}
		if diff := cmp.Diff(want, seen.Doubts); diff != "" {
			t.Errorf("doubts (-want +got):\n%s", diff)
		}
		people := seen.People()
		if people["li"].Name != "李雷" || people["wang1"].Name != "王芳" || len(people) != 2 {
			t.Errorf("people: %+v", people)
		}
		if got := seen.RoleName(8) + seen.RoleName(404); got != "门店/出纳" {
			t.Errorf("role 8 is called %q", got)
		}
	})
}

func TestWhoeverIsNotNamedForCertainIsRefusedByLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := func(who string, role lists.Role, also ...string) lists.Row {
			return lists.Row{People: people(who), Also: people(also...), Roles: []lists.Role{role}}
		}
		seven := lists.Role{ID: 7}
		seen, err := preflight.Run(t.Context(), open(t, company(simulator.Options{}), 20), preflight.Request{Rows: rows(
			one("name:王芳", seven),
			one("mobile:13600000001", seven),
			one("nobody", seven),
			one("boss", seven),
			one("wang1", lists.Role{ID: 9}),
			one("wang1", lists.Role{Name: "出纳"}),
			one("wang1", lists.Role{Name: "none"}),
			one("wang1", seven, "name:李雷"),
			one("li", seven, "job:1", "mobile:13812345678"),
			one("wang2", seven, "name:王芳"),
		).All()})
		if err != nil {
			t.Fatal(err)
		}
		got := map[int]string{}
		for _, p := range seen.Problems {
			got[p.Line] += p.Why.Error()
			if strings.Contains(p.Why.In(texts.Chinese), "user id") {
				t.Errorf("no Chinese: %s", p.Why)
			}
		}
		for line, want := range []string{2: "王芳 (wang1, 财务部), 王芳 (wang2, 出纳组)", 3: "赵四 (gone) has left", 4: "nobody whom", 5: "张总 (boss) is an administrator",
			6: "administration console", 7: "财务/出纳 (7), 门店/出纳 (8)", 8: `no role is called "none"`, 9: "wang1 is 王芳 (wang1), not name:李雷", 10: "not mobile:13812345678", 11: ""} {
			if !strings.Contains(got[line], want) || want == "" && got[line] != "" {
				t.Errorf("line %d: %q, want one with %q", line, got[line], want)
			}
		}
		if diff := cmp.Diff([]string{"wang2 7"}, pairsOf(seen.Removals)); diff != "" || seen.Snapshot.Unresolved != 9 {
			t.Errorf("%d unresolved; pairs (-want +got):\n%s", seen.Snapshot.Unresolved, diff)
		}
	})
}

func TestAllRolesAreAllButTheDefaultGroupsAndThoseThatAreKept(t *testing.T) {
	for _, many := range []int{0, 50} {
		synctest.Test(t, func(t *testing.T) {
			sim := company(simulator.Options{})
			list := []lists.Row{{People: people("wang1", "wang2")}}
			for i := range many { // more people than roles: who holds each role is fewer questions
				id := fmt.Sprintf("p%d", i)
				sim.AddPerson(simulator.Person{UserID: id, Name: id})
				list = append(list, lists.Row{People: people(id)})
			}
			seen, err := preflight.Run(t.Context(), open(t, sim, 20), preflight.Request{Rows: rows(list...).All(), AllRoles: true,
				Keep: []lists.Role{{Name: "门店/出纳"}}})
			if err != nil || len(seen.Problems) > 0 {
				t.Fatal(err, seen.Problems)
			}
			if diff := cmp.Diff([]string{"wang1 7", "wang2 7"}, pairsOf(seen.Removals)); diff != "" {
				t.Errorf("%d more people: pairs (-want +got):\n%s", many, diff)
			}
		})
	}
}

func TestARoleThatWouldLoseMostOfItsHoldersIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := company(simulator.Options{})
		var list []string
		for i := range 17 {
			sim.Grant(fmt.Sprintf("p%d", i), 8)
			if i < 9 {
				list = append(list, fmt.Sprintf("p%d", i))
			}
		}
		for share, want := range map[float64]int{0: 0, 0.4: 1} { // 9 of 19
			seen, err := preflight.Run(t.Context(), open(t, sim, 20), preflight.Request{MaxShare: share,
				Rows: rows(lists.Row{People: people(list...), Roles: []lists.Role{{ID: 8}}}).All()})
			if err != nil || len(seen.Shares) != want {
				t.Errorf("share %v: %+v %v, want %d", share, seen.Shares, err, want)
			}
		}
	})
}

// Whatever the company and the list, every pair belongs to a person whom its row names alone, and who holds the role; and
// every row that asks for such a person and role alone has no problem.
func TestNobodyIsTakenByGuess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"王芳", "李雷", "Wei Chen"}
		mobiles := []string{"13800000001", "13800000002", ""}
		jobs := []string{"007", "7", "0412", ""}
		mails := []string{"a@x.cn", "A@x.cn", ""}
		var all []simulator.Person
		sim := simulator.New(simulator.Options{Quirks: rapid.Bool().Draw(t, "quirks")})
		roles := map[int64][2]string{1: {"财务", "出纳"}, 2: {"门店", "出纳"}, 3: {"财务", "审批"}, 4: {"默认", "主管"}}
		for id, r := range roles {
			sim.AddRole(id, r[1], r[0])
		}
		taken := map[string]bool{}
		for i := range rapid.IntRange(1, 8).Draw(t, "people") {
			p := simulator.Person{UserID: fmt.Sprintf("u%d", i), Name: rapid.SampledFrom(names).Draw(t, "name"),
				Mobile: rapid.SampledFrom(mobiles).Draw(t, "mobile"), JobNumber: rapid.SampledFrom(jobs).Draw(t, "job"),
				Email: rapid.SampledFrom(mails).Draw(t, "mail"), RoleIDs: rapid.SliceOfDistinct(rapid.Int64Range(1, 4), rapid.ID[int64]).Draw(t, "roles")}
			if taken[p.Mobile] { // a mobile number is of one account
				p.Mobile = ""
			}
			taken[p.Mobile] = p.Mobile != ""
			sim.AddPerson(p)
			if rapid.IntRange(0, 9).Draw(t, "left") == 0 {
				sim.Leave(p.UserID)
				continue
			}
			all = append(all, p)
		}
		fits := func(p simulator.Person, said lists.Person) bool {
			switch said.By {
			case lists.UserID:
				return p.UserID == said.Text
			case lists.Mobile:
				return p.Mobile == said.Text
			case lists.JobNumber:
				return p.JobNumber == said.Text
			case lists.Email:
				return strings.EqualFold(p.Email, said.Text)
			}
			return p.Name == said.Text
		}
		draw := func(label string) lists.Person {
			return rapid.SampledFrom(people("u0", "u1", "u2", "u9", "mobile:13800000001", "mobile:13800000002", "job:007", "job:7", "job:99",
				"email:a@x.cn", "name:王芳", "name:Wei Chen")).Draw(t, label)
		}
		named := []lists.Role{{ID: 1}, {ID: 2}, {ID: 4}, {ID: 9}, {Name: "出纳"}, {Name: "财务/出纳"}, {Name: "审批"}, {Name: "审"}}
		var list []lists.Row
		for range rapid.IntRange(1, 6).Draw(t, "rows") {
			row := lists.Row{People: []lists.Person{draw("who")}, Roles: []lists.Role{rapid.SampledFrom(named).Draw(t, "role")}}
			if rapid.Bool().Draw(t, "also") {
				row.Also = []lists.Person{draw("also")}
			}
			list = append(list, row)
		}
		kept := rows(list...)
		allRoles := rapid.Bool().Draw(t, "all roles")

		want, bad := map[string]bool{}, map[int]bool{}
		for row := range kept.All() {
			var who []simulator.Person
			for _, p := range all {
				if fits(p, row.People[0]) {
					who = append(who, p)
				}
			}
			var ids []int64
			for id, r := range roles {
				if row.Roles[0].ID == id || row.Roles[0].Name == r[1] || row.Roles[0].Name == r[0]+"/"+r[1] {
					ids = append(ids, id)
				}
			}
			if len(who) != 1 || !allRoles && (len(ids) != 1 || ids[0] == 4) ||
				len(row.Also) > 0 && contradicts(who[0], row.Also[0], fits) {
				bad[row.Line] = true
				continue
			}
			if allRoles {
				ids = []int64{1, 2, 3}
			}
			for _, id := range ids {
				if slices.Contains(who[0].RoleIDs, id) {
					want[fmt.Sprintf("%s %d", who[0].UserID, id)] = true
				}
			}
		}
		req := preflight.Request{AllRoles: allRoles, Rows: func(yield func(lists.Row) bool) {
			for row := range kept.All() {
				if allRoles {
					row.Roles = nil
				}
				if !yield(row) {
					return
				}
			}
		}}
		d := open(t, sim, 1e9)
		seen, err := preflight.Run(context.Background(), d, req)
		if err != nil {
			t.Fatal(err)
		}
		got, refused := map[string]bool{}, map[int]bool{}
		for _, p := range pairsOf(seen.Removals) {
			got[p] = true
		}
		for _, p := range seen.Problems {
			refused[p.Line] = true
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("pairs (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(bad, refused); diff != "" {
			t.Errorf("refused lines (-want +got):\n%s", diff)
		}
	})
}

// contradicts: what is known of the person differs from what is said of them.
func contradicts(p simulator.Person, said lists.Person, fits func(simulator.Person, lists.Person) bool) bool {
	known := map[lists.NamedBy]string{lists.UserID: p.UserID, lists.Mobile: p.Mobile, lists.JobNumber: p.JobNumber, lists.Email: p.Email, lists.Name: p.Name}
	return known[said.By] != "" && !fits(p, said)
}

// A list of ids that is shifted by a row is noticed without anything else being looked at, and a correct one passes, whoever has left.
func TestWhatStandsBesideIdsIsCompared(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			sim := simulator.New(simulator.Options{})
			names := []string{"王芳", "李雷", "赵敏"}
			n := rapid.IntRange(1, 8).Draw(rt, "people")
			var list []lists.Row
			var wrong []int
			for i := range n {
				id := fmt.Sprint("u", i)
				name, said := rapid.SampledFrom(names).Draw(rt, "name"), rapid.SampledFrom(append(names, "")).Draw(rt, "said")
				sim.AddPerson(simulator.Person{UserID: id, Name: name})
				row := lists.Row{People: people(id), Roles: []lists.Role{{ID: 7}}}
				if said != "" {
					row.Also = people("name:" + said)
				}
				if rapid.IntRange(0, 3).Draw(rt, "left") == 0 {
					sim.Leave(id)
				} else if said != "" && said != name {
					wrong = append(wrong, i+2)
				}
				list = append(list, row)
			}
			problems, err := preflight.Compare(t.Context(), open(t, sim, 1e6), rows(list...).All())
			if err != nil {
				rt.Fatal(err)
			}
			var lines []int
			for _, p := range problems {
				lines = append(lines, p.Line)
			}
			if !slices.Equal(lines, wrong) {
				rt.Errorf("lines %v contradict the directory, want %v", lines, wrong)
			}
		})
	})
}

// listless shows nobody's list of roles, as an app sees people that lacks the permission.
type listless struct{ directory.Source }

func (s listless) User(ctx context.Context, id string) (dingtalk.User, error) {
	u, err := s.Source.User(ctx, id)
	u.Roles = nil
	return u, err
}

func TestAllRolesAreFoundAlsoWhereNobodysListOfRolesIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := simulator.New(simulator.Options{})
		sim.AddRole(7, "出纳", "财务")
		sim.AddRole(8, "会计", "财务")
		sim.AddPerson(simulator.Person{UserID: "wang", Mobile: "13812345678"})
		sim.AddPerson(simulator.Person{UserID: "li"})
		sim.Grant("wang", 7, 8)
		sim.Grant("li", 7)
		client, err := dingtalk.New(dingtalk.Config{BaseURL: "http://dingtalk.invalid", AppKey: simulator.AppKey, AppSecret: simulator.AppSecret,
			HTTP: &http.Client{Transport: sim.Transport()}})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		d, err := directory.New(listless{client}, 1e6)
		if err != nil {
			t.Fatal(err)
		}
		seen, err := preflight.Run(t.Context(), d, preflight.Request{Rows: rows(lists.Row{People: people("mobile:13812345678")}).All(), AllRoles: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := pairsOf(seen.Removals); !slices.Equal(got, []string{"wang 7", "wang 8"}) {
			t.Errorf("%v", got)
		}
	})
}
