package worker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// restore submits a restore of the pairs, with the scopes that they had.
func (w *world) restore(jobID string, r *enqueue.Removals, scopes ...enqueue.SnapshotScope) {
	w.Helper()
	_, err := w.client.Submit(w.Context(), enqueue.Submission{JobID: jobID, Removals: r, Action: tasks.Add, Restores: "gone", MaxUsers: -1,
		Snapshot: &enqueue.Snapshot{SeenAt: time.Now(), Scopes: scopes}})
	if err != nil {
		w.Fatal(err)
	}
}

// restoreRole submits a restore of the role 1 of some users, each with the departments of its scope; none is no scope.
func (w *world) restoreRole(jobID string, scopes map[string][]int64) {
	w.Helper()
	r, err := enqueue.FromLists(slices.Sorted(maps.Keys(scopes)), []int64{1})
	if err != nil {
		w.Fatal(err)
	}
	var seen []enqueue.SnapshotScope
	for user, of := range scopes {
		if of != nil {
			seen = append(seen, enqueue.SnapshotScope{Pair: enqueue.SnapshotPair{UserID: user, RoleID: 1}, Departments: of})
		}
	}
	w.restore(jobID, r, seen...)
}

// givenOnce checks that a user has the role 1 over the departments, by one call that gave roles.
func (w *world) givenOnce(user string, of ...int64) {
	w.Helper()
	if have, gifts := w.sim.Scope(user, 1), len(w.sim.Gifts()); !slices.Equal(have, of) || gifts != 1 {
		w.Errorf("the scope of %s is %v, after %d gifts; want %v after one", user, have, gifts, of)
	}
}

func TestWhatWasTakenIsGivenBackWithItsScopes(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{Open: true})
	users, roles := []string{"nobody"}, []int64{1, 2, 3}
	for i := range 45 {
		users = append(users, fmt.Sprint("user", i))
	}
	r, err := enqueue.FromLists(users, roles)
	if err != nil {
		t.Fatal(err)
	}
	var scopes []enqueue.SnapshotScope
	w.sim.AddDepartment(simulator.Department{ID: 7, Name: "Sales"})
	for i := range 10 {
		scopes = append(scopes, enqueue.SnapshotScope{Pair: enqueue.SnapshotPair{UserID: fmt.Sprint("user", 4*i), RoleID: 2}, Departments: []int64{7}})
	}
	w.sim.SetUser(simulator.Gone, "nobody")
	w.work()
	w.restore("r", r, scopes...)
	job := w.finished("r")
	if want := (ledger.Pairs{Total: 138, Restored: 135, Dead: 3}); job.Pairs != want || job.Restores != "gone" {
		t.Errorf("%+v, want %+v", job, want)
	}
	for i := range 45 {
		user := fmt.Sprint("user", i)
		for _, role := range roles {
			if !w.sim.Holds(user, role) {
				t.Errorf("%s does not hold %d", user, role)
			}
			var want []int64
			if role == 2 && i%4 == 0 && i < 40 {
				want = []int64{7}
			}
			if have := w.sim.Scope(user, role); !slices.Equal(have, want) {
				t.Errorf("%s has %d over %v, want %v", user, role, have, want)
			}
		}
	}
	if err := w.ledger.Rows(t.Context(), "r", func(row ledger.Row) error {
		if dead := row.UserID == "nobody"; dead != (row.Outcome.Kind == ledger.Dead) || !dead && row.Outcome.Kind != ledger.Restored {
			t.Errorf("%+v", row)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// scopesRefused is a way to DingTalk on which it gives some users no management scope: it is too busy, or cannot be reached.
type scopesRefused struct {
	cut  bool
	mu   sync.Mutex
	of   map[string]bool
	said int // how often it was
}

func (b *scopesRefused) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "role/scope/update") {
		form, err := readForm(r)
		if err != nil {
			return nil, err
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.of[form.Get("userid")] {
			b.said++
			if b.cut {
				return nil, errors.New("no route to host")
			}
			return busyAnswer(r), nil
		}
	}
	return http.DefaultTransport.RoundTrip(r)
}

func busyAnswer(r *http.Request) *http.Response {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r,
		Body: io.NopCloser(strings.NewReader(`{"errcode":-1,"errmsg":"系统繁忙","request_id":"busy"}`))}
}

// firstGiftBusy is a DingTalk that is too busy for the first call that gives roles.
type firstGiftBusy struct{ was atomic.Bool }

func (b *firstGiftBusy) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "addrolesforemps") && b.was.CompareAndSwap(false, true) {
		return busyAnswer(r), nil
	}
	return http.DefaultTransport.RoundTrip(r)
}

// readForm reads the form of a request and leaves it there.
func readForm(r *http.Request) (url.Values, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return url.ParseQuery(string(body))
}

func (b *scopesRefused) times() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.said
}

// set has it refuse the users from now on, and for no others.
func (b *scopesRefused) set(users ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.of = map[string]bool{}
	for _, user := range users {
		b.of[user] = true
	}
}

// Somebody who was given a role gets its scope, and counts as restored then: the job may be cancelled, the worker stop, and another
// pair use up its attempts in between. Nobody is given a role twice.
func TestAScopeFollowsItsRoleWhateverComesBetween(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{Open: true})
	w.sim.AddDepartment(simulator.Department{ID: 7, Name: "Sales"})
	busy := &scopesRefused{}
	w.transport = busy
	busy.set("scoped", "stuck")
	stop := w.work()
	w.restoreRole("r", map[string][]int64{"plain": nil, "scoped": {7}, "stuck": {7}})
	w.until(func() bool { return busy.times() > 0 })
	stop()
	job, err := w.ledger.Cancel(t.Context(), "r", "somebody", "a mistake")
	if want := (ledger.Pairs{Total: 3, Restored: 1, Pending: 2}); err != nil || job.Pairs != want {
		t.Fatalf("cancelled while scopes wait: %+v, %v, want %+v", job.Pairs, err, want)
	}

	busy.set("stuck")
	w.config.BusyMaxAge = time.Nanosecond
	w.work()
	if job, want := w.finished("r"), (ledger.Pairs{Total: 3, Restored: 2, Dead: 1}); job.Pairs != want {
		t.Errorf("one scope stays busy: %+v, want %+v", job.Pairs, want)
	}
	w.givenOnce("scoped", 7)
}

// A worker that cannot reach DingTalk passes its tasks on, also where somebody has a role from it and no scope.
func TestAScopeKeepsNoWorkerFromPassingItsTasksOn(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{Open: true})
	w.sim.AddDepartment(simulator.Department{ID: 7, Name: "Sales"})
	cut := &scopesRefused{cut: true}
	cut.set("scoped")
	w.transport = cut
	w.work()
	w.restoreRole("r", map[string][]int64{"scoped": {7}})
	w.until(func() bool { return cut.times() > 0 })
	w.transport = nil
	w.work()
	if job, want := w.finished("r"), (ledger.Pairs{Total: 1, Restored: 1}); job.Pairs != want {
		t.Errorf("%+v, want %+v", job.Pairs, want)
	}
	w.givenOnce("scoped", 7)
}

// What a call has taken says after how many attempts, also where somebody of the same call waits for a scope.
func TestWhatIsGivenSaysAfterHowManyAttempts(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{Open: true})
	w.sim.AddDepartment(simulator.Department{ID: 7, Name: "Sales"})
	w.transport = &firstGiftBusy{}
	w.work()
	w.restoreRole("r", map[string][]int64{"plain": nil, "scoped": {7}})
	w.finished("r")
	if n := w.rows("r")["plain/1"].Outcome.Attempts; n != 2 {
		t.Errorf("after %d attempts, want 2: a busy one, and the last", n)
	}
}

// A dead letter gives the role and the scope when it is tried again, whether the role was given before or not: somebody may have taken
// it since.
func TestALetterGivesRoleAndScope(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{Open: true})
	w.sim.AddDepartment(simulator.Department{ID: 8, Name: "Purchasing"})
	w.sim.SetUser(simulator.Gone, "gone")
	w.work()
	want := map[string][]int64{"scoped": {7}, "gone": {8}}
	w.restoreRole("r", want)
	if job, want := w.finished("r"), (ledger.Pairs{Total: 2, Dead: 2}); job.Pairs != want {
		t.Fatalf("a department is gone, and a user: %+v, want %+v", job.Pairs, want)
	}
	w.sim.AddDepartment(simulator.Department{ID: 7, Name: "Sales"})
	w.sim.SetUser(simulator.Accepted, "gone")
	w.sim.Revoke("scoped", 1)
	if _, err := newInspector(rdb).RunAllScheduledTasks(tasks.QueueDeadLetter); err != nil {
		t.Fatal(err)
	}
	w.until(func() bool {
		job, err := w.ledger.Get(t.Context(), "r")
		return err == nil && job.Pairs == (ledger.Pairs{Total: 2, Restored: 2})
	})
	for user, of := range want {
		if have := w.sim.Scope(user, 1); !slices.Equal(have, of) {
			t.Errorf("%s has the scope %v, want %v", user, have, of)
		}
	}
}

// Removals and restores of overlapping pairs, submitted one after the other while workers come and go: each pair ends as
// the last word about it said.
func TestTheLastWordHolds(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{Open: true, Busy: 0.05, DropAfter: 0.05})
	stop := w.work()
	rng := rand.New(rand.NewPCG(1, 2))
	last := map[string]bool{}
	var jobs []string
	for round := range 6 {
		add := round%2 == 1
		users := names("user", 60)
		rng.Shuffle(len(users), func(i, j int) { users[i], users[j] = users[j], users[i] })
		users = users[:40]
		r, err := enqueue.FromLists(users, []int64{1, 2})
		if err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprint("job", round)
		jobs = append(jobs, id)
		if add {
			w.restore(id, r)
		} else {
			w.submitSet(id, r)
		}
		for _, u := range users {
			last[u] = add
		}
		if round == 3 { // in the middle of it
			stop()
			w.work()
		}
	}
	for _, id := range jobs {
		if job := w.finished(id); job.Pairs.Removed+job.Pairs.Restored != job.Pairs.Total {
			t.Errorf("%+v", job)
		}
	}
	for user, holds := range last {
		for _, role := range []int64{1, 2} {
			if w.sim.Holds(user, role) != holds {
				t.Errorf("%s holds %d: %t, the last word said %t", user, role, !holds, holds)
			}
		}
	}
}

// A dead letter keeps the place of its job: tried again, it does not undo what was said since.
func TestALetterThatIsTriedAgainDoesNotOvertakeALaterWord(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{Open: true, GoneUsers: []string{"back"}})
	w.work()
	w.submit("gone", []string{"back", "also"}, []int64{1})
	w.finished("gone")
	w.sim.SetUser(simulator.Accepted, "back")
	r, err := enqueue.FromLists([]string{"back"}, []int64{1})
	if err != nil {
		t.Fatal(err)
	}
	w.restore("given", r)
	w.finished("given")
	for name := range w.letters() {
		if err := newInspector(rdb).RunTask(tasks.QueueDeadLetter, "gone:"+name); err != nil {
			t.Fatal(err)
		}
	}
	w.until(func() bool {
		for _, letter := range w.letters() {
			return strings.Contains(letter.Failure.ErrMsg, "job given, which came later, gave the role back")
		}
		return false
	})
	if job := w.finished("gone"); job.Pairs.Dead != 1 || !w.sim.Holds("back", 1) {
		t.Errorf("%+v; held: %t", job.Pairs, w.sim.Holds("back", 1))
	}
	w.submit("again", []string{"back"}, []int64{1})
	w.finished("again")
	if w.sim.Holds("back", 1) {
		t.Error("the removal that came last was not done")
	}
}
