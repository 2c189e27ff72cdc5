package worker

import (
	"context"
	"errors"
	"time"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/base/wait"
	"github.com/unrole/unrole/internal/out/combine"
	"github.com/unrole/unrole/internal/out/isolate"
	"github.com/unrole/unrole/internal/out/outcome"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// cause is what a refusal is put down to. Its outcome waits to be told to the pacer until it is known how many ids it
// established as bad.
type cause struct {
	failure tasks.Failure
	api     *api
	grant   pace.Grant
	outcome pace.Answer
	told    bool
}

func causeOf(a *api, g pace.Grant, v outcome.Decision) *cause {
	return &cause{failure: v.Failure, api: a, grant: g, outcome: v.Pace}
}

// tell tells the pacer, once.
func (w *Worker) tell(c *cause) {
	if !c.told {
		c.told = true
		c.api.pacer.Report(w.ending, c.grant, c.outcome)
	}
}

// isolation is the search for the bad ids of one refused group.
type isolation struct {
	w   *Worker
	g   *group
	err error // of a finding that could not be kept
	end context.CancelFunc
	// hunt has those wait who share what is suspected; nil while a batch is halved.
	hunt *hunt
	// halving, when set, is why the group is searched: it is one batch whose attempts are spent, and a probe that stays busy
	// counts as refused.
	halving *spent
}

// isolate finds the bad ids of a group that was refused, dead-letters each with its own pairs, and gets the rest
// removed. Every probe takes a slot of its own. Where another search looks for one of its ids already, the tasks that
// have it wait for that instead.
func (w *Worker) isolate(g *group, c combine.Call, v outcome.Decision, grant pace.Grant) {
	first := causeOf(g.api, grant, v)
	if first.outcome.Kind == pace.BadRequest {
		first.outcome.BadBatches = 1
	}
	h := g.api.searches.begin(g, v.Blame)
	if h == nil {
		w.tell(first)
		g.rest()
		g.api.searches.standAside(g)
		w.putBack(g, c)
		return
	}
	defer g.api.searches.end(h)
	if err := (&isolation{w: w, g: g, hunt: h}).run(v.Blame, first); err != nil {
		g.leave(err)
	}
	g.api.dispatch.pool.Done(c)
	g.progress()
}

func (iso *isolation) run(blame isolate.Blame, first *cause) error {
	w := iso.w
	defer iso.g.rest()
	defer w.tell(first)
	ctx, end := context.WithCancel(w.stopping)
	defer end()
	for _, m := range iso.g.members {
		defer context.AfterFunc(m.task, end)()
	}
	iso.end = end // before New: the refusal of a batch of one id finds that id
	search, err := isolate.New(iso.g.whole.Size(), isolate.Answer{Blame: blame, Cause: first},
		isolate.Options{Learned: iso.g.api.jobs.learned(iso.g), Suspects: iso.g.api.hints.of(iso.g.users, iso.g.roles), Found: iso.found, Width: iso.width})
	if err != nil {
		return err
	}
	w.tell(first)
	iso.g.rest()
	_, err = search.Run(ctx, iso.probe)
	switch {
	case iso.err != nil:
		return iso.err
	case errors.Is(err, isolate.ErrInconsistent):
		return later(max(waitedOutHere, w.cfg.RetryCap/2), err.Error())
	case err != nil && w.stopping.Err() != nil:
		return stopping
	case err != nil && ctx.Err() != nil:
		return again("the search ended since one of its tasks goes back")
	}
	return err
}

// width is how many probes the search may have under way: as many as slots pass until an answer comes, shared among the
// searches under way. While others wait for slots it goes on one by one, since every call that it asks for too much is
// one of theirs.
func (iso *isolation) width() int {
	a := iso.g.api
	if _, _, waits := a.dispatch.pool.First(); waits || iso.hunt == nil {
		return 1
	}
	return 1 + a.tempo.slotsPerAnswer()/max(1, a.searches.count())
}

// probe sends a part of the group in slots of its own until it is answered: passed, or refused. Between its calls it may
// wait for long, and is not marked as being called. After the answer it is until that was taken in: a cancel must not come between
// what the answer proves and its being written.
func (iso *isolation) probe(ctx context.Context, rect pairs.Rectangle) (isolate.Answer, error) {
	w := iso.w
	g := iso.g.twin()
	heard := false
	defer func() {
		if !heard {
			g.rest()
		}
	}()
	var tries ledger.Tries
	for {
		g.rest()
		s, err := g.api.dispatch.slotFor(ctx, g.lane)
		if err != nil {
			return isolate.Answer{}, err
		}
		v, err := w.use(s, g, rect, true)
		if err != nil {
			g.api.dispatch.unused(w.ending, s)
			if errors.Is(err, errMissed) {
				continue
			}
			return isolate.Answer{}, err
		}
		s.done()
		switch v.Action {
		case outcome.Settle:
			heard = true
			return isolate.Answer{Passed: true, TakenIn: g.rest}, nil
		case outcome.Search:
			heard = true
			c := causeOf(g.api, s.Grant, v)
			return isolate.Answer{Blame: v.Blame, Cause: c, TakenIn: func() { w.tell(c); g.rest() }}, nil
		case outcome.Abandon:
			return isolate.Answer{}, stopping
		case outcome.Retry:
			now := time.Now()
			tries.Busy(now, s.Accepted, v.Answered && (iso.halving != nil && iso.halving.aged || tries.Aged(now, w.cfg.BusyMaxAge)))
			if tries.Attempts >= iso.mostAttempts(v, rect.Size().Pairs()) {
				v.Failure.Attempts = tries.Attempts
				heard = true
				return isolate.Answer{Blame: isolate.BlameAny, Cause: &cause{failure: v.Failure, told: true}, TakenIn: g.rest}, nil
			}
			g.rest()
			if wait.For(ctx, w.backoff().Spread(tries.All, w.cfg.Random())) != nil {
				return isolate.Answer{}, stopping
			}
		}
	}
}

// mostAttempts is how often a probe is tried before its busy answers count as a refusal. While a poisoned batch is halved
// a few tries are enough for a group, since a group that was wronged passes in its parts; the last word about one id
// takes the full number.
func (iso *isolation) mostAttempts(v outcome.Decision, pairs int) int {
	most := iso.w.mostAttempts(v)
	if v.Attempts == 0 && iso.halving != nil && pairs > 1 {
		most = min(3, most)
	}
	return most
}

// found keeps a culprit as soon as it is proven: for its job, and as a dead letter of each task that has it. A search
// that cannot keep what it finds ends.
func (iso *isolation) found(f isolate.Finding) {
	c := f.Cause.(*cause)
	if !c.told && c.outcome.Kind == pace.Refused {
		c.outcome.RefusedIDs++
	}
	for _, m := range iso.g.members {
		var about pairs.Rectangle
		if f.User >= 0 {
			if about.Users = translate(m.users, []pairs.User{f.User}); len(about.Users) == 0 {
				continue
			}
		}
		if f.Role >= 0 {
			if about.Roles = translate(m.roles, []pairs.Role{f.Role}); len(about.Roles) == 0 {
				continue
			}
		}
		if err := m.condemn(f.Culprit, about, c.failure); err != nil {
			iso.err = err
			iso.end()
			return
		}
	}
	if field := iso.g.field(f); field != "" && iso.hunt != nil {
		iso.g.api.searches.found(iso.hunt, field, c.failure, c.grant.At)
		iso.g.api.hints.found(field)
	}
}
