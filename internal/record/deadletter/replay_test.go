package deadletter_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/record/deadletter"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

func (w *world) replay(f deadletter.Filter) deadletter.Done {
	w.Helper()
	s, err := w.queue.Select(w.Context(), f)
	if err != nil {
		w.Fatal(err)
	}
	done, err := w.queue.Replay(w.Context(), s, deadletter.Order{By: "ann@host", Why: "mended"})
	if err != nil {
		w.Fatal(err)
	}
	return done
}

// failed submits 50 users × 4 roles of which two users and a role are refused, and waits for their letters.
func failed(w *world) []deadletter.Letter {
	w.Helper()
	roles := []int64{1507113500, 1507113501, 1507113502, 1507113503}
	var users []string
	for i := range 50 {
		users = append(users, fmt.Sprintf("u%02d", i))
		w.sim.Grant(users[i], roles...)
	}
	w.sim.SetUser(simulator.Invalid, "u07")
	w.sim.SetUser(simulator.Gone, "u21")
	w.sim.SetRole(simulator.System, 1507113502)
	w.submit("job", users, roles)
	job := w.finished("job")
	if want := (ledger.Pairs{Total: 200, Removed: 48 * 3, Dead: 56}); job.Pairs != want {
		w.Fatalf("%+v, want %+v", job.Pairs, want)
	}
	letters := w.letters(deadletter.Filter{})
	if len(letters) != 3 {
		w.Fatalf("%d letters, want one per bad id", len(letters))
	}
	return letters
}

func TestAMendedIDIsRemovedByReplay(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		w := newWorld(t, rdb, simulator.Options{})
		w.work()
		failed(w)
		w.sim.SetUser(simulator.Accepted, "u07", "u21")
		w.sim.SetRole(simulator.Accepted, 1507113502)
		if done := w.replay(deadletter.Filter{}); done.Letters != 3 {
			t.Errorf("%+v", done)
		}
		job := w.until("job", "completed", func(j ledger.Job) bool { return j.State == ledger.StateCompleted })
		w.still()
		if want := (ledger.Pairs{Total: 200, Removed: 200}); job.Pairs != want {
			t.Errorf("%+v, want %+v", job.Pairs, want)
		}
		if letters := w.letters(deadletter.Filter{}); len(letters) > 0 {
			t.Errorf("%d letters are left: %+v", len(letters), letters)
		}
		if n := w.sim.Assignments(); n != 0 {
			t.Errorf("%d pairs are still held", n)
		}
		if ttl := w.rdb.PTTL(t.Context(), "unrole:job:{job}").Val(); ttl <= 0 || ttl > retention {
			t.Errorf("the record of the completed job expires in %v, want %v", ttl, retention)
		}
	})
}

func TestRefusedAgainItIsOneLetterOfTheNextGeneration(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		w := newWorld(t, rdb, simulator.Options{})
		w.work()
		before := map[string]deadletter.Letter{}
		for _, l := range failed(w) {
			before[l.ID] = l
		}
		inspector := asynq.NewInspectorFromRedisClient(rdb)
		for generation := 2; generation <= 3; generation++ {
			if generation == 2 {
				w.replay(deadletter.Filter{})
			} else {
				// "Run" in the asynq web UI is the same.
				for _, l := range w.letters(deadletter.Filter{}) {
					if err := inspector.RunTask(tasks.QueueDeadLetter, l.ID); err != nil {
						t.Fatal(err)
					}
				}
			}
			w.still()
			job := w.finished("job")
			if want := (ledger.Pairs{Total: 200, Removed: 144, Dead: 56}); job.Pairs != want {
				t.Fatalf("generation %d: %+v, want %+v", generation, job.Pairs, want)
			}
			letters := w.letters(deadletter.Filter{})
			if len(letters) != 3 {
				t.Fatalf("generation %d: %d letters, want 3", generation, len(letters))
			}
			pairs := 0
			for _, l := range letters {
				old, ok := before["job:"+tasks.WithGeneration(l.Part, 1)]
				if !ok || tasks.Generation(l.Part) != generation || l.Reason != old.Reason || l.Pairs != old.Pairs ||
					l.Attempts != generation*old.Attempts || !l.FailedAt.After(old.FailedAt) || l.RequestID == old.RequestID {
					t.Errorf("generation %d: %+v follows %+v", generation, l, old)
				}
				pairs += l.Pairs
			}
			if pairs != 56 {
				t.Errorf("generation %d: the letters stand for %d pairs, the ledger counts 56 dead", generation, pairs)
			}
		}
	})
}

// The letter of a role that is accepted now, but not for one of the users any more.
func TestAReplayThatIsRefusedInPartLeavesThatPart(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{})
	w.work()
	failed(w)
	w.sim.SetRole(simulator.Accepted, 1507113502)
	w.sim.SetUser(simulator.OutOfScope, "u33")
	if done := w.replay(deadletter.Filter{Reasons: []tasks.Reason{tasks.ReasonSystemRole}}); done.Letters != 1 {
		t.Fatalf("%+v", done)
	}
	w.still()
	job := w.finished("job")
	if want := (ledger.Pairs{Total: 200, Removed: 144 + 47, Dead: 9}); job.Pairs != want {
		t.Errorf("%+v, want %+v", job.Pairs, want)
	}
	of33 := w.letters(deadletter.Filter{UserIDs: []string{"u33"}})
	if len(of33) != 1 || of33[0].Pairs != 1 || of33[0].Reason != tasks.ReasonUserOutOfScope || len(of33[0].UserIDs) != 1 {
		t.Errorf("letters of u33: %+v", of33)
	}
	dead := map[string]int{}
	for _, l := range w.letters(deadletter.Filter{}) {
		l.EachPair(func(user string, role int64) { dead[user]++ })
	}
	if diff := cmp.Diff(map[string]int{"u07": 4, "u21": 4, "u33": 1}, dead); diff != "" {
		t.Errorf("pairs of the letters by user: %s", diff)
	}
}

// A worker that is killed has made letters due, opened their pairs, called or not. Another one goes on.
func TestALetterSurvivesTheStopOfItsWorker(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{})
	stop := w.work()
	failed(w)
	stop()
	w.replay(deadletter.Filter{})
	for range 3 {
		stop = w.work()
		stop()
	}
	w.sim.SetUser(simulator.Accepted, "u07", "u21")
	w.sim.SetRole(simulator.Accepted, 1507113502)
	w.work()
	w.still()
	w.replay(deadletter.Filter{}) // what the short-lived workers had refused
	job := w.until("job", "completed", func(j ledger.Job) bool { return j.State == ledger.StateCompleted })
	if want := (ledger.Pairs{Total: 200, Removed: 200}); job.Pairs != want {
		t.Errorf("%+v, want %+v", job.Pairs, want)
	}
}

// Cancelled while its letters are being tried again: pairs that were opened are cancelled and no letter holds them any
// more; those that were not stay dead with theirs. A letter that was being called when the cancel came is no exception.
func TestACancelledReplayLeavesALetterForEveryDeadPairAndNoOther(t *testing.T) {
	for _, called := range []bool{false, true} {
		t.Run(fmt.Sprintf("called %v", called), func(t *testing.T) {
			_, rdb := redistest.Memory(t)
			w := newWorld(t, rdb, simulator.Options{})
			stop := w.work()
			letters := failed(w)
			stop()
			if done := w.replay(deadletter.Filter{}); done.Letters != 3 {
				t.Fatalf("%+v", done)
			}
			// As a worker that has opened the first letter and then died.
			first := letters[0]
			part := &tasks.Part{JobID: "job", Part: first.Part, RoleIDs: first.RoleIDs, UserIDs: first.UserIDs,
				Failure: &tasks.Failure{Reason: first.Reason, Queue: first.Lane}}
			claim := func(begin bool) *ledger.Claim {
				claims, err := w.ledger.Claim(t.Context(), ledger.Request{Part: part, Lane: first.Lane, Begin: begin})
				if err != nil {
					t.Fatal(err)
				}
				return claims[0]
			}
			if _, err := w.ledger.Settle(t.Context(), claim(false), ledger.Settlement{Outcome: ledger.Outcome{Kind: ledger.Pending, Letter: first.Part}}); err != nil {
				t.Fatal(err)
			}
			if called {
				claim(true)
			}
			if _, err := w.ledger.Cancel(t.Context(), "job", "ann", "changed our minds"); err != nil {
				t.Fatal(err)
			}
			calls := w.sim.Stats()
			w.work()
			w.still()
			job := w.finished("job")
			if job.Pairs.Cancelled != int64(first.Pairs) || job.Pairs.Pending != 0 {
				t.Errorf("%+v, want %d cancelled", job.Pairs, first.Pairs)
			}
			pairs := 0
			for _, l := range w.letters(deadletter.Filter{}) {
				pairs += l.Pairs
			}
			if int64(pairs) != job.Pairs.Dead {
				t.Errorf("the letters stand for %d pairs, the ledger counts %d dead", pairs, job.Pairs.Dead)
			}
			if after := w.sim.Stats(); after.Calls != calls.Calls {
				t.Errorf("%d calls for a cancelled job", after.Calls-calls.Calls)
			}
		})
	}
}
