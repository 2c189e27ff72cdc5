package worker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
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
