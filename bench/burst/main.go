// Command burst measures removals that arrive one user at a time: each is a job of its own, submitted to real workers at 20
// calls a second. A mass lay-off, 2,000 within two seconds, shows how they share calls, by what one plan of all of them
// needs; a trickle that the pace just bears shows how long one of them waits.
//
//	go run ./bench/burst
//	go run ./bench/burst -people 600 -within 36s -workers 4
//	go run ./bench/burst -busy 0.5
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/unrole/unrole/bench/internal/rig"
	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/in/cover"
	"github.com/unrole/unrole/internal/in/cover/covertest"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/tasks"
)

func main() {
	url := rig.RedisFlag()
	people := flag.Int("people", 2000, "removals, each of one user")
	within := flag.Duration("within", 2*time.Second, "time in which they are submitted, evenly")
	workers := flag.Int("workers", 1, "workers, each with a client and a pacer of its own")
	lane := flag.String("lane", tasks.QueueDefault, "lane of all of them: "+strings.Join(tasks.Lanes(), ", "))
	seed := flag.Uint64("seed", 1, "seed of the company")
	busy := flag.Float64("busy", 0, "share of calls that DingTalk is too busy for")
	flag.Parse()
	rig.MainWithRedis(*url, func(ctx context.Context, _ *rig.Redis, rdb *redis.Client) error {
		return run(ctx, rdb, *lane, *people, *within, *workers, *seed, *busy)
	})
}

func run(ctx context.Context, rdb *redis.Client, lane string, people int, within time.Duration, workers int, seed uint64, busy float64) error {
	ctx, cancel := context.WithTimeout(ctx, within+3*time.Minute)
	defer cancel()
	company := covertest.Large(people).Draw(seed)
	planned := len(cover.Plan(company, covertest.Limits))

	sim := simulator.New(simulator.Options{Open: true, QPS: rig.QPS, Latency: 50 * time.Millisecond, Busy: busy, KeepCalls: -1})
	server := httptest.NewServer(sim)
	defer server.Close()
	l := ledger.New(rdb, 0)
	working, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	if err := rig.Engines(working, &running, rdb, workers, rig.QPS, server.URL, nil); err != nil {
		return err
	}

	submitter, err := enqueue.NewClient(enqueue.Config{Redis: rdb})
	if err != nil {
		return err
	}
	began := time.Now()
	prefix := fmt.Sprintf("burst-%d-", began.UnixNano())
	var submitting sync.WaitGroup
	for u, roles := range company.Roles {
		submitting.Go(func() {
			time.Sleep(time.Until(began.Add(time.Duration(u) * within / time.Duration(len(company.Roles)))))
			r := &enqueue.Removals{}
			for _, role := range roles {
				r.Add(fmt.Sprintf("u%04d", u), int64(role)+1)
			}
			if _, err := submitter.Submit(ctx, enqueue.Submission{JobID: fmt.Sprint(prefix, u), Removals: r, Priority: lane}); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		})
	}
	submitting.Wait()
	submitted := time.Since(began)
	var took rig.Times
	for u := range company.Roles {
		job, err := l.Watch(ctx, fmt.Sprint(prefix, u), 20*time.Millisecond, func(ledger.Job, error) error { return nil })
		if err != nil {
			return err
		}
		took = append(took, job.FinishedAt.Sub(job.CreatedAt))
	}
	calls := sim.Stats().Removals
	fmt.Printf("%d single removals within %.1f s, %d workers: %d calls, a plan of all of them has %d (× %.2f), done after %.1f s\n"+
		"from submission to end: %s\n",
		len(company.Roles), submitted.Seconds(), workers, calls, planned, float64(calls)/float64(planned), time.Since(began).Seconds(), took)
	return nil
}
