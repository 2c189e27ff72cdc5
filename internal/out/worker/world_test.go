package worker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/simtest"
	"github.com/unrole/unrole/tasks"
)

// world is a Redis, a DingTalk and any number of workers of one test.
type world struct {
	*testing.T
	rdb    *redis.Client
	sim    *simtest.Server
	ledger *ledger.Ledger
	client *enqueue.Client
	config Config // what workers start with, Redis, DingTalk, Pacer and Ledger excepted
	qps    float64
	// holdProbe is how long a hold lasts until it is probed.
	holdProbe time.Duration
	// transport carries the calls; nil is the network.
	transport http.RoundTripper
	// gate, when not nil, holds the slots back until it is closed.
	gate chan struct{}
	// workers are those that were started.
	workers []*Worker
}

func newWorld(t *testing.T, rdb *redis.Client, opt simulator.Options) *world {
	t.Helper()
	client, err := enqueue.NewClient(enqueue.Config{Redis: rdb})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, rdb: rdb, sim: simtest.Start(t, opt), ledger: ledger.New(rdb, 0), client: client, qps: 2000, holdProbe: 50 * time.Millisecond}
	w.config = Config{RetryBase: 10 * time.Millisecond, RetryCap: 50 * time.Millisecond, CheckInterval: 5 * time.Millisecond,
		ShutdownTimeout: 5 * time.Second, Log: zerolog.Nop()}
	if os.Getenv("UNROLE_TEST_LOG") != "" {
		w.config.Log = zerolog.New(zerolog.NewTestWriter(t)).With().Timestamp().Logger()
	}
	return w
}

// work starts a worker and returns a function that stops it and waits for its end; the test's end does so too.
func (w *world) work() (stop func()) {
	w.Helper()
	cfg := w.config
	calls := dingtalk.Config{BaseURL: w.sim.URL, AppKey: w.sim.AppKey, AppSecret: w.sim.AppSecret, FailureMemory: 10 * time.Millisecond}
	if w.transport != nil {
		calls.HTTP = &http.Client{Transport: w.transport}
	}
	dt, err := dingtalk.New(calls)
	if err != nil {
		w.Fatal(err)
	}
	pacer := w.pacer()
	cfg.Redis, cfg.DingTalk, cfg.Pacer, cfg.Ledger = w.rdb, dt, pacer, w.ledger
	if w.gate != nil {
		cfg.Pacer = gated{Pacer: pacer, open: w.gate}
	}
	worker, err := New(cfg)
	if err != nil {
		w.Fatal(err)
	}
	w.workers = append(w.workers, worker)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { pacer.Run(ctx) })
	running.Go(func() {
		if err := worker.Run(ctx); err != nil {
			w.Error(err)
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		dt.Close()
	})
	w.Cleanup(stop)
	return stop
}

// pacer is one that belongs to the fleet of the test.
func (w *world) pacer() *pace.Pacer {
	w.Helper()
	p, err := pace.New(w.rdb, pace.Config{App: "test", QPS: w.qps, HoldProbe: w.holdProbe, ProbeCap: 200 * time.Millisecond, Log: w.config.Log})
	if err != nil {
		w.Fatal(err)
	}
	return p
}

// gated is a pacer whose first slot comes when the gate opens.
type gated struct {
	Pacer
	open <-chan struct{}
}

func (g gated) Reserve(ctx context.Context) (pace.Grant, error) {
	select {
	case <-g.open:
	case <-ctx.Done():
	}
	return g.Pacer.Reserve(ctx)
}

// submit submits every pair of users × roles, which the simulator's directory is given too unless they are bad there.
func (w *world) submit(jobID string, users []string, roles []int64) ledger.Job {
	w.Helper()
	r, err := enqueue.FromLists(users, roles)
	if err != nil {
		w.Fatal(err)
	}
	return w.submitSet(jobID, r)
}

func (w *world) submitSet(jobID string, r *enqueue.Removals) ledger.Job {
	w.Helper()
	got, err := w.client.Submit(w.Context(), enqueue.Submission{JobID: jobID, Removals: r, MaxUsers: -1})
	if err != nil {
		w.Fatal(err)
	}
	return got.Job
}

// grant fills the simulator's directory.
func (w *world) grant(users []string, roles []int64) {
	for _, u := range users {
		w.sim.Grant(u, roles...)
	}
}

// finished waits for the end of a job and checks that its numbers add up.
func (w *world) finished(jobID string) ledger.Job {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 60*time.Second)
	defer cancel()
	job, err := w.ledger.Watch(ctx, jobID, 5*time.Millisecond, func(j ledger.Job, err error) error {
		if p := j.Pairs; err == nil && (p.Removed+p.Restored+p.Dead+p.Cancelled+p.Pending != p.Total || p.Pending < 0) {
			return fmt.Errorf("%+v does not add up", p)
		}
		return nil
	})
	if err != nil {
		w.Fatalf("job %s: %v; it stands at %+v", jobID, err, job)
	}
	return job
}

// rows are all pairs of a job with what became of them.
func (w *world) rows(jobID string) map[string]ledger.Row {
	w.Helper()
	rows := map[string]ledger.Row{}
	err := w.ledger.Rows(w.Context(), jobID, func(r ledger.Row) error {
		key := fmt.Sprintf("%s/%d", r.UserID, r.RoleID)
		if _, twice := rows[key]; twice {
			return errors.New(key + " is reported twice")
		}
		rows[key] = r
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	return rows
}

// letters are the dead letters in the queue, by part name.
func (w *world) letters() map[string]*tasks.Part {
	w.Helper()
	out := map[string]*tasks.Part{}
	ids, err := w.rdb.ZRange(w.Context(), "asynq:{dead-letter}:scheduled", 0, -1).Result()
	if err != nil {
		w.Fatal(err)
	}
	for _, id := range ids {
		p, err := (&letters{redis: w.rdb}).at(w.Context(), id)
		if err != nil || p == nil {
			w.Fatalf("letter %s: %v", id, err)
		}
		out[p.Part] = p
	}
	return out
}

func names(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s%03d", prefix, i)
	}
	return list
}

func roleIDs(n int) []int64 {
	list := make([]int64, n)
	for i := range list {
		list[i] = 1507113500 + int64(i)
	}
	return list
}

// offered waits until so many tasks wait for a slot, in all workers together.
func (w *world) offered(n int) {
	w.Helper()
	w.until(func() bool {
		wait := 0
		for _, worker := range w.workers {
			wait += worker.apis[tasks.Remove].dispatch.pool.Len()
		}
		return wait == n
	})
}

// waitFor waits until the ledger knows the job.
func (w *world) waitFor(jobID string) {
	w.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 10_000 {
		var unknown *ledger.NotFoundError
		if _, err := w.ledger.Get(w.Context(), jobID); !errors.As(err, &unknown) {
			return
		}
		<-tick.C
	}
	w.Fatalf("job %s never appeared", jobID)
}

// waitForCalls waits until the simulator has seen n requests, gettoken's included.
func (w *world) waitForCalls(n int) {
	w.Helper()
	w.until(func() bool { return w.sim.Stats().Calls >= n })
}

// until waits until a condition holds that Redis or the simulator shows.
func (w *world) until(holds func() bool) {
	w.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(60 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			w.Fatal("it did not come to pass within a minute")
		}
	}
}
