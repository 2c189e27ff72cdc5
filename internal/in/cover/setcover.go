package cover

import (
	"math/bits"
	"math/rand/v2"
	"slices"

	"github.com/unrole/unrole/internal/base/pairs"
)

const (
	// maxColumns and maxColumnWords bound the calls that setCover chooses among, and their memory.
	maxColumns, maxColumnWords = 4000, 2 << 20
	// setCoverShare is the part of a search's work that goes to setCover.
	setCoverShare = 3
)

// column is a call that setCover may choose: the pairs it covers as a set of their numbers.
type column struct {
	span
	cells []uint64
	since int // the step in which it was chosen or given up last
}

// setCover chooses among calls that cannot be widened: a role set that is the intersection of users' role sets, with
// every user who has it (those who have it beyond what a call may take form further calls). Where nearly everybody has
// nearly every role, good covers overlap so much that they are found only this way.
//
// The search knows uncovered pairs by weight, which grows for as long as a pair stays uncovered: it gives up a call
// of little weight, covers what is missing by the weightiest call, and so goes round until nothing is missing; then it
// tries with one call less. nil means that the calls are too many to choose among, or found no cover.
func (w *window) setCover(lim pairs.Size, seed uint64, budget int) []span {
	columns, total := w.columns(lim)
	if columns == nil {
		return nil
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	missing := make([]uint64, ceilDiv(len(w.have)*len(w.roles), 64))
	depth := make([]int32, len(missing)*64)
	weight := make([]int, len(missing)*64)
	for u, roles := range w.have {
		for _, r := range roles {
			n := w.size().Number(pairs.User(u), r)
			set(missing, int32(n))
			weight[n] = 1
		}
	}
	left, work, step := total, 0, 0
	var chosen []*column
	choose := func(c *column) {
		for _, p := range members[int32](nil, c.cells) {
			if depth[p]++; depth[p] == 1 {
				unset(missing, p)
				left--
			}
		}
		c.since = step
		chosen = append(chosen, c)
		work += 2 * c.Size().Pairs()
	}
	// giveUp drops the chosen call that is missed least; the longest chosen among equals.
	giveUp := func(newest int) {
		at, least := -1, 0
		for i, c := range chosen {
			if c.since >= newest {
				continue
			}
			loss := 0
			for j, x := range c.cells {
				for ; x != 0; x &= x - 1 {
					if p := j*64 + bits.TrailingZeros64(x); depth[p] == 1 {
						loss += weight[p]
					}
				}
			}
			work += len(c.cells) + c.Size().Pairs()
			if at < 0 || loss < least || loss == least && c.since < chosen[at].since {
				at, least = i, loss
			}
		}
		if at < 0 {
			return
		}
		c := chosen[at]
		for _, p := range members[int32](nil, c.cells) {
			if depth[p]--; depth[p] == 0 {
				set(missing, p)
				left++
			}
		}
		c.since = step
		chosen = slices.Delete(chosen, at, at+1)
	}
	// add chooses the weightiest call for one of the missing pairs; the longest unchosen among equals.
	add := func() {
		k := rng.IntN(left)
		row := members[int32](nil, missing)[k]
		var best *column
		most := -1
		for _, c := range columns {
			if !has(c.cells, row) || c.since == step && step > 0 {
				continue
			}
			gain := 0
			for j, x := range c.cells {
				for x &= missing[j]; x != 0; x &= x - 1 {
					gain += weight[j*64+bits.TrailingZeros64(x)]
				}
			}
			work += len(c.cells)
			if gain > most || gain == most && c.since < best.since {
				best, most = c, gain
			}
		}
		work += len(columns) + len(missing)
		if best != nil {
			choose(best)
		}
	}

	var found []span
	for work < budget {
		step++
		if left > 0 && found == nil {
			add()
			continue
		}
		if left == 0 {
			found = found[:0]
			for _, c := range chosen {
				found = append(found, c.span)
			}
			if len(found) < 2 {
				break
			}
			giveUp(step + 1)
			continue
		}
		giveUp(step)
		add()
		for _, p := range members[int32](nil, missing) {
			weight[p]++
		}
	}
	return found
}

// columns lists the calls that setCover chooses among, and how many pairs there are to cover.
func (w *window) columns(lim pairs.Size) ([]*column, int) {
	words := ceilDiv(len(w.roles), 64)
	size := ceilDiv(len(w.have)*len(w.roles), 64)
	most := min(maxColumns, maxColumnWords/max(1, size))
	users := make([][]uint64, len(w.have))
	total := 0
	for u, roles := range w.have {
		users[u] = make([]uint64, words)
		for _, r := range roles {
			set(users[u], r)
		}
		total += len(roles)
	}
	// Every intersection of users' role sets is found by intersecting each new role set with all those found before.
	var sets [][]uint64
	seen := map[string]bool{}
	add := func(x []uint64) {
		var key []byte
		for _, r := range members[pairs.Role](nil, x) {
			key = append(key, byte(r), byte(r>>8), byte(r>>16))
		}
		if len(key) > 0 && !seen[string(key)] {
			seen[string(key)] = true
			sets = append(sets, slices.Clone(x))
		}
	}
	x := make([]uint64, words)
	for u, roles := range users {
		if u > 0 && slices.ContainsFunc(sets, func(y []uint64) bool { return slices.Equal(y, roles) }) {
			continue
		}
		for _, y := range sets[:len(sets):len(sets)] {
			for i := range x {
				x[i] = y[i] & roles[i]
			}
			add(x)
			if len(sets) > most {
				return nil, 0
			}
		}
		add(roles)
	}
	var columns []*column
	for _, roles := range sets {
		list := members[pairs.Role](nil, roles)
		if len(list) > lim.Roles {
			list = list[:lim.Roles]
		}
		var holders []pairs.User
		for u, all := range users {
			fits := true
			for i, y := range roles {
				fits = fits && y&^all[i] == 0
			}
			if fits {
				holders = append(holders, pairs.User(u))
			}
		}
		for chunk := range slices.Chunk(holders, lim.Users) {
			c := &column{span: span{Users: chunk, Roles: list}, cells: make([]uint64, size)}
			for u, r := range c.All() {
				set(c.cells, int32(w.size().Number(u, r)))
			}
			columns = append(columns, c)
		}
		if len(columns) > most {
			return nil, 0
		}
	}
	return columns, total
}

func (w *window) size() pairs.Size { return pairs.Size{Users: len(w.users), Roles: len(w.roles)} }
