package cover

import (
	"cmp"
	"slices"

	"github.com/unrole/unrole/internal/base/pairs"
)

// bound is a number of calls that no cover of the window can go below, so that a search which gets there stops. It is
// the larger of two: the calls that the most common role takes, and the size of a set of pairs no two of which fit
// into one call, found by taking pairs of few alternatives first.
func (w *window) bound(lim pairs.Size) int {
	holders := make([]int, len(w.roles))
	sets := make([][]uint64, len(w.have))
	var all []pairs.Pair
	for u, roles := range w.have {
		sets[u] = make([]uint64, ceilDiv(len(w.roles), 64))
		for _, r := range roles {
			set(sets[u], r)
			holders[r]++
			all = append(all, pairs.Pair{User: pairs.User(u), Role: r})
		}
	}
	slices.SortStableFunc(all, func(a, b pairs.Pair) int {
		return cmp.Compare(holders[a.Role]*len(w.have[a.User]), holders[b.Role]*len(w.have[b.User]))
	})
	var apart []pairs.Pair
	for _, p := range all {
		if !slices.ContainsFunc(apart, func(q pairs.Pair) bool { return has(sets[p.User], q.Role) && has(sets[q.User], p.Role) }) {
			apart = append(apart, p)
		}
	}
	return max(len(apart), ceilDiv(slices.Max(holders), lim.Users))
}
