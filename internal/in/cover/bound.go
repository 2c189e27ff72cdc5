package cover

import (
	"cmp"
	"slices"
)

// bound is a number of calls that no cover of the window can go below, so that a search which gets there stops. It is
// the larger of two: the calls that the most common role takes, and the size of a set of pairs no two of which fit
// into one call, found by taking pairs of few alternatives first.
func (w *window) bound(lim Limits) int {
	holders := make([]int, len(w.roles))
	sets := make([][]uint64, len(w.have))
	type pair struct{ u, r int32 }
	var pairs []pair
	for u, roles := range w.have {
		sets[u] = make([]uint64, ceilDiv(len(w.roles), 64))
		for _, r := range roles {
			set(sets[u], r)
			holders[r]++
			pairs = append(pairs, pair{int32(u), r})
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int {
		return cmp.Compare(holders[a.r]*len(w.have[a.u]), holders[b.r]*len(w.have[b.u]))
	})
	var apart []pair
	for _, p := range pairs {
		if !slices.ContainsFunc(apart, func(q pair) bool { return has(sets[p.u], q.r) && has(sets[q.u], p.r) }) {
			apart = append(apart, p)
		}
	}
	return max(len(apart), ceilDiv(slices.Max(holders), lim.Users))
}
