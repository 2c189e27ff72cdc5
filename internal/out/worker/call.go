package worker

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/base/wait"
	"github.com/unrole/unrole/internal/out/combine"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// group is one call with the tasks that it serves.
type group struct {
	combine.Call
	whole   pairs.Rectangle // all of the call; others are positions in its lists too
	members []member
}

// member is one task's share in a group.
type member struct {
	*stay
	users []pairs.User // position in the task's part of each user of the call, -1 where the task has no such user
	roles []pairs.Role
	pairs int // how many pairs of the task are in flight by this call
}

func newGroup(c combine.Call) *group {
	g := &group{Call: c, whole: c.Size().Whole()}
	userAt := make(map[string]int, len(c.Users))
	for i, id := range c.Users {
		userAt[id] = i
	}
	roleAt := make(map[int64]int, len(c.Roles))
	for i, id := range c.Roles {
		roleAt[id] = i
	}
	for _, cm := range c.Members {
		m := member{stay: cm.Offer.Tag.(*stay), users: absent[pairs.User](len(c.Users)), roles: absent[pairs.Role](len(c.Roles)), pairs: cm.Pairs()}
		part := m.claim.Part
		for _, u := range cm.Users {
			m.users[userAt[part.UserIDs[u]]] = u
		}
		for _, r := range cm.Roles {
			m.roles[roleAt[part.RoleIDs[r]]] = r
		}
		g.members = append(g.members, m)
	}
	return g
}

func absent[P pairs.User | pairs.Role](n int) []P {
	list := make([]P, n)
	for i := range list {
		list[i] = -1
	}
	return list
}

// share translates a rectangle of the call to the member's part, leaving out what the member does not have.
func (m *member) share(of pairs.Rectangle) pairs.Rectangle {
	return pairs.Rectangle{Users: translate(m.users, of.Users), Roles: translate(m.roles, of.Roles)}
}

func translate[P pairs.User | pairs.Role](positions, inCall []P) []P {
	out := make([]P, 0, len(inCall))
	for _, i := range inCall {
		if p := positions[i]; p >= 0 {
			out = append(out, p)
		}
	}
	return out
}

// call uses one slot: for c, or if that does not stand any more when it is looked at again, for the next most urgent call
// of the pool.
func (w *Worker) call(s slot, c combine.Call) {
	done := sync.OnceFunc(s.done)
	defer done()
	var g *group
	defer func() {
		if p := recover(); p != nil {
			w.log.Error().Interface("panic", p).Bytes("stack", debug.Stack()).Msg("a call panicked")
			if g != nil {
				w.leaveAll(g, &panicked{p})
				w.putBack(g)
			}
		}
	}()
	for ok := true; ok; c, ok = w.dispatch.pool.Next() {
		g = newGroup(c)
		stands, err := w.lookAgain(g, g.whole)
		if err != nil {
			w.log.Warn().Err(err).Msg("no call is made while the ledger cannot be read")
			w.cfg.Pacer.Report(w.ending, s.Grant, pace.Outcome{Kind: pace.Unused})
			w.putBack(g)
			wait.For(w.stopping, time.Second)
			return
		}
		if !stands {
			w.notBegun(g)
			w.putBack(g)
			continue
		}
		if w.lag.Missed(s.Grant) {
			w.cfg.Pacer.Report(w.ending, s.Grant, pace.Outcome{Kind: pace.Unused})
			w.notBegun(g)
			w.putBack(g)
			return
		}
		for _, m := range g.members {
			m.slot.Do(func() { w.cfg.Observer.Waited(tasks.Lanes()[m.lane], time.Since(m.began)) })
		}
		w.execute(s.Grant, g, done)
		return
	}
	w.cfg.Pacer.Report(w.ending, s.Grant, pace.Outcome{Kind: pace.Unused})
}

// lookAgain reads the ledger just before the call of a rectangle of the group, marks the parts as begun, and reports
// whether every pair may still be called: tasks whose job was cancelled, that are settled, or of whose ids one has turned
// out bad meanwhile leave the group, and the call does not stand.
func (w *Worker) lookAgain(g *group, rect pairs.Rectangle) (bool, error) {
	if w.stopping.Err() != nil {
		for _, m := range g.members {
			w.leave(m.stay, errStopping)
		}
		return false, nil
	}
	requests := make([]ledger.Request, len(g.members))
	for i, m := range g.members {
		requests[i] = ledger.Request{Part: m.claim.Part, Lane: tasks.Lanes()[m.lane], Begin: true, Again: true}
	}
	claims, err := w.cfg.Ledger.Claim(w.ending, requests...)
	if err != nil {
		return false, err
	}
	stands, wanted := true, false
	for i, m := range g.members {
		m.mu.Lock()
		m.claim.Refresh(claims[i])
		ok := callable(m.claim, m.share(rect), m.asked)
		// A probe may be about pairs that are removed already, or another part's: the search as a whole is still wanted.
		wanted = wanted || m.claim.Open().Within(m.share(g.whole)).Any()
		m.mu.Unlock()
		if !ok {
			w.leave(m.stay, errAgain)
			stands = false
		}
	}
	if stands && !wanted {
		w.leaveAll(g, errAgain)
	}
	return stands && wanted, nil
}

// callable reports whether what a task asked for in a rectangle may still be called: not cancelled, due, nothing known to
// be bad. A pair that the task did not ask for is in the call for another one.
func callable(c *ledger.Claim, rect pairs.Rectangle, asked pairs.Set) bool {
	if c.Cancelled || time.Until(c.At) > 0 {
		return false
	}
	for _, u := range rect.Users {
		if _, bad := c.BadUser(u); bad {
			return false
		}
	}
	for _, r := range rect.Roles {
		if _, bad := c.BadRole(r); bad {
			return false
		}
	}
	return c.Callable().Contains(asked.Within(rect))
}

// ask makes one call and says what its answer means. It is logged for every task it serves.
func (w *Worker) ask(g *group, rect pairs.Rectangle, isolating bool) verdict {
	roleIDs, userIDs := make([]int64, len(rect.Roles)), make([]string, len(rect.Users))
	for i, r := range rect.Roles {
		roleIDs[i] = g.Roles[r]
	}
	for i, u := range rect.Users {
		userIDs[i] = g.Users[u]
	}
	w.cfg.Observer.Attempted(isolating)
	began := time.Now()
	reply, err := w.cfg.DingTalk.RemoveRoles(w.ending, roleIDs, userIDs)
	v := judge(reply, err, time.Now())
	w.lead.heard(err == nil || v.answered)
	jobs := map[string]bool{}
	for i, m := range g.members {
		level := zerolog.DebugLevel
		if i == 0 {
			level = zerolog.InfoLevel
		}
		m.log.WithLevel(level).Str("request_id", v.request).Str("outcome", string(v.outcome.Kind)).Int("roles", len(roleIDs)).
			Int("users", len(userIDs)).Int("serves", len(g.members)).Bool("isolating", isolating).Dur("took", time.Since(began)).
			AnErr("error", err).Msg("call")
		if job := m.claim.Part.JobID; !jobs[job] {
			jobs[job] = true
			m.mu.Lock()
			m.claim.CountCall()
			m.mu.Unlock()
		}
	}
	return v
}

// execute makes the call of a group and does what its answer asks for. done gives the place among the calls in flight
// back early, for a search whose probes take places of their own.
func (w *Worker) execute(grant pace.Grant, g *group, done func()) {
	v := w.ask(g, g.whole, false)
	if v.action == search {
		done()
		w.isolate(g, v, reportOf(grant, v))
		return
	}
	w.cfg.Pacer.Report(w.ending, grant, v.outcome)
	switch v.action {
	case settle:
		w.learned.of(g).Passed(g.Size())
		w.removed(g, g.whole, v)
		w.dispatch.pool.Done(g.Call)
		w.progressAll(g)
	case standBy:
		w.notBegun(g)
		w.putBack(g)
	case abandon:
		w.notBegun(g)
		w.leaveAll(g, errStopping)
		w.putBack(g)
	case retry:
		jitter := w.cfg.Random()
		for _, m := range g.members {
			w.leave(m.stay, w.attempt(m, v, grant.Accepted, jitter))
		}
		w.putBack(g)
	}
}

// putBack returns the pairs of a group to the pool: those of tasks that wait on are open again, those of tasks that
// left are gone.
func (w *Worker) putBack(g *group) {
	w.dispatch.again(g.Call)
	w.progressAll(g)
}

func (w *Worker) progressAll(g *group) {
	for _, m := range g.members {
		w.progress(m.stay)
	}
}

// notBegun takes the mark of a call under way off the tasks of a group that waits on, so that a cancel reaches them.
func (w *Worker) notBegun(g *group) {
	for _, m := range g.members {
		if w.flying(m) {
			continue
		}
		if err := w.persist(func(ctx context.Context) error { return w.cfg.Ledger.Unbegin(ctx, m.claim) }); err != nil {
			m.log.Debug().Err(err).Msg("still marked as being called; a cancel takes effect at the next slot")
		}
	}
}

func (w *Worker) leaveAll(g *group, why error) {
	for _, m := range g.members {
		w.leave(m.stay, why)
	}
}

// removed settles a rectangle of the group as removed, for every task that asked for some of it.
func (w *Worker) removed(g *group, rect pairs.Rectangle, v verdict) {
	for _, m := range g.members {
		share := m.share(rect)
		if len(share.Users) == 0 || len(share.Roles) == 0 {
			continue
		}
		if err := w.removedFor(m, share, v); err != nil {
			m.log.Error().Err(err).Str("request_id", v.request).Msg("removed, but the ledger could not be told: the call will be repeated")
			w.leave(m.stay, err)
		}
	}
}

func (w *Worker) removedFor(m member, share pairs.Rectangle, v verdict) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.claim.StaysBegun = w.flying(m)
	if part := m.claim.Part; part.Failure != nil {
		// What was refused is accepted now: the other batches of the job may try it again too.
		fields := make([]string, 0, len(share.Users)+len(share.Roles))
		for _, u := range share.Users {
			fields = append(fields, ledger.UserField(part.UserIDs[u]))
		}
		for _, r := range share.Roles {
			fields = append(fields, ledger.RoleField(part.RoleIDs[r]))
		}
		if err := w.persist(func(ctx context.Context) error { return w.cfg.Ledger.Forget(ctx, part.JobID, fields...) }); err != nil {
			return err
		}
	}
	o := ledger.Outcome{Kind: ledger.Removed, RequestID: v.request, Attempts: m.claim.State.Attempts + 1}
	return w.settle(m.task, m.claim.Open().Within(share), o)
}

// flying reports whether another call with pairs of the same task is in flight: the task stays begun then.
func (w *Worker) flying(m member) bool {
	_, inFlight := w.dispatch.pool.Open(m.offer)
	return inFlight > m.pairs
}

// togetherTries is how often tasks that were busy in the same call wait equally long, so that they share a call again.
// After that each waits for a time of its own: it may be one of them that keeps the others busy.
const togetherTries = 3

// attempt counts a try that was answered busy (or in no known way) and says when the next one is due. The count grows
// only if some call of the fleet was accepted since the last one: an outage spends nothing. A task whose attempts are
// spent is halved, to find what poisons it.
func (w *Worker) attempt(t member, v verdict, accepted int64, jitter float64) error {
	most := v.attempts
	if most == 0 {
		most = w.cfg.MaxAttempts
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.claim.StaysBegun = w.flying(t)
	err := w.persist(func(ctx context.Context) error {
		return w.cfg.Ledger.Note(ctx, t.claim, func(s *ledger.PartState) {
			s.Tries++
			if s.BusySince.IsZero() {
				s.BusySince = time.Now()
			}
			if s.Attempts == 0 || accepted > s.Accepted {
				s.Attempts++
				s.Accepted = accepted
			}
		})
	})
	if err != nil {
		return err
	}
	s := t.claim.State
	if s.Tries > togetherTries {
		jitter = w.cfg.Random()
	}
	// Age ends a batch only where DingTalk itself refuses it: behind a wrong base URL nothing is spent, however long.
	aged := v.answered && time.Since(s.BusySince) > w.cfg.BusyMaxAge
	if s.Attempts >= most || aged {
		v.failure.Attempts = max(s.Attempts, 1)
		return &spent{verdict: v, aged: aged}
	}
	return &later{after: w.backoff(s.Tries, jitter), why: fmt.Sprintf("attempt %d of %d: %s", s.Attempts, most, v.failure.ErrMsg)}
}

// backoff is exponential with full jitter, which is a number in [0, 1).
func (w *Worker) backoff(tries int, jitter float64) time.Duration {
	most := w.cfg.RetryCap
	if shift := tries - 1; shift < 30 {
		most = min(most, w.cfg.RetryBase<<max(shift, 0))
	}
	return time.Duration(jitter * float64(most))
}

// spent says that a task's attempts are used up.
type spent struct {
	verdict verdict
	// aged: the batch was busy for so long that a try counts although nothing else of the fleet succeeds.
	aged bool
}

func (s *spent) Error() string { return "attempts are spent: " + s.verdict.failure.ErrMsg }

// panicked is a panic while a task was being called: it counts as a crash of that task.
type panicked struct{ value any }

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }
