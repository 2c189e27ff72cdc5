package cover

import (
	"cmp"
	"container/heap"
	"slices"

	"github.com/unrole/unrole/internal/base/pairs"
)

const (
	// templateClasses is how many of the largest classes are intersected with each other in the search for role sets
	// that several groups share.
	templateClasses = 500
	// maxCandidates bounds the role sets that greedy weighs against each other; single roles come on top.
	maxCandidates = 3000
	// maxSets bounds the role sets that candidates are taken from.
	maxSets = 30_000
	// candidateWork and greedyWork bound the steps for each pair of the matrix, so that time grows with its size and
	// no faster.
	candidateWork, greedyWork = 150, 400
)

// construct makes a first plan: greedy, or the best of the three simple ways should that be better.
func construct(m Matrix, lim pairs.Size) []span {
	classes := group(m)
	best := greedy(m, lim, classes)
	if OnePerRole(m, lim) < len(best) {
		best = perRole(m, lim)
	}
	if n := OnePerRoleSet(m, lim); n < len(best) {
		best = perRoleSet(classes, lim)
	}
	if n := OnePerUser(m, lim); n < len(best) {
		best = perUser(m, lim)
	}
	return best
}

func perUser(m Matrix, lim pairs.Size) []span {
	var spans []span
	for u, roles := range m.Roles {
		for chunk := range slices.Chunk(roles, lim.Roles) {
			spans = append(spans, span{Users: []pairs.User{pairs.User(u)}, Roles: chunk})
		}
	}
	return spans
}

func perRole(m Matrix, lim pairs.Size) []span {
	var spans []span
	for r, users := range m.byRole() {
		for chunk := range slices.Chunk(users, lim.Users) {
			spans = append(spans, span{Users: chunk, Roles: []pairs.Role{pairs.Role(r)}})
		}
	}
	return spans
}

func perRoleSet(classes []class, lim pairs.Size) []span {
	var spans []span
	for _, c := range classes {
		for roles := range slices.Chunk(c.Roles, lim.Roles) {
			for users := range slices.Chunk(c.Users, lim.Users) {
				spans = append(spans, span{Users: users, Roles: roles})
			}
		}
	}
	return spans
}

// block is some users of one class who still need the same roles.
type block struct {
	class int32
	users []pairs.User
	need  []pairs.Role
}

// candidate is a role set that calls may be made of.
type candidate struct {
	roles   []pairs.Role
	support []int32 // the classes that have all of roles, by position
	users   int     // in those classes
	gain    int     // pairs that the best call would cover; an upper bound, since gains only shrink
	rank    int     // breaks ties
}

// greedy repeatedly makes the call that covers the most pairs not covered yet, over role sets that many users share.
// Gains only shrink while calls are made, hence an old gain is an upper bound and only the top of the queue is
// evaluated again.
func greedy(m Matrix, lim pairs.Size, classes []class) []span {
	g := &filler{lim: lim, blocks: make([][]*block, len(classes)), byGain: make([][]*block, lim.Roles+1)}
	total := 0
	for i, c := range classes {
		g.blocks[i] = []*block{{class: int32(i), users: c.Users, need: c.Roles}}
		total += c.Size().Pairs()
	}
	queue := candidates(m, lim, classes, total)
	heap.Init(&queue)
	var spans []span
	for budget := greedyWork * total; len(queue) > 0 && g.work < budget; {
		c := queue[0]
		g.rate(c)
		second := 1
		for i := 1; i < min(3, len(queue)); i++ {
			second = max(second, queue[i].gain)
		}
		for c.gain = g.gain(); c.gain >= second; c.gain = g.gain() {
			spans = append(spans, span{Users: g.take(c.roles), Roles: c.roles})
		}
		if c.gain == 0 {
			heap.Pop(&queue)
		} else {
			heap.Fix(&queue, 0)
		}
	}
	return append(spans, g.rest(m.NumRoles)...)
}

// filler knows what greedy has yet to cover.
type filler struct {
	lim    pairs.Size
	blocks [][]*block // by class
	byGain [][]*block // of the candidate rated last: the blocks by how many pairs each of their users would gain
	work   int
}

// rate sorts the blocks that candidate c could serve by their gain.
func (g *filler) rate(c *candidate) {
	for i := range g.byGain {
		g.byGain[i] = g.byGain[i][:0]
	}
	for _, k := range c.support {
		for _, b := range g.blocks[k] {
			if n := overlap(b.need, c.roles); n > 0 {
				g.byGain[n] = append(g.byGain[n], b)
			}
			g.work += len(b.need)
		}
	}
	g.work += len(c.support)
}

// gain is how many pairs the best call of the rated candidate covers.
func (g *filler) gain() int {
	room, gain := g.lim.Users, 0
	for n := len(g.byGain) - 1; n > 0; n-- {
		for _, b := range g.byGain[n] {
			k := min(room, len(b.users))
			gain += k * n
			if room -= k; room == 0 {
				return gain
			}
		}
	}
	return gain
}

// take makes the best call of the rated candidate, whose roles are given, and returns its users.
func (g *filler) take(roles []pairs.Role) []pairs.User {
	users := make([]pairs.User, 0, g.lim.Users)
	for n := len(g.byGain) - 1; n > 0; n-- {
		for len(g.byGain[n]) > 0 {
			b := g.byGain[n][0]
			k := min(g.lim.Users-len(users), len(b.users))
			users = append(users, b.users[:k]...)
			g.settle(b, k, roles)
			if len(b.users) == 0 {
				g.byGain[n] = g.byGain[n][1:]
			}
			if len(users) == g.lim.Users {
				return users
			}
		}
	}
	return users
}

// settle notes that the first k users of the block have been served with the roles.
func (g *filler) settle(b *block, k int, roles []pairs.Role) {
	served := b.users[:k:k]
	b.users = b.users[k:]
	class := &g.blocks[b.class]
	g.work += len(*class)
	if len(b.users) == 0 {
		*class = slices.DeleteFunc(*class, func(x *block) bool { return x == b })
	}
	need := without(b.need, roles)
	if len(need) == 0 {
		return
	}
	for _, x := range *class {
		if slices.Equal(x.need, need) {
			x.users = append(x.users, served...)
			return
		}
	}
	*class = append(*class, &block{class: b.class, need: need, users: served})
}

// rest covers whatever is still needed, role by role.
func (g *filler) rest(numRoles int) []span {
	users := make([][]pairs.User, numRoles)
	for _, class := range g.blocks {
		for _, b := range class {
			for _, r := range b.need {
				users[r] = append(users[r], b.users...)
			}
		}
	}
	var spans []span
	for r, list := range users {
		for chunk := range slices.Chunk(list, g.lim.Users) {
			spans = append(spans, span{Users: chunk, Roles: []pairs.Role{pairs.Role(r)}})
		}
	}
	return spans
}

// candidates gives the role sets worth considering: each role, the roles of the largest classes, and what any two of
// those have in common.
func candidates(m Matrix, lim pairs.Size, classes []class, total int) queue {
	holders := make([][]int32, m.NumRoles) // the classes of each role
	for k, c := range classes {
		for _, r := range c.Roles {
			holders[r] = append(holders[r], int32(k))
		}
	}
	var sets [][]pairs.Role
	seen := map[string]bool{}
	var key []byte
	add := func(roles []pairs.Role) {
		for chunk := range slices.Chunk(roles, lim.Roles) {
			if len(chunk) < 2 {
				continue
			}
			key = key[:0]
			for _, r := range chunk {
				key = append(key, byte(r), byte(r>>8), byte(r>>16), byte(r>>24))
			}
			if !seen[string(key)] {
				seen[string(key)] = true
				sets = append(sets, slices.Clone(chunk))
			}
		}
	}
	large := make([]int, len(classes))
	for k := range large {
		large[k] = k
	}
	work := 0
	slices.SortStableFunc(large, func(a, b int) int { return cmp.Compare(len(classes[b].Users), len(classes[a].Users)) })
	large = large[:min(len(large), templateClasses)]
	var shared []pairs.Role
	for i, a := range large {
		add(classes[a].Roles)
		for _, b := range large[:i] {
			if work > candidateWork*total || len(sets) > maxSets {
				break
			}
			work += len(classes[a].Roles) + len(classes[b].Roles)
			shared = appendShared(shared[:0], classes[a].Roles, classes[b].Roles)
			add(shared)
		}
	}

	cands := make(queue, 0, len(sets)+m.NumRoles)
	for _, roles := range sets {
		if work > 2*candidateWork*total {
			break
		}
		c := &candidate{roles: roles}
		scarce := slices.MinFunc(roles, func(a, b pairs.Role) int { return cmp.Compare(len(holders[a]), len(holders[b])) })
		for _, k := range holders[scarce] {
			work += len(classes[k].Roles)
			if overlap(roles, classes[k].Roles) == len(roles) {
				c.support = append(c.support, k)
				c.users += len(classes[k].Users)
			}
		}
		cands = append(cands, c)
	}
	slices.SortStableFunc(cands, func(a, b *candidate) int {
		return cmp.Compare((len(b.roles)-1)*b.users, (len(a.roles)-1)*a.users)
	})
	cands = slices.Clone(cands[:min(len(cands), maxCandidates)])
	for r, support := range holders {
		if len(support) > 0 {
			c := &candidate{roles: []pairs.Role{pairs.Role(r)}, support: support}
			for _, k := range support {
				c.users += len(classes[k].Users)
			}
			cands = append(cands, c)
		}
	}
	for i, c := range cands {
		c.rank = i
		c.gain = len(c.roles) * min(c.users, lim.Users)
	}
	return cands
}

// queue is a heap, the largest gain on top.
type queue []*candidate

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].gain > q[j].gain || q[i].gain == q[j].gain && q[i].rank < q[j].rank
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(*candidate)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// overlap counts what two ascending lists have in common.
func overlap(a, b []pairs.Role) int {
	n := 0
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] < b[0]:
			a = a[1:]
		case a[0] > b[0]:
			b = b[1:]
		default:
			n++
			a, b = a[1:], b[1:]
		}
	}
	return n
}

// appendShared appends what two ascending lists have in common.
func appendShared(to, a, b []pairs.Role) []pairs.Role {
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] < b[0]:
			a = a[1:]
		case a[0] > b[0]:
			b = b[1:]
		default:
			to = append(to, a[0])
			a, b = a[1:], b[1:]
		}
	}
	return to
}

// without is the ascending list a less what is in the ascending list b.
func without(a, b []pairs.Role) []pairs.Role {
	left := make([]pairs.Role, 0, len(a))
	for _, x := range a {
		for len(b) > 0 && b[0] < x {
			b = b[1:]
		}
		if len(b) == 0 || b[0] != x {
			left = append(left, x)
		}
	}
	return left
}
