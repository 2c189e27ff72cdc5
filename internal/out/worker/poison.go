package worker

import (
	"context"
	"errors"
	"slices"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/out/isolate"
	"github.com/unrole/unrole/internal/out/outcome"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// wholeTries is how often a batch is tried whole. What keeps it busy then may be one of its ids.
const wholeTries = 2

// chance is what may be down to chance where the task is answered busy. That is for the removal of a single user, whose portions
// would share fewer calls with others, and spare nobody else.
func (v *visit) chance() chance {
	if len(v.part.UserIDs) > 1 {
		return chance{}
	}
	return v.api.tempo.chance()
}

// turn is what the task asks the next call for: all that it wants or, once that was busy too often, a portion of what is in question
// then. turned: that is something else than before, as far as this worker knows.
func (v *visit) turn() (asked pairs.Set, of pairs.Rectangle, turned bool) {
	wants := v.wants()
	v.mu.Lock()
	defer v.mu.Unlock()
	open := v.claim.Open()
	tries, whole := v.claim.State.Tries.All, max(wholeTries, v.chance().soon)
	if v.narrowed && tries < min(v.from, whole) && whole > wholeTries {
		v.narrowed = false // something passed since, and it was chance, as it seems
	}
	switch {
	case !v.narrowed && tries < whole:
		return wants, open.Hull(), false
	case !v.narrowed:
		v.narrowed, v.from = true, whole
	case tries < v.from:
		v.from = 0 // something passed since
	}
	known := v.known(open.Hull())
	of, kind := focus(open, known)
	fresh, turned := v.api.jobs.turnsTo(v.part, kind)
	if kind != focusAll && fresh {
		return wants.Within(of), of, turned
	}
	// Where nothing of the job passes, what keeps it busy is in all of its batches, or DingTalk is out: each tries another portion
	// then than the one before.
	tries = max(tries-v.from, v.api.jobs.busyInARow(v.part.JobID)-whole)
	if likely := v.api.hints.likely(v.part, v.api.jobs.likely(v.part, of)); tries == 0 && likely.Size() != of.Size() && open.Within(likely).Any() {
		return wants.Within(likely), of, turned
	}
	for i := tries; i < tries+4+len(v.part.UserIDs)+len(v.part.RoleIDs); i++ {
		if portion := isolate.Portion(of, i, v.narrowedToRoles(of), len(known.Users) == 0); open.Within(portion).Any() {
			return wants.Within(portion), of, turned
		}
	}
	return wants, of, turned
}

// known are those users and roles of a rectangle of the part that DingTalk has taken with others. mu is held.
func (v *visit) known(of pairs.Rectangle) pairs.Rectangle {
	known := v.api.jobs.takenOf(v.part, of)
	done := v.claim.Taken().Hull()
	known.Users = append(known.Users, slices.DeleteFunc(slices.Clone(done.Users), func(u pairs.User) bool { return slices.Contains(known.Users, u) })...)
	known.Roles = append(known.Roles, slices.DeleteFunc(slices.Clone(done.Roles), func(r pairs.Role) bool { return slices.Contains(known.Roles, r) })...)
	return known
}

// focus is the part of what is open to be tried next. What DingTalk has taken goes first, with each other; then users who were never
// taken with roles that were; then the other way round; and only then those of whom nothing is known. So a user and a role that are
// poison do not stand up for each other. kind is which of the four it is.
func focus(open pairs.Set, known pairs.Rectangle) (of pairs.Rectangle, kind int) {
	whole := open.Hull()
	others := pairs.Rectangle{
		Users: slices.DeleteFunc(slices.Clone(whole.Users), func(u pairs.User) bool { return slices.Contains(known.Users, u) }),
		Roles: slices.DeleteFunc(slices.Clone(whole.Roles), func(r pairs.Role) bool { return slices.Contains(known.Roles, r) }),
	}
	for kind, of := range []pairs.Rectangle{known, {Users: others.Users, Roles: known.Roles}, {Users: known.Users, Roles: others.Roles}} {
		if some := open.Within(of); some.Any() {
			return some.Hull(), kind
		}
	}
	return whole, focusAll
}

// focusAll is the kind of a focus of which nothing is known.
const focusAll = 3

// narrowedToRoles reports whether portions have left fewer of the roles than of the users: what keeps the rest busy is a role then.
func (v *visit) narrowedToRoles(open pairs.Rectangle) bool {
	return len(open.Roles)*len(v.part.UserIDs) < len(open.Users)*len(v.part.RoleIDs)
}

// isLastWord reports whether so many attempts are an end. Of what DingTalk is too busy for, the end is that of single users,
// or of single roles if it is they who are to blame, each of which had all the attempts: a larger batch goes out in portions
// first.
func (m *member) isLastWord(v outcome.Decision, attempts, most int) (last, ofRoles bool) {
	if v.Failure.Reason != tasks.ReasonBusy {
		return attempts >= most, false
	}
	of, asked := m.of, m.asked.Hull()
	if len(asked.Users) == 1 && attempts >= most*len(of.Users) {
		return true, false
	}
	if len(asked.Roles) == 1 && attempts >= most*len(of.Roles) && attempts%most == 0 {
		// By then portions have divided so many users that it is not one of them in each.
		ofAll := len(of.Roles) == 1 && len(of.Users) >= most && attempts >= 2*most
		blamed := m.blamesRoles(of, ofAll)
		return blamed, blamed
	}
	return false, false
}

// errPassed ends a look for what has passed.
var errPassed = errors.New("one of the roles has passed")

// blamesRoles reports whether the roles are to blame that keep busy what is open: DingTalk has taken each of its users with
// others, and nobody with one of them. The part says so, or the whole job; a role that is known from another part of the job
// is not asked for again. With ofAll it is enough that nobody was taken with them, as where nobody has another role.
func (v *visit) blamesRoles(open pairs.Rectangle, ofAll bool) bool {
	suspects, unheard := map[int64]bool{}, map[string]bool{}
	for _, r := range open.Roles {
		if id := v.part.RoleIDs[r]; !v.api.jobs.poisonous(v.part.JobID, id) {
			suspects[id] = true
		}
	}
	if len(suspects) == 0 {
		return true
	}
	for _, u := range open.Users {
		unheard[v.part.UserIDs[u]] = true
	}
	passed := func(user string, role int64) error {
		if suspects[role] {
			return errPassed
		}
		delete(unheard, user)
		return nil
	}
	v.mu.Lock()
	done := v.claim.Taken()
	v.mu.Unlock()
	for u, r := range done.Hull().All() {
		if done.Has(u, r) && passed(v.part.UserIDs[u], v.part.RoleIDs[r]) != nil {
			return false
		}
	}
	if len(unheard) > 0 {
		err := v.w.cfg.Ledger.Rows(v.w.ending, v.part.JobID, func(row ledger.Row) error {
			if row.Outcome.Kind != ledger.Removed && row.Outcome.Kind != ledger.Restored && !row.Outcome.Given {
				return nil
			}
			return passed(row.UserID, row.RoleID)
		})
		if err != nil || len(unheard) > 0 && !ofAll {
			return false
		}
	}
	for role := range suspects {
		v.api.jobs.poisons(v.part.JobID, role)
	}
	return true
}

// setApart ends the tries of a batch that was busy too often, or answered in no known way. Users whom portions have left
// alone are dead letters, each of them, and so are roles that are to blame; what is left else is searched for what poisons it.
func (v *visit) setApart(ctx context.Context, why *spent) error {
	if why.aged || why.answer.Failure.Reason != tasks.ReasonBusy {
		return v.halve(ctx, why)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if why.ofRoles {
		for _, r := range why.of.Roles {
			v.api.hints.found(ledger.RoleField(v.part.RoleIDs[r]))
			if err := v.deadLetter(pairs.Rectangle{Roles: []pairs.Role{r}}, why.answer.Failure); err != nil {
				return err
			}
		}
		return v.tryAnew()
	}
	known := v.known(v.claim.Open().Hull())
	for _, u := range why.of.Users {
		about := pairs.Rectangle{Users: []pairs.User{u}}
		if slices.Contains(known.Users, u) {
			about.Roles = why.of.Roles // what is to blame may be these, and others are still to be tried
		} else {
			v.api.hints.found(ledger.UserField(v.part.UserIDs[u]))
		}
		if err := v.deadLetter(about, why.answer.Failure); err != nil {
			return err
		}
	}
	return v.tryAnew()
}

// tryAnew gives what is left of a batch all attempts again: those that are spent were spent on what was set apart. mu is held.
func (v *visit) tryAnew() error {
	if !v.claim.Open().Any() {
		return nil
	}
	v.claim.StaysBegun = v.calls > 0
	return v.w.persist(func(ctx context.Context) error {
		return v.w.cfg.Ledger.Note(ctx, v.claim, func(s *ledger.PartState) { s.Tries.Anew() })
	})
}

// alone is a group of a rectangle of the task, apart from the pool.
func (v *visit) alone(rect pairs.Rectangle) *group {
	g := &group{api: v.api, lane: v.lane, users: v.part.UserIDs, roles: v.part.RoleIDs}
	g.users, g.roles = g.ids(rect)
	asked := pairs.All(pairs.SizeOf(v.part)).Within(rect)
	g.whole, g.members = rect.Size().Whole(), []*member{{stay: &stay{visit: v, asked: asked, of: rect}, users: rect.Users, roles: rect.Roles}}
	return g
}

// halve searches a batch whose attempts are spent for what poisons it. Its pairs are not in the pool.
func (v *visit) halve(ctx context.Context, why *spent) error {
	for open := v.rectangles(); len(open) > 0; open = v.rectangles() {
		g := v.alone(open[0])
		g.members[0].task = ctx
		err := func() error {
			defer v.api.flies(g)()
			return (&isolation{w: v.w, g: g, halving: why}).run(why.answer.Blame, &cause{failure: why.answer.Failure, told: true})
		}()
		if err != nil {
			return err
		}
		if why := g.members[0].why; why != nil {
			return why
		}
	}
	return nil
}
