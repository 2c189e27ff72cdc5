package cover

import (
	"cmp"
	"slices"
	"sync"

	"github.com/unrole/unrole/internal/base/pairs"
)

// Budgets are counted in steps, never in time, so that a plan does not depend on the machine it was made on.
const (
	// windowSpans is how many spans are improved together.
	windowSpans = 320
	// windowCells bounds users × roles of a window, which is what its memory grows with.
	windowCells = 8 << 20
	// smallPairs is how many pairs a matrix may have to be improved as a whole.
	smallPairs = 50_000
	// smallWork is what a search over a matrix that fits one window may spend: in all, and for each pair and span.
	smallWork, smallWorkPerPairAndSpan = 60_000_000, 500
	// windowWork is what one of several windows may spend.
	windowWork = 30_000_000
	// largeWorkPerPair is what all windows together may spend for each pair.
	largeWorkPerPair = 150
	// windowsAtOnce bounds memory; more processors than that are of no use.
	windowsAtOnce = 4
)

// improve looks for a smaller cover than the one given.
//
// A small matrix is improved as a whole, by two searches that compete: one goes on from the given cover, the other from
// what setCover makes of it. In a large one the spans with as many users as a call may have stay: there is nothing to
// gain from them that would be worth the time. The others, of which a good cover has few, are improved in windows of
// spans with similar roles, several windows at once.
func improve(m Matrix, lim pairs.Size, spans []span) []span {
	if len(spans) < 2 {
		return spans
	}
	total := 0
	for _, roles := range m.Roles {
		total += len(roles)
	}
	if total <= smallPairs && len(spans) <= windowSpans && len(m.Roles)*m.NumRoles <= windowCells {
		w := newWindow(m, nil, 0, spans)
		if len(spans) <= w.bound(lim) {
			return spans
		}
		budget := min(smallWork, smallWorkPerPairAndSpan*total*len(spans))
		results := make([][]span, 2)
		var wg sync.WaitGroup
		wg.Go(func() { results[0] = w.improve(lim, 0, budget) })
		wg.Go(func() {
			start := *w
			if found := w.setCover(lim, 1, budget/setCoverShare); found != nil && len(found) <= len(w.spans) {
				start.spans = found
			}
			results[1] = start.improve(lim, 1, budget-budget/setCoverShare)
		})
		wg.Wait()
		return slices.MinFunc(results, func(a, b []span) int { return cmp.Compare(len(a), len(b)) })
	}

	var kept, loose []span
	for _, s := range spans {
		if len(s.Users) == lim.Users {
			kept = append(kept, s)
		} else {
			loose = append(loose, s)
		}
	}
	slices.SortStableFunc(loose, func(a, b span) int { return slices.Compare(a.Roles, b.Roles) })
	var groups [][]span
	for len(loose) > 0 {
		n, users, roles := 0, 0, 0
		for n < len(loose) && n < windowSpans {
			users += len(loose[n].Users)
			roles += len(loose[n].Roles)
			if n > 0 && users*min(roles, m.NumRoles) > windowCells {
				break
			}
			n++
		}
		groups = append(groups, loose[:n:n])
		loose = loose[n:]
	}
	duty := newDuties(m, kept, groups)
	budget := min(windowWork, largeWorkPerPair*total/max(1, len(groups)))
	results := make([][]span, len(groups))
	var wg sync.WaitGroup
	turns := make(chan struct{}, windowsAtOnce)
	for i, group := range groups {
		wg.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			results[i] = newWindow(m, duty, int32(i), group).improve(lim, uint64(i), budget)
		})
	}
	wg.Wait()
	return append(kept, slices.Concat(results...)...)
}

// duties says which group of spans has to cover each pair, because several may cover it now: none (-1) where a kept
// span does, else the first.
type duties struct {
	first []int // where the pairs of a user begin in group
	group []int32
}

func newDuties(m Matrix, kept []span, groups [][]span) *duties {
	d := &duties{first: make([]int, len(m.Roles))}
	total := 0
	for u, roles := range m.Roles {
		d.first[u] = total
		total += len(roles)
	}
	d.group = make([]int32, total)
	for i := len(groups) - 1; i >= 0; i-- {
		d.assign(m, groups[i], int32(i))
	}
	d.assign(m, kept, -1)
	return d
}

// assign makes the group responsible for all that its spans cover; their roles ascend.
func (d *duties) assign(m Matrix, spans []span, group int32) {
	for _, s := range spans {
		for _, u := range s.Users {
			i := 0
			for _, r := range s.Roles {
				for m.Roles[u][i] != r {
					i++
				}
				d.group[d.first[u]+i] = group
			}
		}
	}
}

// window is the part of a matrix that some spans cover, with positions of its own.
type window struct {
	users []pairs.User   // by own position, the position in the matrix
	roles []pairs.Role   // likewise
	have  [][]pairs.Role // by user, own positions of roles that may be called
	need  [][]pairs.Role // by user, own positions of roles that the spans have to cover
	spans []span         // with own positions
}

// newWindow takes a group of spans out of the matrix. They need to cover what duty says; all of it if duty is nil.
func newWindow(m Matrix, duty *duties, group int32, spans []span) *window {
	w := &window{}
	for _, s := range spans {
		w.users = append(w.users, s.Users...)
		w.roles = append(w.roles, s.Roles...)
	}
	slices.Sort(w.users)
	w.users = slices.Compact(w.users)
	slices.Sort(w.roles)
	w.roles = slices.Compact(w.roles)
	ownUser := make(map[pairs.User]pairs.User, len(w.users))
	for i, u := range w.users {
		ownUser[u] = pairs.User(i)
	}
	ownRole := make(map[pairs.Role]pairs.Role, len(w.roles))
	for i, r := range w.roles {
		ownRole[r] = pairs.Role(i)
	}
	for _, s := range spans {
		t := span{Users: make([]pairs.User, len(s.Users)), Roles: make([]pairs.Role, len(s.Roles))}
		for i, r := range s.Roles {
			t.Roles[i] = ownRole[r]
		}
		for i, u := range s.Users {
			t.Users[i] = ownUser[u]
		}
		w.spans = append(w.spans, t)
	}
	w.have = make([][]pairs.Role, len(w.users))
	w.need = make([][]pairs.Role, len(w.users))
	for i, u := range w.users {
		for k, r := range m.Roles[u] {
			own, ok := ownRole[r]
			if !ok {
				continue
			}
			w.have[i] = append(w.have[i], own)
			if duty == nil || duty.group[duty.first[u]+k] == group {
				w.need[i] = append(w.need[i], own)
			}
		}
	}
	return w
}

// improve gives the best spans that a search finds, with positions in the matrix.
func (w *window) improve(lim pairs.Size, seed uint64, budget int) []span {
	s := newSearch(lim, w.have, w.need, len(w.roles), w.spans, seed)
	s.run(budget)
	for _, sp := range s.best {
		for i, r := range sp.Roles {
			sp.Roles[i] = w.roles[r]
		}
		for i, u := range sp.Users {
			sp.Users[i] = w.users[u]
		}
	}
	return s.best
}
