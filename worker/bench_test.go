package worker

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/unrole/unrole/internal/dingtalk"
	"github.com/unrole/unrole/internal/ledger"
	"github.com/unrole/unrole/internal/pace"
	"github.com/unrole/unrole/internal/producer"
	"github.com/unrole/unrole/internal/redistest"
	"github.com/unrole/unrole/tasks"
)

// unpaced grants every slot at once.
type unpaced struct{}

func (unpaced) Reserve(ctx context.Context) (pace.Grant, error)        { return pace.Grant{}, ctx.Err() }
func (unpaced) Report(_ context.Context, _ pace.Grant, _ pace.Outcome) {}

// instant is a DingTalk that answers at once.
type instant struct{}

func (instant) Prepare(context.Context) {}
func (instant) RemoveRoles(context.Context, []int64, []string) (dingtalk.Reply, error) {
	return dingtalk.Reply{RequestID: "r"}, nil
}

// BenchmarkEngine works through batches of 20 roles × 100 users with a DingTalk that answers at once and no pace, beside
// asynq with an empty handler and the same payloads on the same Redis: the cost of unrole itself.
//
//	go test -run '^$' -bench Engine -benchtime 3000x ./worker
func BenchmarkEngine(b *testing.B) {
	batches := func(job string, n int) []tasks.Part {
		users := names("u", tasks.MaxUsers)
		parts := make([]tasks.Part, n)
		for i := range parts {
			roles := make([]int64, tasks.MaxRoles)
			for r := range roles {
				roles[r] = int64(i*tasks.MaxRoles + r + 1)
			}
			parts[i] = tasks.Part{JobID: job, Part: fmt.Sprint(i), RoleIDs: roles, UserIDs: users}
		}
		return parts
	}
	b.Run("empty handler", func(b *testing.B) {
		rdb := redistest.Start(b).Client()
		if err := producer.Enqueue(b.Context(), asynq.NewClientFromRedisClient(rdb), batches("job", b.N), tasks.QueueDefault, time.Time{}); err != nil {
			b.Fatal(err)
		}
		var all sync.WaitGroup
		all.Add(b.N)
		server := asynq.NewServerFromRedisClient(rdb, asynq.Config{Concurrency: handlers[tasks.QueueDefault], LogLevel: asynq.FatalLevel,
			TaskCheckInterval: 50 * time.Millisecond})
		b.ResetTimer()
		if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { all.Done(); return nil })); err != nil {
			b.Fatal(err)
		}
		all.Wait()
		b.StopTimer()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "batches/s")
		server.Shutdown()
	})
	b.Run("unrole", func(b *testing.B) {
		rdb := redistest.Start(b).Client()
		l := ledger.New(rdb, 0)
		if err := producer.Enqueue(b.Context(), asynq.NewClientFromRedisClient(rdb), batches("job", b.N), tasks.QueueDefault, time.Time{}); err != nil {
			b.Fatal(err)
		}
		w, err := New(Config{Redis: rdb, DingTalk: instant{}, Pacer: unpaced{}, Ledger: l})
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		var running sync.WaitGroup
		b.ResetTimer()
		running.Go(func() { w.Run(ctx) })
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if job, err := l.Get(ctx, "job"); err == nil && job.Pairs.Removed == int64(b.N*tasks.MaxRoles*tasks.MaxUsers) {
				break
			}
		}
		b.StopTimer()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "batches/s")
		cancel()
		running.Wait()
	})
}
