package worker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/base/wait"
	"github.com/unrole/unrole/internal/out/isolate"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// report is the outcome of a call that waits to be told to the pacer until it is known how many ids it established as
// bad.
type report struct {
	grant   pace.Grant
	outcome pace.Outcome
}

func reportOf(g pace.Grant, v verdict) *report {
	r := &report{grant: g, outcome: v.outcome}
	if r.outcome.Kind == pace.BadRequest {
		r.outcome.BadBatches = 1
	}
	return r
}

// isolation is the search for the bad ids of one refused group.
type isolation struct {
	w       *Worker
	g       *group
	pending *report
	err     error // of a finding that could not be kept
	// halving, when set, is why the group is searched: it is one batch whose attempts are spent, and a probe that stays busy
	// counts as refused.
	halving *spent
}

// isolate finds the bad ids of a group that was refused, dead-letters each with its own pairs, and gets the rest
// removed. Every probe takes a slot of its own.
func (w *Worker) isolate(g *group, first verdict, pending *report) error {
	return (&isolation{w: w, g: g, pending: pending}).run(first)
}

// halve searches a batch whose attempts are spent for what poisons it. Its pairs are not in the pool.
func (v *visit) halve(why *spent) error {
	for open := v.rectangles(); len(open) > 0; open = v.rectangles() {
		rect := open[0]
		st := &stay{visit: v, asked: v.wants()}
		g := &group{lane: v.lane, users: v.part.UserIDs, roles: v.part.RoleIDs}
		g.users, g.roles = g.ids(rect)
		g.whole, g.members = rect.Size().Whole(), []*member{{stay: st, users: rect.Users, roles: rect.Roles}}
		if err := (&isolation{w: v.w, g: g, halving: why}).run(why.verdict); err != nil {
			return err
		}
		if st.why != nil {
			return st.why
		}
	}
	return nil
}

func (iso *isolation) run(first verdict) error {
	defer iso.g.rest()
	defer iso.flush()
	search, err := isolate.New(iso.g.whole.Size(), isolate.Answer{Blame: first.blame, Cause: first.failure},
		isolate.Options{Learned: iso.w.learned.of(iso.g), Found: iso.found})
	if err != nil {
		return err
	}
	_, err = search.Run(iso.w.stopping, iso.probe)
	switch {
	case iso.err != nil:
		return iso.err
	case errors.Is(err, isolate.ErrInconsistent):
		return later(max(waitedOutHere, iso.w.cfg.RetryCap/2), err.Error())
	case err != nil && iso.w.stopping.Err() != nil:
		return stopping
	}
	return err
}

// probe sends a part of the group in slots of its own until it is answered: passed, or refused. Between its calls it may
// wait for long, and is not marked as being called.
func (iso *isolation) probe(ctx context.Context, rect pairs.Rectangle) (isolate.Answer, error) {
	w := iso.w
	var tries ledger.Tries
	for iso.err == nil {
		iso.flush()
		iso.g.rest()
		s, err := w.dispatch.slotFor(ctx, iso.g.lane)
		if err != nil {
			return isolate.Answer{}, err
		}
		v, err := w.use(s, iso.g, rect, true)
		if err != nil {
			w.dispatch.unused(w.ending, s)
			if errors.Is(err, errMissed) {
				continue
			}
			return isolate.Answer{}, err
		}
		s.done()
		switch v.action {
		case settle:
			return isolate.Answer{Passed: true}, nil
		case search:
			iso.pending = &report{grant: s.Grant, outcome: v.outcome}
			return isolate.Answer{Blame: v.blame, Cause: v.failure}, nil
		case abandon:
			return isolate.Answer{}, stopping
		case retry:
			iso.g.rest()
			now := time.Now()
			tries.Busy(now, s.Accepted, v.answered && (iso.halving != nil && iso.halving.aged || tries.Aged(now, w.cfg.BusyMaxAge)))
			if tries.Attempts >= iso.mostAttempts(v, rect.Size().Pairs()) {
				v.failure.Attempts = tries.Attempts
				return isolate.Answer{Blame: isolate.BlameAny, Cause: v.failure}, nil
			}
			if wait.For(ctx, w.backoff().Spread(tries.All, w.cfg.Random())) != nil {
				return isolate.Answer{}, stopping
			}
		}
	}
	return isolate.Answer{}, iso.err
}

// mostAttempts is how often a probe is tried before its busy answers count as a refusal. While a poisoned batch is halved
// a few tries are enough for a group, since a group that was wronged passes in its parts; the last word about one id
// takes the full number.
func (iso *isolation) mostAttempts(v verdict, pairs int) int {
	most := iso.w.mostAttempts(v)
	if v.attempts == 0 && iso.halving != nil && pairs > 1 {
		most = min(3, most)
	}
	return most
}

// found keeps a culprit as soon as it is proven: for its job, and as a dead letter of each task that has it.
func (iso *isolation) found(f isolate.Finding) {
	if iso.pending != nil && iso.pending.outcome.Kind == pace.Refused {
		iso.pending.outcome.RefusedIDs++
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
		if iso.err = m.condemn(f.Kind, about, f.Cause.(tasks.Failure)); iso.err != nil {
			return
		}
	}
}

// flush tells the pacer about the last refusal.
func (iso *isolation) flush() {
	if iso.pending != nil {
		iso.w.cfg.Pacer.Report(iso.w.ending, iso.pending.grant, iso.pending.outcome)
		iso.pending = nil
	}
}

// learnedJobs keeps what the batches of a job have shown about its share of bad ids, for the jobs met last.
type learnedJobs struct {
	mu   sync.Mutex
	jobs map[string]*learnedJob
}

type learnedJob struct {
	learned isolate.Learned
	used    time.Time
}

const maxLearnedJobs = 256

func newLearnedJobs() *learnedJobs { return &learnedJobs{jobs: map[string]*learnedJob{}} }

// of is what the calls of the group's job have shown, or, for a group of several jobs, what such calls have: a burst of
// single removals learns from all of it.
func (l *learnedJobs) of(g *group) *isolate.Learned {
	jobID := g.members[0].part.JobID
	if slices.ContainsFunc(g.members, func(m *member) bool { return m.part.JobID != jobID }) {
		jobID = "" // no job's id
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	j := l.jobs[jobID]
	if j == nil {
		if len(l.jobs) >= maxLearnedJobs {
			oldest := ""
			for id, k := range l.jobs {
				if oldest == "" || k.used.Before(l.jobs[oldest].used) {
					oldest = id
				}
			}
			delete(l.jobs, oldest)
		}
		j = &learnedJob{}
		l.jobs[jobID] = j
	}
	j.used = time.Now()
	return &j.learned
}
