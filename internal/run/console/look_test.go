package console

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
)

// office is a company whose console may ask DingTalk.
func office(t *testing.T, opt simulator.Options) (*desk, *simulator.Simulator) {
	t.Helper()
	opt.Company = simulator.Company{
		Departments: []simulator.Department{{ID: 10, Name: "财务部"}, {ID: 11, Name: "门店"}},
		People: []simulator.Person{
			{UserID: "wang1", Name: "王芳", Mobile: "13812345678", JobNumber: "00412", Departments: []int64{10}, RoleIDs: []int64{7, 8}},
			{UserID: "wang2", Name: "王芳", JobNumber: "412", Departments: []int64{11}, RoleIDs: []int64{7}},
			{UserID: "li", Name: "李雷", Mobile: "13900005678", Departments: []int64{11}, RoleIDs: []int64{8}},
			{UserID: "boss", Name: "张总", Admin: 1, RoleIDs: []int64{7}},
		},
		Left: []simulator.Person{{UserID: "gone", Name: "赵四", Mobile: "13600000001"}},
	}
	sim := simulator.New(opt)
	sim.AddRole(7, "出纳", "财务")
	sim.AddRole(8, "店长", "门店")
	sim.SetScope("wang1", 7, 10, 11)
	return officeOf(t, sim), sim
}

func officeOf(t *testing.T, sim *simulator.Simulator) *desk {
	t.Helper()
	_, rdb := redistest.Memory(t)
	d := newDesk(t, rdb)
	client, err := dingtalk.New(dingtalk.Config{BaseURL: "http://dingtalk.invalid", AppKey: simulator.AppKey, AppSecret: simulator.AppSecret,
		HTTP: &http.Client{Transport: sim.Transport()}})
	if err != nil {
		t.Fatal(err)
	}
	ending := make(chan struct{})
	d.pages, err = New(Config{Redis: rdb, Ledger: d.ledger, Pacer: d.pacer, Prefix: "/unrole", Log: zerolog.Nop(), Ending: ending,
		Directory: func() (*directory.Directory, error) { return directory.New(client, 1000) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(ending); client.Close() })
	return d
}

// seen waits until a list has been looked at, and returns its page.
func (d *desk) seen(to string) string {
	d.Helper()
	for range 2000 {
		page := d.see(to)
		if !strings.Contains(page, "data-looked") {
			return page
		}
		d.ask(httptest.NewRequest("GET", "/unrole"+to+"/looked", nil))
		time.Sleep(time.Millisecond) // the list is looked at in the background
	}
	d.Fatal("the list is still being looked at")
	return ""
}

func (d *desk) has(page string, all ...string) {
	d.Helper()
	for _, want := range all {
		if !strings.Contains(page, want) {
			d.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}

func TestPeopleAreFoundChosenAndOnlyWhatTheyHoldIsSubmitted(t *testing.T) {
	d, sim := office(t, simulator.Options{})
	to, page := d.give("离职.xlsx", workbook(t, []any{"姓名", "手机号", "角色", "备注"},
		[]any{"李雷", "+86-13900005678", "门店/店长", "a"}, []any{"李雷", "13900005678", "出纳", "b"}, []any{"王芳", "", "出纳", "c"},
		[]any{"", "13600000001", "出纳", "d"}, []any{"张总", "", "出纳", "e"}, []any{"无此人", "", "出纳", "=f"}), nil)
	if to == "" {
		t.Fatal(page)
	}
	page = d.seen(to)
	d.has(page, "李雷", "门店/店长 (8)", "Who is meant?", "财务部", `value="wang1"`, `value="wang2"`, "administrator", "nobody whom this app may see",
		"Not held, and left out", "Remove the roles of 1 person", "I leave out the rows of which nothing would be removed: 4.")
	if file := d.see(to + "/unresolved-rows.csv"); !strings.Contains(file, "姓名,手机号,角色,备注,rejected_line,rejected_reason") || !strings.Contains(file, "王芳,,出纳,c,4,") || strings.Contains(file, ",=f") || strings.Contains(file, "李雷") {
		t.Errorf("rows to correct: %s", file)
	}
	id := strings.TrimPrefix(to, "/removals/")
	if w := d.send(to, url.Values{"turn": {"1"}, "why": {"left"}}); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("rows are left out without a word: %d", w.Code)
	}
	d.does(to+"/choose", url.Values{"turn": {"1"}, "d0": {"wang2"}}, to)
	page = d.seen(to)
	d.has(page, "wang2", "Remove the roles of 2 people", "removed: 3.")
	if strings.Contains(page, "Who is meant?") || strings.Contains(page, "wang1") {
		t.Errorf("after the choice:\n%s", page)
	}
	d.does(to, url.Values{"turn": {"1"}, "why": {"left"}, "sure": {"rows"}}, to+"?done=changed") // of what an older page showed
	if all, err := d.ledger.Count(t.Context()); err != nil || all != 0 {
		t.Fatalf("%d jobs before the confirmation, %v", all, err)
	}
	form := url.Values{"turn": {"2"}, "why": {"left"}, "sure": {"rows"}}
	d.does(to, form, "/jobs/"+id+"?done=submitted")
	d.does(to, form, "/jobs/"+id+"?done=existed")
	job := d.job(id)
	snapshot, err := d.ledger.Snapshot(t.Context(), id)
	if err != nil || snapshot == nil || job.Pairs.Total != 2 || len(snapshot.NotHeld) != 1 || snapshot.NotHeld[0].UserID != "li" || snapshot.Unresolved != 3 {
		t.Errorf("%+v %+v %v", job, snapshot, err)
	}
	d.has(d.see("/jobs/"+id), "was not held</dt><dd>1 pair</dd>", "names nobody for certain</dt><dd>3</dd>")
	if sim.Stats().Removals != 0 {
		t.Error("something was removed by looking")
	}
}

func TestWhatIsWrongIsSaidWithoutTheCommandLine(t *testing.T) {
	d, _ := office(t, simulator.Options{})
	for lang, want := range map[string][]string{"en": {"张总 (boss) is an administrator of the organisation, who is protected<", "no role is called &#34;清洁&#34;<",
		"Administrators are not touched from here", "Write roles as DingTalk&#39;s administration console shows them"},
		"zh": {"张总 (boss) 是企业管理员，受保护<", "没有名为 &#34;清洁&#34; 的角色<", "管理员不能在此移除", "角色请按钉钉管理后台"}} {
		d.lang = lang
		to, page := d.give("", nil, map[string]string{"text": "姓名,角色\n张总,出纳\n李雷,清洁\n"})
		if to == "" {
			t.Fatal(page)
		}
		page = d.seen(to)
		d.has(page, want...)
		for _, command := range []string{"--even", "unrole roles"} {
			if strings.Contains(page, command) {
				t.Errorf("the page speaks of %q", command)
			}
		}
	}
}

func TestWhoWasNoCandidateIsNotChosen(t *testing.T) {
	d, _ := office(t, simulator.Options{})
	to, page := d.give("", nil, map[string]string{"text": "姓名,角色\n王芳,出纳\n"})
	if to == "" {
		t.Fatal(page)
	}
	d.seen(to)
	d.does(to+"/choose", url.Values{"turn": {"1"}, "d0": {"li"}}, to)
	d.has(d.seen(to), "Nothing would be removed", "Who is meant?")
	d.does(to, url.Values{"turn": {"1"}, "why": {"left"}, "sure": {"rows"}}, to)
	if all, err := d.ledger.Count(t.Context()); err != nil || all != 0 {
		t.Errorf("%d jobs, %v", all, err)
	}
}

func TestAllRolesAreTakenButThoseToKeep(t *testing.T) {
	d, _ := office(t, simulator.Options{})
	to, page := d.give("", nil, map[string]string{"text": "工号\n00412\n", "all_roles": "1", "keep": "财务/出纳"})
	if to == "" {
		t.Fatal(page)
	}
	d.has(d.seen(to), "王芳", "门店/店长 (8)", "<b>1</b> pairs", "Left to them")
	if _, page := d.give("", nil, map[string]string{"text": "工号\n00412\n", "all_roles": "1", "roles": "7"}); !strings.Contains(page, "not both") {
		t.Errorf("%s", page)
	}
	to, _ = d.give("", nil, map[string]string{"text": "工号\n00412\n", "all_roles": "1", "keep": "没有"})
	d.has(d.seen(to), "could not be looked at", "没有", "Look again")
}

func TestManyHoldersOfARoleTakeAWord(t *testing.T) {
	d, sim := office(t, simulator.Options{})
	list := "user_id,role_id\n"
	for i := range 12 {
		user := fmt.Sprint("many", i)
		sim.Grant(user, 9)
		if i < 9 {
			list += user + ",9\n"
		}
	}
	to, page := d.give("", nil, map[string]string{"text": list})
	if to == "" {
		t.Fatal(page)
	}
	d.has(d.seen(to), "9 of its 12 holders", `value="share" required`)
	if w := d.send(to, url.Values{"turn": {"1"}, "why": {"left"}}); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("without a word: %d", w.Code)
	}
	d.does(to, url.Values{"turn": {"1"}, "why": {"left"}, "sure": {"share"}}, "/jobs/"+strings.TrimPrefix(to, "/removals/")+"?done=submitted")
}

// What cannot be looked at is said, and looked at again; a list of ids goes on as it stands.
func TestADingTalkThatRefusesIsNoDeadEnd(t *testing.T) {
	d, sim := office(t, simulator.Options{})
	sim.Fail(simulator.FaultPermission, 0)
	to, page := d.give("", nil, map[string]string{"text": "手机号,角色\n13900005678,店长\n"})
	if to == "" {
		t.Fatal(page)
	}
	d.has(d.seen(to), "could not be looked at", "the app lacks a permission", "Look again")
	ids, _ := d.give("", nil, map[string]string{"text": "user_id,role_id\nli,8\n"})
	d.has(d.seen(ids), "of the list as it stands", "Remove the roles of 1 person")
	sim.Recover()
	d.does(to+"/again", nil, to)
	d.has(d.seen(to), "Remove the roles of 1 person", "li")
}

// What an earlier look showed goes with no later one: a restore would give back what nobody held.
func TestALookThatFailsKeepsNothingOfTheOneBefore(t *testing.T) {
	d, sim := office(t, simulator.Options{})
	to, page := d.give("", nil, map[string]string{"text": "user_id,role_id\nli,8\nli,7\n"})
	if to == "" {
		t.Fatal(page)
	}
	d.has(d.seen(to), "Not held, and left out")
	sim.Fail(simulator.FaultPermission, 0)
	d.does(to+"/again", nil, to)
	d.has(d.seen(to), "of the list as it stands")
	id := strings.TrimPrefix(to, "/removals/")
	d.does(to, url.Values{"turn": {"2"}, "why": {"left"}}, "/jobs/"+id+"?done=submitted")
	if seen, err := d.ledger.Snapshot(t.Context(), id); err != nil || seen != nil || d.job(id).Pairs.Total != 2 {
		t.Errorf("%+v %v %+v", seen, err, d.job(id).Pairs)
	}
}

// A look that ends late says nothing of a list that is looked at anew, or was submitted.
func TestALateLookIsNotKept(t *testing.T) {
	_, rdb := redistest.Memory(t)
	c := &Console{cfg: Config{Redis: rdb, Log: zerolog.Nop()}}
	kept := func() string { return rdb.HGet(t.Context(), draftKey("j"), filePlan).Val() }
	look := func(turn int, plan string, want string) {
		t.Helper()
		d := &draft{JobID: "j", Turn: turn}
		d.file(filePlan, []byte(plan))
		if err := c.keepSeen(t.Context(), d); err != nil || kept() != want {
			t.Fatalf("turn %d: %q is kept, want %q; %v", turn, kept(), want, err)
		}
	}
	if err := c.keep(t.Context(), &draft{JobID: "j", Turn: 2}); err != nil {
		t.Fatal(err)
	}
	look(1, "first", "")
	look(2, "second", "second")
	look(2, "", "")
	c.forget(t.Context(), "j")
	look(2, "second", "")
}

// One whose list takes long keeps nobody waiting; of the same person the newest list counts.
func TestALongListKeepsNobodyElseWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := looks{of: map[string]*look{}, slots: make(chan struct{}, LooksAtOnce)}
		var mu sync.Mutex
		var began, ended []string
		slow := func(ctx context.Context, by string) {
			mu.Lock()
			began = append(began, by)
			mu.Unlock()
			<-ctx.Done()
			mu.Lock()
			ended = append(ended, by)
			mu.Unlock()
		}
		l.begin("ann", nil, func(ctx context.Context) { slow(ctx, "ann's first") })
		l.begin("bob", nil, func(ctx context.Context) { slow(ctx, "bob's") })
		synctest.Wait()
		l.begin("ann", nil, func(ctx context.Context) { slow(ctx, "ann's second") })
		synctest.Wait()
		if diff := cmp.Diff([]string{"ann's first"}, ended); diff != "" || len(began) != 3 {
			t.Errorf("began %v, ended (-want +got):\n%s", began, diff)
		}
		ending := make(chan struct{})
		l.begin("bob", ending, func(ctx context.Context) { slow(ctx, "bob's second") })
		close(ending)
		l.begin("ann", ending, func(ctx context.Context) { slow(ctx, "ann's third") })
		synctest.Wait()
		if len(ended) != 5 {
			t.Errorf("the console's end left some at work: %v", ended)
		}
	})
}

func TestRowsWaitAsTheyWereRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		person := rapid.Custom(func(t *rapid.T) lists.Person {
			return lists.Person{By: lists.NamedBy(rapid.IntRange(0, 5).Draw(t, "kind")), Text: rapid.StringN(1, 5, -1).Draw(t, "text")}
		})
		var want []lists.Row
		kept := &lists.Kept{}
		for range rapid.IntRange(0, 5).Draw(t, "rows") {
			row := lists.Row{Line: rapid.IntRange(1, 9).Draw(t, "line"), People: rapid.SliceOfN(person, 1, 3).Draw(t, "people"),
				Also: rapid.SliceOfN(person, 0, 2).Draw(t, "also"), Cells: rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "cells"),
				Roles: []lists.Role{{ID: rapid.Int64Range(0, 3).Draw(t, "role"), Name: rapid.String().Draw(t, "name")}}}
			kept.Add(row)
			want = append(want, row)
		}
		packed, err := packRows(kept)
		if err != nil {
			t.Fatal(err)
		}
		again, err := unpackRows(packed)
		if err != nil || again.Len() != len(want) {
			t.Fatal(again.Len(), err)
		}
		i := 0
		for row := range again.All() {
			if fmt.Sprint(row.People, row.Also, row.Roles, row.Cells, row.Line) != fmt.Sprint(want[i].People, want[i].Also, want[i].Roles, want[i].Cells, want[i].Line) {
				t.Fatalf("row %d: %v, was %v", i, row, want[i])
			}
			i++
		}
	})
}

func TestASimulationSaysSoOnEveryPage(t *testing.T) {
	d := memoryDesk(t)
	var err error
	if d.pages, err = New(Config{Redis: d.rdb, Ledger: d.ledger, Pacer: d.pacer, Prefix: "/unrole", Simulated: true, Log: zerolog.Nop()}); err != nil {
		t.Fatal(err)
	}
	d.submit(enqueue.Submission{JobID: "job"}, []string{"u1"}, 7)
	for _, path := range []string{"/", "/jobs/job", "/jobs/job/restore", "/letters", "/fleet", "/removals/new"} {
		d.has(d.see(path), "SIMULATION", "Nothing here reaches DingTalk")
	}
}
