// Package enginetest runs the engine of a test: against its simulator, with short waits, ended with the test.
package enginetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/internal/test/simtest"
)

// Config is a configuration that calls the simulator and waits for nothing long.
func Config(sim *simtest.Server) *config.Config {
	return &config.Config{DingTalk: config.DingTalk{BaseURL: sim.URL, AppKey: sim.AppKey, AppSecret: sim.AppSecret}, QPS: 2000,
		RetryBase: 10 * time.Millisecond, RetryCap: 200 * time.Millisecond, HoldProbe: 50 * time.Millisecond, CheckInterval: 5 * time.Millisecond}
}

// Start runs an engine. stop ends it and waits for its end; the test's end does so too.
func Start(t testing.TB, c *config.Config, with app.Parts) (e *app.Engine, stop func()) {
	t.Helper()
	e, err := app.New(c, with)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := e.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(stop)
	return e, stop
}
