package worker

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/redisconn"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/producer"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// unpaced grants every slot at once.
type unpaced struct{}

func (unpaced) Reserve(ctx context.Context) (pace.Grant, error) {
	return pace.Grant{At: time.Now()}, ctx.Err()
}
func (unpaced) Report(_ context.Context, _ pace.Grant, _ pace.Answer) {}

// instant is a DingTalk that answers at once.
type instant struct{}

func (instant) Prepare(context.Context) {}
func (instant) RemoveRoles(context.Context, []int64, []string) (dingtalk.Reply, error) {
	return dingtalk.Reply{RequestID: "r"}, nil
}
func (instant) AddRoles(context.Context, []int64, []string) (dingtalk.Reply, error) {
	return dingtalk.Reply{RequestID: "r"}, nil
}
func (instant) SetScope(context.Context, int64, string, []int64) (dingtalk.Reply, error) {
	return dingtalk.Reply{RequestID: "r"}, nil
}

// cost is what was done so far: scripts run, seconds of processor time of Redis's main thread and of this process.
type cost struct{ scripts, redis, own float64 }

func costOf(b *testing.B, rdb redis.UniversalClient) (c cost) {
	b.Helper()
	info, err := rdb.InfoMap(b.Context(), "commandstats", "cpu").Result()
	if err != nil {
		b.Fatal(err)
	}
	for _, section := range info {
		for name, value := range section {
			switch name {
			case "cmdstat_evalsha", "cmdstat_eval":
				var n float64
				fmt.Sscanf(value, "calls=%g,", &n)
				c.scripts += n
			case "used_cpu_user_main_thread", "used_cpu_sys_main_thread":
				var s float64
				fmt.Sscanf(value, "%g", &s)
				c.redis += s
			}
		}
	}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		b.Fatal(err)
	}
	c.own = float64(own.Utime.Nano()+own.Stime.Nano()) / 1e9
	return c
}

// reportCost says what a batch cost, by the clock, in Redis and here. Scripts of idle lanes are among those counted.
func reportCost(b *testing.B, rdb redis.UniversalClient, before cost) {
	b.Helper()
	after := costOf(b, rdb)
	n := float64(b.N)
	b.ReportMetric(n/b.Elapsed().Seconds(), "batches/s")
	b.ReportMetric((after.scripts-before.scripts)/n, "scripts/batch")
	b.ReportMetric((after.redis-before.redis)/n*1e6, "redis-µs/batch")
	b.ReportMetric((after.own-before.own)/n*1e6, "own-µs/batch")
}

// BenchmarkEngine works through batches of 20 roles × 100 users with a DingTalk that answers at once and no pace, beside
// asynq with an empty handler and the same payloads on the same Redis: the cost of unrole itself.
//
//	go test -run '^$' -bench Engine -benchtime 3000x ./internal/out/worker
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
		rdb := connect(b)
		if err := producer.Enqueue(b.Context(), asynq.NewClientFromRedisClient(rdb), batches("job", b.N), tasks.QueueDefault, time.Time{}); err != nil {
			b.Fatal(err)
		}
		var all sync.WaitGroup
		all.Add(b.N)
		server := asynq.NewServerFromRedisClient(rdb, asynq.Config{Concurrency: handlers, LogLevel: asynq.FatalLevel,
			TaskCheckInterval: 50 * time.Millisecond})
		before := costOf(b, rdb)
		b.ReportAllocs()
		b.ResetTimer()
		if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { all.Done(); return nil })); err != nil {
			b.Fatal(err)
		}
		all.Wait()
		b.StopTimer()
		reportCost(b, rdb, before)
		server.Shutdown()
	})
	run := func(enqueue func(*testing.B, *ledger.Ledger, *asynq.Client)) func(*testing.B) {
		return func(b *testing.B) {
			rdb := connect(b)
			l := ledger.New(rdb, 0)
			enqueue(b, l, asynq.NewClientFromRedisClient(rdb))
			w, err := New(Config{Redis: rdb, DingTalk: instant{}, Pacer: unpaced{}, Ledger: l})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			var running sync.WaitGroup
			before := costOf(b, rdb)
			b.ReportAllocs()
			b.ResetTimer()
			running.Go(func() { w.Run(ctx) })
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for range tick.C {
				if job, err := l.Get(ctx, "job"); err == nil && job.Pairs.Removed == int64(b.N*tasks.MaxRoles*tasks.MaxUsers) {
					break
				}
			}
			b.StopTimer()
			reportCost(b, rdb, before)
			cancel()
			running.Wait()
		}
	}
	b.Run("unrole", run(func(b *testing.B, l *ledger.Ledger, client *asynq.Client) {
		parts := batches("job", b.N)
		_, err := l.Create(b.Context(), ledger.NewJob{JobID: "job", Content: "c", Plan: "p", Parts: len(parts),
			Pairs: len(parts) * tasks.MaxRoles * tasks.MaxUsers, CreatedAt: time.Now()})
		for chunk := range slices.Chunk(parts, 500) {
			if err == nil {
				_, err = l.PutParts(b.Context(), "job", "p", chunk)
			}
		}
		if err == nil {
			err = l.Planned(b.Context(), "job", "p", len(parts))
		}
		if err == nil {
			err = producer.Enqueue(b.Context(), client, parts, tasks.QueueDefault, time.Time{})
		}
		if err == nil {
			err = l.Submitted(b.Context(), "job")
		}
		if err != nil {
			b.Fatal(err)
		}
	}))
	b.Run("unrole, tasks put straight into the queue", run(func(b *testing.B, _ *ledger.Ledger, client *asynq.Client) {
		if err := producer.Enqueue(b.Context(), client, batches("job", b.N), tasks.QueueDefault, time.Time{}); err != nil {
			b.Fatal(err)
		}
	}))
}

// connect returns a client of a fresh redis-server, as the commands make it.
func connect(b *testing.B) redis.UniversalClient {
	b.Helper()
	target, err := redisconn.Parse(redistest.Start(b).URL())
	if err != nil {
		b.Fatal(err)
	}
	rdb := target.Client()
	b.Cleanup(func() { rdb.Close() })
	return rdb
}
