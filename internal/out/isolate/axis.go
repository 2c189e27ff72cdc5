package isolate

import (
	"slices"

	"github.com/unrole/unrole/internal/base/pairs"
)

// standing is what is known of one id.
type standing uint8

const (
	unknown   standing = iota
	proven             // part of a passed call
	suspected          // refused with proven company only, but with BlameAny: to be heard again before it is called bad
	bad
)

// axis is one side of the batch: its users, or its roles.
type axis[ID pairs.User | pairs.Role] struct {
	standing []standing
	// mixed are groups that share no id. asked are the ids, by id, that probes under way tell apart.
	mixed []mixed[ID]
	asked []bool
	// blamed: some refusal was put down to this axis. Until then it is tried whole.
	blamed bool
	// causes belongs to the suspect and the bad, recalled to ids whose proof was taken back once.
	causes   []any
	recalled []bool

	prior func() distribution
	plan  *plan
	// The plan looks ahead from a state with so many bad and good ids: not zero only beyond the horizon.
	planBad, planGood int
	taught            tally // what lesson returned so far
	report            func(id ID, cause any)
}

// mixed is unknown ids, ascending, of which at least one is bad. cause is the refusal that says so, sure that it named
// their axis.
type mixed[ID pairs.User | pairs.Role] struct {
	ids   []ID
	cause any
	sure  bool
}

func newAxis[ID pairs.User | pairs.Role](n int, prior func() distribution, report func(ID, any)) *axis[ID] {
	return &axis[ID]{
		standing: make([]standing, n),
		asked:    make([]bool, n),
		causes:   make([]any, n),
		recalled: make([]bool, n),
		prior:    prior,
		report:   report,
	}
}

func inPlay(s standing) bool   { return s == unknown || s == proven }
func isProven(s standing) bool { return s == proven }
func isOpen(s standing) bool   { return s == unknown }

// where lists the ids whose standing satisfies is, ascending.
func (a *axis[ID]) where(is func(standing) bool) []ID {
	var ids []ID
	for id, s := range a.standing {
		if is(s) {
			ids = append(ids, ID(id))
		}
	}
	return ids
}

func (a *axis[ID]) count(s standing) int {
	n := 0
	for _, have := range a.standing {
		if have == s {
			n++
		}
	}
	return n
}

func (a *axis[ID]) has(s standing) bool { return slices.Contains(a.standing, s) }

// unproven lists which of ids are not proven.
func (a *axis[ID]) unproven(ids []ID) []ID {
	var rest []ID
	for _, id := range ids {
		if a.standing[id] != proven {
			rest = append(rest, id)
		}
	}
	return rest
}

// group is the next group of unknown ids to try, none of them asked about already: a true part of a mixed group if there
// is one that waits, else of the ids that are in none. It is empty when there is nothing to ask. With ahead, the rest of a
// mixed group that is the whole axis is asked about as if nothing was known of it, while its first part is: among so many
// that more than one is bad is likely, and then the rest has to be asked about in any case.
func (a *axis[ID]) group(ahead bool) []ID {
	isAsked := func(id ID) bool { return a.asked[id] }
	for _, m := range a.mixed {
		if !slices.ContainsFunc(m.ids, isAsked) {
			return m.ids[:a.size(len(m.ids), len(m.ids))]
		}
	}
	from := slices.DeleteFunc(a.where(isOpen), func(id ID) bool {
		return a.asked[id] || slices.ContainsFunc(a.mixed, func(m mixed[ID]) bool { return slices.Contains(m.ids, id) })
	})
	if !a.blamed || len(from) == 0 && !ahead {
		return from
	}
	if len(from) == 0 && len(a.mixed) > 0 && len(a.mixed[0].ids) == len(a.standing) {
		from = slices.DeleteFunc(slices.Clone(a.mixed[0].ids), isAsked)
	}
	if len(from) == 0 {
		return nil
	}
	return from[:a.size(0, len(from))]
}

// size is how many of the available ids to try next, given the size of the mixed group (0: none).
func (a *axis[ID]) size(mixed, available int) int {
	if mixed > horizon {
		return mixed / 2
	}
	nBad, nGood := a.count(bad)+a.count(suspected), a.count(proven)
	left := max(mixed, min(available, 1))
	if a.plan == nil || !a.plan.covers(nBad-a.planBad, nGood-a.planGood, left) {
		a.planBad, a.planGood = 0, 0
		n := len(a.standing)
		if n <= horizon {
			a.plan = planFor(n, a.prior())
		} else {
			a.planBad, a.planGood = nBad, nGood
			n = min(horizon, n-nBad-nGood)
			a.plan = planFor(n, a.prior().after(float64(nBad), float64(nGood)))
		}
	}
	return min(available, a.plan.group(nBad-a.planBad, nGood-a.planGood, mixed))
}

// pass notes a passed call with ids in it.
func (a *axis[ID]) pass(ids []ID) {
	for _, id := range ids {
		a.standing[id] = proven
	}
	a.narrow()
}

// refuse notes that at least one of ids, none of them proven or bad, is bad.
func (a *axis[ID]) refuse(ids []ID, cause any, sure bool) {
	a.blamed = true
	if len(ids) == 1 {
		a.condemn(ids[0], cause, sure)
		a.narrow()
		return
	}
	// What a smaller group is known of a larger one need not be known of: its rest is as unknown as if it was never tried.
	for _, m := range a.mixed {
		if len(m.ids) < len(ids) && slices.ContainsFunc(m.ids, func(id ID) bool { return slices.Contains(ids, id) }) {
			return
		}
	}
	a.mixed = slices.DeleteFunc(a.mixed, func(m mixed[ID]) bool {
		return slices.ContainsFunc(m.ids, func(id ID) bool { return slices.Contains(ids, id) })
	})
	a.mixed = append(a.mixed, mixed[ID]{ids, cause, sure})
}

// narrow takes what is proven out of the mixed groups. The last one left in a group is the bad one, and no call is spent
// on it; a group with a bad id is mixed no more.
func (a *axis[ID]) narrow() {
	groups := a.mixed
	a.mixed = nil
	for _, m := range groups {
		m.ids = a.unproven(m.ids)
		switch {
		case len(m.ids) == 0 || slices.ContainsFunc(m.ids, func(id ID) bool { return a.standing[id] != unknown }):
		case len(m.ids) == 1:
			a.condemn(m.ids[0], m.cause, m.sure)
		default:
			a.mixed = append(a.mixed, m)
		}
	}
}

func (a *axis[ID]) condemn(id ID, cause any, sure bool) {
	a.causes[id] = cause
	a.standing[id] = suspected
	if sure {
		a.standing[id] = bad
		a.report(id, cause)
	}
}

// recall takes back the proof of ids: they passed before, and now one of them was refused by name. It does so once for
// each id and returns those it did it for.
func (a *axis[ID]) recall(ids []ID) []ID {
	var back []ID
	for _, id := range ids {
		if !a.recalled[id] {
			a.recalled[id] = true
			a.standing[id] = unknown
			back = append(back, id)
		}
	}
	return back
}

// lesson is what was found since the last lesson.
func (a *axis[ID]) lesson() tally {
	now := tally{float64(a.count(bad)), float64(a.count(proven))}
	since := tally{max(0, now.bad-a.taught.bad), max(0, now.good-a.taught.good)}
	a.taught = now
	return since
}
