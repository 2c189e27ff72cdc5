package promises

import (
	"slices"

	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/tasks"
)

// accepted reports whether DingTalk has ever taken a call of the action that covers the pair.
func (h *History) accepted(action tasks.Action, p Pair) bool {
	_, calls := h.of(action)
	return slices.ContainsFunc(calls, func(c simulator.Call) bool {
		return (c.Code == "0" || c.Applied > 0) && slices.Contains(c.Users, p.User) && slices.Contains(c.Roles, p.Role)
	})
}

// theLastWordHolds: whether somebody holds a role at the end is what the last job said that did something with the pair, in the
// order in which jobs have their turn. What a later one was cancelled or refused with may have happened, if it was called.
func (h *History) theLastWordHolds(fail Fail) {
	for p := range h.Before {
		var words []*Job
		for _, j := range h.Jobs {
			if j.Pairs[p] {
				words = append(words, j)
			}
		}
		slices.SortFunc(words, func(a, b *Job) int {
			if a.Record.Before(b.Record) {
				return 1
			}
			return -1
		})
		may := map[bool]bool{}
		var last *Job
		for _, j := range words {
			if outcome := j.Ends[p].Outcome; outcome == "removed" || outcome == "restored" {
				last = j
				break
			}
			if h.accepted(j.Action, p) {
				may[j.Action == tasks.Add] = true
			}
		}
		holds := h.Sim.Holds(p.User, p.Role)
		switch {
		case h.Late[p]:
			continue
		case last == nil:
			may[h.Before[p]] = true
		default:
			may[last.Action == tasks.Add] = true
		}
		if !may[holds] {
			var said []string
			for _, j := range words {
				said = append(said, j.ID+" "+j.Ends[p].Outcome)
			}
			fail("the last word holds: %v is held: %t; the words, the last one first: %v", p, holds, said)
			continue
		}
		// Two restores of a pair do not wait for each other, and giving a role that is held may clear its scope.
		alone := len(slices.DeleteFunc(words, func(j *Job) bool { return j.Action != tasks.Add })) == 1
		if last != nil && last.Scopes[p] != nil && len(may) == 1 && alone {
			if have := h.Sim.Scope(p.User, p.Role); !slices.Equal(have, last.Scopes[p]) {
				fail("given back exactly: %v has %v as its management scope, %s gave back %v", p, have, last.ID, last.Scopes[p])
			}
		}
	}
}
