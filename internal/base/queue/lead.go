package queue

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/base/lease"
	"github.com/unrole/unrole/internal/base/redisconn"
	"github.com/unrole/unrole/internal/base/wait"
)

const (
	leadKey = "unrole:{lead}" // one slot for the lead and its number
	// leadTTL is how long nobody takes tasks after a leader was killed, at most.
	leadTTL = 3 * time.Second
	// leadInterval is how often a leader keeps its lead, and how often at least the others look at it.
	leadInterval = time.Second
	// sure is how long after it was kept a leader acts on a lead. What is left of it is for a request on its way.
	sure = leadTTL - 500*time.Millisecond
	// politeness is how long who stood by lets the former leader go first when Redis is back: it has the tasks.
	politeness = 1500 * time.Millisecond
	// leadTries is how many calls in a row end without an answer before somebody else has a try: the way to DingTalk may
	// be closed to this worker alone.
	leadTries = 3
	// sweepInterval is how often the leader looks for tasks that nobody has in hands, and at groups.
	sweepInterval = 3 * time.Second
	// listEvery is how many of its rounds go by until it looks whether asynq's tools know of the queues.
	listEvery = 5
	// pauseInterval is how often the leader looks for lanes that were paused in the web UI, while it has tasks of them.
	pauseInterval = 500 * time.Millisecond
)

// Config says what a Lead works with. All of it is required.
type Config struct {
	Redis redis.UniversalClient
	// Queues are those whose tasks the leader takes.
	Queues []string
	// Handlers is how many tasks of a queue are worked on at once: the Concurrency of asynq's server.
	Handlers int
	// CheckInterval is how often an idle leader looks for tasks where Redis does not tell it of new ones.
	CheckInterval time.Duration
	Log           zerolog.Logger
}

// Lead is one worker's side of the right to take tasks: only removals that wait in the same worker can share a call, so one
// takes them all and the others stand by.
//
// A lead has a number, that of its term (see lease.Term). Who takes the lead first makes everything pending again that is
// in somebody's hands, in one script per queue, which leaves the number with the queue. Every script by which asynq takes a
// task, moves it on or creates one carries the number of its lead, and does nothing where the queue has a greater one: who
// lost the lead, frozen or cut off, cannot undo what its successor does with the same tasks.
//
// It is a hook of asynq's connection, and the middleware of asynq's handler.
type Lead struct {
	cfg   Config
	log   zerolog.Logger
	lease *lease.Lease
	hands *hands
	looks map[string]*look
	said  string // in the log
	blind bool   // the next term goes without the servers of Redis

	scripts sync.Map // hash of a script of asynq → script, the same with what goes before it

	mu       sync.Mutex
	conn     redis.UniversalClient
	number   int64         // of the term, or of the last one while its tasks are in hand
	fence    lease.Fence   // of the same
	leading  bool          // tasks may be taken
	kept     time.Time     // when the lead was known to be ours for leadTTL
	changed  chan struct{} // closed at each change of the three
	over     bool          // the worker stops: nobody waits for a lead any more
	returned map[string][]string
	replaced lease.Fence // the last one with which something was refused since Redis is another server

	lost       chan struct{} // a script was refused: a later lead is there
	breaks     atomic.Int64  // see Breaks
	unanswered atomic.Int32  // calls since the last one that DingTalk answered
	background sync.WaitGroup
}

// Leader is where the worker runs that has the lead, by host and process id; the empty host is nobody.
func Leader(ctx context.Context, rdb redis.UniversalClient) (host string, pid int, err error) {
	return lease.Machine(ctx, rdb, leadKey)
}

// New returns a lead that nobody has yet; see Run.
func New(cfg Config) *Lead {
	l := &Lead{cfg: cfg, log: cfg.Log, lease: lease.New(cfg.Redis, leadKey, leadTTL), hands: newHands(), looks: map[string]*look{},
		changed: make(chan struct{}), returned: map[string][]string{}, lost: make(chan struct{}, 1)}
	for _, q := range cfg.Queues {
		l.looks[q] = &look{queue: q}
	}
	return l
}

// Held reports whether this worker has the lead for certain, and for as long as a request needs to be written.
func (l *Lead) Held() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.number > 0 && time.Since(l.kept) < sure
}

// Number is that of the lead whose tasks this worker has in hand, 0 if there is none.
func (l *Lead) Number() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.number
}

// Fence is what goes with each write into the records of those tasks; empty if there are none.
func (l *Lead) Fence() lease.Fence {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fence
}

// Replaced tells the lead that Redis is another server than when the fence began. If it is the lead's own, everything in hand is
// dropped and the lead is taken anew: Redis knows what it knows, and the tasks are as it has them.
func (l *Lead) Replaced(fence lease.Fence) {
	if fence == l.Fence() {
		l.update(func() { l.replaced = fence })
		l.refused(fence)
	}
}

// Outlive waits until the term of a fence is over, or until ctx ends: that of a handler does when its task has to go back, unless the
// task was moved meanwhile and taken once more.
func (l *Lead) Outlive(ctx context.Context, fence lease.Fence) {
	for {
		l.mu.Lock()
		over, changed := l.fence != fence, l.changed
		l.mu.Unlock()
		if over {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// Breaks grows whenever Redis may have lost tasks: with each lead that this worker takes, and while Redis does not answer, as when
// a replica takes its place.
func (l *Lead) Breaks() int64 { return l.breaks.Load() }

// Heard notes whether DingTalk answered a call.
func (l *Lead) Heard(answered bool) {
	if answered {
		l.unanswered.Store(0)
	} else {
		l.unanswered.Add(1)
	}
}

// Run takes the lead when it is free and keeps it, until ctx ends. Then what waits in hand goes back and the lead is given
// up, as soon as the handlers have returned; ending is when they shall have, at the latest.
func (l *Lead) Run(ctx, ending context.Context) {
	defer l.update(func() { l.over, l.leading = true, false })
	for l.stand(ctx) {
		l.lead(ctx, ending)
		if ctx.Err() != nil || wait.For(ctx, l.rest()) != nil {
			return
		}
	}
}

// rest is how long a worker that DingTalk does not answer leaves the lead to others.
func (l *Lead) rest() time.Duration {
	if l.unanswered.Swap(0) >= leadTries {
		return 3 * leadInterval
	}
	return 0
}

func (l *Lead) update(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *Lead) say(what string) {
	if what != l.said {
		l.said = what
		l.log.Info().Msg(what)
	}
}

// stand stands by until this worker has the lead and all tasks are pending; false when ctx ended.
func (l *Lead) stand(ctx context.Context) bool {
	away := false
	for ctx.Err() == nil {
		asked := time.Now()
		if away && l.cfg.Redis.Exists(ctx, leadKey).Err() == nil {
			away = false
			wait.For(ctx, politeness)
			continue
		}
		bounded, cancel := context.WithTimeout(ctx, leadTTL)
		term, err := l.lease.Take(bounded)
		cancel()
		next := leadInterval
		switch {
		case err != nil:
			away = true
		case !term.Mine:
			l.say("another worker takes the tasks; this one stands by")
			next = min(next, term.Left+time.Millisecond)
		case l.takeOver(ctx, term.Number, asked):
			return true
		}
		wait.For(ctx, next)
	}
	return false
}

// takeOver puts back what anybody has in hand, and begins the term.
func (l *Lead) takeOver(ctx context.Context, number int64, asked time.Time) bool {
	found := int64(0)
	bounded, cancel := context.WithTimeout(ctx, leadInterval)
	servers, err := redisconn.RunIDs(bounded, l.cfg.Redis)
	cancel()
	if err != nil {
		l.log.Warn().Err(err).Msg("the lead is taken when that works")
		return false
	}
	if l.blind {
		servers = nil
	}
	for _, q := range l.cfg.Queues {
		n, err := back(ctx, l.cfg.Redis, q, number)
		if err != nil {
			l.log.Warn().Err(err).Msg("the lead is taken when that works")
			return false
		}
		found += n
	}
	select {
	case <-l.lost: // by an earlier term
	default:
	}
	l.hands.open()
	l.blind = false
	l.update(func() {
		l.number, l.fence, l.leading, l.kept = number, lease.NewFence(number, servers), true, asked
		l.returned = map[string][]string{} // of an earlier term: they are pending, and may be in hand again by now
	})
	l.breaks.Add(1)
	l.say("this worker takes the tasks")
	if found > 0 {
		l.log.Warn().Int64("tasks", found).Msg("tasks that a lost worker had in its hands are taken again")
	}
	return true
}

// lead keeps the lead until it is lost, or given up because ctx ends or DingTalk does not answer. When it returns no task is
// in hand, but for those that would not end before ending.
func (l *Lead) lead(ctx, ending context.Context) {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	l.background.Go(func() { l.sweep(work) })
	l.background.Go(func() { l.watchPauses(work) })
	l.background.Go(func() { l.giveBack(work) })
	defer func() {
		l.update(func() { l.number, l.fence, l.leading = 0, "", false })
	}()

	tick := time.NewTicker(leadInterval)
	defer tick.Stop()
	var gone chan error // closed when a lead that is given up has no task in hand any more
	giveUp := func(why string) {
		if gone != nil {
			return
		}
		if l.log.Info().Msg(why); ctx.Err() == nil {
			l.said = ""
		}
		l.update(func() { l.leading, l.over = false, ctx.Err() != nil })
		l.hands.leave("", errHanded)
		gone = make(chan error, 1)
		go func() { gone <- l.hands.allGone(ending) }()
	}
	stopped := ctx.Done()
	for {
		select {
		case <-stopped:
			stopped = nil
			giveUp("what waits here goes back")
		case <-gone:
			l.resign()
			return
		case <-l.lost:
			l.lose(ending)
			return
		case <-tick.C:
			if !l.keep(work) {
				l.lose(ending)
				return
			}
			if l.unanswered.Load() >= leadTries {
				giveUp("DingTalk does not answer this worker: another one may take the tasks")
			}
		}
	}
}

// keep keeps the lead for another while; false says that somebody else has it.
func (l *Lead) keep(ctx context.Context) bool {
	asked := time.Now()
	bounded, cancel := context.WithTimeout(ctx, sure)
	defer cancel()
	term, err := l.lease.Take(bounded)
	if err != nil {
		l.breaks.Add(1)
		return true // it may still be ours; Held says for how long that is certain
	}
	if !term.Mine || term.Number != l.Number() {
		return false
	}
	l.update(func() { l.kept = asked })
	return true
}

// lose drops everything that is in hand: it is somebody else's.
func (l *Lead) lose(ending context.Context) {
	l.said = ""
	l.update(func() { l.leading, l.kept = false, time.Time{} })
	bounded, cancel := context.WithTimeout(ending, leadTTL)
	defer cancel()
	servers, err := redisconn.RunIDs(bounded, l.cfg.Redis)
	l.mu.Lock()
	refused := l.replaced == l.fence
	l.mu.Unlock()
	switch {
	case err == nil && !l.Fence().Holds(servers):
		l.log.Warn().Msg("Redis was started again, or a replica took its place: the tasks are taken anew")
		l.hands.leave("", ErrReplaced)
	case err == nil && refused:
		l.log.Warn().Msg("Redis names another server to scripts than to this worker, as behind a proxy: until the lead is taken again what it has lost is not told from what it knows")
		l.blind = true
		l.hands.leave("", errLost)
	default:
		l.log.Warn().Msg("another worker has taken the tasks over; what this one had in its hands is not its own any more")
		l.hands.leave("", errLost)
	}
	l.hands.allGone(ending)
	bounded, cancel = context.WithTimeout(ending, leadTTL) // the handlers may have taken long
	defer cancel()
	_ = l.lease.End(bounded) // should it be this worker's all the same, the next term is a new one
}

// resign puts back what is left and lets another worker take the lead at once.
func (l *Lead) resign() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var errs []error
	for _, q := range l.cfg.Queues {
		_, err := back(ctx, l.cfg.Redis, q, l.Number())
		errs = append(errs, err)
	}
	errs = append(errs, l.lease.End(ctx))
	if err := errors.Join(errs...); err != nil {
		l.log.Warn().Err(err).Dur("ttl", leadTTL).Msg("the lead could not be given back; it ends by itself")
	}
}

// Close waits for what Run has begun and cannot interrupt. asynq's connection is to be closed before.
func (l *Lead) Close() { l.background.Wait() }
