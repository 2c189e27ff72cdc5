package cover

import (
	"cmp"
	"slices"
)

// span is a rectangle before it is decided which pairs it owns. Its users and roles are in no particular order.
type span struct{ roles, users []int32 }

// own gives each pair to the first rectangle that covers it, big ones first, and drops rectangles that get nothing.
func own(m Matrix, spans []span) []Rect {
	spans = slices.Clone(spans)
	for i := range spans {
		spans[i].roles = slices.Sorted(slices.Values(spans[i].roles))
		spans[i].users = slices.Sorted(slices.Values(spans[i].users))
	}
	slices.SortFunc(spans, func(a, b span) int {
		return cmp.Or(
			cmp.Compare(len(b.roles)*len(b.users), len(a.roles)*len(a.users)),
			slices.Compare(a.roles, b.roles), slices.Compare(a.users, b.users))
	})

	taken := make([]bool, 0)
	first := make([]int, len(m.Roles)) // where the pairs of a user begin in taken
	n := 0
	for u, roles := range m.Roles {
		first[u] = n
		n += len(roles)
	}
	taken = append(taken, make([]bool, n)...)

	rects := make([]Rect, 0, len(spans))
	owned := make([]int, 0, len(spans))
	var bits []byte
	for _, s := range spans {
		bits = slices.Grow(bits[:0], ceilDiv(len(s.roles)*len(s.users), 8))
		bits = bits[:ceilDiv(len(s.roles)*len(s.users), 8)]
		clear(bits)
		count, bit := 0, 0
		for _, u := range s.users {
			at, roles := first[u], m.Roles[u]
			for _, r := range s.roles {
				for roles[0] != r {
					roles = roles[1:]
					at++
				}
				if !taken[at] {
					taken[at] = true
					bits[bit/8] |= 1 << (bit % 8)
					count++
				}
				bit++
			}
		}
		if count == 0 {
			continue
		}
		rect := Rect{Roles: s.roles, Users: s.users}
		if count < bit {
			rect.Own = slices.Clone(bits)
		}
		rects = append(rects, rect)
		owned = append(owned, count)
	}
	order := make([]int, len(rects))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(owned[b], owned[a]) })
	sorted := make([]Rect, len(rects))
	for i, j := range order {
		sorted[i] = rects[j]
	}
	return sorted
}
