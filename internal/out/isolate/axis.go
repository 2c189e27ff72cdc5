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
	// mixed holds unknown ids of which at least one is bad, ascending; empty when no such group is known. cause is the
	// refusal that says so, sure that it named this axis.
	mixed []ID
	cause any
	sure  bool
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

func newAxis[ID pairs.User | pairs.Role](n int, prior func() distribution, report func(ID, any)) *axis[ID] {
	return &axis[ID]{
		standing: make([]standing, n),
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

// group is the next group of unknown ids to try: a true part of mixed if there is a mixed group. It is empty when
// nothing is unknown.
func (a *axis[ID]) group() []ID {
	from := a.mixed
	if len(from) == 0 {
		from = a.where(isOpen)
		if !a.blamed {
			return from
		}
	}
	if len(from) == 0 {
		return nil
	}
	return from[:a.size(len(a.mixed), len(from))]
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
	a.setMixed(a.unproven(a.mixed))
}

// refuse notes that at least one of ids, none of them proven or bad, is bad.
func (a *axis[ID]) refuse(ids []ID, cause any, sure bool) {
	a.blamed = true
	if len(ids) == 1 && !slices.Contains(a.mixed, ids[0]) {
		a.condemn(ids[0], cause, sure)
		return
	}
	a.cause, a.sure = cause, sure
	a.setMixed(ids)
}

// setMixed narrows the mixed group. The last one left in it is the bad one, and no call is spent on it.
func (a *axis[ID]) setMixed(ids []ID) {
	a.mixed = ids
	if len(ids) == 1 {
		a.mixed = nil
		a.condemn(ids[0], a.cause, a.sure)
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
