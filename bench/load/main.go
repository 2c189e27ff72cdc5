// Command load measures what the engine does where DingTalk sets no limit: so many producers submit single removals as fast as they
// can, no two of which can share a call, then one engine works through them. It says what a finished one leaves in Redis, and
// what a batch of a large job does.
//
//	go run ./bench/load
//	go run ./bench/load -removals 20000 -producers 4
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/unrole/unrole/bench/internal/rig"
	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/tasks"
)

// unlimited is a pace that nothing here reaches, in calls a second.
const unlimited = 1_000_000

func main() {
	url := rig.RedisFlag()
	removals := flag.Int("removals", 100_000, "single removals, each a job of its own")
	producers := flag.Int("producers", 16, "producers that submit them, each with a client of its own")
	batches := flag.Int("batches", 1000, "batches of the large job")
	flag.Parse()
	rig.MainWithRedis(*url, func(ctx context.Context, store *rig.Redis, rdb *redis.Client) error {
		return run(ctx, store, rdb, *removals, *producers, *batches)
	})
}

func run(ctx context.Context, store *rig.Redis, rdb *redis.Client, removals, producers, batches int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	empty, err := used(ctx, rdb)
	if err != nil {
		return err
	}

	took, err := submit(ctx, store, removals, producers)
	if err != nil {
		return err
	}
	fmt.Printf("%d single removals of %d producers: submitted in %.1f s, %.0f a second\n", removals, producers, took.Seconds(), float64(removals)/took.Seconds())

	sim := simulator.New(simulator.Options{Open: true, QPS: unlimited, KeepCalls: -1})
	server := httptest.NewServer(sim)
	defer server.Close()
	working, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	began := time.Now()
	if err := rig.Engines(working, &running, rdb, 1, unlimited, server.URL, nil); err != nil {
		return err
	}
	l := ledger.New(rdb, 0)
	if err := untilAllEnded(ctx, l); err != nil {
		return err
	}
	calls, lasted := sim.Stats().Removals, time.Since(began)
	fmt.Printf("worked through in %.1f s by %d calls, %.0f a second\n", lasted.Seconds(), calls, float64(calls)/lasted.Seconds())
	full, err := used(ctx, rdb)
	if err != nil {
		return err
	}
	fmt.Printf("a finished one leaves %d bytes in Redis, its task included\n", (full-empty)/int64(removals))
	return large(ctx, rdb, l, batches)
}

// submit has producers submit single removals, and says how long they took.
func submit(ctx context.Context, store *rig.Redis, removals, producers int) (time.Duration, error) {
	began := time.Now()
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range producers {
		g.Go(func() error {
			rdb := store.Client()
			defer rdb.Close()
			client, err := enqueue.NewClient(enqueue.Config{Redis: rdb})
			if err != nil {
				return err
			}
			for n := next.Add(1); n <= int64(removals); n = next.Add(1) {
				r := &enqueue.Removals{}
				r.Add(fmt.Sprintf("user%06d", n), n) // a role of its own
				if _, err := client.Submit(ctx, enqueue.Submission{JobID: fmt.Sprintf("load-%06d", n), Removals: r}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := g.Wait()
	return time.Since(began), err
}

func untilAllEnded(ctx context.Context, l *ledger.Ledger) error {
	for {
		open := 0
		for _, err := range l.Open(ctx) {
			if err != nil {
				return err
			}
			open++
			break
		}
		if open == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// large measures what the record of a job keeps of a batch that is over, besides its definition.
func large(ctx context.Context, rdb *redis.Client, l *ledger.Ledger, batches int) error {
	client, err := enqueue.NewClient(enqueue.Config{Redis: rdb})
	if err != nil {
		return err
	}
	r := &enqueue.Removals{}
	for u := range batches * tasks.MaxUsers {
		for role := range int64(tasks.MaxRoles) {
			r.Add(fmt.Sprintf("user%06d", u), role+1)
		}
	}
	if _, err := client.Submit(ctx, enqueue.Submission{JobID: "large", Removals: r, MaxUsers: -1}); err != nil {
		return err
	}
	if _, err := l.Watch(ctx, "large", 100*time.Millisecond, func(ledger.Job, error) error { return nil }); err != nil {
		return err
	}
	size := func(key string) int64 { return rdb.MemoryUsage(ctx, key, 0).Val() / int64(batches) }
	const job = "unrole:job:{large}"
	states, err := rdb.HGetAll(ctx, job+":state").Result()
	if err != nil {
		return err
	}
	written := 0
	for part, state := range states {
		written += len(part) + len(state)
	}
	fmt.Printf("a finished batch of %d: %d bytes of state, %d with what Redis adds; %d of the audit trail, %d of what it is about\n", batches,
		written/batches, size(job+":state"), size(job+":audit"), size(job+":parts"))
	return nil
}

// used is what Redis needs for its data, in bytes.
func used(ctx context.Context, rdb *redis.Client) (int64, error) {
	info, err := rdb.InfoMap(ctx, "memory").Result()
	if err != nil {
		return 0, err
	}
	var n int64
	_, err = fmt.Sscan(info["Memory"]["used_memory_dataset"], &n)
	return n, err
}
