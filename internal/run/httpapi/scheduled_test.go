package httpapi

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/out/worker"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
)

// startWorker runs a worker until stop is called.
func startWorker(t *testing.T, w *world, sim *simulator.Server) (stop func()) {
	t.Helper()
	dt, err := dingtalk.New(dingtalk.Config{BaseURL: sim.URL, AppKey: sim.AppKey, AppSecret: sim.AppSecret})
	if err != nil {
		t.Fatal(err)
	}
	pacer, err := pace.New(w.rdb, pace.Config{App: "test", QPS: 100})
	if err != nil {
		t.Fatal(err)
	}
	one, err := worker.New(worker.Config{Redis: w.rdb, DingTalk: dt, Pacer: pacer, Ledger: w.ledger, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { pacer.Run(ctx) })
	running.Go(func() {
		if err := one.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		dt.Close()
	})
	t.Cleanup(stop)
	return stop
}

func TestAScheduledRemovalStartsAtItsTimeAlsoWhenEverythingWasRestarted(t *testing.T) {
	server := redistest.Start(t, "--appendfsync", "always") // with everysec, a Redis that is killed may lose what it acknowledged
	w := newWorld(t, server.Client(), nil)
	sim := simulator.Start(t, simulator.Options{Open: true})
	stop := startWorker(t, w, sim)
	at := time.Now().Add(3 * time.Second).Truncate(time.Second)
	body := strings.Replace(removal("scheduled", "a"), "{", `{"at":"`+at.Format(time.RFC3339)+`",`, 1)
	if job := w.post(body).job(t); job.State != ledger.StateScheduled {
		t.Fatalf("%+v", job)
	}
	stop()
	w.server.Close()
	server.Kill()
	server.Resume()
	startWorker(t, w, sim)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	job, err := w.ledger.Watch(ctx, "scheduled", 20*time.Millisecond, func(ledger.Job, error) error { return nil })
	if err != nil || job.State != ledger.StateCompleted {
		t.Fatalf("%+v %v", job, err)
	}
	if late := job.FinishedAt.Sub(at); late < 0 || late > 10*time.Second {
		t.Errorf("it was removed %s after its time", late)
	}
}
