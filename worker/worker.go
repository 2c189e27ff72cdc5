// Package worker is the consumer, to be embedded in an own Go program: it takes removals out of Redis and carries them out
// at DingTalk, as `unrole worker` does.
//
// A worker belongs to the fleet of its Redis, with every other worker and every `unrole worker` there: they share the pace,
// its pauses and holds, and any number of them may run, of which one takes the tasks while the others stand by. Removals are
// submitted by package enqueue, by `unrole enqueue` or over HTTP, and watched with the same.
//
// Compatibility: the exported names of this package follow semantic versioning; fields may be added, nothing is changed or
// taken away within a major version.
package worker

import (
	"context"

	"github.com/unrole/unrole/internal/app"
)

// Worker works through the removals of a Redis.
type Worker struct{ engine *app.Engine }

// New checks the configuration and returns a worker. It makes no connection yet. The error names every field that is wrong,
// and no secret.
func New(cfg Config) (*Worker, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	engine, err := app.New(cfg.engine(), app.Parts{Redis: cfg.Redis, Transport: cfg.DingTalk.Transport, Version: "embedded", Log: cfg.Log})
	if err != nil {
		return nil, err
	}
	return &Worker{engine: engine}, nil
}

// Run works until ctx ends; then the calls in flight end, within 15 seconds, everything else goes back to Redis for
// another worker, and Run returns nil. It returns an error if it cannot start. A Redis or a DingTalk that is away is waited
// for, however long, and so is a configuration that DingTalk refuses: `unrole status` says what the fleet holds for.
//
// A worker runs once; to go on after Run, make a new one.
func (w *Worker) Run(ctx context.Context) error { return w.engine.Run(ctx) }
