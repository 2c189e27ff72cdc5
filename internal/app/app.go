// Package app assembles what the commands start, the engine and the intake, once: commands, measurements and tests run the
// same.
package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/protect"
	"github.com/unrole/unrole/internal/base/redisconn"
	"github.com/unrole/unrole/internal/base/trace"
	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/in/leavers"
	"github.com/unrole/unrole/internal/in/resolver"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/out/worker"
	"github.com/unrole/unrole/internal/record/audit"
	"github.com/unrole/unrole/internal/record/index"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/webhook"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/tasks"
)

// Parts is what an engine or an intake is given besides its configuration. Only Redis is required.
type Parts struct {
	// Redis is shared with whoever else has it; it is not closed.
	Redis redis.UniversalClient
	// Transport carries the calls of DingTalk and the messages of the webhook; nil is the network.
	Transport http.RoundTripper
	// Random spreads waits, by a number in [0, 1); nil is chance.
	Random func() float64
	// Version names this build to DingTalk, to the receiver of the webhook and in the metrics.
	Version string
	// Trace records what becomes of removals; nil records nothing.
	Trace *trace.Tracer
	Log   zerolog.Logger
	// Leavers lets the engine act by the rule for leavers, if there is one: only a worker of the fleet may. Others are asked for a list
	// or a story, and take nothing else.
	Leavers bool
}

func (p Parts) userAgent() string { return "unrole/" + p.Version }

// Fault is an error of the configuration: nothing was started.
type Fault struct{ Err error }

func (f *Fault) Error() string { return f.Err.Error() }

func (f *Fault) Unwrap() error { return f.Err }

// Engine is a worker with what it works with.
type Engine struct {
	DingTalk *dingtalk.Client
	// Pacer and Ledger are for those who watch; the worker has its own, which wait while Redis refuses.
	Pacer    *pace.Pacer
	Adding   *pace.Pacer // of the calls that give back
	Ledger   *ledger.Ledger
	Observed *Observation

	pacer  *pace.Pacer
	adding *pace.Pacer
	worker *worker.Worker
	// resolver looks up in directory whom and what jobs mean.
	resolver  *resolver.Resolver
	directory *directory.Directory
	lookups   *dingtalk.Client
	// end ends the waits for a Redis that refuses; closeSteady closes the connections that have them.
	end, closeSteady func()
	notifier         *webhook.Notifier // nil without a receiver
	audit            audit.Config      // without a File there is none
	leavers          *leavers.Poller   // nil without a rule
	log              zerolog.Logger
}

// New assembles an engine; nothing happens before Run. A *Fault says what is wrong with the configuration.
func New(c *config.Config, with Parts) (*Engine, error) {
	protected, err := protect.Parse(c.ProtectedUsers, c.ProtectedRoles)
	if err != nil {
		return nil, &Fault{err}
	}
	protected = protected.Told(func(err error) {
		with.Log.Error().Err(err).Msg("the protected ids were changed and cannot be read: those from before stay protected")
	})
	pacer, err := NewPacer(c, with)
	if err != nil {
		return nil, err
	}
	adding, err := NewAddingPacer(c, with)
	if err != nil {
		return nil, err
	}
	gate := redisconn.NewGate(with.Log)
	steady := with
	ending, end := context.WithCancel(context.Background())
	var closeSteady func()
	steady.Redis, closeSteady = redisconn.Steady(ending, with.Redis, gate)
	e := &Engine{Pacer: pacer, Adding: adding, Ledger: ledger.New(with.Redis, c.Retention), Observed: newObservation(c, with), end: end, closeSteady: closeSteady, log: with.Log}
	if e.pacer, err = NewPacer(c, steady); err != nil {
		return nil, err
	}
	if e.adding, err = NewAddingPacer(c, steady); err != nil {
		return nil, err
	}
	if e.DingTalk, err = newClient(c, with, e.pacer, e.adding, e.Observed.call); err != nil {
		return nil, err
	}
	e.Observed.ledger, e.Observed.pacer, e.Observed.adding, e.Observed.gate = e.Ledger, pacer, adding, gate
	if e.notifier, err = newNotifier(c, with, e.Ledger, gate); err != nil {
		return nil, err
	}
	// A client of its own: not even the repeat of a lookup after a refreshed token takes a slot of a removal.
	if e.lookups, err = dingtalk.New(Credentials(c, with)); err != nil {
		return nil, &Fault{err}
	}
	if e.directory, err = NewDirectory(c, steady, e.lookups); err != nil {
		return nil, err
	}
	e.audit = audit.Config{Redis: with.Redis, Ledger: e.Ledger, File: c.AuditFile, Keep: c.AuditKeep, Log: with.Log, Hold: e.holdForAudit, Release: e.releaseForAudit}
	if with.Leavers && c.LeaversFile != "" {
		producer, err := enqueue.NewClient(enqueue.Config{Redis: with.Redis, Protected: protected, Retention: c.Retention})
		if err != nil {
			return nil, err
		}
		if e.leavers, err = leavers.New(leavers.Config{Redis: with.Redis, Ledger: e.Ledger, Client: producer, Directory: e.directory, Protected: protected,
			MaxShare: c.MaxShare, File: c.LeaversFile, Trace: with.Trace, Log: with.Log}); err != nil {
			return nil, &Fault{fmt.Errorf("UNROLE_LEAVERS_FILE: %w", err)}
		}
	}
	e.worker, err = worker.New(worker.Config{Redis: steady.Redis, Gate: gate, DingTalk: e.DingTalk, Pacer: e.pacer, Adding: e.adding, Ledger: ledger.New(steady.Redis, c.Retention), Protected: protected,
		Concurrency: c.Concurrency, MaxAttempts: c.MaxAttempts, RetryBase: c.RetryBase, RetryCap: c.RetryCap,
		BusyMaxAge: c.BusyMaxAge, CheckInterval: c.CheckInterval, Observer: e.Observed.metrics, Random: with.Random, Trace: with.Trace, Log: with.Log})
	if err != nil {
		return nil, err
	}
	return e, e.newResolver(c, steady, protected)
}

// newResolver makes what looks up jobs that were asked for by names.
func (e *Engine) newResolver(c *config.Config, with Parts, protected protect.Set) error {
	client, err := enqueue.NewClient(enqueue.Config{Redis: with.Redis, Protected: protected, Retention: c.Retention})
	if err != nil {
		return err
	}
	e.resolver, err = resolver.New(resolver.Config{Redis: with.Redis, Ledger: ledger.New(with.Redis, c.Retention), Client: client, Directory: e.directory, Protected: protected, Lead: e.worker,
		MaxShare: c.MaxShare, Trace: with.Trace, Log: with.Log.With().Str("room", "resolver").Logger()})
	return err
}

// holdForAudit stops the fleet while the audit file cannot be written; releaseForAudit lets it go on.
func (e *Engine) holdForAudit(ctx context.Context, why string) error {
	hold := pace.HoldReason{Kind: pace.HoldAudit, Message: why}
	return errors.Join(e.Pacer.SetHold(ctx, hold), e.Adding.SetHold(ctx, hold))
}

func (e *Engine) releaseForAudit(ctx context.Context) error {
	_, err := e.Pacer.ClearHold(ctx, pace.HoldAudit)
	_, addErr := e.Adding.ClearHold(ctx, pace.HoldAudit)
	return errors.Join(err, addErr)
}

// Run works until ctx ends and everything in flight has ended. It returns an error if it cannot start.
func (e *Engine) Run(ctx context.Context) error {
	pacing, stopPacing := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	background.Go(func() { e.pacer.Run(pacing) })
	background.Go(func() { e.adding.Run(pacing) })
	background.Go(func() { notify(ctx, e.notifier, e.log) })
	if e.leavers != nil {
		background.Go(func() { e.leavers.Run(ctx) })
	}
	background.Go(func() { e.resolver.Run(ctx) })
	background.Go(func() {
		e.directory.KeepIndex(ctx, e.worker.Held, func(err error) {
			e.log.Warn().Err(err).Msg("the directory could not be read for staff numbers and addresses; it is tried again")
		})
	})
	if e.audit.File != "" {
		// No call before it is known whether it can be recorded.
		started := make(chan struct{})
		e.audit.Started = func() { close(started) }
		background.Go(func() { audit.Follow(pacing, e.audit) })
		<-started
	}
	err := e.worker.Run(ctx)
	stopPacing()
	e.end()
	background.Wait()
	e.closeSteady()
	e.DingTalk.Close()
	e.lookups.Close()
	return err
}

// NewPacer is a process's end of the pace of the configured app's removals. A fleet that was given a token instead of a key is
// known by the token's own name, since nothing else tells one app from another.
func NewPacer(c *config.Config, with Parts) (*pace.Pacer, error) { return newPacer(c, with, "", 0) }

// NewAddingPacer is that of the calls that give back: DingTalk limits each API apart.
func NewAddingPacer(c *config.Config, with Parts) (*pace.Pacer, error) {
	return newPacer(c, with, "\x00add", 0)
}

// forgetLookups is how long after the last question to it the pace of a reading API is forgotten: it knows nothing but its last moments,
// while that of the removals may hold what somebody has to clear.
const forgetLookups = time.Hour

func newPacer(c *config.Config, with Parts, api string, forget time.Duration) (*pace.Pacer, error) {
	app := c.DingTalk.AppKey
	if app == "" {
		app = "token"
	}
	return pace.New(with.Redis, pace.Config{App: app + api, QPS: c.QPS, HoldProbe: c.HoldProbe, ProbeCap: c.RetryCap, Forget: forget, Random: with.Random, Log: with.Log})
}

// NewDirectory is where people and roles of the configured organisation are looked up. Over a Redis, each API has a pace that the
// whole fleet keeps to together, beside that of the removals, and what was read of staff numbers and addresses is shared; without one
// the process is alone.
func NewDirectory(c *config.Config, with Parts, source directory.Source) (*directory.Directory, error) {
	if with.Redis == nil {
		return directory.New(source, c.QPS)
	}
	paces, err := directory.Shared(c.QPS, func(api string) (*pace.Pacer, error) { return lookupPacer(c, with, api) })
	if err != nil {
		return nil, err
	}
	d := directory.At(source, paces)
	if c.DirectoryTTL > 0 && c.DingTalk.AppSecret != "" {
		x, err := index.New(index.Config{Redis: with.Redis, App: indexed(c), Secret: []byte(c.DingTalk.AppSecret), TTL: c.DirectoryTTL})
		if err != nil {
			return nil, err
		}
		d = d.With(x)
	}
	return d, nil
}

// Credentials is how DingTalk is reached with the configuration.
func Credentials(c *config.Config, with Parts) dingtalk.Config {
	calls := dingtalk.Config{BaseURL: c.DingTalk.BaseURL, AppKey: c.DingTalk.AppKey, AppSecret: c.DingTalk.AppSecret,
		AccessToken: c.DingTalk.AccessToken, UserAgent: with.userAgent()}
	if with.Transport != nil {
		calls.HTTP = &http.Client{Transport: with.Transport}
	}
	return calls
}

// repeatWithin is how long the repeat of a call waits for a slot. After a longer wait its caller has to look again whether the
// call still stands: somebody may have cancelled it.
const repeatWithin = 500 * time.Millisecond

// newClient is a client of DingTalk whose one repeat after a refreshed token takes a slot of the action's pace, like any other call:
// DingTalk counts it as one. Where none comes soon the call ends as busy. observe is told of each call.
func newClient(c *config.Config, with Parts, removing, adding *pace.Pacer, observe func(dingtalk.Call)) (*dingtalk.Client, error) {
	calls := Credentials(c, with)
	calls.Observe = observe
	calls.BeforeRepeat = func(ctx context.Context, action tasks.Action) error {
		ctx, cancel := context.WithTimeout(ctx, repeatWithin)
		defer cancel()
		pacer := removing
		if action == tasks.Add {
			pacer = adding
		}
		_, err := pacer.Reserve(ctx)
		return err
	}
	client, err := dingtalk.New(calls)
	if err != nil {
		return nil, &Fault{err}
	}
	return client, nil
}
