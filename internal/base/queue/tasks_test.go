package queue

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/lease"
	"github.com/unrole/unrole/internal/test/redistest"
)

// Every way by which a task comes to a queue and is hard to take from it.
func TestEveryTaskIsBroughtToItsEnd(t *testing.T) {
	cases := []struct {
		name string
		put  func(*testing.T, *redis.Client, *worker)
	}{
		{"its deadline has passed", func(t *testing.T, rdb *redis.Client, _ *worker) {
			enqueue(t, rdb, 1, asynq.Deadline(time.Now().Add(-time.Hour)))
		}},
		{"it has a second", func(t *testing.T, rdb *redis.Client, _ *worker) { enqueue(t, rdb, 1, asynq.Timeout(time.Second)) }},
		{"it is in a group", func(t *testing.T, rdb *redis.Client, _ *worker) { enqueue(t, rdb, 1, asynq.Group("g")) }},
		{"it comes late", func(t *testing.T, rdb *redis.Client, _ *worker) { enqueue(t, rdb, 1, asynq.ProcessIn(2*time.Second)) }},
		{"the reply that brought it was lost", func(t *testing.T, rdb *redis.Client, w *worker) {
			w.lose.Store(true)
			enqueue(t, rdb, 1)
		}},
		{"it is active and has no lease", func(t *testing.T, rdb *redis.Client, w *worker) {
			until(t, "somebody leads", w.Held)
			enqueue(t, rdb, 1, asynq.ProcessIn(time.Hour))
			rdb.ZRem(t.Context(), key(queueName, "scheduled"), "t0")
			rdb.HSet(t.Context(), TaskKey(queueName, "t0"), "state", "active")
			rdb.LPush(t.Context(), key(queueName, "active"), "t0")
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
				t.Parallel()
				done := make(chan error, 10)
				w := start(t, rdb, func(ctx context.Context, _ string) error {
					select {
					case <-ctx.Done():
						done <- context.Cause(ctx)
					case <-time.After(1500 * time.Millisecond): // more than a second is granted
						done <- nil
					}
					return nil
				})
				c.put(t, rdb, w)
				if err := <-done; err != nil {
					t.Error(err)
				}
				until(t, "it is gone", func() bool { return rdb.Exists(t.Context(), TaskKey(queueName, "t0")).Val() == 0 })
				if n := info(t, rdb).Active; n != 0 || len(done) != 0 {
					t.Errorf("%d active, run %d times more", n, len(done))
				}
			})
		})
	}
}

// asynq's scripts stop half done where the lease of a task is missing: it would be in no list any more.
func TestATaskEndsAlsoWhereItsLeaseIsMissing(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		end := make(chan struct{})
		start(t, rdb, func(context.Context, string) error { <-end; return nil })
		enqueue(t, rdb, 3, asynq.Retention(time.Hour))
		until(t, "all are in hand", func() bool { return info(t, rdb).Active == 3 })
		rdb.Del(t.Context(), key(queueName, "lease"))
		close(end)
		until(t, "all are completed", func() bool { return info(t, rdb).Completed == 3 })
	})
}

// Leases aged by hand, or by a clock of another machine, take nothing from the worker that has the tasks.
func TestAnAgedLeaseTakesNoTaskAway(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		end := make(chan struct{})
		runs := make(chan string, 10)
		start(t, rdb, func(_ context.Context, id string) error { runs <- id; <-end; return nil })
		enqueue(t, rdb, 1)
		<-runs
		rdb.ZAdd(t.Context(), key(queueName, "lease"), redis.Z{Score: 1, Member: "t0"})
		start(t, rdb, func(_ context.Context, id string) error { runs <- id; return nil }) // looks for what has expired when it starts
		until(t, "two workers are there", func() bool {
			servers, err := asynq.NewInspectorFromRedisClient(rdb).Servers()
			return err == nil && len(servers) == 2
		})
		close(end)
		until(t, "it is done", func() bool { return info(t, rdb).Active == 0 })
		if i := info(t, rdb); len(runs) != 0 || i.Retry+i.Archived != 0 {
			t.Errorf("run again %d times; %+v", len(runs), i)
		}
	})
}

// What the hook recognises is asynq's own; this is what fails when asynq changes it.
func TestAStandByAsksForNoTask(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		first := start(t, rdb, func(context.Context, string) error { return nil })
		until(t, "it leads", first.Held)
		second := start(t, rdb, func(context.Context, string) error { t.Error("a stand-by works"); return nil })
		until(t, "it has said that it is there", func() bool {
			servers, err := asynq.NewInspectorFromRedisClient(rdb).Servers()
			return err == nil && len(servers) == 2
		})
		before := second.sent.Load()
		enqueue(t, rdb, 10)
		until(t, "all are done", func() bool { return info(t, rdb).Processed == 10 })
		// What is left is asynq's heartbeat, every five seconds.
		if n := second.sent.Load() - before; n > 5 {
			t.Errorf("a stand-by sent %d commands", n)
		}
	})
}

// Redis tells an idle worker of a task, whoever put it there.
func TestAnIdleWorkerTakesATaskAtOnceAndAsksSeldom(t *testing.T) {
	rdb := redistest.Start(t).Client()
	done := make(chan string, 10)
	w := start(t, rdb, func(_ context.Context, id string) error { done <- id; return nil })
	until(t, "it leads", w.Held)
	client := asynq.NewClientFromRedisClient(rdb)
	var took []time.Duration
	sent := w.sent.Load()
	for i := range 20 {
		until(t, "it waits for Redis to tell of a task", func() bool {
			clients, err := rdb.Info(t.Context(), "clients").Result()
			return err == nil && strings.Contains(clients, "blocked_clients:1\r\n")
		})
		began := time.Now()
		if _, err := client.Enqueue(asynq.NewTask("t", nil), asynq.Queue(queueName), asynq.TaskID(fmt.Sprint("idle", i))); err != nil {
			t.Fatal(err)
		}
		<-done
		took = append(took, time.Since(began))
	}
	slowest := took[0]
	for _, d := range took {
		slowest = max(slowest, d)
	}
	each := float64(w.sent.Load()-sent) / float64(len(took))
	t.Logf("slowest of %d: %v; %.1f commands for each", len(took), slowest, each)
	if each > 10 {
		t.Errorf("%.1f commands for each task: it asks when there is nothing", each)
	}
	if slowest > 500*time.Millisecond {
		t.Errorf("it took %v: only a look every second can have found it", slowest)
	}
}

// While the tasks of a queue are looked through, its worker and others go on moving and deleting them.
func TestEveryStoredTaskIsVisitedWhateverIsMovedMeanwhile(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		const all, deleted = 1500, 400
		enqueue(t, rdb, all)
		for i := range 100 {
			id := fmt.Sprint("t", i) // all but these wait already
			rdb.LRem(t.Context(), key(queueName, "pending"), 1, id)
			rdb.ZAdd(t.Context(), key(queueName, "retry"), redis.Z{Score: 1, Member: id})
			rdb.HSet(t.Context(), TaskKey(queueName, id), "state", "retry")
		}
		inspector := asynq.NewInspectorFromRedisClient(rdb)
		seen := map[string]bool{}
		gone := map[string]bool{}
		err := EachStored(t.Context(), rdb, []string{queueName}, func(s Stored) error {
			if len(seen) == 0 {
				for i := range 100 {
					id := fmt.Sprint("t", i)
					rdb.ZRem(t.Context(), key(queueName, "retry"), id)
					rdb.LPush(t.Context(), key(queueName, "pending"), id)
					rdb.HSet(t.Context(), TaskKey(queueName, id), "state", "pending")
				}
				for i := range deleted {
					id := fmt.Sprint("t", all-1-i)
					gone[id] = true
					if err := inspector.DeleteTask(queueName, id); err != nil {
						return err
					}
				}
			}
			seen[s.ID] = true
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range all {
			if id := fmt.Sprint("t", i); !seen[id] && !gone[id] {
				t.Fatalf("%s was passed over; %d were visited", id, len(seen))
			}
		}
	})
}

// A Redis that was started again with what it had on disk may know a task and not its queue; a producer tells of that once.
func TestAQueueThatRedisForgotIsListedAgain(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		enqueue(t, rdb, 1, asynq.ProcessIn(time.Hour))
		rdb.Del(t.Context(), "asynq:queues")
		start(t, rdb, func(context.Context, string) error { return nil })
		until(t, "asynq's tools know of it", func() bool { return rdb.SIsMember(t.Context(), "asynq:queues", queueName).Val() })
	})
}

// A delete may wait for Redis for so long that another lead has put the same task meanwhile.
func TestATaskThatALaterLeadMarkedIsNotDropped(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		enqueue(t, rdb, 1, asynq.ProcessIn(time.Hour))
		earlier, later := lease.NewFence(1, nil), lease.NewFence(2, nil)
		there := func() bool { return rdb.Exists(t.Context(), TaskKey(queueName, "t0")).Val() == 1 }
		for _, lead := range []lease.Fence{later, earlier} { // a mark of an earlier lead takes none of a later one away
			if s, marked, err := Mark(t.Context(), rdb, queueName, "t0", lead); err != nil || !marked || s.State != asynq.TaskStateScheduled {
				t.Fatalf("%+v, %t, %v", s, marked, err)
			}
		}
		if err := Drop(t.Context(), rdb, queueName, "t0", earlier); err != nil || !there() {
			t.Errorf("it is there: %t, %v", there(), err)
		}
		if err := Drop(t.Context(), rdb, queueName, "t0", later); err != nil || there() || rdb.ZCard(t.Context(), StateKey(queueName, asynq.TaskStateScheduled)).Val() != 0 {
			t.Errorf("it is there after its own lead dropped it: %t, %v", there(), err)
		}
		if _, marked, err := Mark(t.Context(), rdb, queueName, "t0", later); err != nil || marked {
			t.Errorf("what is gone is marked: %v", err)
		}
	})
}

// The web UI shows the result of a task that is completed. One that was deleted, or lost by Redis, while it was in hand must not have its
// id taken for good by what is left with it.
func TestAResultBringsNoTaskBack(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		begun, end := make(chan string, 2), make(chan struct{})
		var w *worker
		w = start(t, rdb, func(_ context.Context, id string) error {
			begun <- id
			<-end
			w.Result(queueName, id, []byte("done"))
			return nil
		})
		enqueue(t, rdb, 2, asynq.Retention(time.Hour))
		<-begun
		<-begun
		rdb.LRem(t.Context(), key(queueName, "active"), 0, "t1")
		rdb.Del(t.Context(), TaskKey(queueName, "t1"))
		close(end)
		until(t, "nothing is in hand", func() bool {
			w.hands.mu.Lock()
			defer w.hands.mu.Unlock()
			return len(w.hands.have) == 0
		})
		if result := rdb.HGet(t.Context(), TaskKey(queueName, "t0"), "result").Val(); result != "done" {
			t.Errorf("the result of a task that is there is %q", result)
		}
		if cleared, err := ClearHusk(t.Context(), rdb, queueName, "t0"); err != nil || cleared {
			t.Error("a task was cleared away:", cleared, err)
		}
		if rdb.Exists(t.Context(), TaskKey(queueName, "t1")).Val() != 0 {
			t.Error("there is something of a task that was deleted")
		}
		rdb.HSet(t.Context(), TaskKey(queueName, "husk"), "result", "done") // as asynq leaves it
		if cleared, err := ClearHusk(t.Context(), rdb, queueName, "husk"); err != nil || !cleared {
			t.Error("a husk is left:", cleared, err)
		}
	})
}
