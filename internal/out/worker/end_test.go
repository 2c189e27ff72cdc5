package worker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

func TestHowATaskEnds(t *testing.T) {
	working, stop := context.WithCancel(t.Context())
	w := &Worker{stopping: working}
	stopped := &Worker{stopping: func() context.Context { c, cancel := context.WithCancel(t.Context()); cancel(); return c }()}
	defer stop()
	for name, c := range map[string]struct {
		err     error
		goesOn  bool // in the same handler
		failure bool // counted by asynq as a crash
		delay   time.Duration
	}{
		"done":                   {err: nil, goesOn: true},
		"changed":                {err: again("cancelled meanwhile"), goesOn: true},
		"busy for a moment":      {err: later(time.Millisecond, "busy"), goesOn: true},
		"busy":                   {err: later(90*time.Second, "busy"), delay: 90 * time.Second},
		"busy, said by a caller": {err: fmt.Errorf("split: %w", later(90*time.Second, "busy")), delay: 90 * time.Second},
		"stopped":                {err: stopping},
		"held for too long":      {err: back("the task waited for as long as asynq lets it")},
		"crashed":                {err: &end{kind: endCrashed, why: "panic"}, failure: true, delay: time.Second},
	} {
		err := w.ended(zerolog.Nop(), c.err)
		if got := w.goesOn(t.Context(), err) == nil; got != c.goesOn {
			t.Errorf("%s: goes on %v, want %v", name, got, c.goesOn)
		}
		if got := isFailure(err); got != c.failure {
			t.Errorf("%s: failure %v, want %v", name, got, c.failure)
		}
		if c.goesOn {
			continue
		}
		if got := retryDelay(0, err, nil).Truncate(time.Second); got != c.delay {
			t.Errorf("%s: asynq is told to wait for %s, want %s", name, got, c.delay)
		}
	}

	away := errors.New("connection refused")
	var e *end
	if err := w.ended(zerolog.Nop(), away); !errors.As(err, &e) || e.kind != endLater || isFailure(err) {
		t.Errorf("an error that nobody foresaw ends as %v", err)
	}
	if err := stopped.ended(zerolog.Nop(), away); err != error(stopping) {
		t.Errorf("an error while the worker stops ends as %v", err)
	}
	if err := stopped.goesOn(t.Context(), later(time.Millisecond, "busy")); err != error(stopping) {
		t.Errorf("a short wait while the worker stops ends as %v", err)
	}

	handed, hand := context.WithCancelCause(t.Context())
	hand(errors.New("its lane is paused"))
	for name, err := range map[string]error{"busy": later(time.Millisecond, "busy"), "changed": again("cancelled meanwhile")} {
		if err := w.goesOn(handed, err); !errors.As(err, &e) || e.kind != endBack {
			t.Errorf("%s, a task that has to go back ends as %v", name, err)
		}
	}
}
