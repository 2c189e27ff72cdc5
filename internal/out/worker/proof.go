package worker

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/unrole/unrole/internal/base/lease"
	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/out/outcome"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// witnesses are pairs that DingTalk has taken, the latest of each job. One of them, repeated, proves that DingTalk is up
// where nothing else of the job passes.
//
// A pair that was done may be undone since, by a job of the other action that had its turn later, and must not be done again
// then. All tasks of that one come here before they are called, so it takes its pairs away from the witnesses; and while one is
// repeated, it waits (see takeTurn). Another worker may have had tasks between two leads: what was kept under an earlier one is
// no witness any more.
type witnesses struct {
	mu    sync.Mutex
	byJob map[string]*witness
}

// witness is one pair of a part.
type witness struct {
	part *tasks.Part
	pair pairs.Pair
	lane string
	lead lease.Fence
}

// maxWitnesses is of how many jobs they are kept. A job that has none begins with its next success.
const maxWitnesses = 1000

func newWitnesses() *witnesses { return &witnesses{byJob: map[string]*witness{}} }

// keep notes a pair of the rectangle of the task, which DingTalk has taken: one that it owns, and without a management scope,
// of which nobody knows what repeating it does.
func (ws *witnesses) keep(v *visit, taken pairs.Rectangle) {
	size := pairs.SizeOf(v.part)
	for u, r := range taken.All() {
		if !v.part.Own.Has(size.Number(u, r)) || v.part.Scope(v.part.UserIDs[u], v.part.RoleIDs[r]) != nil {
			continue
		}
		ws.mu.Lock()
		defer ws.mu.Unlock()
		if len(ws.byJob) >= maxWitnesses && ws.byJob[v.part.JobID] == nil {
			clear(ws.byJob)
		}
		ws.byJob[v.part.JobID] = &witness{part: v.part, pair: pairs.Pair{User: u, Role: r}, lane: v.laneName(), lead: v.lead}
		return
	}
}

// of is the witness of the task's job; nil if there is none.
func (ws *witnesses) of(v *visit) *witness {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if x := ws.byJob[v.part.JobID]; x != nil && x.lead == v.lead {
		return x
	}
	return nil
}

// drop forgets those that a part of the other action is about.
func (ws *witnesses) drop(part *tasks.Part) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for job, x := range ws.byJob {
		if slices.Contains(part.UserIDs, x.part.UserIDs[x.pair.User]) && slices.Contains(part.RoleIDs, x.part.RoleIDs[x.pair.Role]) {
			delete(ws.byJob, job)
		}
	}
}

// forget drops a witness that is none any more.
func (ws *witnesses) forget(x *witness) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.byJob[x.part.JobID] == x {
		delete(ws.byJob, x.part.JobID)
	}
}

// request asks the ledger what has become of the pair.
func (x *witness) request() ledger.Request {
	return ledger.Request{Part: x.part, Lane: x.lane, Again: true, Lead: x.lead}
}

// stand reports whether the witness may be repeated for a part, by what the ledger says of it now: it is done, its user does
// not stay, the job is not cancelled, and nobody took it away. One of the part itself nobody takes while the part is open.
func (ws *witnesses) stand(x *witness, of *tasks.Part, now *ledger.Claim) bool {
	ws.mu.Lock()
	kept := ws.byJob[x.part.JobID] == x
	ws.mu.Unlock()
	stands := !now.Cancelled && now.Taken().Has(x.pair.User, x.pair.Role) && now.Callable().Has(x.pair.User, x.pair.Role)
	if kept && !stands {
		ws.forget(x)
	}
	return stands && (kept || x.part == of)
}

// unproven is a pair that DingTalk has taken for the job of the task, if its last tries are in doubt: they were busy, and nothing
// shows that DingTalk was not busy altogether. It is one of the part itself if there is one, which outlasts the lead.
func (v *visit) unproven() *witness {
	v.mu.Lock()
	defer v.mu.Unlock()
	t, whole := v.claim.State.Tries, max(wholeTries, v.chance().soon)
	// A task that has come back from asynq is new here: that a portion of it was tried shows in its tries only.
	if portion := v.narrowed && t.All >= wholeTries || t.All > whole; !portion || t.Attempts == t.Due() {
		return nil
	}
	done := v.claim.Taken()
	for u, r := range done.Hull().All() {
		if _, stays := v.claim.Stays(u); stays || !done.Has(u, r) || v.part.Scope(v.part.UserIDs[u], v.part.RoleIDs[r]) != nil {
			continue
		}
		if x := (&witness{part: v.part, pair: pairs.Pair{User: u, Role: r}, lane: v.laneName(), lead: v.lead}); !v.protects(x) {
			return x
		}
	}
	if x := v.api.witnesses.of(v); x != nil && !v.protects(x) {
		return x
	}
	return nil
}

// protects reports whether the worker's configuration protects the pair by now.
func (v *visit) protects(x *witness) bool {
	return v.w.cfg.Protected.User(x.part.UserIDs[x.pair.User]) || v.w.cfg.Protected.Role(x.part.RoleIDs[x.pair.Role])
}

// prove repeats a pair that DingTalk has taken, in place of a try: if it takes it again, it is up, and the next busy answer is
// down to what is tried. So an outage costs no more calls, and no attempt.
func (v *visit) prove(ctx context.Context, x *witness) error {
	w := v.w
	g := &group{api: v.api, lane: v.lane, users: []string{x.part.UserIDs[x.pair.User]}, roles: []int64{x.part.RoleIDs[x.pair.Role]},
		whole: pairs.Size{Users: 1, Roles: 1}.Whole(), witness: x}
	g.members = []*member{{stay: &stay{visit: v, asked: v.wants()}, users: absent[pairs.User](1), roles: absent[pairs.Role](1)}}
	defer v.api.flies(g)()
	defer g.rest()
	s, err := v.api.dispatch.slotFor(ctx, v.lane)
	if err != nil {
		return goesBack(ctx)
	}
	if v.counts(s.Accepted) {
		v.api.dispatch.unused(w.ending, s)
		return nil
	}
	answer, err := w.use(s, g, g.whole, true)
	if err != nil {
		v.api.dispatch.unused(w.ending, s)
		if why := g.members[0].why; why != nil {
			return why
		}
		return again("the proof was not asked for")
	}
	s.done()
	switch answer.Action {
	case outcome.Abandon:
		return stopping
	case outcome.Search:
		// DingTalk is up, whatever has become of the pair: who leaves the company is often gone soon after the roles.
		w.tell(causeOf(v.api, s.Grant, answer))
		m := g.members[0]
		m.called = false
		_, err := m.note((*ledger.Tries).Proven)
		return err
	case outcome.Retry:
		return w.proveLater(g.members[0], answer)
	}
	return nil
}

// counts reports whether the next try is an attempt in any case, since the fleet has got something through: no proof is needed
// then, and one that stays busy by itself keeps nobody from being tried.
func (v *visit) counts(accepted int64) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return accepted > v.claim.State.Tries.Accepted
}

// proveLater says when the next proof is due after one that was answered busy, or in no known way. That spends no attempt of the
// task, which was not tried.
func (w *Worker) proveLater(m *member, v outcome.Decision) error {
	now := time.Now()
	m.called = false
	tries, err := m.note(func(t *ledger.Tries) { t.PutOff(now) })
	if err != nil {
		return err
	}
	if v.Answered && tries.Aged(now, w.cfg.BusyMaxAge) {
		v.Failure.Attempts = tries.Attempts
		return &end{kind: endSpent, spent: &spent{answer: v, aged: true}, why: "attempts are spent: " + v.Failure.ErrMsg}
	}
	return later(w.backoff().Spread(tries.Due(), w.cfg.Random()), "what was taken before is not taken again: "+v.Failure.ErrMsg)
}
