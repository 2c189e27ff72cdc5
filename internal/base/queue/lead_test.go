package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/base/lease"
	"github.com/unrole/unrole/internal/test/redistest"
)

// ids collects what handlers were given.
type ids struct {
	mu   sync.Mutex
	list []string
}

func (s *ids) add(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, id)
}

func (s *ids) get() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

// crash leaves tasks in the hands of a worker that is gone.
func crash(t *testing.T, rdb *redis.Client, n int) {
	t.Helper()
	before := New(Config{Redis: rdb, Queues: []string{queueName}})
	if term, err := before.lease.Take(t.Context()); err != nil || !before.takeOver(t.Context(), term.Number, time.Now()) {
		t.Fatal("no lead to crash with", err)
	}
	enqueue(t, rdb, n)
	for range n {
		id := rdb.LMove(t.Context(), key(queueName, "pending"), key(queueName, "active"), "RIGHT", "LEFT").Val()
		rdb.HSet(t.Context(), TaskKey(queueName, id), "state", "active")
		rdb.ZAdd(t.Context(), key(queueName, "lease"), redis.Z{Score: float64(time.Now().Add(time.Hour).Unix()), Member: id})
	}
}

func TestWhatALostWorkerHadInHandsIsTakenAgainInItsOrder(t *testing.T) {
	for _, lost := range []struct {
		name string
		more func(context.Context, *redis.Client)
	}{
		{"killed", func(context.Context, *redis.Client) {}},
		{"and its leases gone", func(ctx context.Context, rdb *redis.Client) { rdb.Del(ctx, key(queueName, "lease")) }},
	} {
		t.Run(lost.name, func(t *testing.T) {
			redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
				t.Parallel()
				crash(t, rdb, 20)
				lost.more(t.Context(), rdb)
				rdb.Del(t.Context(), leadKey) // its time has come
				next := start(t, rdb, func(context.Context, string) error { return nil })
				until(t, "all are done", func() bool { return info(t, rdb).Processed == 20 })
				until(t, "nothing is active", func() bool { return info(t, rdb).Active == 0 })
				if i := info(t, rdb); i.Archived+i.Retry+i.Pending != 0 || i.Failed != 0 {
					t.Errorf("got %+v, want nothing left and nothing spent", i)
				}
				want := make([]string, 20)
				for i := range want {
					want[i] = fmt.Sprint("t", i)
				}
				if got := next.took.get(); !slices.Equal(got, want) {
					t.Errorf("they were taken as %v", got)
				}
			})
		})
	}
}

// The lead passes on within three seconds, and who has lost it can neither end nor repeat what is another one's by now.
func TestWhoLostTheLeadEndsNothing(t *testing.T) {
	ways := map[string]struct {
		err  error
		opts []asynq.Option
	}{
		"done": {}, "completed": {opts: []asynq.Option{asynq.Retention(time.Hour)}},
		"retried": {err: errors.New("busy")}, "archived": {err: asynq.SkipRetry},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
				t.Parallel()
				begun, end := make(chan struct{}), make(chan struct{})
				first := start(t, rdb, func(ctx context.Context, id string) error {
					close(begun)
					<-end
					return way.err
				})
				enqueue(t, rdb, 1, way.opts...)
				<-begun
				// Somebody else takes the lead: to the first worker that is as if it had been frozen in between.
				rdb.Del(t.Context(), leadKey)
				other := New(Config{Redis: rdb, Queues: []string{queueName}})
				term, err := other.lease.Take(t.Context())
				if err != nil || !other.takeOver(t.Context(), term.Number, time.Now()) {
					t.Fatal("not taken over", err)
				}
				if n := info(t, rdb).Pending; n != 1 {
					t.Fatalf("%d tasks are pending", n)
				}
				rdb.LMove(t.Context(), key(queueName, "pending"), key(queueName, "active"), "RIGHT", "LEFT")
				close(end)
				until(t, "the first worker has nothing in hand", func() bool { return first.Number() == 0 })
				if i := info(t, rdb); i.Active != 1 || i.Completed+i.Retry+i.Archived+i.Processed != 0 {
					t.Errorf("got %+v, want the task with its new worker", i)
				}
				if err := other.lease.End(t.Context()); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// A handler learns that its task is another worker's.
func TestALostLeadEndsTheHandlersContext(t *testing.T) {
	_, rdb := redistest.Memory(t)
	cause := make(chan error, 1)
	first := start(t, rdb, func(ctx context.Context, id string) error {
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return ctx.Err()
	})
	enqueue(t, rdb, 1)
	until(t, "it is active", func() bool { return info(t, rdb).Active == 1 })
	rdb.Del(t.Context(), leadKey)
	if _, err := lease.New(rdb, leadKey, time.Hour).Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-cause; !errors.Is(err, errLost) {
		t.Errorf("the context ended because of %v", err)
	}
	if first.Held() {
		t.Error("who lost the lead holds it")
	}
}

func TestWhoStopsHandsOverAtOnce(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		const n = 50
		waits := func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }
		first := start(t, rdb, waits)
		until(t, "it leads", first.Held)
		var got ids
		start(t, rdb, func(_ context.Context, id string) error { got.add(id); return nil })
		enqueue(t, rdb, n)
		until(t, "all wait in the first worker", func() bool { return info(t, rdb).Active == n })
		began := time.Now()
		first.stop()
		until(t, "all are done by the second", func() bool { return len(got.get()) == n })
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it took %v", took)
		}
		until(t, "nothing is active", func() bool { return info(t, rdb).Active == 0 })
		if i := info(t, rdb); i.Retry+i.Archived != 0 || i.Failed != 0 {
			t.Errorf("got %+v, want no retry spent", i)
		}
	})
}

// Pausing a lane in the web UI stops the next look of asynq's; what waits has to go back.
func TestAPausedLaneIsPutBack(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		inspector := asynq.NewInspectorFromRedisClient(rdb)
		start(t, rdb, func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() })
		enqueue(t, rdb, 20)
		until(t, "all are in hand", func() bool { return info(t, rdb).Active == 20 })
		if err := inspector.PauseQueue(queueName); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		until(t, "all are pending", func() bool { return info(t, rdb).Pending == 20 })
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it took %v", took)
		}
		want := make([]string, 20) // from the left: the last comes in first
		for i := range want {
			want[i] = fmt.Sprint("t", 19-i)
		}
		if got := rdb.LRange(t.Context(), key(queueName, "pending"), 0, -1).Val(); !slices.Equal(got, want) {
			t.Errorf("they are back as %v", got)
		}
		if err := inspector.UnpauseQueue(queueName); err != nil {
			t.Fatal(err)
		}
		until(t, "all are taken again", func() bool { return info(t, rdb).Active == 20 })
	})
}

// What was to be put back when a lead ended is pending since, and may be in hand again in the next one.
func TestANewLeadPutsBackNothingOfTheLastOne(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := New(Config{Redis: rdb, Queues: []string{queueName}, Log: zerolog.Nop()})
	l.putBack(task{queueName, "t0"})
	if !l.takeOver(t.Context(), 2, time.Now()) {
		t.Fatal("no lead")
	}
	if len(l.returned) > 0 {
		t.Errorf("%v would be put back", l.returned)
	}
}
