package worker

import (
	"context"
	"errors"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/base/wait"
	"github.com/unrole/unrole/internal/out/isolate"
	"github.com/unrole/unrole/internal/out/outcome"
)

// scoped divides pairs into those that are over when DingTalk has taken them, and those that get their management scope
// back by a call of their own first.
func (v *visit) scoped(taken pairs.Set) (over, scoped pairs.Set) {
	if len(v.part.Scopes) == 0 {
		return taken, pairs.None(pairs.SizeOf(v.part))
	}
	over, scoped = pairs.None(pairs.SizeOf(v.part)), pairs.None(pairs.SizeOf(v.part))
	for u, r := range taken.Hull().All() {
		switch {
		case !taken.Has(u, r):
		case v.part.Scope(v.part.UserIDs[u], v.part.RoleIDs[r]) == nil:
			over.Add(u, r)
		default:
			scoped.Add(u, r)
		}
	}
	return over, scoped
}

// giveScopes gives each pair that was given back its management scope, in slots of its own: a restore that is cancelled by then
// must not leave somebody with more than they had. What is not reached before the task has to leave is for who takes it next. A dead
// letter has to know first what was said later.
func (v *visit) giveScopes(ctx context.Context) error {
	if v.part.Failure != nil && !v.yielded {
		return nil
	}
	v.mu.Lock()
	given := v.claim.Given()
	v.mu.Unlock()
	for u, r := range given.Hull().All() {
		if !given.Has(u, r) {
			continue
		}
		if err := v.giveScope(ctx, pairs.Rectangle{Users: []pairs.User{u}, Roles: []pairs.Role{r}}); err != nil {
			return err
		}
	}
	return nil
}

func (v *visit) giveScope(task context.Context, pair pairs.Rectangle) error {
	w := v.w
	ctx, cancel := context.WithCancel(w.stopping)
	defer cancel()
	defer context.AfterFunc(task, cancel)()
	g := v.alone(pair)
	g.scope = v.part.Scope(g.users[0], g.roles[0])
	defer g.rest()
	for {
		s, err := v.api.dispatch.slotFor(ctx, v.lane)
		if err != nil {
			return w.leaves(task)
		}
		answer, err := w.use(s, g, g.whole, true)
		if err != nil {
			v.api.dispatch.unused(w.ending, s)
			if why := g.members[0].why; why != nil {
				return why
			}
			if !errors.Is(err, errMissed) {
				return err
			}
			continue
		}
		s.done()
		switch answer.Action {
		case outcome.Settle:
			return g.members[0].why
		case outcome.Search:
			w.tell(causeOf(v.api, s.Grant, answer))
			return v.condemn(isolate.BadPair, pair, answer.Failure)
		case outcome.Abandon:
			return stopping
		case outcome.Retry:
			err := w.tryLater(g.members[0], answer, s.Accepted, w.cfg.Random())
			var e *end
			switch {
			case !errors.As(err, &e):
				return err
			case e.kind == endSpent: // there is nothing to be searched in one pair
				if err := v.condemn(isolate.BadPair, pair, e.spent.answer.Failure); err != nil {
					return err
				}
				v.mu.Lock()
				defer v.mu.Unlock()
				return v.tryAnew()
			case wait.For(ctx, e.after) != nil: // here: the task leaves when everybody has their scope
				return w.leaves(task)
			}
		}
	}
}
