package worker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/base/wait"
	"github.com/unrole/unrole/internal/out/combine"
	"github.com/unrole/unrole/internal/out/isolate"
	"github.com/unrole/unrole/internal/out/pace"
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
	// halving: the group is one batch whose attempts are spent; a probe that stays busy counts as refused.
	halving bool
	// aged: every try of a probe counts that DingTalk itself answered, see spent.
	aged bool
}

// isolate finds the bad ids of a group that was refused, dead-letters each with its own pairs, and gets the rest
// removed. Every probe takes a slot of its own.
func (w *Worker) isolate(g *group, first verdict, pending *report) {
	w.search(&isolation{w: w, g: g, pending: pending}, first)
}

func (w *Worker) search(iso *isolation, first verdict) {
	g := iso.g
	err := iso.run(first)
	iso.flush()
	if err != nil {
		w.notBegun(g)
		w.leaveAll(g, err)
	}
	w.dispatch.pool.Done(g.Call)
	w.progressAll(g)
}

func (iso *isolation) run(first verdict) error {
	w, g := iso.w, iso.g
	search, err := isolate.New(g.Size(), isolate.Answer{Blame: first.blame, Cause: first.failure}, isolate.Options{
		Learned: w.learned.of(g),
		Found:   iso.found,
	})
	if err != nil {
		return err
	}
	_, err = search.Run(w.stopping, iso.probe)
	switch {
	case iso.err != nil:
		return iso.err
	case errors.Is(err, isolate.ErrInconsistent):
		return &later{after: max(2*time.Second, w.cfg.RetryCap/2), why: err.Error()}
	case err != nil && w.stopping.Err() != nil:
		return errStopping
	}
	return err
}

// probe sends a part of the group in a slot of its own.
func (iso *isolation) probe(ctx context.Context, rect pairs.Rectangle) (isolate.Answer, error) {
	w := iso.w
	if iso.err != nil {
		return isolate.Answer{}, iso.err
	}
	iso.flush()
	tries, began := 0, time.Now()
	counted, accepted := 0, int64(-1)
	for {
		s, err := w.dispatch.slotFor(ctx, iso.g.Lane)
		if err != nil {
			return isolate.Answer{}, err
		}
		stands, err := w.lookAgain(iso.g, rect)
		if err != nil || !stands {
			w.cfg.Pacer.Report(w.ending, s.Grant, pace.Outcome{Kind: pace.Unused})
			s.done()
			if err == nil {
				err = errAgain
			}
			return isolate.Answer{}, err
		}
		if w.lag.Missed(s.Grant) {
			w.cfg.Pacer.Report(w.ending, s.Grant, pace.Outcome{Kind: pace.Unused})
			s.done()
			continue
		}
		v := w.ask(iso.g, rect, true)
		s.done()
		if v.action == search {
			iso.pending = &report{grant: s.Grant, outcome: v.outcome}
			return isolate.Answer{Blame: v.blame, Cause: v.failure}, nil
		}
		w.cfg.Pacer.Report(w.ending, s.Grant, v.outcome)
		switch v.action {
		case settle:
			w.removed(iso.g, rect, v)
			return isolate.Answer{Passed: true}, nil
		case abandon:
			return isolate.Answer{}, errStopping
		case retry:
			// The attempts of a probe are counted like those of a batch.
			tries++
			if s.Accepted > accepted || v.answered && (iso.aged || time.Since(began) > w.cfg.BusyMaxAge) {
				counted, accepted = counted+1, s.Accepted
			}
			if counted >= iso.attempts(v, rect.Size().Pairs()) {
				v.failure.Attempts = counted
				return isolate.Answer{Blame: isolate.BlameAny, Cause: v.failure}, nil
			}
			if wait.For(ctx, w.backoff(tries, w.cfg.Random())) != nil {
				return isolate.Answer{}, errStopping
			}
		}
	}
}

// attempts is how often a probe is tried before its busy answers count as a refusal. While a poisoned batch is halved a
// few tries are enough for a group, since a group that was wronged passes in its parts; the last word about one id
// takes the full number.
func (iso *isolation) attempts(v verdict, pairs int) int {
	switch {
	case v.attempts > 0:
		return v.attempts
	case iso.halving && pairs > 1:
		return min(3, iso.w.cfg.MaxAttempts)
	default:
		return iso.w.cfg.MaxAttempts
	}
}

// found keeps a culprit as soon as it is proven: for its job, so that no other batch searches for it, and as a dead
// letter of each task that has it.
func (iso *isolation) found(f isolate.Finding) {
	failure := f.Cause.(tasks.Failure)
	if iso.pending != nil && iso.pending.outcome.Kind == pace.Refused {
		iso.pending.outcome.RefusedIDs++
	}
	for _, m := range iso.g.members {
		if err := iso.keep(m, f, failure); err != nil {
			iso.err = err
			return
		}
	}
}

func (iso *isolation) keep(m member, f isolate.Finding, failure tasks.Failure) error {
	w := iso.w
	var about pairs.Rectangle
	if f.User >= 0 {
		if about.Users = translate(m.users, []pairs.User{f.User}); len(about.Users) == 0 {
			return nil
		}
	}
	if f.Role >= 0 {
		if about.Roles = translate(m.roles, []pairs.Role{f.Role}); len(about.Roles) == 0 {
			return nil
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.claim.StaysBegun = w.flying(m)
	part := m.claim.Part
	// What was busy or unknown here may be fine elsewhere: only ids that DingTalk named are known for the whole job.
	if failure.Reason != tasks.ReasonBusy && failure.Reason != tasks.ReasonUnknown && f.Kind != isolate.BadPair {
		err := w.persist(func(ctx context.Context) error {
			if f.Kind == isolate.BadUser {
				return w.cfg.Ledger.LearnUser(ctx, part.JobID, part.UserIDs[about.Users[0]], failure)
			}
			return w.cfg.Ledger.LearnRole(ctx, part.JobID, part.RoleIDs[about.Roles[0]], failure)
		})
		if err != nil {
			return err
		}
	}
	return w.deadLetter(m.task, about, failure)
}

// flush tells the pacer about the last refusal.
func (iso *isolation) flush() {
	if iso.pending != nil {
		iso.w.cfg.Pacer.Report(iso.w.ending, iso.pending.grant, iso.pending.outcome)
		iso.pending = nil
	}
}

// halve searches a batch whose attempts are spent for what poisons it. The task is alone in its group, and its pairs are
// not in the pool.
func (w *Worker) halve(t *task, why *spent) error {
	for _, rect := range t.claim.Open().Rectangles() {
		c := combine.Call{Lane: t.lane}
		for _, u := range rect.Users {
			c.Users = append(c.Users, t.claim.Part.UserIDs[u])
		}
		for _, r := range rect.Roles {
			c.Roles = append(c.Roles, t.claim.Part.RoleIDs[r])
		}
		st := newStay(t)
		g := &group{Call: c, whole: c.Size().Whole(), members: []member{{stay: st, users: rect.Users, roles: rect.Roles}}}
		w.search(&isolation{w: w, g: g, halving: true, aged: why.aged}, why.verdict)
		if st.why != nil {
			return st.why
		}
	}
	return nil
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
	jobID := g.members[0].claim.Part.JobID
	if slices.ContainsFunc(g.members, func(m member) bool { return m.claim.Part.JobID != jobID }) {
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
