package worker

import (
	"errors"
	"fmt"
	"time"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/base/wait"
	"github.com/unrole/unrole/internal/out/combine"
	"github.com/unrole/unrole/internal/out/outcome"
	"github.com/unrole/unrole/internal/record/ledger"
)

// call uses a slot: for c, or if that does not stand any more when it is looked at again, for the next most urgent call
// of the pool. A refusal is searched here to its end.
func (w *Worker) call(a *api, s slot, c combine.Call) {
	defer s.done()
	var g *group
	defer w.recovered("a call panicked", "", func(crash *end) {
		g.leave(crash)
		w.putBack(g, c)
	})
	var v outcome.Decision
	err := errFallen
	end := func() {}
	defer func() { end() }()
	for ok := true; ok && errors.Is(err, errFallen); {
		end()
		g = newGroup(c)
		end = a.flies(g)
		if v, err = w.first(s, g); err == nil {
			break
		}
		w.putBack(g, c)
		if errors.Is(err, errFallen) {
			c, ok = a.dispatch.pool.Next()
		}
	}
	if err != nil {
		a.dispatch.unused(w.ending, s)
		if !errors.Is(err, errFallen) && !errors.Is(err, errMissed) {
			w.log.Warn().Err(err).Msg("no call is made while the ledger cannot be read")
			wait.For(w.stopping, time.Second)
		}
		return
	}

	switch v.Action {
	case outcome.Settle:
		a.jobs.learned(g).Passed(g.whole.Size())
		a.dispatch.pool.Done(c)
		g.progress()
	case outcome.Search:
		s.done() // its probes take places of their own
		w.isolate(g, c, v, s.Grant)
	case outcome.StandBy:
		w.putBack(g, c)
	case outcome.Abandon:
		g.leave(stopping)
		w.putBack(g, c)
	case outcome.Retry:
		jitter := w.cfg.Random()
		for _, m := range g.members {
			m.leave(w.tryLater(m, v, s.Accepted, jitter))
		}
		w.putBack(g, c)
	}
}

// first makes the call of a group from the pool, unless some of its tasks have to wait for the answer to another call.
func (w *Worker) first(s slot, g *group) (outcome.Decision, error) {
	if g.api.searches.standAside(g) {
		return outcome.Decision{}, errFallen
	}
	end, ok := g.api.jobs.begin(g)
	if !ok {
		g.leave(again("the first calls of its job are not answered yet"))
		return outcome.Decision{}, errFallen
	}
	v, err := w.use(s, g, g.whole, false)
	if err != nil {
		g.rest()
	}
	end(err == nil && (v.Action == outcome.Settle || v.Action == outcome.Search))
	return v, err
}

// putBack returns the pairs of a call to the pool: those of tasks that wait on are open again, those of tasks that left
// are gone.
func (w *Worker) putBack(g *group, c combine.Call) {
	g.api.dispatch.again(c)
	g.progress()
}

// togetherTries is how often tasks that were busy in the same call wait equally long, so that they share a call again. After
// that each waits for a time of its own: it may be one of them that keeps the others busy.
const togetherTries = 3

// spent is what the tries of a batch came to that was busy too often.
type spent struct {
	answer outcome.Decision // the last one
	// aged: it was busy for so long that a try counts although nothing else of the fleet succeeds.
	aged bool
	of   pairs.Rectangle // of the part, what was busy
	// ofRoles: its roles keep it busy, not its users.
	ofRoles bool
}

// tryLater counts a try that was answered busy, or in no known way, and says when the next one is due.
func (w *Worker) tryLater(m *member, v outcome.Decision, accepted int64, jitter float64) error {
	now := time.Now()
	m.called = false
	m.api.jobs.busy(m.part.JobID)
	chance := m.chance()
	var pause time.Duration
	tries, err := m.note(func(t *ledger.Tries) {
		if m.turned {
			t.Anew()
		}
		pause = w.putOff(t, now, accepted, jitter)
	})
	if err != nil {
		return err
	}
	most := w.mostAttempts(v)
	// Age ends a batch only where DingTalk itself refuses it: behind a wrong base URL nothing is spent, however long.
	aged := v.Answered && tries.Aged(now, w.cfg.BusyMaxAge)
	last, ofRoles := m.isLastWord(v, tries.Attempts, most)
	if last || aged {
		v.Failure.Attempts = tries.Attempts
		return &end{kind: endSpent, spent: &spent{answer: v, aged: aged && !last, of: m.of, ofRoles: ofRoles}, why: "attempts are spent: " + v.Failure.ErrMsg}
	}
	if v.Answered && tries.All <= chance.soon {
		pause = chance.pause(now, w.cfg.RetryBase/roundsPerBase, tries.All, m.part.UserIDs[0])
	}
	return later(pause, fmt.Sprintf("attempt %d of %d: %s", tries.Attempts, most, v.Failure.ErrMsg))
}

// putOff counts a try that was busy and returns how long the next one is to wait for: as long as the pause lasts that begins with
// this one or, if this one was early, began with another one.
func (w *Worker) putOff(t *ledger.Tries, now time.Time, accepted int64, jitter float64) time.Duration {
	if left := t.Rests.Sub(now); left > w.cfg.RetryCap { // by a clock that was set back since
		t.Rests = now
	}
	early := t.Early
	if t.Busy(now, accepted, false); t.Early > early {
		return t.Rests.Sub(now)
	}
	if t.Due() > togetherTries {
		jitter = w.cfg.Random()
	}
	pause := w.backoff().Spread(t.Due(), jitter)
	// What comes back through asynq may be half a second early.
	t.Rests = now.Add(pause - pause/4)
	return pause
}

// mostAttempts is how many tries that were answered so make an end.
func (w *Worker) mostAttempts(v outcome.Decision) int {
	if v.Attempts > 0 {
		return v.Attempts
	}
	return w.cfg.MaxAttempts
}

// backoff is between two tries of the same.
func (w *Worker) backoff() wait.Backoff {
	return wait.Backoff{First: w.cfg.RetryBase, Most: w.cfg.RetryCap}
}
