package worker

import (
	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/out/outcome"
	"github.com/unrole/unrole/tasks"
)

// setApart ends the tries of a batch that was busy too often, or answered in no known way. Users whom portions have left
// alone are dead letters, each of them; what is left else is searched for what poisons it.
func (v *visit) setApart(why *spent) error {
	if why.aged || why.answer.Failure.Reason != tasks.ReasonBusy {
		return v.halve(why)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, u := range v.claim.Open().Hull().Users {
		if err := v.deadLetter(pairs.Rectangle{Users: []pairs.User{u}}, why.answer.Failure); err != nil {
			return err
		}
	}
	return nil
}

// prove repeats a pair that was removed, in place of a try: if DingTalk takes it, it is up, and the next busy answer is
// down to what is tried. So an outage costs no more calls, and no attempt.
func (v *visit) prove(pair pairs.Pair) error {
	w := v.w
	g := v.alone(pairs.SizeOf(v.part).Whole())
	defer g.rest()
	s, err := v.api.dispatch.slotFor(w.stopping, v.lane)
	if err != nil {
		return stopping
	}
	answer, err := w.use(s, g, pairs.Rectangle{Users: []pairs.User{pair.User}, Roles: []pairs.Role{pair.Role}}, true)
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
		w.tell(causeOf(v.api, s.Grant, answer)) // DingTalk is up, whatever has become of the pair
	case outcome.Retry:
		return w.tryLater(g.members[0], answer, s.Accepted, w.cfg.Random())
	}
	return nil
}

// alone is a group of a rectangle of the task, apart from the pool.
func (v *visit) alone(rect pairs.Rectangle) *group {
	g := &group{api: v.api, lane: v.lane, users: v.part.UserIDs, roles: v.part.RoleIDs}
	g.users, g.roles = g.ids(rect)
	g.whole, g.members = rect.Size().Whole(), []*member{{stay: &stay{visit: v, asked: v.wants()}, users: rect.Users, roles: rect.Roles}}
	return g
}

// halve searches a batch whose attempts are spent for what poisons it. Its pairs are not in the pool.
func (v *visit) halve(why *spent) error {
	for open := v.rectangles(); len(open) > 0; open = v.rectangles() {
		g := v.alone(open[0])
		if err := (&isolation{w: v.w, g: g, halving: why}).run(why.answer.Blame, &cause{failure: why.answer.Failure, told: true}); err != nil {
			return err
		}
		if why := g.members[0].why; why != nil {
			return why
		}
	}
	return nil
}
