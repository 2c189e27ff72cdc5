package worker

import (
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

// giving notes pairs that were given back and have no scope yet. Until they have, the part stays marked as being called: a
// cancel must not leave somebody with more than they had. mu is held.
func (v *visit) giving(scoped pairs.Set) {
	if !scoped.Any() {
		return
	}
	if v.given == nil {
		v.given = map[pairs.Pair]bool{}
		v.calls++
	}
	for u, r := range scoped.Hull().All() {
		if scoped.Has(u, r) {
			v.given[pairs.Pair{User: u, Role: r}] = true
		}
	}
}

// ungiven is the set without the pairs that were given back and have no scope yet. mu is held.
func (v *visit) ungiven(s pairs.Set) pairs.Set {
	if v.given == nil {
		return s
	}
	rest := pairs.None(pairs.SizeOf(v.part))
	for u, r := range s.Hull().All() {
		if s.Has(u, r) && !v.given[pairs.Pair{User: u, Role: r}] {
			rest.Add(u, r)
		}
	}
	return rest
}

// giveScopes gives each pair that was given back its management scope, in slots of its own. What is not reached before
// the task has to leave is given back once more: whether that takes a scope away is not known, so it is set again too.
func (v *visit) giveScopes() error {
	v.mu.Lock()
	given := v.given
	v.mu.Unlock()
	if given == nil {
		return nil
	}
	defer func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.given = nil
		v.calls--
		v.unmark()
	}()
	for u, r := range pairs.SizeOf(v.part).Whole().All() {
		if !given[pairs.Pair{User: u, Role: r}] {
			continue
		}
		if err := v.giveScope(pairs.Rectangle{Users: []pairs.User{u}, Roles: []pairs.Role{r}}); err != nil {
			return err
		}
	}
	return nil
}

func (v *visit) giveScope(pair pairs.Rectangle) error {
	w := v.w
	g := v.alone(pair)
	g.scope = v.part.Scope(g.users[0], g.roles[0])
	defer g.rest()
	for {
		s, err := v.api.dispatch.slotFor(w.stopping, v.lane)
		if err != nil {
			return stopping
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
			// The wait is here, with the mark: a cancel must not come between a role and its scope.
			err := w.tryLater(g.members[0], answer, s.Accepted, w.cfg.Random())
			var e *end
			if !errors.As(err, &e) || e.kind != endLater {
				return err
			}
			if wait.For(w.stopping, e.after) != nil {
				return stopping
			}
		}
	}
}
