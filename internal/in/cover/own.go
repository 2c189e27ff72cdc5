package cover

import (
	"cmp"
	"slices"

	"github.com/unrole/unrole/internal/base/pairs"
)

// span is a rectangle before it is decided which pairs it owns. Its users and roles are in no particular order.
type span = pairs.Rectangle

// own gives each pair to the first rectangle that covers it, big ones first, and drops rectangles that get nothing.
func own(m Matrix, spans []span) []Call {
	spans = slices.Clone(spans)
	for i, s := range spans {
		spans[i] = span{Users: slices.Sorted(slices.Values(s.Users)), Roles: slices.Sorted(slices.Values(s.Roles))}
	}
	slices.SortFunc(spans, func(a, b span) int {
		return cmp.Or(
			cmp.Compare(b.Size().Pairs(), a.Size().Pairs()), slices.Compare(a.Roles, b.Roles), slices.Compare(a.Users, b.Users))
	})

	first := make([]int, len(m.Roles)) // where the pairs of a user begin in taken
	n := 0
	for u, roles := range m.Roles {
		first[u] = n
		n += len(roles)
	}
	taken := make([]bool, n)

	calls := make([]Call, 0, len(spans))
	owned := make([]int, 0, len(spans))
	for _, s := range spans {
		count, at := 0, 0
		var user pairs.User = -1
		bits := s.Own(func(u pairs.User, r pairs.Role) bool {
			if u != user {
				user, at = u, first[u]
			}
			for m.Roles[u][at-first[u]] != r {
				at++
			}
			if taken[at] {
				return false
			}
			taken[at] = true
			count++
			return true
		})
		if count > 0 {
			calls = append(calls, Call{Rectangle: s, Own: bits})
			owned = append(owned, count)
		}
	}
	order := make([]int, len(calls))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(owned[b], owned[a]) })
	sorted := make([]Call, len(calls))
	for i, j := range order {
		sorted[i] = calls[j]
	}
	return sorted
}
