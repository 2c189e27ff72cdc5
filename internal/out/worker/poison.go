package worker

import (
	"errors"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/out/isolate"
	"github.com/unrole/unrole/internal/out/outcome"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// wholeTries is how often a batch is tried whole. What keeps it busy then may be one of its ids.
const wholeTries = 2

// chance is how many busy answers in a row say nothing about the task: it is tried as before after these. That is for the removal
// of a single user, whose portions would share fewer calls with others, and spare nobody else.
func (v *visit) chance() int {
	if len(v.part.UserIDs) > 1 {
		return 0
	}
	return v.api.tempo.chance()
}

// turn is what the task asks the next call for: all that it wants or, once that was busy too often, a portion of it.
func (v *visit) turn() pairs.Set {
	wants := v.wants()
	v.mu.Lock()
	defer v.mu.Unlock()
	tries, whole := v.claim.State.Tries.All, max(wholeTries, v.chance())
	if v.narrowed && tries < min(v.from, whole) && whole > wholeTries {
		v.narrowed = false // something passed since, and it was chance, as it seems
	}
	switch {
	case !v.narrowed && tries < whole:
		return wants
	case !v.narrowed:
		v.narrowed, v.from = true, whole
	case tries < v.from:
		v.from = 0 // something passed since
	}
	open := v.claim.Open()
	// Where nothing of the job passes, what keeps it busy is in all of its batches, or DingTalk is out: each tries another portion
	// then than the one before.
	tries = max(tries-v.from, v.api.jobs.busyInARow(v.part.JobID)-whole)
	if likely := v.api.hints.likely(v.part, v.api.jobs.likely(v.part, open.Hull())); tries == 0 && likely.Size() != open.Hull().Size() && open.Within(likely).Any() {
		return wants.Within(likely)
	}
	for i := tries; i < tries+len(v.part.UserIDs)+len(v.part.RoleIDs); i++ {
		if portion := isolate.Portion(open.Hull(), i, v.narrowedToRoles(open.Hull())); open.Within(portion).Any() {
			return wants.Within(portion)
		}
	}
	return wants
}

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
	open, asked := m.stillOpen(), m.asked.Hull()
	switch {
	case len(asked.Users) == 1:
		return attempts >= most*len(open.Users), false
	case len(asked.Roles) == 1 && attempts >= most*len(open.Roles) && attempts%most == 0:
		blamed := m.blamesRoles(open)
		return blamed, blamed
	}
	return false, false
}

// stillOpen is the smallest rectangle with all that the task has open.
func (v *visit) stillOpen() pairs.Rectangle {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.claim.Open().Hull()
}

// errPassed ends a look for what has passed.
var errPassed = errors.New("one of the roles has passed")

// blamesRoles reports whether the roles are to blame that keep busy what is open: DingTalk has taken each of its users with
// others, and nobody with one of them. The part says so, or the whole job; a role that is known from another part of the job
// is not asked for again.
func (v *visit) blamesRoles(open pairs.Rectangle) bool {
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
	done := v.claim.Removed()
	v.mu.Unlock()
	for u, r := range done.Hull().All() {
		if done.Has(u, r) && passed(v.part.UserIDs[u], v.part.RoleIDs[r]) != nil {
			return false
		}
	}
	if len(unheard) > 0 {
		err := v.w.cfg.Ledger.Rows(v.w.ending, v.part.JobID, func(row ledger.Row) error {
			if row.Outcome.Kind != ledger.Removed && row.Outcome.Kind != ledger.Restored {
				return nil
			}
			return passed(row.UserID, row.RoleID)
		})
		if err != nil || len(unheard) > 0 {
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
func (v *visit) setApart(why *spent) error {
	if why.aged || why.answer.Failure.Reason != tasks.ReasonBusy {
		return v.halve(why)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	open := v.claim.Open().Hull()
	if why.ofRoles {
		for _, r := range open.Roles {
			v.api.hints.found(ledger.RoleField(v.part.RoleIDs[r]))
			if err := v.deadLetter(pairs.Rectangle{Roles: []pairs.Role{r}}, why.answer.Failure); err != nil {
				return err
			}
		}
		return nil
	}
	for _, u := range open.Users {
		v.api.hints.found(ledger.UserField(v.part.UserIDs[u]))
		if err := v.deadLetter(pairs.Rectangle{Users: []pairs.User{u}}, why.answer.Failure); err != nil {
			return err
		}
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
