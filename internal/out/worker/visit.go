package worker

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"time"

	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/base/lease"
	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/base/trace"
	"github.com/unrole/unrole/internal/base/wait"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// visit is a task in the hands of this worker, from handle to its end. It alone owns the task's claim: the handler, and
// the calls that serve the task, read and change it here, one at a time.
type visit struct {
	w      *Worker
	api    *api
	id     string // asynq's
	lane   int
	part   *tasks.Part
	lead   lease.Fence // of the lead that has taken the task
	came   time.Time
	log    zerolog.Logger
	span   *trace.Span // nil where nobody traces
	parent string      // the trace that what comes of the task belongs to

	mu    wait.Lock
	claim *ledger.Claim
	// heard are the ids that a search proved bad while the task waited for it.
	heard map[string]tasks.Failure
	// narrowed: what is asked for goes portion by portion, counted from the try after the first of them.
	narrowed bool
	yielded  bool // the dead letter has given way to what was said later
	from     int
	calls    int  // that have begun and not rested; while there are any, the ledger has the part marked as begun
	answered bool // one of them was answered: it has not taken the worker along
}

func (w *Worker) visit(id, queue string, part *tasks.Part) *visit {
	return &visit{w: w, api: w.apis[part.Action], mu: wait.NewLock(), id: id, lane: laneOf(queue, part), part: part, lead: w.lead.Fence(), came: time.Now(),
		log: w.log.With().Str("job", part.JobID).Str("part", part.Part).Logger()}
}

// trace begins the span of the visit; ctx has the trace of the task.
func (v *visit) trace(ctx context.Context, queue string) context.Context {
	ctx, v.span = v.w.cfg.Trace.Part(ctx, queue, len(v.part.RoleIDs), len(v.part.UserIDs))
	v.parent = trace.Parent(ctx)
	return ctx
}

// look looks the part up in the ledger, which adopts it if nobody told it. A part whose name is taken by other content
// (a foreign producer that names all its parts alike) gets a name of its own.
func (v *visit) look(ctx context.Context) error {
	rq := ledger.Request{Part: v.part, Lane: v.laneName(), Lead: v.lead, First: v.claim == nil}
	claims, err := v.w.cfg.Ledger.Claim(ctx, rq)
	if errors.Is(err, ledger.ErrOtherContent) {
		payload, encodeErr := v.part.Encode()
		if encodeErr != nil {
			return encodeErr
		}
		v.part.Part = tasks.ChildName(v.part.Part, int(crc32.ChecksumIEEE(payload)))
		claims, err = v.w.cfg.Ledger.Claim(ctx, rq)
	}
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.claim == nil {
		v.claim = claims[0]
	} else {
		v.claim.Refresh(claims[0])
	}
	return nil
}

func (v *visit) laneName() string { return tasks.Lanes()[v.lane] }

// settleKnown settles what needs no call: a cancelled job, people who stay, a time that has not come, protected ids, and ids that the
// job has learned to be bad. A dead letter that is tried again opens its pairs here.
func (v *visit) settleKnown() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := v.claim
	if c.Part.Failure != nil && !c.Cancelled {
		if err := v.reopen(); err != nil {
			return err
		}
	}
	if c.Cancelled {
		if c.Part.Failure != nil {
			// What was dead stays dead; the letter waits on.
			if err := v.keepLetter(); err != nil {
				return err
			}
		}
		return v.settle(c.ToCall(), ledger.Outcome{Kind: ledger.Cancelled, ErrMsg: c.CancelReason})
	}
	for u := range c.Part.UserIDs {
		if why, stays := c.Stays(pairs.User(u)); stays {
			row := pairs.Rectangle{Users: []pairs.User{pairs.User(u)}, Roles: pairs.SizeOf(c.Part).Whole().Roles}
			if err := v.settle(c.ToCall().Within(row), ledger.Outcome{Kind: ledger.Cancelled, ErrMsg: why}); err != nil {
				return err
			}
		}
	}
	if wait := time.Until(c.At); wait > 0 {
		return later(wait, "the job's time has not come: "+c.At.Format(time.RFC3339))
	}
	if about, why, settled := v.api.searches.settles(c.Part, v.came); settled {
		if err := v.deadLetter(about, why); err != nil {
			return err
		}
	}
	for u, id := range c.Part.UserIDs {
		f, bad := v.badUser(pairs.User(u))
		if v.w.cfg.Protected.User(id) {
			f, bad = protectedFailure("user "+id), true
		}
		if bad {
			if err := v.deadLetter(pairs.Rectangle{Users: []pairs.User{pairs.User(u)}}, f); err != nil {
				return err
			}
		}
	}
	for r, id := range c.Part.RoleIDs {
		f, bad := v.badRole(pairs.Role(r))
		if v.w.cfg.Protected.Role(id) {
			f, bad = protectedFailure(fmt.Sprintf("role %d", id)), true
		}
		if bad {
			if err := v.deadLetter(pairs.Rectangle{Roles: []pairs.Role{pairs.Role(r)}}, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// told takes in what a search found while the task waited for it.
func (v *visit) told(h *hunt) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.part.Failure != nil {
		return // see searches.settles
	}
	if v.heard == nil {
		v.heard = map[string]tasks.Failure{}
	}
	maps.Copy(v.heard, h.bad)
}

// badUser and badRole say why DingTalk refuses an id of the task. mu is held.
func (v *visit) badUser(u pairs.User) (tasks.Failure, bool) {
	if f, bad := v.heard[ledger.UserField(v.part.UserIDs[u])]; bad {
		return f, true
	}
	return v.claim.BadUser(u)
}

func (v *visit) badRole(r pairs.Role) (tasks.Failure, bool) {
	if f, bad := v.heard[ledger.RoleField(v.part.RoleIDs[r])]; bad {
		return f, true
	}
	return v.claim.BadRole(r)
}

func protectedFailure(what string) tasks.Failure {
	return tasks.Failure{Reason: tasks.ReasonProtected, ErrMsg: what + " is protected by this worker's configuration", FailedAt: time.Now()}
}

// open reports whether any pair of the task still waits for an outcome.
func (v *visit) open() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.claim.Open().Any()
}

// crashes is how many calls in a row have served the task and taken their worker along.
func (v *visit) crashes() int { return v.claim.Crashes }

func (v *visit) summary() ledger.Summary {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.claim.Summary()
}

// wants is what the task asks the calls to come for: of the users and roles that have something open, every pair that may
// be called, also one that another part of the job owns, or that is removed already; leaving it out would tear a hole into
// the rectangle.
func (v *visit) wants() pairs.Set {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.part.Action == tasks.Add {
		// Whether a pair that is given twice keeps its management scope is not known.
		return v.claim.ToCall()
	}
	return v.claim.Callable().Within(v.claim.Open().Hull())
}

// rectangles divide what is to be called.
func (v *visit) rectangles() []pairs.Rectangle {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.claim.ToCall().Rectangles()
}

// refresh takes in a newer look at the part. may reports whether what the task asked for in share may still be called:
// not cancelled, due, nothing known to be bad. A pair that the task did not ask for is in the call for another one.
// wanted reports whether anything in whole is still open. The scope of what was given back follows, whatever happened since.
func (v *visit) refresh(newer *ledger.Claim, share, whole pairs.Rectangle, asked pairs.Set, scope bool) (may, wanted bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := v.claim
	c.Refresh(newer)
	wanted = c.Open().Within(whole).Any()
	if scope {
		return wanted, wanted
	}
	if c.Cancelled || time.Until(c.At) > 0 {
		return false, wanted
	}
	if _, _, settled := v.api.searches.settles(v.part, v.came); settled {
		return false, wanted
	}
	for _, u := range share.Users {
		if _, bad := c.BadUser(u); bad {
			return false, wanted
		}
	}
	for _, r := range share.Roles {
		if _, bad := c.BadRole(r); bad {
			return false, wanted
		}
	}
	return c.Callable().Contains(asked.Within(share)), wanted
}

// begin announces a call that serves the task. It comes before the look that marks the part as begun.
func (v *visit) begin() {
	v.mu.Lock()
	v.calls++
	v.mu.Unlock()
}

// rest ends what begin announced: with no other call under way the part is marked no more, and a cancel reaches it.
func (v *visit) rest() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.calls--
	v.unmark()
}

// unmark takes the mark of a call off unless one is under way. mu is held.
func (v *visit) unmark() {
	if v.calls > 0 {
		return
	}
	if err := v.w.persist(func(ctx context.Context) error { return v.w.cfg.Ledger.Rest(ctx, v.claim, v.answered) }); err != nil {
		v.log.Debug().Err(err).Msg("still marked as being called; a cancel takes effect at the next slot")
	}
	v.answered = false
}

// heardOf notes that a call that serves the task has come back, and counts it for its job where it is to be counted here.
func (v *visit) heardOf(counts bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answered = true
	if counts {
		v.claim.CountCall()
	}
}

// done settles what is open in a rectangle as done: removed, or given back. With rests the call is over by that. What has a
// management scope to get is given only, unless that was what was asked.
func (v *visit) done(share pairs.Rectangle, request string, rests, withScope bool) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	open, given := v.claim.Open().Within(share), pairs.None(pairs.SizeOf(v.part))
	if !withScope {
		open, given = v.scoped(open)
	}
	removed := ledger.Outcome{Kind: ledger.Removed, RequestID: request, Attempts: v.claim.State.Tries.Attempts + 1}
	err := v.settle(given, ledger.Outcome{Kind: ledger.Pending, Given: true, Letter: v.claim.Letter()}) // before the mark is taken off
	if rests {
		v.calls--
	}
	if err != nil {
		return err
	}
	if v.part.Failure != nil {
		// What was refused is accepted now: the other batches of the job may try it again too.
		fields := make([]string, 0, len(share.Users)+len(share.Roles))
		for _, u := range share.Users {
			fields = append(fields, ledger.UserField(v.part.UserIDs[u]))
		}
		for _, r := range share.Roles {
			fields = append(fields, ledger.RoleField(v.part.RoleIDs[r]))
		}
		if err := v.w.persist(func(ctx context.Context) error { return v.w.cfg.Ledger.Forget(ctx, v.claim, fields...) }); err != nil {
			return err
		}
	}
	if rests && !open.Any() {
		v.unmark()
	}
	return v.settle(open, removed)
}

// note keeps one more busy answer and returns the tries so far. The call is over by that.
func (v *visit) note(busy func(*ledger.Tries)) (ledger.Tries, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.calls--
	v.claim.StaysBegun = v.calls > 0
	err := v.w.persist(func(ctx context.Context) error {
		return v.w.cfg.Ledger.Note(ctx, v.claim, func(s *ledger.PartState) { busy(&s.Tries) })
	})
	return v.claim.State.Tries, err
}

// settle gives one outcome to some pairs of the task. mu is held.
func (v *visit) settle(which pairs.Set, o ledger.Outcome) error {
	rectangles := which.Rectangles()
	if len(rectangles) == 0 {
		return nil
	}
	if o.At.IsZero() {
		o.At = time.Now()
	}
	settlements := make([]ledger.Settlement, len(rectangles))
	for i, r := range rectangles {
		settlements[i] = ledger.Settlement{Pairs: r, Outcome: o}
	}
	v.claim.StaysBegun = v.calls > 0
	return v.w.persist(func(ctx context.Context) error {
		delta, err := v.w.cfg.Ledger.Settle(ctx, v.claim, settlements...)
		for kind, n := range map[ledger.Kind]int64{ledger.Removed: delta.Removed, ledger.Dead: delta.Dead, ledger.Cancelled: delta.Cancelled} {
			if kind == ledger.Removed && v.part.Action == tasks.Add {
				kind = ledger.Restored
			}
			if n > 0 {
				v.w.cfg.Observer.Settled(kind, o.Reason, int(n))
			}
		}
		return err
	})
}
