package worker

import (
	"errors"
	"time"

	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/out/outcome"
	"github.com/unrole/unrole/internal/record/ledger"
)

var (
	// errFallen: the call does not stand any more, and whom that is down to has left.
	errFallen = errors.New("the call does not stand any more")
	// errMissed: the slot came too long ago.
	errMissed = errors.New("the slot was missed")
)

// use spends a slot on a rectangle of the group, a whole call or a probe of a search; there is no other way to DingTalk. It
// looks at the ledger again, asks DingTalk, and tells the pacer. What was done is settled then; whoever only stands by
// waits for the next slot unmarked. An error says that no call was made, and the slot is still to be used.
//
// What is left to the caller: a refusal (search), which the pacer is told of when it is known what it established, and a
// try that may be repeated (retry). The tasks are marked as being called until then.
func (w *Worker) use(s slot, g *group, rect pairs.Rectangle, isolating bool) (outcome.Decision, error) {
	defer g.restOwners()
	if err := w.lookAgain(g, rect); err != nil {
		return outcome.Decision{}, err
	}
	if w.lag.Missed(s.Grant) {
		return outcome.Decision{}, errMissed
	}
	if !isolating {
		for _, m := range g.members {
			m.slot.Do(func() { w.cfg.Observer.Waited(m.laneName(), time.Since(m.began)) })
		}
	}
	began := time.Now()
	v := w.ask(g, rect, isolating)
	g.api.tempo.took(time.Since(began), s.Spacing)
	if v.Action == outcome.Settle || v.Action == outcome.Retry && v.Answered {
		g.api.tempo.answered(v.Action == outcome.Settle)
	}
	if v.Action != outcome.Search {
		g.api.pacer.Report(w.ending, s.Grant, v.Pace)
	}
	switch v.Action {
	case outcome.Settle:
		w.done(g, rect, v, !isolating)
	case outcome.StandBy, outcome.Abandon:
		g.rest()
	}
	return v, nil
}

// lookAgain reads the ledger just before the call, marks the parts as begun, and returns nil if every pair may still be
// called: tasks whose job was cancelled, that are settled, or of whose ids one has turned out bad meanwhile leave the
// group, and the call falls.
func (w *Worker) lookAgain(g *group, rect pairs.Rectangle) error {
	if w.stopping.Err() != nil {
		g.leave(stopping)
		return errFallen
	}
	shares := make([]pairs.Rectangle, len(g.members))
	requests := make([]ledger.Request, len(g.members), len(g.members)+1)
	for i, m := range g.members {
		shares[i] = m.share(rect)
		if (g.witness != nil || len(shares[i].Users) > 0 && len(shares[i].Roles) > 0) && !m.called {
			m.called = true
			m.begin()
		}
		requests[i] = ledger.Request{Part: m.part, Lane: m.laneName(), Begin: m.called, Again: true, Lead: m.lead}
	}
	// A cancel that comes while the call is under way leaves alone what the call removes, whichever task counts it.
	for i, m := range g.members {
		for o := range m.owners(shares[i]) {
			if !o.beginToo() {
				continue
			}
			g.owners = append(g.owners, o)
			requests = append(requests, ledger.Request{Part: o.part, Lane: o.laneName(), Begin: true, Again: true, Lead: o.lead})
		}
	}
	if g.witness != nil {
		requests = append(requests, g.witness.request())
	}
	claims, err := w.cfg.Ledger.Claim(w.ending, requests...)
	if errors.Is(err, ledger.ErrReplaced) {
		w.lead.Replaced(g.members[0].lead)
	}
	if errors.Is(err, ledger.ErrStale) || errors.Is(err, ledger.ErrReplaced) {
		g.leave(backFor(err))
		return errFallen
	}
	if err != nil {
		return err
	}
	stands, wanted := true, false
	for i, m := range g.members {
		whole := m.share(g.whole)
		if g.witness != nil {
			whole = pairs.SizeOf(m.part).Whole()
		}
		may, wants := m.refresh(claims[i], shares[i], whole, m.asked, g.scope != nil)
		// A probe may be about pairs that are removed already, or another part's: the search as a whole is still wanted.
		wanted = wanted || wants
		if !may {
			m.leave(again("the task changed while it waited"))
			stands = false
		}
	}
	if x := g.witness; x != nil && !g.api.witnesses.stand(x, g.members[0].part, claims[len(claims)-1]) {
		g.leave(again("what was to be repeated is to stay as it is"))
		stands = false
	}
	if stands && !wanted {
		g.leave(again("somebody else has done it"))
	}
	if !stands || !wanted {
		return errFallen
	}
	return nil
}

// ask makes one call and says what its answer means. It is logged for every task it serves, and counts for every job.
func (w *Worker) ask(g *group, rect pairs.Rectangle, isolating bool) outcome.Decision {
	users, roles := g.ids(rect)
	w.cfg.Observer.Attempted(isolating)
	began := time.Now()
	span := w.traced(g, len(roles), len(users), isolating)
	reply, err := w.send(w.ending, g, roles, users)
	v := outcome.Decide(reply, err, time.Now())
	span.Heard(v.RequestID, v.Failure.ErrCode, string(v.Pace.Kind), err == nil)
	w.lead.Heard(err == nil || v.Answered)
	jobs := map[string]bool{}
	for i, m := range g.members {
		level := zerolog.DebugLevel
		if i == 0 {
			level = zerolog.InfoLevel
		}
		m.log.WithLevel(level).Str("request_id", v.RequestID).Str("outcome", string(v.Pace.Kind)).Int("roles", len(roles)).
			Int("users", len(users)).Int("serves", len(g.members)).Bool("isolating", isolating).Dur("took", time.Since(began)).
			AnErr("error", err).Msg("call")
		m.heardOf(!jobs[m.part.JobID])
		jobs[m.part.JobID] = true
	}
	return v
}

// done settles a rectangle of the group as done, for every task that asked for some of it. With rests the call is
// over by that.
func (w *Worker) done(g *group, rect pairs.Rectangle, v outcome.Decision, rests bool) {
	g.api.hints.passed(g.ids(rect))
	for _, m := range g.members {
		share := m.share(rect)
		if len(share.Users) == 0 || len(share.Roles) == 0 {
			continue
		}
		rests := rests && m.called
		m.called = m.called && !rests
		// Before it is settled: whoever has their turn by that has to find it, and takes it away.
		g.api.witnesses.keep(m.visit, share)
		if err := m.done(share, v.RequestID, rests, g.scope != nil); err != nil {
			m.log.Error().Err(err).Str("request_id", v.RequestID).Msg("done, but the ledger could not be told: the call will be repeated")
			m.leave(err)
			continue
		}
		m.tellOwners(share, v.RequestID)
		g.api.jobs.passed(m.part, share)
	}
}
