package leavers_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/protect"
	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/in/leavers"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// world is an organisation whose clock the test has in its hands.
type world struct {
	sim    *simulator.Simulator
	rdb    *redis.Client
	ledger *ledger.Ledger
	poller *leavers.Poller
	now    time.Time
	rule   string
	// broken is what HR answers, if it is set.
	broken error
	// between, once set, is called once, in the middle of a look.
	between func()
	// admins are administrators besides those of the simulator, which has none who cannot be found.
	admins []string
}

// source is DingTalk, in the middle of whose answers something happens.
type source struct {
	*dingtalk.Client
	w *world
}

func (s source) OnJob(ctx context.Context, statuses []dingtalk.OnJobStatus, offset, size int) (dingtalk.OnJobPage, error) {
	if s.w.broken != nil {
		return dingtalk.OnJobPage{}, s.w.broken
	}
	return s.Client.OnJob(ctx, statuses, offset, size)
}

func (s source) Admins(ctx context.Context) ([]string, error) {
	if happens := s.w.between; happens != nil {
		s.w.between = nil
		happens()
	}
	ids, err := s.Client.Admins(ctx)
	return append(ids, s.w.admins...), err
}

var shanghai = time.FixedZone("CST", 8*3600)

func newWorld(t testing.TB, rdb *redis.Client, rule string) *world {
	t.Helper()
	w := &world{rdb: rdb, now: time.Date(2026, 12, 28, 9, 0, 0, 0, shanghai), rule: filepath.Join(t.TempDir(), "rule.yaml")}
	w.sim = simulator.New(simulator.Options{Now: func() time.Time { return w.now }})
	w.write(t, rule)
	client, err := dingtalk.New(dingtalk.Config{BaseURL: "http://dingtalk.invalid", AppKey: simulator.AppKey, AppSecret: simulator.AppSecret,
		HTTP: &http.Client{Transport: w.sim.Transport()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	protected, err := protect.Parse("protected", "")
	if err != nil {
		t.Fatal(err)
	}
	producer, err := enqueue.NewClient(enqueue.Config{Redis: rdb, Protected: protected})
	if err != nil {
		t.Fatal(err)
	}
	w.ledger = ledger.New(rdb, 0)
	d, err := directory.New(source{client, w}, 1e6)
	if err != nil {
		t.Fatal(err)
	}
	w.poller, err = leavers.New(leavers.Config{Redis: rdb, Ledger: w.ledger, Client: producer, Directory: d, Protected: protected, MaxShare: 0.5,
		File: w.rule, Log: zerolog.Nop(), Now: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) write(t testing.TB, rule string) {
	if err := os.WriteFile(w.rule, []byte(rule), 0o600); err != nil {
		t.Fatal(err)
	}
}

// leaving is somebody of whom HR says that they leave on that day of December.
func (w *world) leaving(id string, day int) {
	w.sim.AddPerson(simulator.Person{UserID: id, Name: id, LastDay: time.Date(2026, 12, day, 0, 0, 0, 0, shanghai)})
}

func (w *world) stays(id string) { w.sim.AddPerson(simulator.Person{UserID: id, Name: id}) }

// jobs are those of leavers, each with what it waits for, or its state.
func (w *world) jobs(t interface{ Fatal(...any) }) map[string]ledger.Job {
	list, err := w.ledger.List(context.Background(), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	jobs := map[string]ledger.Job{}
	for _, j := range list {
		jobs[j.JobID] = j
	}
	return jobs
}

func (w *world) look(t testing.TB) time.Time {
	t.Helper()
	next, err := w.poller.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func TestALeaverLosesAllRolesOnTheLastDay(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, "mode: automatic\nkeep_roles: [9]\n")
	w.sim.AddRole(8, "主管", "默认")
	for _, id := range []string{"ann", "protected", "boss", "colleague"} {
		w.leaving(id, 31)
		w.sim.Grant(id, 7, 8, 9)
	}
	w.sim.AddPerson(simulator.Person{UserID: "boss", Admin: 1, LastDay: time.Date(2026, 12, 31, 0, 0, 0, 0, shanghai)})
	w.stays("colleague")
	w.look(t)
	const id = "leaver-20261231-ann"
	jobs := w.jobs(t)
	if job := jobs[id]; len(jobs) != 1 || job.State != ledger.StateScheduled || job.Awaiting != ledger.AwaitingLastLook || job.Pairs.Total != 1 ||
		job.At.In(shanghai).Format(time.RFC3339) != "2026-12-31T18:00:00+08:00" || job.Source != leavers.Source {
		t.Fatalf("%+v", jobs)
	}
	if _, err := w.ledger.Approve(t.Context(), id, "eve", ""); err == nil {
		t.Error("somebody lets it begin without a look")
	}
	w.now = time.Date(2026, 12, 31, 17, 55, 0, 0, shanghai)
	if next := w.look(t); !next.Equal(w.now.Add(5 * time.Minute)) {
		t.Errorf("looks again at %v, not when the job is due", next)
	}
	w.now = w.now.Add(5 * time.Minute)
	w.sim.Grant("ann", 10)
	w.look(t)
	jobs = w.jobs(t)
	if old := jobs[id]; old.State != ledger.StateCancelled || old.CancelledBy != leavers.Source {
		t.Errorf("the job of the roles of before: %+v", old)
	}
	if job := jobs[id+".v2"]; job.Awaiting != "" || job.Pairs.Total != 2 || job.Snapshot == nil {
		t.Errorf("the job of the roles held now: %+v", job)
	}
	tasksNow, err := asynq.NewInspectorFromRedisClient(rdb).ListScheduledTasks(tasks.QueueDefault)
	if err != nil || len(tasksNow) != 1 || !strings.HasPrefix(tasksNow[0].ID, id+".v2:") {
		t.Errorf("tasks: %v %v", tasksNow, err)
	}
	w.look(t)
	if again := w.jobs(t); len(again) != 2 {
		t.Errorf("they leave once: %v", again)
	}
}

func TestAProposalWaitsForAYesAndAChangeTakesItBack(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, "")
	w.leaving("ann", 31)
	w.sim.Grant("ann", 7)
	w.look(t)
	const id = "leaver-20261231-ann"
	if job := w.jobs(t)[id]; job.Awaiting != ledger.AwaitingApproval {
		t.Fatalf("%+v", job)
	}
	if job, err := w.ledger.Approve(t.Context(), id, "eve", ""); err != nil || job.Awaiting != ledger.AwaitingLastLook || job.State != ledger.StateScheduled {
		t.Fatalf("approved: %+v %v", job, err)
	}
	w.leaving("ann", 30)
	w.look(t)
	jobs := w.jobs(t)
	if jobs[id].State != ledger.StateCancelled || jobs["leaver-20261230-ann"].Awaiting != ledger.AwaitingApproval {
		t.Errorf("the day moved: %+v", jobs)
	}
	w.stays("ann")
	w.look(t)
	if job := w.jobs(t)["leaver-20261230-ann"]; job.State != ledger.StateCancelled || job.CancelReason != "stays" {
		t.Errorf("she stays: %+v", job)
	}
	w.leaving("ann", 30)
	w.look(t)
	if job := w.jobs(t)["leaver-20261230-ann.v2"]; job.Awaiting != ledger.AwaitingApproval {
		t.Errorf("she leaves after all: %+v", job)
	}
	if _, err := w.ledger.Cancel(t.Context(), "leaver-20261230-ann.v2", "eve@host", "keeps them"); err != nil {
		t.Fatal(err)
	}
	w.look(t)
	if jobs := w.jobs(t); len(jobs) != 3 {
		t.Errorf("what a person cancelled is submitted again: %v", jobs)
	}
}

func TestManyLeaversAtOnceAreProposals(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, "mode: automatic\nmax_users: 2\n")
	for i := range 3 {
		w.leaving(fmt.Sprint("u", i), 31)
		w.sim.Grant(fmt.Sprint("u", i), int64(7+i))
	}
	w.look(t)
	jobs := w.jobs(t)
	if len(jobs) != 3 {
		t.Errorf("%d jobs", len(jobs))
	}
	for id, job := range jobs {
		if job.Awaiting != ledger.AwaitingApproval {
			t.Errorf("%s: %+v", id, job)
		}
	}
}

func TestWhoIsOutOfTheContactScopeLosesNothing(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, "mode: automatic\n")
	for _, id := range []string{"ann", "bob", "boss"} {
		w.leaving(id, 31)
		w.sim.Grant(id, 7)
	}
	w.look(t)
	w.stays("ann")
	w.sim.SetUser(simulator.OutOfScope, "ann", "bob")
	// Who administrates the organisation is protected also where the directory does not know them.
	w.admins = []string{"boss"}
	w.sim.SetUser(simulator.Invalid, "boss")
	w.now = time.Date(2026, 12, 31, 18, 0, 0, 0, shanghai)
	w.look(t)
	jobs := w.jobs(t)
	if job := jobs["leaver-20261231-ann"]; job.CancelReason != "stays" {
		t.Errorf("who stays: %+v", job)
	}
	if job := jobs["leaver-20261231-bob"]; job.Awaiting != ledger.AwaitingLastLook || job.State != ledger.StateScheduled {
		t.Errorf("who leaves, and cannot be seen: %+v", job)
	}
	if job := jobs["leaver-20261231-boss"]; job.State != ledger.StateCancelled {
		t.Errorf("an administrator: %+v", job)
	}
	if len(jobs) != 3 {
		t.Errorf("%+v", jobs)
	}
	w.sim.SetUser(simulator.Accepted, "bob")
	w.look(t)
	if job := w.jobs(t)["leaver-20261231-bob"]; job.Awaiting != "" {
		t.Errorf("who can be seen again: %+v", job)
	}
}

func TestALookThatIsOutOfDateReplacesNothing(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, "mode: automatic\n")
	w.leaving("ann", 31)
	w.sim.Grant("ann", 7)
	w.look(t)
	const id = "leaver-20261231-ann"
	w.now = time.Date(2026, 12, 31, 18, 0, 0, 0, shanghai)
	w.sim.Grant("ann", 8)
	w.between = func() {
		if _, err := w.ledger.Cancel(t.Context(), id, leavers.Source, "stays"); err != nil {
			t.Error(err)
		}
	}
	w.look(t)
	if jobs := w.jobs(t); len(jobs) != 1 || jobs[id].CancelReason != "stays" {
		t.Errorf("%+v", jobs)
	}
}

func TestSomebodysOwnJobOfTheSameSourceIsLeftAlone(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, "")
	w.stays("ann")
	producer, err := enqueue.NewClient(enqueue.Config{Redis: rdb})
	if err != nil {
		t.Fatal(err)
	}
	removals, err := enqueue.FromLists([]string{"ann"}, []int64{7})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []enqueue.Submission{
		{JobID: "mine", SubmittedBy: leavers.Source, LastLook: true},
		{JobID: "leaver-1", SubmittedBy: "eve", LastLook: true},
		{JobID: "leaver-2", SubmittedBy: leavers.Source},
	} {
		s.Source, s.Removals, s.AwaitApproval, s.At = leavers.Source, removals, true, w.now.Add(time.Hour)
		if _, err := producer.Submit(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	w.look(t)
	for id, job := range w.jobs(t) {
		if job.State != ledger.StateScheduled {
			t.Errorf("%s: %+v", id, job)
		}
	}
}

// Whatever HR says from one look to the next: nobody loses a role who stays or is back, or before the last day, everybody at
// most once, and exactly what they hold.
func TestWhateverHRSaysOnlyLeaversLoseRolesAndOnlyOnTheirDay(t *testing.T) {
	memory, rdb := redistest.Memory(t)
	// A check is some hundred calls of Redis; -rapid.checks asks for more.
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		flag.Set("rapid.checks", "25")
		t.Cleanup(func() { flag.Set("rapid.checks", f.DefValue) })
	}
	rapid.Check(t, func(rt *rapid.T) {
		memory.FlushAll()
		automatic := rapid.Bool().Draw(rt, "automatic")
		rule := "mode: propose\n"
		if automatic {
			rule = "mode: automatic\n"
		}
		w := newWorld(t, rdb, rule)
		day := map[string]int{} // of those who leave
		there := map[string]bool{}
		users := []string{"ann", "bob"}
		for _, u := range users {
			w.stays(u)
			there[u] = true
			w.sim.Grant(u, 7)
		}
		begun := map[string]bool{}
		approved := map[string]map[int64]bool{} // the roles, by the base of the job
		user := rapid.SampledFrom(users)
		rt.Repeat(map[string]func(*rapid.T){
			"resigns": func(rt *rapid.T) {
				u := user.Draw(rt, "user")
				day[u], there[u] = rapid.IntRange(28, 31).Draw(rt, "day"), true
				w.leaving(u, day[u])
			},
			"stays": func(rt *rapid.T) {
				u := user.Draw(rt, "user")
				delete(day, u)
				there[u] = true
				w.stays(u)
			},
			"goes": func(rt *rapid.T) {
				u := user.Draw(rt, "user")
				if there[u] {
					w.sim.Leave(u)
					there[u] = false
				}
			},
			"gains a role": func(rt *rapid.T) {
				if u := user.Draw(rt, "user"); there[u] {
					w.sim.Grant(u, rapid.Int64Range(7, 10).Draw(rt, "role"))
				}
			},
			"approve": func(rt *rapid.T) {
				for id, job := range w.jobs(rt) {
					if job.Awaiting == ledger.AwaitingApproval && rapid.Bool().Draw(rt, "yes") {
						if _, err := w.ledger.Approve(context.Background(), id, "eve", ""); err != nil {
							rt.Fatal(err)
						}
						roles := map[int64]bool{}
						if err := w.ledger.Rows(context.Background(), id, func(r ledger.Row) error {
							roles[r.RoleID] = true
							return nil
						}); err != nil {
							rt.Fatal(err)
						}
						approved[strings.SplitN(id, ".v", 2)[0]] = roles
					}
				}
			},
			"hours": func(rt *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 30).Draw(rt, "hours")) * time.Hour)
			},
			"": func(rt *rapid.T) {
				if _, err := w.poller.Look(context.Background()); err != nil {
					rt.Fatal(err)
				}
				bases := map[string]int{}
				for id, job := range w.jobs(rt) {
					base := strings.SplitN(id, ".v", 2)[0]
					if job.Awaiting != "" || job.State == ledger.StateCancelled {
						continue
					}
					if bases[base]++; bases[base] > 1 {
						rt.Fatalf("%s leaves twice on one day", base)
					}
					if begun[id] {
						continue
					}
					begun[id] = true
					u := id[len("leaver-20261231-"):][:3]
					last, leaves := day[u]
					due := time.Date(2026, 12, last, 18, 0, 0, 0, shanghai)
					if !leaves || !strings.HasPrefix(id, fmt.Sprintf("leaver-202612%d-", last)) || w.now.Before(due) {
						rt.Fatalf("%s begins at %v; leaves %v, due %v", id, w.now, leaves, due)
					}
					if err := w.ledger.Rows(context.Background(), id, func(r ledger.Row) error {
						if r.UserID != u || !w.sim.Holds(u, r.RoleID) {
							return fmt.Errorf("takes %s/%d, which is not held", r.UserID, r.RoleID)
						}
						if !automatic && !approved[base][r.RoleID] {
							return fmt.Errorf("takes %s/%d without a yes", r.UserID, r.RoleID)
						}
						return nil
					}); err != nil {
						rt.Fatal(err)
					}
				}
				if n := w.sim.Stats().Removals; n != 0 {
					rt.Fatalf("%d removals by who only looks", n)
				}
			},
		})
	})
}
