package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/out/outcome"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/ledger"
)

// patienceWithHold is how many probes may fail before run gives up on a hold that began in the middle.
const patienceWithHold = 2

// errHeld ends a wait: nothing can succeed until somebody acts.
type errHeld struct{ hold pace.Hold }

func (e *errHeld) Error() string { return e.Unwrap().Error() }

// Unwrap is its text, which can be said in other languages.
func (e *errHeld) Unwrap() error {
	return texts.T("the fleet holds: %s; what to do: %s", e.hold.HoldReason, outcome.RemedyOf(e.hold.Kind))
}

// follow shows the progress of a job until it ends. giveUp decides whether a hold ends the wait.
func (a *app) follow(ctx context.Context, l *ledger.Ledger, pacer *pace.Pacer, jobID string, giveUp func(pace.Status) bool) (ledger.Job, error) {
	var bar *progress
	defer func() { bar.done() }()
	said := ""
	return l.Watch(ctx, jobID, 250*time.Millisecond, func(job ledger.Job, err error) error {
		if err != nil {
			var unknown *ledger.NotFoundError
			if errors.As(err, &unknown) {
				return err
			}
			a.tell(bar, &said, texts.T("Redis is away: %v", err))
			return nil
		}
		if job.State == ledger.StateResolving {
			word := ledger.InWords(ledger.StateResolving)
			if job.ResolvingFailed != "" {
				word = texts.T("%s", texts.Recall(job.ResolvingFailed))
			}
			a.tell(nil, &said, word)
			return nil
		}
		if bar == nil {
			bar = a.newProgress(int(job.Pairs.Total), texts.T("pairs"))
		}
		bar.set(int(job.Pairs.Total - job.Pairs.Pending))
		if job.State.Finished() || job.State == ledger.StateScheduled {
			return nil
		}
		status, err := pacer.Status(ctx)
		if err != nil {
			return nil
		}
		if status.Hold != nil && giveUp(status) {
			return &errHeld{*status.Hold}
		}
		a.tell(bar, &said, standstill(status))
		return nil
	})
}

// tell shows a word beside the bar, or on a line of its own where there is no bar and it is new.
func (a *app) tell(bar *progress, said *string, text texts.Text) {
	word := text.In(a.lang)
	if word == *said {
		return
	}
	*said = word
	bar.describe(word)
	if bar == nil && word != "" {
		fmt.Fprintln(a.stderr, word)
	}
}

// standstill says why no call is made just now, or nothing.
func standstill(s pace.Status) texts.Text {
	switch {
	case s.Hold != nil:
		return texts.T("hold: %s", s.Hold.HoldReason)
	case s.Outage != nil:
		return texts.T("DingTalk does not answer; probing")
	case s.Pause != nil && s.Pause.Until.Sub(s.Now) > 2*time.Second:
		return texts.T("pause: throttled (%s) until %s", s.Pause.Why, s.Pause.Until.Local().Format(time.TimeOnly))
	}
	return texts.Text{}
}

// codeOfJob is the exit code that tells how a job ended.
func codeOfJob(job ledger.Job) exitCode {
	switch job.State {
	case ledger.StateCompleted:
		return exitDone
	case ledger.StateCompletedWithDeadLetter:
		return exitDeadLetters
	case ledger.StateCancelled:
		return exitCancelled
	case ledger.StateRefused:
		return exitUsage
	}
	return exitError
}
