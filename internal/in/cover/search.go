package cover

import (
	"math/bits"
	"slices"

	"github.com/unrole/unrole/internal/base/pairs"
)

// tighten takes users and roles out of boxes where other boxes cover all their pairs, and drops empty boxes.
func (s *search) tighten() {
	order := s.rng.Perm(len(s.boxes))
	rolesFirst := s.rng.IntN(2) == 0
	dead := false
	for _, i := range order {
		if rolesFirst {
			s.tightenRoles(i)
			s.tightenUsers(i)
		} else {
			s.tightenUsers(i)
			s.tightenRoles(i)
		}
		dead = dead || len(s.boxes[i].users) == 0 || len(s.boxes[i].roles) == 0
	}
	if dead {
		for i := len(s.boxes) - 1; i >= 0; i-- {
			if b := s.boxes[i]; len(b.users) == 0 || len(b.roles) == 0 {
				s.lift(i)
			}
		}
	}
}

func (s *search) tightenUsers(i int) {
	b := s.boxes[i]
	dropped := false
	for j := len(b.users) - 1; j >= 0; j-- {
		if s.idleUser(b, b.users[j]) {
			if !dropped {
				b, dropped = s.edit(i), true
			}
			s.dropUser(b, j)
		}
	}
	s.work += 2 * len(b.users)
	if dropped {
		s.meet(b)
		s.work += len(b.users)
	}
}

func (s *search) tightenRoles(i int) {
	b := s.boxes[i]
	for j := len(b.roles) - 1; j >= 0; j-- {
		if s.idleRole(b, b.roles[j]) {
			b = s.edit(i)
			s.dropRole(b, j)
		}
	}
	s.work += 2 * len(b.roles)
}

// serve gives open users to boxes that can take them.
func (s *search) serve() {
	s.rng.Shuffle(len(s.open), func(i, j int) { s.open[i], s.open[j] = s.open[j], s.open[i] })
	left := s.open[:0]
	for _, u := range s.open {
		miss := s.of(s.miss, u)
		for !empty(miss) && s.serveOne(u, miss) {
		}
		if !empty(miss) {
			left = append(left, u)
		}
	}
	s.open = left
}

func (s *search) serveOne(u pairs.User, miss []uint64) bool {
	have := s.of(s.have, u)
	fullness := s.lim.Users + 1
	best, bestScore := -1, 0
	start := 0
	if len(s.boxes) > 0 {
		start = s.rng.IntN(len(s.boxes))
	}
	for k := range s.boxes {
		i := start + k
		if i >= len(s.boxes) {
			i -= len(s.boxes)
		}
		b := s.boxes[i]
		gain, now, foreign := 0, 0, uint64(0)
		for w, x := range miss {
			gain += bits.OnesCount64(x & b.common[w])
			now += bits.OnesCount64(x & b.set[w])
			foreign |= b.set[w] &^ have[w]
		}
		if gain == 0 || foreign != 0 {
			continue
		}
		gain = min(gain, now+s.lim.Roles-len(b.roles))
		// Between equals the fullest box, so that others run empty; a new role last, since it narrows who fits.
		score := 4 * gain * fullness
		if gain > now {
			score -= fullness
		}
		score += len(b.users)
		if score <= bestScore || gain == 0 {
			continue
		}
		if len(b.users) >= s.lim.Users && (now > 0 || !slices.Contains(b.users, u)) {
			continue
		}
		best, bestScore = i, score
	}
	s.work += len(s.boxes) * s.words
	if best < 0 {
		return false
	}
	b := s.edit(best)
	s.scratch = s.scratch[:0]
	for w, x := range miss {
		s.scratch = append(s.scratch, x&b.common[w])
	}
	if !slices.Contains(b.users, u) {
		s.addUser(b, u)
	}
	s.extend(b, s.scratch)
	return true
}

// build makes one new box for open users, of the role set that covers the most of what they miss among some drawn
// from what they miss.
func (s *search) build() {
	tries := s.draw()
	var best []uint64
	bestGain := -1
	for _, t := range tries {
		gain, users := 0, 0
		for _, u := range s.open {
			if n := s.gain(u, t); n > 0 && users < s.lim.Users {
				gain += n
				users++
			}
		}
		gain = gain*8 + s.rng.IntN(1+gain*2)
		if gain > bestGain {
			best, bestGain = t, gain
		}
	}
	s.work += len(tries) * len(s.open) * s.words

	roles := members[pairs.Role](nil, best)
	byGain := make([][]pairs.User, len(roles)+1)
	for _, u := range s.open {
		n := s.gain(u, best)
		byGain[n] = append(byGain[n], u)
	}
	var users []pairs.User
	for n := len(roles); n > 0 && len(users) < s.lim.Users; n-- {
		users = append(users, byGain[n][:min(len(byGain[n]), s.lim.Users-len(users))]...)
	}
	b := s.newBox(span{Users: users, Roles: roles})
	s.put(b)
	// What the users have in common besides costs nothing here and may make other boxes smaller.
	if s.rng.IntN(2) == 0 {
		s.extend(b, b.common)
	}
	s.open = slices.DeleteFunc(s.open, func(u pairs.User) bool { return empty(s.of(s.miss, u)) })
}

// draw gives role sets for a new box, none empty or larger than a call: what some open users miss, what two of them
// miss in common, and single roles.
func (s *search) draw() [][]uint64 {
	const samples = 8
	var sets, drawn [][]uint64
	add := func(x []uint64) {
		if !empty(x) && count(x) <= s.lim.Roles && !slices.ContainsFunc(sets, func(y []uint64) bool { return slices.Equal(x, y) }) {
			sets = append(sets, slices.Clone(x))
		}
	}
	x := make([]uint64, s.words)
	for range min(samples, len(s.open)) {
		a := s.of(s.miss, s.open[s.rng.IntN(len(s.open))])
		add(a)
		for _, b := range drawn {
			for w := range x {
				x[w] = a[w] & b[w]
			}
			add(x)
		}
		drawn = append(drawn, a)
		roles := members[pairs.Role](nil, a)
		clear(x)
		set(x, roles[s.rng.IntN(len(roles))])
		add(x)
		if len(roles) > s.lim.Roles {
			clear(x)
			for _, r := range roles[:s.lim.Roles] {
				set(x, r)
			}
			add(x)
		}
	}
	return sets
}

// gain is how many pairs a call with the roles would cover for the user that no box covers; 0 if it may not.
func (s *search) gain(u pairs.User, roles []uint64) int {
	have, miss := s.of(s.have, u), s.of(s.miss, u)
	n := 0
	for w, x := range roles {
		if x&^have[w] != 0 {
			return 0
		}
		n += bits.OnesCount64(x & miss[w])
	}
	return n
}

// mostLifted is how many boxes a step takes away at most.
const mostLifted = 6

// step is one attempt. It reports whether boxes were saved.
func (s *search) step() bool {
	before := len(s.boxes)
	s.journal = s.journal[:0]
	s.open = s.open[:0]
	k := min(1+s.rng.IntN(mostLifted), before)
	first := s.boxes[s.rng.IntN(before)]
	// Boxes that share a role are the ones that can take over from each other.
	near := make([]int, 0, before)
	for i, b := range s.boxes {
		if b == first || s.rng.IntN(8) == 0 {
			continue
		}
		for w, x := range b.set {
			if x&first.set[w] != 0 || x&first.common[w] != 0 {
				near = append(near, i)
				break
			}
		}
	}
	s.rng.Shuffle(len(near), func(i, j int) { near[i], near[j] = near[j], near[i] })
	near = near[:min(len(near), k-1)]
	slices.Sort(near)
	for i := len(near) - 1; i >= 0; i-- {
		s.lift(near[i])
	}
	s.lift(slices.Index(s.boxes, first))
	removed := before - len(s.boxes)
	switch s.rng.IntN(3) {
	case 0:
		s.serve()
	case 1: // one box first: another shape than what the spare room suggests
		s.build()
		removed--
		s.serve()
	case 2:
		for ; removed > 1 && len(s.open) > 0; removed-- {
			s.build()
		}
		s.serve()
	}
	for ; removed > 0 && len(s.open) > 0; removed-- {
		s.build()
		s.serve()
	}
	if len(s.open) > 0 {
		s.undo()
		return false
	}
	s.tighten()
	s.journal = s.journal[:0]
	return len(s.boxes) < before
}

func (s *search) keep() {
	s.best = s.best[:0]
	for _, b := range s.boxes {
		s.best = append(s.best, span{Users: slices.Clone(b.users), Roles: slices.Clone(b.roles)})
	}
}

// run works until the budget is spent.
func (s *search) run(budget int) {
	for s.work < budget && len(s.boxes) > 1 {
		s.work += 20
		if s.step() {
			s.keep()
		}
	}
}
