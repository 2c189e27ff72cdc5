package pace

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/unrole/unrole/internal/base/wait"
)

// Grant is the permission to make one call now.
type Grant struct {
	// At is when the grant was returned, by this process's clock.
	At time.Time
	// Probe says that the fleet otherwise stands still, because of a hold or an outage: this call finds out whether it
	// still has to.
	Probe bool
	// Accepted is how many calls DingTalk ever accepted from the fleet, as known when the slot was given.
	Accepted int64
	// Spacing is the time between two slots at the fleet's present rate.
	Spacing time.Duration

	seq int64 // position among all grants of the fleet
}

const (
	// staleAfter: a slot that this process reached so late, because it or Redis was stopped, is not used.
	staleAfter = time.Second
	// lateAfter: a slot missed by more than the margin allows is given up once per Reserve, at the cost of one slot.
	lateAfter = margin / 2
	// unsureAfter: after a longer wait the state is looked at again even when no announcement came.
	unsureAfter = time.Second
	// patience bounds a wait for an announcement that might have been lost, deaf the same without a subscription.
	patience = 15 * time.Second
	deaf     = time.Second
)

// Reserve waits until this process may make exactly one call, and returns then. The wait has no bound: a pause, a hold
// or an absent Redis is waited out. It returns an error, that of ctx, only when ctx ends, and then at once. Further
// calls wait until the first has returned: a process holds at most one reservation.
func (p *Pacer) Reserve(ctx context.Context) (Grant, error) {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return Grant{}, ctx.Err()
	}
	gaveUp := false
	for failed := 0; ctx.Err() == nil; {
		r, err := p.slot(ctx)
		if err != nil {
			if ctx.Err() == nil {
				p.mood.redisAway(p, err)
				failed++
				d := redisAgain.After(failed)
				wait.For(ctx, d/2+time.Duration(p.cfg.Random()*float64(d/2))) // a fleet does not come back as one, nor at once
			}
			continue
		}
		failed = 0
		p.mood.is(ctx, p, r.word)
		if r.word != "granted" && r.word != "probe" {
			wait := min(r.wait, patience)
			if !p.subscribed.Load() {
				wait = min(r.wait, deaf)
			}
			p.news.await(ctx, wait, r.gen)
			continue
		}
		if !p.news.await(ctx, r.wait-time.Since(r.received), r.gen) {
			continue
		}
		late := max(time.Since(r.received)-r.wait, r.received.Sub(r.asked)-10*margin)
		if late > staleAfter || late > lateAfter && !gaveUp {
			gaveUp = true
			continue
		}
		if (!p.subscribed.Load() || r.wait > unsureAfter) && !p.confirm(ctx, r.gen) {
			continue
		}
		return Grant{At: time.Now(), Probe: r.word == "probe", Accepted: r.accepted, Spacing: r.spacing, seq: r.seq}, nil
	}
	return Grant{}, ctx.Err()
}

// answered is what Redis said to a question for a slot.
type answered struct {
	reply
	asked, received time.Time
}

// slot is the next slot, or why there is none: one that Redis gave along with the last one, where that is as good as a new one, else
// what Redis says now.
func (p *Pacer) slot(ctx context.Context) (answered, error) {
	a := &p.ahead
	a.slots, a.seq, a.wait = a.slots-1, a.seq+1, a.wait+a.spacing
	if newest, _ := p.news.heard(); a.slots > 0 && newest <= a.gen && p.subscribed.Load() && time.Since(a.received)-a.wait < lateAfter {
		return *a, nil
	}
	p.news.forget()
	*a = answered{asked: time.Now()}
	r, err := p.send(ctx, "reserve")
	a.reply, a.received = r, time.Now()
	return *a, err
}

// confirm asks whether the state is still the one in which the slot was given.
func (p *Pacer) confirm(ctx context.Context, gen int64) bool {
	now, err := p.rdb.HGet(ctx, p.keys[0], "gen").Int64()
	return err == nil && now == gen
}

// redisAgain is between two questions to a Redis that does not answer.
var redisAgain = wait.Backoff{First: 50 * time.Millisecond, Most: time.Second}

// mood is what this process last knew of the fleet, to log changes once.
type mood struct {
	mu   sync.Mutex
	word string
}

func (m *mood) change(to string) (from string, changed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	from, m.word = m.word, to
	return from, from != to
}

func (m *mood) redisAway(p *Pacer, err error) {
	p.away.Store(true)
	if _, changed := m.change("redis away"); changed {
		p.cfg.Log.Debug().Err(err).Msg("Redis does not do what it is asked: no calls until it does")
	}
}

func (m *mood) is(ctx context.Context, p *Pacer, word string) {
	p.away.Store(false)
	switch word {
	case "probe", "later":
		return // says nothing new
	}
	from, changed := m.change(word)
	if !changed {
		return
	}
	if word == "granted" {
		if from != "" {
			p.cfg.Log.Info().Str("after", from).Msg("calling again")
		}
		return
	}
	event := p.cfg.Log.Warn()
	if s, err := p.Status(ctx); err == nil {
		switch {
		case word == "held" && s.Hold != nil:
			event = event.Str("reason", string(s.Hold.Kind)).Str("message", s.Hold.Message).Str("named", s.Hold.Named)
		case word == "paused" && s.Pause != nil:
			event = event.Str("scope", string(s.Pause.Limit)).Str("why", s.Pause.Why).Time("until", s.Pause.Until)
		case word == "outage" && s.Outage != nil:
			event = event.Time("since", s.Outage.Since)
		}
	}
	event.Msg(fmt.Sprintf("the fleet does not call: %s", word))
}
