package fleet

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/base/wait"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/promises"
	"github.com/unrole/unrole/tasks"
)

const (
	dingTalkURL = "http://10.0.0.2"
	receiverURL = "http://10.0.0.3/ended"
	signingKey  = "whsec_c2lnbmVkIGJ5IGEgZmxlZXQgaW4gdmlydHVhbCB0aW1l"
)

// world is where one history takes place.
type world struct {
	t     testing.TB
	plan  plan
	gate  *gate
	redis *store
	sim   *simulator.Simulator
	began time.Time

	// outside looks at the world past the gate.
	outside   *process
	ledger    *ledger.Ledger
	inspector *asynq.Inspector

	workers  []*keeper
	intaking wait.Lock // who looks after the intake
	intakes  int       // processes of it
	intake   *process
	handler  http.Handler

	people  sync.WaitGroup // who submits and acts
	besides sync.WaitGroup // who acts until the history is over
	running sync.WaitGroup // engines, those too that died
	ctx     context.Context
	cancel  context.CancelFunc

	acting  sync.Mutex
	moments []moment // that are waited for
	healed  bool     // and no more come

	mu           sync.Mutex
	rng          *rand.Rand // of chances that processes take, each its own seed
	submitted    map[string]chan struct{}
	mended       map[string]bool
	archived     bool
	blamed       map[tasks.Reason]bool  // why DingTalk refused ids for a while that are right
	late         map[promises.Pair]bool // see promises.History
	faulty       []window               // when a process was kept from doing anything in time
	fetches      []time.Time
	told         map[string]int // messages of the webhook that arrived, by id
	deaf         bool           // its receiver is down
	failed       bool
	weather      []weather
	logs         []string // what processes said last
	removed      map[string]int64
	situations   map[string]int
	everybody    []*process        // that ever was
	frozenLeader map[string]string // who led when a worker was frozen
	settled      bool              // by the last operation; only while everything stands still
	leader       string            // the value of its key
	calling      int               // calls under way
	company      company
	rest, still  time.Duration  // see outcome
	leads, ends  []time.Time    // when the lead changed, and when a worker ended
	refusal      simulator.Call // that began a search, the last one
	lastRefusal  time.Time
	kept         map[string]bool // who is to keep what was not taken
	forgotten    time.Time       // when Redis lost what it had said
}

type window struct{ from, to time.Time }

func newWorld(t testing.TB, p plan, trace io.Writer) *world {
	w := &world{t: t, plan: p, intaking: wait.NewLock(), began: time.Now(), redis: newStore(t), submitted: map[string]chan struct{}{}, mended: map[string]bool{}, blamed: map[tasks.Reason]bool{}, late: map[promises.Pair]bool{},
		told: map[string]int{}, kept: map[string]bool{}, removed: map[string]int64{}, situations: map[string]int{}, frozenLeader: map[string]string{}, rng: rand.New(rand.NewPCG(p.seed, 3))}
	w.gate = newGate(rand.New(rand.NewPCG(p.seed, 2)), p.pace)
	w.gate.fateOf, w.gate.after, w.gate.log = w.fateOf, w.look, trace
	w.ctx, w.cancel = context.WithCancel(context.Background())
	p.dingtalk.Observe = func(c simulator.Call) {
		if slices.Contains(badID, c.Code) {
			w.mu.Lock()
			w.refusal, w.lastRefusal = c, time.Now()
			w.mu.Unlock()
		}
	}
	w.sim = simulator.New(p.dingtalk)
	w.redis.tells = !p.mute
	w.outside = w.newProcess("outside")
	w.outside.free = true
	w.ledger = ledger.New(w.outside.rdb, 0)
	w.inspector = asynq.NewInspectorFromRedisClient(w.outside.rdb)
	p.held(w.sim)
	w.openCompany()
	for _, j := range p.jobs {
		w.submitted[j.ID] = make(chan struct{})
		if slices.Contains(p.words, j) {
			continue
		}
		for pr := range j.Pairs {
			w.sim.Grant(pr.User, pr.Role)
		}
	}
	return w
}

// broken tells of a promise that was not kept.
func (w *world) broken(format string, args ...any) {
	w.mu.Lock()
	w.failed = true
	w.mu.Unlock()
	w.t.Errorf("after %.3fs: "+format, append([]any{time.Since(w.began).Seconds()}, args...)...)
}

// conf is the configuration of workers and intake.
func (w *world) conf() *config.Config {
	c := &config.Config{RedisURL: "redis://10.0.0.1:6379/0",
		DingTalk: config.DingTalk{BaseURL: dingTalkURL, AppKey: simulator.AppKey, AppSecret: simulator.AppSecret},
		QPS:      float64(w.plan.qps), RetryBase: 300 * time.Millisecond, RetryCap: 5 * time.Second, HoldProbe: 2 * time.Second,
		CheckInterval: time.Second, WebhookURL: receiverURL, WebhookSecret: signingKey, DirectoryTTL: w.plan.directoryTTL}
	if w.plan.tune != nil {
		w.plan.tune(c)
	}
	return c
}

// chances is a source of randomness of its own for a process that starts.
func (w *world) chances() func() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	rng := rand.New(rand.NewPCG(w.rng.Uint64(), 4))
	var mu sync.Mutex
	return func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return rng.Float64()
	}
}

func (w *world) parts(p *process) app.Parts {
	return app.Parts{Redis: p.rdb, Transport: p, Random: w.chances(), Version: "virtual", Log: zerolog.New(&listener{w, p.name}).Level(zerolog.InfoLevel)}
}

// listener hears what a process says: no secret, and of no panic.
type listener struct {
	world *world
	name  string
}

func (l *listener) Write(line []byte) (int, error) {
	text := string(line)
	w := l.world
	if strings.Contains(text, "panic") {
		w.broken("%s crashed: %s", l.name, text)
	}
	if strings.Contains(text, "rolesforemps: "+dingtalk.ErrNotSent.Error()) {
		w.broken("limits: the client of %s refused a call of its own: %s", l.name, text)
	}
	if strings.Contains(text, simulator.AppSecret) {
		w.broken("no secret: %s says %s", l.name, text)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.logs = append(w.logs, fmt.Sprintf("%8.3fs %-9s %s", time.Since(w.began).Seconds(), l.name, strings.TrimSpace(text)))
	return len(line), nil
}

// answer is what a request of a process gets at its destination.
func (w *world) answer(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.String(), receiverURL) {
		return w.receive(r), nil
	}
	if refused := w.lookup(r); refused != nil {
		return refused, nil
	}
	if strings.HasSuffix(r.URL.Path, "/gettoken") {
		w.mu.Lock()
		w.fetches = append(w.fetches, time.Now())
		w.mu.Unlock()
	}
	w.mu.Lock()
	w.calling++
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.calling--
		w.mu.Unlock()
		if strings.HasSuffix(r.URL.Path, "rolesforemps") {
			w.noteCompany()
		}
	}()
	return w.sim.Transport().RoundTrip(r)
}

// receive is the receiver of the webhook; it fails now and then where time is short, since a day has only so many tries.
func (w *world) receive(r *http.Request) *http.Response {
	status := http.StatusNoContent
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.rng.IntN(5) == 0 && w.plan.tune == nil || w.deaf {
		status = http.StatusServiceUnavailable
	} else {
		w.told[r.Header.Get("webhook-id")]++
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: r}
}

// disturbed records that from now on, and for d, a process cannot be expected to know or do anything in time.
func (w *world) disturbed(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.faulty = append(w.faulty, window{now, now.Add(d)})
}

func (w *world) disturbedAt(from, to time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.faulty {
		if f.from.Before(to) && from.Before(f.to) {
			return true
		}
	}
	return false
}

// jumped records that the clock of Redis jumps now, and comes back after d: slots of the pace lie elsewhere around that.
func (w *world) jumped(d time.Duration) {
	w.disturbed(d + 40*time.Second)
	w.mu.Lock()
	defer w.mu.Unlock()
	for at := time.Duration(0); at <= d+35*time.Second; at += 500 * time.Millisecond {
		w.fetches = append(w.fetches, time.Now().Add(at))
	}
}

// keeper keeps one worker running, as a supervisor of services does.
type keeper struct {
	world *world
	name  string

	mu      sync.Mutex
	current *process
	away    time.Duration // until the next one starts
	over    bool
	retired time.Time // when the last one was asked to end for good
	starts  int
	wake    chan struct{}
	ended   chan struct{}
}

func (w *world) keepWorker(i int) *keeper {
	k := &keeper{world: w, name: fmt.Sprint("worker-", i), wake: make(chan struct{}, 1), ended: make(chan struct{})}
	k.start()
	go k.run()
	return k
}

// start starts the next process of the worker.
func (k *keeper) start() {
	w := k.world
	p := w.newProcess(fmt.Sprint(k.name, ".", k.starts))
	c := w.conf()
	c.ProtectedUsers = w.plan.protected
	e, err := app.New(c, w.parts(p))
	if err != nil {
		w.t.Fatal(err)
	}
	k.mu.Lock()
	k.current = p
	k.starts++
	k.mu.Unlock()
	w.running.Go(func() {
		err := e.Run(p.alive)
		k.mu.Lock()
		asked := p.isDead() || p.alive.Err() != nil
		retired := k.retired
		k.mu.Unlock()
		if !asked && err == nil {
			w.broken("%s ended by itself", p.name)
		}
		// asynq does not hear that it should stop while it waits for its next look at an idle queue.
		if took := time.Since(retired); !retired.IsZero() && !p.isDead() && took > shutdown && w.plan.tune == nil {
			w.broken("%s took %v to end", p.name, took)
		}
		w.mu.Lock()
		w.ends = append(w.ends, time.Now())
		w.mu.Unlock()
		p.die()
		_ = p.rdb.Close()
	})
}

func (k *keeper) run() {
	defer close(k.ended)
	for {
		k.mu.Lock()
		p := k.current
		k.mu.Unlock()
		<-p.alive.Done()
		k.mu.Lock()
		rest, over := max(k.away, 200*time.Millisecond), k.over
		k.away = 0
		k.mu.Unlock()
		if over {
			return
		}
		timer := time.NewTimer(rest)
		select {
		case <-timer.C:
			k.start()
		case <-k.wake:
			timer.Stop()
			return
		}
	}
}

// process is the one that runs just now.
func (k *keeper) process() *process {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current
}

// kill ends the worker as kill -9 does; another one follows after the given time.
func (k *keeper) kill(away time.Duration) {
	k.leave(away)
	k.process().die()
}

// stop asks the worker to end, as SIGTERM does.
func (k *keeper) stop(away time.Duration) {
	k.leave(away)
	k.process().end()
}

func (k *keeper) leave(away time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.away = away
}

// retire ends the worker for good, cleanly.
func (k *keeper) retire() {
	k.mu.Lock()
	k.over, k.retired = true, time.Now()
	k.mu.Unlock()
	k.wake <- struct{}{}
	k.process().end()
	<-k.ended
}
