package queue

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/rs/zerolog"
)

// worker is a lead with an asynq server of one queue.
type worker struct {
	*Lead
	stop  func()
	sent  atomic.Int64 // commands of asynq's connection that reached Redis
	looks atomic.Int64 // for tasks, that Redis answered
	lose  atomic.Bool  // replies to looks for tasks do not arrive
	took  ids          // in the order in which Redis gave them out; handlers begin in any
}

const queueName = "q"

func newRedis(rdb *redis.Client) *redis.Client {
	opt := *rdb.Options()
	opt.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(&opt)
}

// handlers is how many tasks a worker works on at once.
const handlers = 100

// start starts a worker whose handler is handle.
func start(t *testing.T, rdb *redis.Client, handle func(ctx context.Context, id string) error) *worker {
	t.Helper()
	log := zerolog.Nop()
	if os.Getenv("UNROLE_TEST_LOG") != "" {
		log = zerolog.New(zerolog.NewTestWriter(t)).With().Timestamp().Logger()
	}
	w := &worker{Lead: New(Config{Redis: rdb, Queues: []string{queueName}, Handlers: handlers, CheckInterval: time.Second, Log: log})}
	conn := newRedis(rdb)
	conn.AddHook(w.Lead)
	conn.AddHook(network{w})
	w.Connected(conn)
	ctx, cancel := context.WithCancel(context.Background())
	ending, end := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx, ending) })
	server := asynq.NewServerFromRedisClient(conn, asynq.Config{Queues: map[string]int{queueName: 1}, Concurrency: handlers, TaskCheckInterval: TaskCheckInterval,
		DelayedTaskCheckInterval: 100 * time.Millisecond, LogLevel: asynq.DebugLevel, Logger: Logger{log}, ShutdownTimeout: 5 * time.Second,
		RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return time.Second }})
	if err := server.Start(w.Handler(asynq.HandlerFunc(func(ctx context.Context, _ *asynq.Task) error {
		id, _ := asynq.GetTaskID(ctx)
		return handle(ctx, id)
	}))); err != nil {
		t.Fatal(err)
	}
	w.stop = sync.OnceFunc(func() {
		cancel()
		server.Shutdown()
		running.Wait()
		end()
		conn.Close()
		w.Close()
	})
	t.Cleanup(w.stop)
	return w
}

// network counts the commands that pass it, and loses replies.
type network struct{ *worker }

func (h network) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h network) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h network) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.sent.Add(1)
		err := next(ctx, cmd)
		if args := cmd.Args(); err != nil || len(args) < 5 || args[4] != "asynq:{q}:paused" {
			return err
		}
		if h.lose.Swap(false) {
			return io.ErrUnexpectedEOF
		}
		msgs, _ := cmd.(*redis.Cmd).StringSlice()
		h.looks.Add(1)
		for _, msg := range msgs {
			if id, _, ok := ours([]byte(msg)); ok {
				h.took.add(id)
			}
		}
		return nil
	}
}

func enqueue(t *testing.T, rdb *redis.Client, n int, opts ...asynq.Option) {
	t.Helper()
	client := asynq.NewClientFromRedisClient(rdb)
	for i := range n {
		all := append([]asynq.Option{asynq.Queue(queueName), asynq.TaskID(fmt.Sprint("t", i)), asynq.MaxRetry(0)}, opts...)
		if _, err := client.Enqueue(asynq.NewTask("t", nil), all...); err != nil {
			t.Fatal(err)
		}
	}
}

// until waits until a condition holds that Redis shows.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not come to pass that " + what)
		}
	}
}

func info(t *testing.T, rdb *redis.Client) *asynq.QueueInfo {
	t.Helper()
	i, err := asynq.NewInspectorFromRedisClient(rdb).GetQueueInfo(queueName)
	if err != nil {
		t.Fatal(err)
	}
	return i
}
