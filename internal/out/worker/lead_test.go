package worker

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/lease"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// transport counts the calls of one worker, and fails them while it is cut off.
type transport struct {
	calls atomic.Int32
	cut   atomic.Bool
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.cut.Load() {
		return nil, errors.New("no route to DingTalk")
	}
	t.calls.Add(1)
	return http.DefaultTransport.RoundTrip(r)
}

// workOver starts a worker whose calls go over a transport of its own.
func (w *world) workOver() (t *transport, stop func()) {
	w.Helper()
	t = &transport{}
	w.transport = t
	return t, w.work()
}

// two starts two workers, of which the first leads.
func (w *world) two() (leads, standsBy *transport, stopLeader func()) {
	w.Helper()
	leads, stopLeader = w.workOver()
	w.until(func() bool { return w.rdb.Exists(w.Context(), "unrole:{lead}").Val() == 1 })
	standsBy, _ = w.workOver()
	return leads, standsBy, stopLeader
}

// single submits one removal that is a job of its own.
func (w *world) single(jobID, user string) {
	w.Helper()
	w.submit(jobID, []string{user}, roleIDs(1))
}

// Removals share calls only where they wait together: a burst needs as few with several workers as with one, in
// whatever lane it arrives.
func TestABurstNeedsTheCallsOfItsPlanWhoeverTakesIt(t *testing.T) {
	const people = 300
	for _, lane := range tasks.Lanes() {
		t.Run(lane, func(t *testing.T) {
			t.Parallel()
			rdb := redistest.Start(t).Client()
			w := newWorld(t, rdb, simulator.Options{Open: true})
			w.gate = make(chan struct{})
			w.work()
			w.work()
			for i := range people {
				r, err := enqueue.FromLists([]string{fmt.Sprint("u", i)}, roleIDs(1))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := w.client.Submit(t.Context(), enqueue.Submission{JobID: fmt.Sprint("j", i), Removals: r, Priority: lane}); err != nil {
					t.Fatal(err)
				}
			}
			w.offered(people)
			close(w.gate)
			for i := range people {
				w.finished(fmt.Sprint("j", i))
			}
			if n := w.sim.Stats().Removals; n != people/tasks.MaxUsers {
				t.Errorf("%d calls for %d people who hold the same role", n, people)
			}
		})
	}
}

// What was busy in one call comes back together, so that it is one call again.
func TestTasksThatWereBusyTogetherWaitEquallyLong(t *testing.T) {
	const people = tasks.MaxUsers
	rdb := redistest.Start(t).Client()
	w := newWorld(t, rdb, simulator.Options{Open: true})
	w.config.RetryBase, w.config.RetryCap = 24*time.Hour, 24*time.Hour
	w.sim.Fail(simulator.FaultBusy, time.Hour)
	w.gate = make(chan struct{})
	w.work()
	for i := range people {
		w.single(fmt.Sprint("j", i), fmt.Sprint("u", i))
	}
	state := func() *asynq.QueueInfo {
		info, err := newInspector(rdb).GetQueueInfo(tasks.QueueDefault)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	w.offered(people)
	close(w.gate)
	w.until(func() bool { return state().Retry == people })
	waiting, err := newInspector(rdb).ListRetryTasks(tasks.QueueDefault, asynq.PageSize(people))
	if err != nil {
		t.Fatal(err)
	}
	byTime := func(a, b *asynq.TaskInfo) int { return a.NextProcessAt.Compare(b.NextProcessAt) }
	first, last := slices.MinFunc(waiting, byTime).NextProcessAt, slices.MaxFunc(waiting, byTime).NextProcessAt
	if apart := last.Sub(first); apart > 10*time.Minute {
		t.Errorf("tasks that were busy in one call come back within %v", apart)
	}
}

// A worker that ends gives the lead back.
func TestAnotherWorkerTakesOver(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		w := newWorld(t, rdb, simulator.Options{Open: true})
		first, second, stop := w.two()
		w.single("a", "u1")
		w.finished("a")
		if first.calls.Load() == 0 || second.calls.Load() != 0 {
			t.Errorf("%d calls by the worker that leads, %d by the one that stands by", first.calls.Load(), second.calls.Load())
		}
		stop()
		w.single("b", "u1")
		w.finished("b")
		if second.calls.Load() == 0 {
			t.Error("who stood by took nothing over")
		}
	})
}

// A worker that was killed gives nothing back.
func TestAKilledLeaderIsSucceeded(t *testing.T) {
	memory, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{Open: true})
	if _, err := lease.New(rdb, "unrole:{lead}", 3*time.Second).Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.work()
	w.single("left", "u1")
	w.until(func() bool {
		info, err := newInspector(rdb).GetQueueInfo(tasks.QueueDefault)
		return err == nil && info.Pending == 1
	})
	memory.FastForward(3 * time.Second)
	w.finished("left")
}

// The way to DingTalk may be closed to one worker alone, and to the one that leads.
func TestALeaderThatDingTalkDoesNotAnswerResigns(t *testing.T) {
	rdb := redistest.Start(t).Client()
	w := newWorld(t, rdb, simulator.Options{Open: true})
	first, second, _ := w.two()
	first.cut.Store(true)
	w.single("stranded", "u1")
	w.finished("stranded")
	if second.calls.Load() == 0 {
		t.Error("nobody else could have made the call")
	}
}

// How seldom an idle worker looks says nothing about how soon it ends.
func TestAWorkerEndsAtOnceHoweverSeldomItLooks(t *testing.T) {
	for _, interval := range []time.Duration{10 * time.Second, time.Minute} {
		t.Run(interval.String(), func(t *testing.T) {
			redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
				t.Parallel()
				w := newWorld(t, rdb, simulator.Options{Open: true})
				w.config.CheckInterval = interval
				_, _, stopLeader := w.two()
				w.single("a", "u1")
				w.finished("a")
				began := time.Now()
				stopLeader()
				if took := time.Since(began); took > w.config.ShutdownTimeout {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}
