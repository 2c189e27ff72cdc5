// Package worker takes tasks out of Redis and brings each pair to its end: removed or given back, a dead letter, or cancelled.
//
// The way of a task: handle looks it up in the ledger and, if it is larger than one call, splits it. A batch is offered
// to the dispatcher, which holds the process's one reservation of the pacer; when the slot comes, the most urgent offer
// goes out with everything that fits into the same call. The outcome is settled pair by pair before the task ends.
package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/base/defaults"
	"github.com/unrole/unrole/internal/base/protect"
	"github.com/unrole/unrole/internal/base/queue"
	"github.com/unrole/unrole/internal/base/redisconn"
	"github.com/unrole/unrole/internal/base/trace"
	"github.com/unrole/unrole/internal/base/wait"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// Caller makes one call to DingTalk.
type Caller interface {
	// Prepare does what a call would wait for, before the call takes its slot.
	Prepare(ctx context.Context)
	RemoveRoles(ctx context.Context, roleIDs []int64, userIDs []string) (dingtalk.Reply, error)
	AddRoles(ctx context.Context, roleIDs []int64, userIDs []string) (dingtalk.Reply, error)
	SetScope(ctx context.Context, roleID int64, userID string, departments []int64) (dingtalk.Reply, error)
}

// Pacer hands out the moments to call.
type Pacer interface {
	Reserve(ctx context.Context) (pace.Grant, error)
	Report(ctx context.Context, g pace.Grant, o pace.Answer)
}

var (
	_ Caller = (*dingtalk.Client)(nil)
	_ Pacer  = (*pace.Pacer)(nil)
)

// Config says what a worker works with. Redis, DingTalk, Pacer and Ledger are required.
type Config struct {
	Redis    redis.UniversalClient
	DingTalk Caller
	Pacer    Pacer
	// Adding is the pace of the calls that give back, since DingTalk limits each API apart; nil means Pacer.
	Adding Pacer
	Ledger *ledger.Ledger
	// Protected ids are never called, whoever asks; their pairs become dead letters.
	Protected protect.Set
	// Concurrency bounds the calls in flight. Default 64.
	Concurrency int
	// MaxAttempts is how often a batch that DingTalk is too busy for is tried in all. Default 12.
	MaxAttempts int
	// RetryBase and RetryCap bound the exponential backoff between attempts. Default 1 s and 5 min.
	RetryBase, RetryCap time.Duration
	// BusyMaxAge is when a batch that is always answered busy is given up although no attempt counted, because nothing
	// else succeeded meanwhile either. Default 24 h.
	BusyMaxAge time.Duration
	// ShutdownTimeout is how long Run waits, after its context ended, for calls in flight. Default 15 s; it should be
	// longer than the time-out of a call.
	ShutdownTimeout time.Duration
	// CheckInterval is how often an idle worker looks for tasks that are due, and for new ones where Redis does not tell it
	// of them at once (docs/operate.md has what was measured). Default 1 s.
	CheckInterval time.Duration
	// ReconcileInterval is how often the fleet looks for tasks that asynq lost and tasks in its archive. Default 30 s.
	ReconcileInterval time.Duration
	// Gate is what the process's commands go through, those of Redis and Ledger too; nil means one for asynq's alone.
	Gate *redisconn.Gate
	// Observer, when set, is told what happens, for metrics.
	Observer Observer
	// Trace, when set, begins a span for every task and every call.
	Trace *trace.Tracer
	// Random spreads the waits, by a number in [0, 1). Default rand.Float64.
	Random func() float64
	Log    zerolog.Logger
}

// Observer is told what a worker does. Its methods must not block.
type Observer interface {
	// Settled counts pairs by what became of them; reason is empty unless they are dead letters.
	Settled(kind ledger.Kind, reason tasks.Reason, pairs int)
	// Waited is how long a batch waited for its slot.
	Waited(lane string, d time.Duration)
	// Attempted counts calls, by whether they search for a bad id.
	Attempted(isolating bool)
}

func (c Config) withDefaults() (Config, error) {
	if c.Redis == nil || c.DingTalk == nil || c.Pacer == nil || c.Ledger == nil {
		return c, errors.New("worker: Redis, DingTalk, Pacer and Ledger are required")
	}
	d := defaults.Of("worker")
	defaults.Fill(d, "RetryBase", &c.RetryBase, time.Second)
	defaults.Fill(d, "RetryCap", &c.RetryCap, 5*time.Minute)
	defaults.Fill(d, "BusyMaxAge", &c.BusyMaxAge, 24*time.Hour)
	defaults.Fill(d, "ShutdownTimeout", &c.ShutdownTimeout, 15*time.Second)
	defaults.Fill(d, "CheckInterval", &c.CheckInterval, time.Second)
	defaults.Fill(d, "ReconcileInterval", &c.ReconcileInterval, 30*time.Second)
	defaults.Fill(d, "Concurrency", &c.Concurrency, 64)
	defaults.Fill(d, "MaxAttempts", &c.MaxAttempts, 12)
	if c.Gate == nil {
		c.Gate = redisconn.NewGate(c.Log)
	}
	if c.Adding == nil {
		c.Adding = c.Pacer
	}
	if c.Observer == nil {
		c.Observer = silent{}
	}
	if c.Random == nil {
		c.Random = rand.Float64
	}
	return c, d.Err()
}

type silent struct{}

func (silent) Settled(ledger.Kind, tasks.Reason, int) {}
func (silent) Waited(string, time.Duration)           {}
func (silent) Attempted(bool)                         {}

// Worker consumes the lanes and the dead letters that were made due.
type Worker struct {
	cfg       Config
	log       zerolog.Logger
	redis     redis.UniversalClient // asynq's connection: rides out short outages
	client    *asynq.Client
	inspector *asynq.Inspector
	letters   *letters
	rounds    *ledger.Rounds
	apis      map[tasks.Action]*api
	suspects  chan struct{} // the place of the one task that is called apart; see suspectAfter
	turns     *turns
	// neighbours has every task in hand.
	neighbours *neighbours
	lead       *queue.Lead
	lag        pace.Lag

	stopping context.Context // ends at the stop signal: nobody waits any more
	ending   context.Context // ends when calls in flight must be given up
}

// New checks the configuration. Nothing happens before Run.
func New(cfg Config) (*Worker, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	lead := queue.New(queue.Config{Redis: cfg.Redis, Queues: append(tasks.Lanes(), tasks.QueueDeadLetter), Handlers: handlers, CheckInterval: cfg.CheckInterval, Log: cfg.Log})
	cfg.DingTalk = leading{cfg.DingTalk, lead}
	w := &Worker{cfg: cfg, log: cfg.Log, suspects: make(chan struct{}, 1), lead: lead, turns: newTurns(cfg.Ledger), neighbours: &neighbours{job: map[string]map[*visit]bool{}}, apis: map[tasks.Action]*api{},
		rounds: cfg.Ledger.Rounds(2*cfg.ReconcileInterval, 10*cfg.ReconcileInterval)}
	for action, pacer := range map[tasks.Action]Pacer{tasks.Remove: cfg.Pacer, tasks.Add: cfg.Adding} {
		w.apis[action] = newAPI(action, pacer, cfg.DingTalk, cfg.Concurrency)
	}
	return w, nil
}

// handlers are how many tasks of each queue may wait in a worker. A waiting one costs some 25 KB, and the more wait, the
// fewer calls a burst needs, in whatever lane it arrives.
const handlers = 2000

// Run works until ctx ends, then lets the calls in flight end, puts everything else back and returns. It returns an
// error if it cannot start.
func (w *Worker) Run(ctx context.Context) error {
	stopping, stop := context.WithCancel(ctx)
	defer stop()
	ending, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	w.stopping, w.ending = stopping, ending

	// asynq's connection rides out whatever Redis refuses. It is closed once asynq's servers have shut down, and not before:
	// their subscriber panics when its channel is closed under it.
	steadied, closeSteadied := redisconn.Steady(ending, w.cfg.Redis, w.cfg.Gate, w.lead)
	defer w.lead.Close()
	defer closeSteadied()
	w.lead.Connected(steadied)
	w.redis = steadied
	w.client = asynq.NewClientFromRedisClient(w.redis)
	w.inspector = asynq.NewInspectorFromRedisClient(w.redis)
	w.letters = &letters{redis: w.redis, client: w.client, log: w.log}

	var background sync.WaitGroup
	for _, a := range w.apis {
		background.Go(func() { a.run(stopping, w) })
	}
	background.Go(func() { w.reconcile(stopping) })
	background.Go(func() { w.lead.Run(stopping, ending) })

	var servers []*asynq.Server
	for _, lane := range append(tasks.Lanes(), tasks.QueueDeadLetter) {
		s := w.server(lane)
		if err := s.Start(w.lead.Handler(asynq.HandlerFunc(w.handle))); err != nil {
			stop()
			end()
			shutDown(servers)
			background.Wait()
			return fmt.Errorf("start the worker of queue %s: %w", lane, err)
		}
		servers = append(servers, s)
	}
	w.log.Info().Msg("worker started")
	<-ctx.Done()
	w.log.Info().Msg("worker is stopping: calls in flight end, everything else goes back")
	// asynq gives handlers up after its own time-out; calls are given up a little earlier, so that what they came to is
	// still written.
	defer time.AfterFunc(w.cfg.ShutdownTimeout*4/5, end).Stop()
	shutDown(servers)
	for _, a := range w.apis {
		a.dispatch.wait()
	}
	background.Wait()
	w.log.Info().Msg("worker stopped")
	return nil
}

func shutDown(servers []*asynq.Server) {
	var all sync.WaitGroup
	for _, s := range servers {
		all.Go(s.Shutdown)
	}
	all.Wait()
}

func (w *Worker) server(lane string) *asynq.Server {
	return asynq.NewServerFromRedisClient(w.redis, asynq.Config{
		Concurrency:              handlers,
		Queues:                   map[string]int{lane: 1},
		TaskCheckInterval:        queue.TaskCheckInterval,
		DelayedTaskCheckInterval: max(w.cfg.CheckInterval, 100*time.Millisecond),
		RetryDelayFunc:           retryDelay,
		IsFailure:                isFailure,
		ShutdownTimeout:          w.cfg.ShutdownTimeout,
		Logger:                   queue.Logger{Log: w.log.With().Str("queue", lane).Logger()},
		LogLevel:                 asynq.InfoLevel,
		BaseContext:              func() context.Context { return w.ending },
	})
}

// persist repeats a write while Redis refuses it: what DingTalk has done must not be forgotten for a short outage. It
// gives up when the worker ends.
func (w *Worker) persist(write func(context.Context) error) error {
	pauses := wait.Backoff{First: 50 * time.Millisecond, Most: time.Second}
	for tries := 1; ; tries++ {
		err := write(w.ending)
		if _, refused := redisconn.Explain(err); !refused {
			return err
		}
		if wait.For(w.ending, pauses.After(tries)) != nil {
			return err
		}
	}
}

// recovered turns a panic into the end of whatever was being done, so that a fault of ours costs one attempt of the tasks
// it happened to and is seen.
func (w *Worker) recovered(what, task string, then func(crash *end)) {
	if p := recover(); p != nil {
		w.log.Error().Str("task", task).Interface("panic", p).Bytes("stack", debug.Stack()).Msg(what)
		then(&end{kind: endCrashed, why: fmt.Sprintf("panic: %v", p)})
	}
}
