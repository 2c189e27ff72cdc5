package queue

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/test/redistest"
)

func TestABurstIsTakenInFewRoundTripsAndInItsOrder(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		const n = 10 * takeAtOnce
		enqueue(t, rdb, n)
		w := start(t, rdb, func(context.Context, string) error { return nil })
		until(t, "all are done", func() bool { return info(t, rdb).Processed == n })
		for i, id := range w.took.get() {
			if want := fmt.Sprint("t", i); id != want {
				t.Fatalf("task %d was %s, want %s", i, id, want)
			}
		}
		// Handlers that end one by one have one task taken each, at worst; here they end at once.
		if looks := w.looks.Load(); looks > n/4 {
			t.Errorf("%d tasks took %d looks", n, looks)
		}
	})
}

// asynq's tools call a task orphaned whose lease has ended, and asynq keeps the leases of those only that it was told of.
func TestWhatWasTakenAheadIsNotOrphanedWhileNoHandlerEnds(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		enqueue(t, rdb, handlers+spare+1)
		w := start(t, rdb, func(ctx context.Context, id string) error {
			if id == "t0" {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		})
		until(t, "more is taken than there are handlers", func() bool { return len(w.hands.waiting(queueName)) == spare })
		for _, id := range w.hands.waiting(queueName) {
			rdb.ZAdd(t.Context(), key(queueName, "lease"), redis.Z{Member: id, Score: 1})
		}
		if _, err := w.sweepQueue(t.Context(), queueName, nil); err != nil {
			t.Fatal(err)
		}
		active, err := asynq.NewInspectorFromRedisClient(rdb).ListActiveTasks(queueName, asynq.PageSize(handlers+spare))
		if err != nil || len(active) != handlers+spare {
			t.Fatalf("%d are active: %v", len(active), err)
		}
		for _, one := range active {
			if one.IsOrphaned {
				t.Errorf("%s is orphaned", one.ID)
			}
		}
	})
}

// Nobody asks for what was taken ahead any more, once its lane is paused or the worker stops.
func TestWhatWasTakenAheadGoesBack(t *testing.T) {
	for name, leave := range map[string]func(*worker, *redis.Client){
		"paused":  func(w *worker, rdb *redis.Client) { rdb.Set(context.Background(), key(queueName, "paused"), 1, 0) },
		"stopped": func(w *worker, _ *redis.Client) { w.stop() },
		"lost": func(w *worker, rdb *redis.Client) {
			rdb.Set(context.Background(), fenceKey(queueName), 1<<60, 0)
			w.refused(w.Fence())
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, rdb := redistest.Memory(t)
			w := start(t, rdb, func(ctx context.Context, _ string) error {
				<-ctx.Done()
				return ctx.Err()
			})
			until(t, "the worker leads", func() bool { return w.Held() })
			// As many as there are handlers, and then some that nobody can take yet.
			enqueue(t, rdb, handlers)
			until(t, "all handlers are busy", func() bool { return len(w.took.get()) == handlers })
			w.hands.keep(queueName, pendingAsActive(t, rdb, 30))
			leave(w, rdb)
			until(t, "nothing is in hand", func() bool {
				w.hands.mu.Lock()
				defer w.hands.mu.Unlock()
				return len(w.hands.have) == 0 && len(w.hands.ahead) == 0
			})
			if name == "lost" {
				return // its successor has put them back
			}
			until(t, "all are pending", func() bool { return info(t, rdb).Active == 0 })
			var pending []string
			for _, id := range rdb.LRange(t.Context(), key(queueName, "pending"), 0, -1).Val() {
				if id[0] == 'a' {
					pending = append(pending, id)
				}
			}
			slices.Reverse(pending)
			if want := aheadIDs(30); !slices.Equal(pending, want) {
				t.Errorf("pending are %v, want %v", pending, want)
			}
		})
	}
}

func aheadIDs(n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprint("a", i))
	}
	return ids
}

// pendingAsActive has Redis hand out tasks that are there besides, as a look that takes several does.
func pendingAsActive(t *testing.T, rdb *redis.Client, n int) (msgs []string) {
	t.Helper()
	client := asynq.NewClientFromRedisClient(rdb)
	for _, id := range aheadIDs(n) {
		if _, err := client.Enqueue(asynq.NewTask("t", nil), asynq.Queue(queueName), asynq.TaskID(id)); err != nil {
			t.Fatal(err)
		}
		rdb.LMove(t.Context(), key(queueName, "pending"), key(queueName, "active"), "LEFT", "LEFT")
		rdb.HSet(t.Context(), TaskKey(queueName, id), "state", "active")
		rdb.ZAdd(t.Context(), key(queueName, "lease"), redis.Z{Score: 1 << 40, Member: id})
		msgs = append(msgs, rdb.HGet(t.Context(), TaskKey(queueName, id), "msg").Val())
	}
	return msgs
}
