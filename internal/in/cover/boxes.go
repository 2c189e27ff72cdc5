package cover

import (
	"math/rand/v2"
	"slices"

	"github.com/unrole/unrole/internal/base/pairs"
)

// search improves a cover by ruin and rebuild: take a few boxes away, serve their users from the spare room of the
// others, put what is left into at most as many new boxes, and keep the result unless it is worse. Boxes that end up
// covering nothing alone disappear; that is how the number shrinks. Positions of users and roles are its own.
type search struct {
	lim   pairs.Size
	roles int
	words int      // per set of roles
	have  []uint64 // by user, a set: roles that may be called
	miss  []uint64 // by user, a set: roles that no box covers yet
	depth []uint16 // by user and role: how many boxes cover the pair, one more where it need not be covered
	boxes []*box

	rng     *rand.Rand
	work    int
	open    []pairs.User // users that miss something
	journal []change
	scratch []uint64
	best    []span
}

// box is one call of a cover under improvement.
type box struct {
	set    []uint64 // roles
	common []uint64 // roles that all users may be called with
	users  []pairs.User
	roles  []pairs.Role
}

// change is what undoes one step: the box as it was (nil: it was not there), and as it is (nil: it is gone).
type change struct{ was, is *box }

func newSearch(lim pairs.Size, have, need [][]pairs.Role, roles int, spans []span, seed uint64) *search {
	s := &search{lim: lim, roles: roles, words: ceilDiv(roles, 64), rng: rand.New(rand.NewPCG(seed, 0))}
	s.have = make([]uint64, len(have)*s.words)
	s.miss = make([]uint64, len(have)*s.words)
	s.depth = make([]uint16, len(have)*roles)
	s.scratch = make([]uint64, s.words)
	for i := range s.depth {
		s.depth[i] = 1
	}
	for u := range have {
		for _, r := range have[u] {
			set(s.of(s.have, pairs.User(u)), r)
		}
		for _, r := range need[u] {
			set(s.of(s.miss, pairs.User(u)), r)
			s.depth[u*roles+int(r)] = 0
		}
	}
	for _, sp := range spans {
		s.put(s.newBox(sp))
	}
	s.open = s.open[:0]
	s.tighten()
	s.journal = s.journal[:0]
	s.keep()
	return s
}

func (s *search) of(sets []uint64, u pairs.User) []uint64 {
	return sets[int(u)*s.words : (int(u)+1)*s.words]
}

func (s *search) newBox(sp span) *box {
	b := &box{set: make([]uint64, s.words), common: make([]uint64, s.words), users: slices.Clone(sp.Users), roles: slices.Clone(sp.Roles)}
	for _, r := range sp.Roles {
		set(b.set, r)
	}
	s.meet(b)
	return b
}

// meet works out what the users of b have in common.
func (s *search) meet(b *box) {
	for w := range b.common {
		b.common[w] = ^uint64(0)
	}
	for _, u := range b.users {
		for w, x := range s.of(s.have, u) {
			b.common[w] &= x
		}
	}
}

func (b *box) clone() *box {
	return &box{slices.Clone(b.set), slices.Clone(b.common), slices.Clone(b.users), slices.Clone(b.roles)}
}

func (s *search) cover(u pairs.User, roles []pairs.Role) {
	depth := s.depth[int(u)*s.roles:]
	miss := s.of(s.miss, u)
	for _, r := range roles {
		if depth[r]++; depth[r] == 1 {
			unset(miss, r)
		}
	}
}

func (s *search) uncover(u pairs.User, roles []pairs.Role) {
	depth := s.depth[int(u)*s.roles:]
	miss := s.of(s.miss, u)
	was := empty(miss)
	for _, r := range roles {
		if depth[r]--; depth[r] == 0 {
			set(miss, r)
		}
	}
	if was && !empty(miss) {
		s.open = append(s.open, u)
	}
}

func (s *search) put(b *box) {
	s.boxes = append(s.boxes, b)
	s.journal = append(s.journal, change{nil, b})
	for _, u := range b.users {
		s.cover(u, b.roles)
	}
	s.work += len(b.users) * len(b.roles)
}

func (s *search) lift(i int) {
	b := s.boxes[i]
	last := len(s.boxes) - 1
	s.boxes[i] = s.boxes[last]
	s.boxes = s.boxes[:last]
	s.journal = append(s.journal, change{b, nil})
	for _, u := range b.users {
		s.uncover(u, b.roles)
	}
	s.work += len(b.users) * len(b.roles)
}

// edit gives box i for changing, noted in the journal.
func (s *search) edit(i int) *box {
	b := s.boxes[i]
	for _, c := range s.journal {
		if c.is == b {
			return b
		}
	}
	c := b.clone()
	s.boxes[i] = c
	s.journal = append(s.journal, change{b, c})
	return c
}

// undo goes back to the state before the journal.
func (s *search) undo() {
	gone := map[*box]bool{}
	for _, c := range s.journal {
		if c.is != nil {
			gone[c.is] = true
		}
	}
	back := s.boxes[:0:0]
	for _, b := range s.boxes {
		if gone[b] {
			for _, u := range b.users {
				s.uncover(u, b.roles)
			}
			s.work += len(b.users) * len(b.roles)
		} else {
			back = append(back, b)
		}
	}
	for _, c := range s.journal {
		if c.was != nil && !gone[c.was] {
			back = append(back, c.was)
			for _, u := range c.was.users {
				s.cover(u, c.was.roles)
			}
		}
	}
	s.boxes = back
	s.open = s.open[:0]
	s.journal = s.journal[:0]
}

// addUser and the others below change a box that edit gave.
func (s *search) addUser(b *box, u pairs.User) {
	b.users = append(b.users, u)
	for w, x := range s.of(s.have, u) {
		b.common[w] &= x
	}
	s.cover(u, b.roles)
}

func (s *search) addRole(b *box, r pairs.Role) {
	b.roles = append(b.roles, r)
	set(b.set, r)
	one := [1]pairs.Role{r}
	for _, u := range b.users {
		s.cover(u, one[:])
	}
	s.work += len(b.users)
}

// extend adds roles of the set to b, as many as a call may have.
func (s *search) extend(b *box, roles []uint64) {
	for _, r := range members[pairs.Role](nil, roles) {
		if len(b.roles) == s.lim.Roles {
			return
		}
		if !has(b.set, r) {
			s.addRole(b, r)
		}
	}
}

func (s *search) dropUser(b *box, i int) {
	s.uncover(b.users[i], b.roles)
	b.users = slices.Delete(b.users, i, i+1)
}

func (s *search) dropRole(b *box, i int) {
	r := b.roles[i]
	one := [1]pairs.Role{r}
	for _, u := range b.users {
		s.uncover(u, one[:])
	}
	unset(b.set, r)
	b.roles = slices.Delete(b.roles, i, i+1)
}

// idleUser tells whether other boxes cover all that b covers for the user.
func (s *search) idleUser(b *box, u pairs.User) bool {
	depth := s.depth[int(u)*s.roles:]
	for _, r := range b.roles {
		if depth[r] < 2 {
			return false
		}
	}
	return true
}

func (s *search) idleRole(b *box, r pairs.Role) bool {
	for _, u := range b.users {
		if s.depth[int(u)*s.roles+int(r)] < 2 {
			return false
		}
	}
	return true
}
