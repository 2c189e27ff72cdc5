package queue

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/unrole/unrole/internal/base/lease"
	"github.com/unrole/unrole/internal/base/redisconn"
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
	if l.Breaks() == 0 {
		t.Error("nobody looks for what may have been lost before it")
	}
}

// A task may be on its way to a worker that is asked to give everything back.
func TestATaskThatComesWhenEverythingGoesBackGoesBackToo(t *testing.T) {
	h := newHands()
	come := func(id string) error {
		h.keep("bulk", []string{string(protowire.AppendString(protowire.AppendTag(nil, fieldID, protowire.BytesType), id))})
		h.next("bulk")
		ctx, cancel := h.begun(t.Context(), task{"bulk", id})
		defer cancel(nil)
		return context.Cause(ctx)
	}
	for _, why := range []error{errHanded, errLost, ErrReplaced} {
		h.leave("", why)
		if got := come("late"); !errors.Is(got, why) {
			t.Errorf("it is in hand although %v: %v", why, got)
		}
	}
	h.open()
	if got := come("of the next term"); got != nil {
		t.Errorf("a task of the next term goes back: %v", got)
	}
}

// A Redis that was started again, or a replica, may have lost what a task came to. Whoever did not notice that yet neither ends the task
// there nor enqueues what follows from it: it is taken once more.
func TestNoTaskEndsOnAnotherServerThanItWasTakenFrom(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client()
	var w *worker
	tries := 0
	ready := make(chan struct{})
	w = start(t, rdb, func(context.Context, string) error {
		<-ready
		if tries++; tries == 1 {
			w.update(func() { w.fence = lease.NewFence(w.number, []string{"before"}) })
			child := asynq.NewClientFromRedisClient(w.connection())
			if _, err := child.Enqueue(asynq.NewTask("t", nil), asynq.Queue(queueName), asynq.TaskID("child")); err == nil {
				t.Error("a child was enqueued there")
			}
		}
		return nil
	})
	close(ready)
	enqueue(t, rdb, 1)
	until(t, "the task is done", func() bool { return info(t, rdb).Processed > 0 })
	if tries != 2 || rdb.Exists(t.Context(), TaskKey(queueName, "child")).Val() != 0 {
		t.Errorf("the task was worked on %d times, want twice, and what follows is enqueued: %d", tries, rdb.Exists(t.Context(), TaskKey(queueName, "child")).Val())
	}
}

// Behind a proxy Redis may name one server to its clients and another one to scripts. That is no reason to take the lead again and again:
// one in two terms goes without the servers. And each is a new one, however long the handlers of the last one took.
func TestAWorkerToWhichRedisNamesAnotherServerThanToScriptsGoesOn(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client()
	var w *worker
	ready := make(chan struct{})
	terms := make(chan int64, 2)
	w = start(t, rdb, func(ctx context.Context, _ string) error {
		<-ready
		select {
		case terms <- w.Number():
		default:
		}
		if fence := w.Fence(); strings.Contains(string(fence), "@") { // a record refuses it
			w.Replaced(fence)
			<-ctx.Done()
			<-time.After(leadTTL)
			return ctx.Err()
		}
		return nil
	})
	close(ready)
	enqueue(t, rdb, 1, asynq.MaxRetry(10))
	until(t, "the task is done", func() bool {
		return info(t, rdb).Processed == 1 && info(t, rdb).Active == 0 && info(t, rdb).Pending == 0
	})
	if first, second := <-terms, <-terms; second <= first {
		t.Errorf("after term %d comes %d", first, second)
	}
}

// What comes late of a term that a restart of Redis ended says nothing about the next one, which has the servers all the same.
func TestWhatIsRefusedLateOfATermIsOfThatTerm(t *testing.T) {
	t.Parallel()
	lead := New(Config{Redis: redistest.Start(t).Client(), Queues: []string{queueName}})
	before := lease.NewFence(1, []string{"before"})
	lead.update(func() { lead.number, lead.fence = 1, before })
	lead.Replaced(before)
	lead.lose(t.Context())
	lead.Replaced(before)
	for term := int64(2); term <= 3; term++ {
		if !lead.takeOver(t.Context(), term, time.Now()) || !strings.Contains(string(lead.Fence()), "@") {
			t.Errorf("the fence of term %d is %s, without the servers", term, lead.Fence())
		}
		lead.lose(t.Context()) // to another worker
	}
}

// A node of a Cluster that does not answer is left out: whoever waited for it would have lost the lead meanwhile.
func TestANodeThatDoesNotAnswerKeepsNobodyFromTheLead(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	cluster := redis.NewClusterClient(&redis.ClusterOptions{ContextTimeoutEnabled: true, ClusterSlots: func(context.Context) ([]redis.ClusterSlot, error) {
		return []redis.ClusterSlot{{Start: 0, End: 16382, Nodes: []redis.ClusterNode{{Addr: server.Addr}}},
			{Start: 16383, End: 16383, Nodes: []redis.ClusterNode{{Addr: silent.Addr().String()}}}}, nil
	}})
	defer cluster.Close()
	// go-redis asks one of the nodes, by chance, what commands there are, until one has told it.
	until(t, "the client knows its commands", func() bool {
		began := time.Now()
		return cluster.Exists(t.Context(), key(queueName, "pending")).Err() == nil && time.Since(began) < time.Second
	})
	lead, asked := New(Config{Redis: cluster, Queues: []string{queueName}}), time.Now()
	if !lead.takeOver(t.Context(), 1, asked) || !lead.Held() {
		t.Errorf("after %v the lead is not held", time.Since(asked))
	}
}

// A script may wait until Redis is back, and the lead be lost and taken again meanwhile. Its refusal is an answer, which is not
// asked for again, and no word about the new term.
func TestAScriptOfAnEarlierTermIsAnsweredAndEndsNoLaterTerm(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		w := start(t, rdb, func(context.Context, string) error { return nil })
		until(t, "the worker leads", func() bool { return w.Held() })
		earlier := lease.NewFence(w.Number()-1, nil)
		err := rdb.Eval(t.Context(), newScript(fencePrelude).source, []string{fenceKey(queueName)}, string(earlier)).Err()
		if r, refused := redisconn.Explain(err); !isStale(err) || refused {
			t.Errorf("%v is taken for a refusal of Redis: %q", err, r.Code)
		}
		if w.refused(earlier); !w.Held() {
			t.Error("the new term ended")
		}
	})
}

// Somebody moves a task in the web UI that is in hand, and it is taken once more: the context of its first handler is nobody's to end.
func TestWhoWaitsForTheEndOfATermGoesOnThen(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		w := start(t, rdb, func(context.Context, string) error { return nil })
		until(t, "the worker leads", func() bool { return w.Held() })
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.Outlive(context.Background(), w.Fence())
		}()
		w.refused(w.Fence())
		<-ended
	})
}
