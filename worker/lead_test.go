package worker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/dingtalk/dingtalktest"
	"github.com/unrole/unrole/internal/redistest"
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

// single submits one removal that is a job of its own.
func (w *world) single(jobID, user string) {
	w.Helper()
	w.submit(jobID, []string{user}, roleIDs(1))
}

// Removals share calls only where they wait together: a burst needs as few with several workers as with one.
func TestOneOfSeveralWorkersTakesTheDefaultLane(t *testing.T) {
	const people = 60
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		w := newWorld(t, rdb, dingtalktest.Options{Open: true})
		first, stop := w.workOver()
		w.until(func() bool { return rdb.Exists(t.Context(), leadKey).Val() == 1 })
		second, _ := w.workOver()
		burst := func(name string) {
			for i := range people {
				w.single(fmt.Sprint(name, i), fmt.Sprint("u", i))
			}
			for i := range people {
				w.finished(fmt.Sprint(name, i))
			}
		}
		burst("a")
		if n := second.calls.Load(); n != 0 || first.calls.Load() == 0 {
			t.Errorf("%d calls by the worker that leads, %d by the one that stands by", first.calls.Load(), n)
		}
		stop() // and the other one takes over, at once and not when the lease ends
		burst("b")
		if second.calls.Load() == 0 {
			t.Error("who stood by took nothing over")
		}
	})
}

// A worker that was killed gives nothing back.
func TestAKilledLeaderIsSucceeded(t *testing.T) {
	memory, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, dingtalktest.Options{Open: true})
	killed := newLead(rdb, zerolog.Nop())
	killed.take(t.Context())
	w.work()
	w.single("left", "u1")
	w.until(func() bool {
		info, err := newInspector(rdb).GetQueueInfo(tasks.QueueDefault)
		return err == nil && info.Pending == 1
	})
	memory.FastForward(leadTTL)
	w.finished("left")
}

// The way to DingTalk may be closed to one worker alone, and to the one that leads.
func TestALeaderThatDingTalkDoesNotAnswerResigns(t *testing.T) {
	rdb := redistest.Start(t).Client()
	w := newWorld(t, rdb, dingtalktest.Options{Open: true})
	first, _ := w.workOver()
	first.cut.Store(true)
	w.until(func() bool { return rdb.Exists(t.Context(), leadKey).Val() == 1 })
	second, _ := w.workOver()
	w.single("stranded", "u1")
	w.finished("stranded")
	if second.calls.Load() == 0 {
		t.Error("nobody else could have made the call")
	}
}

// The lead saves calls and nothing more: where it cannot be asked for, removals go on.
func TestWhoCannotAskLeads(t *testing.T) {
	memory, rdb := redistest.Memory(t)
	newLead(rdb, zerolog.Nop()).take(t.Context())
	l := newLead(rdb, zerolog.Nop())
	l.take(t.Context())
	if l.leads.Load() {
		t.Fatal("two lead")
	}
	memory.SetError("OOM command not allowed when used memory > 'maxmemory'")
	l.take(t.Context())
	if !l.leads.Load() {
		t.Error("nobody takes the tasks of the lane")
	}
}

// What the hook recognises is asynq's own; this is what fails when asynq changes it.
func TestAStandByLooksForNoTaskOfTheLane(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		held := newLead(rdb, zerolog.Nop())
		looks := map[string]*atomic.Int32{tasks.QueueDefault: {}, tasks.QueueUrgent: {}}
		own, closeOwn := steady(rdb, t.Context(), held)
		defer closeOwn()
		own.AddHook(watching(func(cmd redis.Cmder) {
			for queue, n := range looks {
				if looksForTask(cmd, queue) {
					n.Add(1)
				}
			}
		}))
		client := asynq.NewClientFromRedisClient(rdb)
		done := make(chan string, 4)
		server := asynq.NewServerFromRedisClient(own, asynq.Config{Queues: map[string]int{tasks.QueueDefault: 2, tasks.QueueUrgent: 1}, StrictPriority: true,
			TaskCheckInterval: 1, LogLevel: asynq.FatalLevel})
		for _, queue := range []string{tasks.QueueDefault, tasks.QueueUrgent} {
			if _, err := client.Enqueue(asynq.NewTask("t", nil), asynq.Queue(queue)); err != nil {
				t.Fatal(err)
			}
		}
		if err := server.Start(asynq.HandlerFunc(func(ctx context.Context, _ *asynq.Task) error {
			queue, _ := asynq.GetQueueName(ctx)
			done <- queue
			return nil
		})); err != nil {
			t.Fatal(err)
		}
		defer server.Shutdown()
		if queue := <-done; queue != tasks.QueueUrgent {
			t.Errorf("a task of %s was taken", queue)
		}
		if looks[tasks.QueueDefault].Load() != 0 || looks[tasks.QueueUrgent].Load() == 0 {
			t.Errorf("%d looks at the lane of another worker, %d at one for all", looks[tasks.QueueDefault].Load(), looks[tasks.QueueUrgent].Load())
		}
		held.leads.Store(true)
		if queue := <-done; queue != tasks.QueueDefault {
			t.Errorf("a task of %s was taken", queue)
		}
	})
}

// watching is a hook that sees every command.
type watching func(redis.Cmder)

func (w watching) DialHook(next redis.DialHook) redis.DialHook { return next }

func (w watching) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (w watching) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		w(cmd)
		return next(ctx, cmd)
	}
}
