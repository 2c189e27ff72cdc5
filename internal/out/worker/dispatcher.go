package worker

import (
	"context"
	"slices"
	"sync"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/out/combine"
	"github.com/unrole/unrole/internal/out/pace"
)

// dispatcher holds the process's one reservation of the pacer and gives each slot to whoever is the most urgent when
// the slot comes: a probe of an isolation under way, or the offer that leads the pool.
type dispatcher struct {
	pacer Pacer
	// prepare is done before each reservation, so that a call goes out when its slot comes and not when a token does.
	prepare func(context.Context)
	pool    *combine.Pool
	tokens  chan struct{} // one per call in flight
	idle    chan func()   // to those who have made a call before and wait for the next: their stacks have grown
	wake    chan struct{}

	mu     sync.Mutex
	probes []*probe // waiting, by lane and then arrival
	calls  sync.WaitGroup
}

// slot is the right to make one call now. Its place among the calls in flight must be given back with done; again is
// harmless.
type slot struct {
	pace.Grant
	done func()
}

type probe struct {
	lane    int
	granted chan slot // unbuffered: a slot is handed over only to somebody who is still there
	gone    <-chan struct{}
}

func newDispatcher(pacer Pacer, prepare func(context.Context), inFlight int, most pairs.Size) *dispatcher {
	return &dispatcher{pacer: pacer, prepare: prepare, pool: combine.NewPool(most), tokens: make(chan struct{}, inFlight), idle: make(chan func()), wake: make(chan struct{}, 1)}
}

// offer puts an offer into the pool.
func (d *dispatcher) offer(o *combine.Offer) {
	d.pool.Add(o)
	d.nudge()
}

// again puts the pairs of a call back that was not made or not answered.
func (d *dispatcher) again(c combine.Call) {
	d.pool.Return(c)
	d.nudge()
}

func (d *dispatcher) nudge() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// slotFor waits for a slot of the given lane, ahead of every offer of the same lane: an isolation finishes what was
// begun.
func (d *dispatcher) slotFor(ctx context.Context, lane int) (slot, error) {
	p := &probe{lane: lane, granted: make(chan slot), gone: ctx.Done()}
	d.mu.Lock()
	at := slices.IndexFunc(d.probes, func(q *probe) bool { return q.lane > lane })
	if at < 0 {
		at = len(d.probes)
	}
	d.probes = slices.Insert(d.probes, at, p)
	d.mu.Unlock()
	d.nudge()
	select {
	case s := <-p.granted:
		return s, nil
	case <-ctx.Done():
		d.mu.Lock()
		d.probes = slices.DeleteFunc(d.probes, func(q *probe) bool { return q == p })
		d.mu.Unlock()
		return slot{}, ctx.Err()
	}
}

// run reserves slots as long as somebody waits, until ctx ends. call is run in a goroutine of its own for each slot that
// does not go to a probe, with what Next of the pool made for it.
func (d *dispatcher) run(ctx context.Context, call func(slot, combine.Call)) {
	for {
		for !d.waiting() {
			select {
			case <-ctx.Done():
				return
			case <-d.wake:
			}
		}
		select {
		case <-ctx.Done():
			return
		case d.tokens <- struct{}{}:
		}
		d.prepare(ctx)
		grant, err := d.pacer.Reserve(ctx)
		if err != nil {
			<-d.tokens
			return
		}
		d.assign(ctx, slot{Grant: grant, done: sync.OnceFunc(func() { <-d.tokens })}, call)
	}
}

// waiting reports whether a slot would be used: what is in flight already needs none.
func (d *dispatcher) waiting() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, _, open := d.pool.First()
	return open || len(d.probes) > 0
}

func (d *dispatcher) assign(ctx context.Context, s slot, call func(slot, combine.Call)) {
	for {
		lane, _, waits := d.pool.First()
		d.mu.Lock()
		if len(d.probes) == 0 || waits && d.probes[0].lane > lane {
			d.mu.Unlock()
			if d.pool.Gathers() && !s.Probe {
				d.unused(ctx, s)
				return
			}
			// Taken here and not by whoever makes it, so that the next slot is reserved only for what is left.
			if c, ok := d.pool.Next(); ok {
				d.hand(ctx, func() { call(s, c) })
			} else {
				d.unused(ctx, s)
			}
			return
		}
		p := d.probes[0]
		d.probes = d.probes[1:]
		d.mu.Unlock()
		select {
		case p.granted <- s:
			return
		case <-p.gone:
		}
	}
}

// unused ends a slot that nobody has a call for.
func (d *dispatcher) unused(ctx context.Context, s slot) {
	d.pacer.Report(ctx, s.Grant, pace.Answer{Kind: pace.Unused})
	s.done()
}

// hand lets somebody idle make the call, or somebody new who is idle afterwards, until ctx ends.
func (d *dispatcher) hand(ctx context.Context, call func()) {
	select {
	case d.idle <- call:
		return
	default:
	}
	d.calls.Go(func() {
		for {
			call()
			select {
			case call = <-d.idle:
			case <-ctx.Done():
				return
			}
		}
	})
}

// wait returns when the calls in flight have ended.
func (d *dispatcher) wait() { d.calls.Wait() }
