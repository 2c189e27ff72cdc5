package main

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	engine "github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/deadletter"
	"github.com/unrole/unrole/internal/record/ledger"
)

// waitForLetters stays until the letters were tried again, then prints their jobs; the exit code says whether any of
// these has dead letters.
func (a *app) waitForLetters(ctx context.Context, r *records, q *deadletter.Queue, s *deadletter.Selection) error {
	pacer, err := engine.NewPacer(r.config, parts(r.rdb, zerolog.Nop()))
	if err != nil {
		return err
	}
	bar := a.newProgress(s.Letters(), texts.T("letters"))
	said := ""
	err = q.Wait(ctx, s, 250*time.Millisecond, func(ended int) error {
		bar.set(ended)
		status, err := pacer.Status(ctx)
		if err != nil {
			return nil
		}
		if status.Hold != nil {
			return &errHeld{*status.Hold}
		}
		a.tell(bar, &said, standstill(status))
		return nil
	})
	bar.done()
	var held *errHeld
	switch {
	case errors.As(err, &held):
		return exitWith(exitCredentials, texts.T("%v\nthe letters stay due and go on by themselves once that is mended", held))
	case err != nil:
		if ctx.Err() != nil {
			a.note(texts.T("the letters stay due; workers go on with them"))
		}
		return err
	}
	return a.printReplayed(ctx, r.ledger, s.Jobs())
}

// printReplayed prints the jobs whose letters were tried again, and ends with exitDeadLetters where one still has some.
func (a *app) printReplayed(ctx context.Context, l *ledger.Ledger, jobIDs []string) error {
	t := a.newTable(texts.T("job"), texts.T("state"), texts.T("removed"), texts.T("not removed"), texts.T("cancelled"), texts.T("pending"))
	dead := false
	for _, id := range jobIDs {
		job, err := l.Get(ctx, id)
		var unknown *ledger.NotFoundError
		switch {
		case errors.As(err, &unknown):
			continue
		case err != nil:
			return err
		}
		p := job.Pairs
		dead = dead || p.Dead > 0
		if a.output == outputJSON {
			if err := a.printJSON(job); err != nil {
				return err
			}
			continue
		}
		t.row(job.JobID, a.stateOf(job.State), thousands(int(p.Removed)), thousands(int(p.Dead)), thousands(int(p.Cancelled)), thousands(int(p.Pending)))
	}
	if a.output == outputText {
		if err := t.print(); err != nil {
			return err
		}
	}
	if dead {
		return &exit{code: exitDeadLetters}
	}
	return nil
}
