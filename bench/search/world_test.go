package search

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/in/cover"
	"github.com/unrole/unrole/internal/in/cover/covertest"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/out/worker"
	"github.com/unrole/unrole/internal/record/deadletter"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
)

// world is a Redis, a DingTalk and one worker in virtual time: hours pass in a second, and nothing but the answers takes any.
type world struct {
	*testing.T
	rdb     *redis.Client
	sim     *simulator.Simulator
	ledger  *ledger.Ledger
	client  *enqueue.Client
	letters *deadletter.Queue
	began   time.Time // when work began
	first   time.Duration
	once    sync.Once
	skipped int // calls that were made before what is measured
}

// setting is what a run is made under; zero values are those of the product.
type setting struct {
	sim   simulator.Options
	qps   float64
	retry time.Duration // UNROLE_RETRY_CAP
}

// inVirtualTime runs f in a world of its own.
func inVirtualTime(t *testing.T, s setting, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		mini := miniredis.NewMiniRedis()
		mini.ClockTTL(true)
		w := &world{T: t, began: time.Now()}
		// Connections enough for every handler: a wait for one, under a lock, would hold the clock.
		w.rdb = redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379", PoolSize: 10_000, Dialer: func(context.Context, string, string) (net.Conn, error) {
			return dial(mini)
		}})
		defer mini.Close()
		defer w.rdb.Close()
		s.sim.Open = true
		s.sim.Observe = func(simulator.Call) { w.once.Do(func() { w.first = time.Since(w.began) }) }
		w.sim = simulator.New(s.sim)
		w.ledger = ledger.New(w.rdb, 0)
		w.letters = deadletter.New(w.rdb, w.ledger)
		var err error
		if w.client, err = enqueue.NewClient(enqueue.Config{Redis: w.rdb}); err != nil {
			t.Fatal(err)
		}
		stop := w.work(s)
		defer stop()
		f(w)
	})
}

// work starts the worker.
func (w *world) work(s setting) (stop func()) {
	dt, err := dingtalk.New(dingtalk.Config{BaseURL: "http://127.0.0.1", AppKey: simulator.AppKey, AppSecret: simulator.AppSecret,
		HTTP: &http.Client{Transport: w.sim.Transport()}})
	if err != nil {
		w.Fatal(err)
	}
	pacer, err := pace.New(w.rdb, pace.Config{App: "search", QPS: s.qps, RefusedLimit: -1, ProbeCap: s.retry})
	if err != nil {
		w.Fatal(err)
	}
	engine, err := worker.New(worker.Config{Redis: w.rdb, DingTalk: dt, Pacer: pacer, Ledger: w.ledger, RetryCap: s.retry, Log: zerolog.Nop()})
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { pacer.Run(ctx) })
	running.Go(func() {
		if err := engine.Run(ctx); err != nil {
			w.Error(err)
		}
	})
	return func() {
		cancel()
		running.Wait()
		dt.Close()
	}
}

// submit submits a job.
func (w *world) submit(jobID string, r *enqueue.Removals) {
	w.Helper()
	if _, err := w.client.Submit(w.Context(), enqueue.Submission{JobID: jobID, Removals: r, MaxUsers: -1}); err != nil {
		w.Fatal(err)
	}
}

// finished waits until nothing of the job is pending, for so long, and says when that was and whether it was.
func (w *world) finished(jobID string, within time.Duration) (ledger.Job, time.Duration, bool) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), within-time.Since(w.began))
	defer cancel()
	job, err := w.ledger.Watch(ctx, jobID, 100*time.Millisecond, func(ledger.Job, error) error { return nil })
	if err != nil && ctx.Err() == nil {
		w.Fatal(err)
	}
	return job, time.Since(w.began), err == nil
}

// calls is how many removals DingTalk was asked for so far.
func (w *world) calls() int { return w.sim.Stats().Removals }

// product is every pair of some users and roles, by number.
func product(users, roles int) *enqueue.Removals {
	r := &enqueue.Removals{}
	for u := range users {
		for role := range roles {
			r.Add(user(u), roleID(role))
		}
	}
	return r
}

// of is what the company's users have, or one of them.
func of(company cover.Matrix, only ...int) *enqueue.Removals {
	r := &enqueue.Removals{}
	for u, roles := range company.Roles {
		for _, role := range roles {
			if len(only) == 0 || only[0] == u {
				r.Add(user(u), roleID(int(role)))
			}
		}
	}
	return r
}

func user(n int) string { return fmt.Sprintf("u%04d", n) }

func roleID(n int) int64 { return int64(n) + 1 }

// spread are n of the numbers below all, far from each other.
func spread(n, all int) (users []string) {
	for i := range n {
		users = append(users, user((2*i+1)*all/(2*n)))
	}
	return users
}

// planned is how many calls a plan of the company has.
func planned(company cover.Matrix) int {
	return len(cover.Plan(company, covertest.Limits))
}

// several are jobs about the same people, with the calls that their plans have.
type several struct {
	removals []*enqueue.Removals
	planned  int
}

func jobs(n, people int) (all several) {
	for seed := range uint64(n) {
		company := covertest.Large(people).Draw(seed)
		all.removals = append(all.removals, of(company))
		all.planned += planned(company)
	}
	return all
}

// dial connects to Redis through a buffer, as a network has: without one, a reply that nobody reads yet would keep everybody
// else out.
func dial(mini *miniredis.Miniredis) (net.Conn, error) {
	server, err := mini.Dial()
	if err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	go func() {
		io.Copy(server, far)
		server.Close()
	}()
	replies := make(chan []byte, 1<<12)
	go func() {
		defer close(replies)
		for {
			part := make([]byte, 4<<10)
			n, err := server.Read(part)
			if replies <- part[:n]; err != nil {
				return
			}
		}
	}()
	go func() {
		for part := range replies {
			far.Write(part) // an error, once near is closed: the rest is drained
		}
		far.Close()
	}()
	return near, nil
}
