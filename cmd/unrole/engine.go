package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/base/protect"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/out/worker"
	"github.com/unrole/unrole/internal/record/audit"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/run/config"
)

// engine is a worker with what it works with.
type engine struct {
	dingtalk *dingtalk.Client
	pacer    *pace.Pacer
	ledger   *ledger.Ledger
	worker   *worker.Worker
	observed *observation
	audit    audit.Config // without a File there is none
}

// newEngine builds a worker from the configuration. transport is nil for a DingTalk that is reached over the network.
func newEngine(c *config.Config, rdb redis.UniversalClient, transport http.RoundTripper, log zerolog.Logger) (*engine, error) {
	protected, err := protect.Parse(c.ProtectedUsers, c.ProtectedRoles)
	if err != nil {
		return nil, exitWith(exitUsage, err)
	}
	pacer, err := newPacer(c, rdb, log)
	if err != nil {
		return nil, err
	}
	calls := callsOf(c)
	// The one repeat after a refreshed token is a call like any other.
	calls.BeforeRepeat = func(ctx context.Context) error {
		// Not through a hold: whether the call still stands would have to be looked at again after it.
		ctx, cancel := context.WithTimeout(ctx, max(5*time.Second, time.Duration(2*float64(time.Second)/c.QPS)))
		defer cancel()
		_, err := pacer.Reserve(ctx)
		return err
	}
	observed := newObservation()
	calls.Observe = observed.call
	if transport != nil {
		calls.HTTP = &http.Client{Transport: transport}
	}
	client, err := dingtalk.New(calls)
	if err != nil {
		return nil, exitWith(exitUsage, err)
	}
	e := &engine{dingtalk: client, pacer: pacer, ledger: ledger.New(rdb, c.Retention), observed: observed}
	e.audit = auditOf(c, rdb, e.ledger, pacer, log)
	e.worker, err = worker.New(worker.Config{Redis: rdb, DingTalk: client, Pacer: pacer, Ledger: e.ledger, Protected: protected,
		Concurrency: c.Concurrency, MaxAttempts: c.MaxAttempts, RetryBase: c.RetryBase, RetryCap: c.RetryCap,
		BusyMaxAge: c.BusyMaxAge, CheckInterval: c.CheckInterval, Observer: observed.metrics, Log: log})
	return e, err
}

// callsOf is how DingTalk is called with the configuration.
func callsOf(c *config.Config) dingtalk.Config {
	return dingtalk.Config{BaseURL: c.DingTalk.BaseURL, AppKey: c.DingTalk.AppKey, AppSecret: c.DingTalk.AppSecret,
		AccessToken: c.DingTalk.AccessToken, UserAgent: "unrole/" + readBuildInfo().Version}
}

// newPacer is the process's end of the pace of the configured app. A fleet that was given a token instead of a key is
// known by the token's own name, since nothing else tells one app from another.
func newPacer(c *config.Config, rdb redis.UniversalClient, log zerolog.Logger) (*pace.Pacer, error) {
	app := c.DingTalk.AppKey
	if app == "" {
		app = "token"
	}
	return pace.New(rdb, pace.Config{App: app, QPS: c.QPS, HoldProbe: c.HoldProbe, ProbeCap: c.RetryCap, Log: log})
}

// auditOf has the audit file followed, and the fleet hold while it cannot be written.
func auditOf(c *config.Config, rdb redis.UniversalClient, l *ledger.Ledger, pacer *pace.Pacer, log zerolog.Logger) audit.Config {
	return audit.Config{Redis: rdb, Ledger: l, File: c.AuditFile, Log: log,
		Hold: func(ctx context.Context, why string) error {
			return pacer.SetHold(ctx, pace.HoldReason{Kind: pace.HoldAudit, Message: why})
		},
		Release: func(ctx context.Context) error {
			_, err := pacer.ClearHold(ctx, pace.HoldAudit)
			return err
		}}
}

// run works until ctx ends and everything in flight has ended.
func (e *engine) run(ctx context.Context) error {
	pacing, stopPacing := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	background.Go(func() { e.pacer.Run(pacing) })
	if e.audit.File != "" {
		// No call before it is known whether it can be recorded.
		started := make(chan struct{})
		e.audit.Started = func() { close(started) }
		background.Go(func() { audit.Follow(pacing, e.audit) })
		<-started
	}
	err := e.worker.Run(ctx)
	stopPacing()
	background.Wait()
	e.dingtalk.Close()
	return err
}

// patienceWithHold is how many probes may fail before run gives up on a hold that began in the middle.
const patienceWithHold = 2

// errHeld ends a wait: nothing can succeed until somebody acts.
type errHeld struct{ hold pace.Hold }

func (e *errHeld) Error() string { return "the fleet holds: " + e.hold.Words() }

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
			a.tell(bar, &said, "Redis is away: "+err.Error())
			return nil
		}
		if bar == nil {
			bar = a.newProgress(int(job.Pairs.Total), "pairs")
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
func (a *app) tell(bar *progress, said *string, word string) {
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
func standstill(s pace.Status) string {
	switch {
	case s.Hold != nil:
		return "hold: " + s.Hold.Words()
	case s.Outage != nil:
		return "DingTalk does not answer; probing"
	case s.Pause != nil && s.Pause.Until.Sub(s.Now) > 2*time.Second:
		return fmt.Sprintf("pause: throttled (%s) until %s", s.Pause.Why, s.Pause.Until.Local().Format(time.TimeOnly))
	}
	return ""
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
	}
	return exitError
}
