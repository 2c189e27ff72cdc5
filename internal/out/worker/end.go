package worker

import (
	"context"
	"errors"
	"time"

	"github.com/hibiken/asynq"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/record/ledger"
)

// end is how the work on a task ended that is not over yet, as the error of whatever came to it. A task that is over ends
// with nil; an error of another kind is one that nobody foresaw, see ended.
type end struct {
	kind  endKind
	after time.Duration // endLater: how long until the next try
	spent *spent        // endSpent: what the tries came to
	why   string
	cause error // what came to the task, where somebody asks for it
}

func (e *end) Error() string { return e.why }
func (e *end) Unwrap() error { return e.cause }

type endKind int

const (
	// endAgain: something changed while the task waited. It is looked at anew at once.
	endAgain endKind = iota
	// endLater: it is to be tried again after a while. A short one is waited out here, a longer one in asynq.
	endLater
	// endSpent: DingTalk was too busy too often. What poisons the batch is searched for, then it is looked at anew.
	endSpent
	// endBack: this worker stops, or has to give the task back. Whoever takes it next goes on at once.
	endBack
	// endCrashed: a panic. Only this spends one of the task's retries in asynq.
	endCrashed
)

func again(why string) *end                      { return &end{kind: endAgain, why: why} }
func later(after time.Duration, why string) *end { return &end{kind: endLater, after: after, why: why} }
func back(why string) *end                       { return &end{kind: endBack, why: why} }
func backFor(err error) *end                     { return &end{kind: endBack, why: err.Error(), cause: err} }

// stopping ends whatever waits when the worker stops.
var stopping = back("the worker stopped before the task was done")

// goesBack ends what waits when its task has to go back.
func goesBack(ctx context.Context) *end {
	return back("the task goes back: " + context.Cause(ctx).Error())
}

// leaves ends what waits when this worker stops, or the task has to go back.
func (w *Worker) leaves(task context.Context) *end {
	if w.stopping.Err() != nil {
		return stopping
	}
	return goesBack(task)
}

const (
	// waitedOutHere is below what asynq, which knows whole seconds only, can delay a task by.
	waitedOutHere = 2 * time.Second
	// unforeseenPause is how long a task rests after an error that nobody foresaw, mostly one of Redis.
	unforeseenPause = 2 * time.Second
)

// ended turns an error that nobody foresaw into a later try, so that neither the task nor asynq's count of crashes suffers
// from a Redis that is away.
func (w *Worker) ended(log zerolog.Logger, err error) error {
	var e *end
	switch {
	case err == nil || errors.As(err, &e):
		return err
	case errors.Is(err, ledger.ErrStale), errors.Is(err, ledger.ErrReplaced):
		return backFor(err)
	case w.stopping.Err() != nil:
		return stopping
	}
	log.Warn().Err(err).Msg("task is put back")
	return later(unforeseenPause, err.Error())
}

// goesOn returns nil if the handler goes on with a task that came to err, having waited for as long as it says.
func (w *Worker) goesOn(ctx context.Context, err error) error {
	var e *end
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &e):
		return err
	case e.kind == endAgain && ctx.Err() != nil:
		return goesBack(ctx)
	case e.kind == endAgain:
		return nil
	case e.kind == endLater && e.after < waitedOutHere:
		over := time.NewTimer(e.after)
		defer over.Stop()
		select {
		case <-over.C:
			return nil
		case <-w.stopping.Done():
			return stopping
		case <-ctx.Done():
			return goesBack(ctx)
		}
	}
	return err
}

// isFailure tells asynq whether the end of a task counts against its retries, which are for crashes.
func isFailure(err error) bool {
	var e *end
	if errors.As(err, &e) {
		return e.kind == endCrashed
	}
	return err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled)
}

// retryDelay tells asynq when a task is run again. It rounds to the nearest second because asynq cuts off fractions.
func retryDelay(_ int, err error, _ *asynq.Task) time.Duration {
	var e *end
	if errors.As(err, &e) && e.kind != endCrashed {
		return e.after + 500*time.Millisecond
	}
	return time.Second
}
