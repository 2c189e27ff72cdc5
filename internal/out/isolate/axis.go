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
	suspected          // refused with proven company only: to be heard alone before it is called bad, see evidence
	bad
)

// axis is one side of the batch: its users, or its roles.
type axis[ID pairs.User | pairs.Role] struct {
	standing []standing
	// mixed are groups that share no id. asked are the ids, by id, that probes under way tell apart.
	mixed []mixed[ID]
	asked []bool
	// suspect are those, by id, that are asked about last.
	suspect []bool
	// blamed: some refusal was put down to this axis. Until then it is tried whole.
	blamed bool
	// against belongs to the suspect and the bad, recalled to ids whose proof was taken back once.
	against  []evidence[ID]
	recalled []bool

	prior func() distribution
	plan  *plan
	// The plan looks ahead from a state with so many bad and good ids: not zero only beyond the horizon.
	planBad, planGood int
	taught            tally // what lesson returned so far
	report            func(id ID, cause any)
}

// mixed is unknown ids, ascending, of which at least one is bad by the evidence.
type mixed[ID pairs.User | pairs.Role] struct {
	ids []ID
	evidence[ID]
}

// evidence is a refusal.
type evidence[ID pairs.User | pairs.Role] struct {
	cause any
	sure  bool // it named the axis
	// beside are proven ids of the axis that were in the call and have not passed since: one of them may have become bad, and be
	// the reason. after is how many calls were answered when they had not passed yet.
	beside []ID
	after  int
}

// enough reports whether one id is bad that alone is left of those that were refused.
func (e evidence[ID]) enough() bool { return e.sure && len(e.beside) == 0 }

// without is the evidence once ids have passed in a call that was sent when so many were answered.
func (e evidence[ID]) without(ids []ID, sent int) evidence[ID] {
	if len(e.beside) > 0 && sent >= e.after {
		e.beside = slices.DeleteFunc(slices.Clone(e.beside), func(id ID) bool { return slices.Contains(ids, id) })
	}
	return e
}

func newAxis[ID pairs.User | pairs.Role](n int, prior func() distribution, report func(ID, any)) *axis[ID] {
	return &axis[ID]{
		standing: make([]standing, n),
		asked:    make([]bool, n),
		suspect:  make([]bool, n),
		against:  make([]evidence[ID], n),
		recalled: make([]bool, n),
		prior:    prior,
		report:   report,
	}
}

func inPlay(s standing) bool      { return s == unknown || s == proven }
func isProven(s standing) bool    { return s == proven }
func isOpen(s standing) bool      { return s == unknown }
func isSuspected(s standing) bool { return s == suspected }

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
		if slices.ContainsFunc(m.ids, isAsked) {
			continue
		}
		if rest := a.unsuspected(m.ids); len(rest) < len(m.ids) {
			return rest
		}
		return m.ids[:a.next(len(m.ids), m.ids)]
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
	from = a.unsuspected(from)
	return from[:a.next(0, from)]
}

// next is how many of ids to try next. Suspects of whom more were bad than good go one by one.
func (a *axis[ID]) next(mixed int, ids []ID) int {
	if a.suspect[ids[0]] {
		balance := 0
		for id, suspect := range a.suspect {
			switch {
			case suspect && a.standing[id] == bad:
				balance++
			case suspect && a.standing[id] == proven:
				balance--
			}
		}
		if balance > 0 {
			return 1
		}
	}
	return a.size(mixed, len(ids))
}

// unsuspected are those of ids that are no suspects; all of them if all are.
func (a *axis[ID]) unsuspected(ids []ID) []ID {
	if rest := slices.DeleteFunc(slices.Clone(ids), func(id ID) bool { return a.suspect[id] }); len(rest) > 0 {
		return rest
	}
	return ids
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

// pass notes a passed call with ids in it, which was sent when so many calls were answered.
func (a *axis[ID]) pass(ids []ID, sent int) {
	for _, id := range ids {
		a.standing[id] = proven
	}
	for i := range a.mixed {
		a.mixed[i].evidence = a.mixed[i].without(ids, sent)
	}
	for id, s := range a.standing {
		if s == suspected {
			if e := a.against[id].without(ids, sent); len(e.beside) < len(a.against[id].beside) {
				a.condemn(ID(id), e)
			}
		}
	}
	a.narrow()
}

// refuse notes that at least one of ids, none of them proven or bad, is bad by the evidence.
func (a *axis[ID]) refuse(ids []ID, e evidence[ID]) {
	a.blamed = true
	if len(ids) == 1 {
		a.condemn(ids[0], e)
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
	a.mixed = append(a.mixed, mixed[ID]{ids, e})
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
			a.condemn(m.ids[0], m.evidence)
		default:
			a.mixed = append(a.mixed, m)
		}
	}
}

// condemn calls an id bad if the evidence is enough, else suspects it.
func (a *axis[ID]) condemn(id ID, e evidence[ID]) {
	a.against[id] = e
	a.standing[id] = suspected
	if !e.enough() {
		return
	}
	a.standing[id] = bad
	a.report(id, e.cause)
	// It explains what was refused beside it when it was thought to be good.
	explained := func(e evidence[ID]) bool { return slices.Contains(e.beside, id) }
	a.mixed = slices.DeleteFunc(a.mixed, func(m mixed[ID]) bool { return explained(m.evidence) })
	for other, s := range a.standing {
		if s == suspected && explained(a.against[other]) {
			a.standing[other] = unknown
		}
	}
}

// uncertain reports whether something was refused beside proven ids that have not passed since.
func (a *axis[ID]) uncertain() bool {
	return slices.ContainsFunc(a.mixed, func(m mixed[ID]) bool { return len(m.beside) > 0 }) ||
		slices.ContainsFunc(a.where(isSuspected), func(id ID) bool { return len(a.against[id].beside) > 0 })
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
