// Package pairs has sets of pairs: which of the users × roles of a part are open, which are asked for by a call, and the
// rectangles that they make.
//
// Users and roles are positions in the lists of the part.
package pairs

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// Rectangle is every one of some users with every one of some roles.
type Rectangle struct{ Users, Roles []int }

// Whole is the rectangle of the first users and roles: all there are in lists of that length.
func Whole(users, roles int) Rectangle {
	return Rectangle{Users: upTo(users), Roles: upTo(roles)}
}

func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// Set is a set of pairs of users 0…users-1 and roles 0…roles-1. Sets that meet each other have the same bounds. The
// zero value is the empty set of no users and no roles.
type Set struct {
	users, roles int
	// One bit per role, user by user; each user begins with a word of their own.
	bits []uint64
	per  int // words per user
}

// None returns an empty set.
func None(users, roles int) Set {
	per := (roles + 63) / 64
	return Set{users: users, roles: roles, bits: make([]uint64, users*per), per: per}
}

// All returns the set of all pairs.
func All(users, roles int) Set {
	s := None(users, roles)
	for i := range s.bits {
		s.bits[i] = ^uint64(0)
		if left := roles - i%s.per*64; left < 64 {
			s.bits[i] = 1<<left - 1
		}
	}
	return s
}

// Add puts a pair into the set.
func (s Set) Add(u, r int) { s.bits[u*s.per+r/64] |= 1 << (r % 64) }

// Has reports whether the set has a pair.
func (s Set) Has(u, r int) bool { return s.bits[u*s.per+r/64]>>(r%64)&1 == 1 }

// Any reports whether the set has a pair at all.
func (s Set) Any() bool {
	return slices.ContainsFunc(s.bits, func(w uint64) bool { return w != 0 })
}

// Len is the number of pairs in the set.
func (s Set) Len() int {
	n := 0
	for _, w := range s.bits {
		n += bits.OnesCount64(w)
	}
	return n
}

// Contains reports whether every pair of t is in s.
func (s Set) Contains(t Set) bool {
	for i, w := range t.bits {
		if w&^s.bits[i] != 0 {
			return false
		}
	}
	return true
}

// Within returns the pairs of s that lie in the rectangle.
func (s Set) Within(r Rectangle) Set {
	in := None(s.users, s.roles)
	mask := make([]uint64, s.per)
	for _, role := range r.Roles {
		mask[role/64] |= 1 << (role % 64)
	}
	for _, u := range r.Users {
		for i, w := range s.row(u) {
			in.bits[u*s.per+i] = w & mask[i]
		}
	}
	return in
}

func (s Set) row(u int) []uint64 { return s.bits[u*s.per : (u+1)*s.per] }

// Hull is the smallest rectangle around the set.
func (s Set) Hull() Rectangle {
	h := Rectangle{Users: make([]int, 0, s.users), Roles: make([]int, 0, s.roles)}
	roles := make([]uint64, s.per)
	for u := range s.users {
		var inRow uint64
		for i, w := range s.row(u) {
			roles[i] |= w
			inRow |= w
		}
		if inRow != 0 {
			h.Users = append(h.Users, u)
		}
	}
	h.Roles = appendOnes(h.Roles, roles)
	return h
}

// Rectangles covers the set with rectangles that share no pair and have no other: users with the same roles together.
func (s Set) Rectangles() []Rectangle {
	var out []Rectangle
	at := map[string]int{} // the rectangle of a row
	key := make([]byte, 0, 8*s.per)
	i := 0
	for u := range s.users {
		row := s.row(u)
		if len(out) == 0 || !slices.Equal(row, s.row(out[i].Users[0])) {
			if !slices.ContainsFunc(row, func(w uint64) bool { return w != 0 }) {
				continue
			}
			key = key[:0]
			for _, w := range row {
				key = binary.LittleEndian.AppendUint64(key, w)
			}
			var known bool
			if i, known = at[string(key)]; !known {
				i = len(out)
				at[string(key)] = i
				out = append(out, Rectangle{Roles: appendOnes(nil, row)})
			}
		}
		out[i].Users = append(out[i].Users, u)
	}
	return out
}

// Owned is the set in the layout of tasks.Part.Own for the part that is cut out along the rectangle: nil where that
// part owns all of its pairs.
func (s Set) Owned(r Rectangle) []byte {
	own := make([]byte, (len(r.Users)*len(r.Roles)+7)/8)
	bit, all := 0, true
	for _, u := range r.Users {
		for _, role := range r.Roles {
			if s.Has(u, role) {
				own[bit/8] |= 1 << (bit % 8)
			} else {
				all = false
			}
			bit++
		}
	}
	if all {
		return nil
	}
	return own
}

// appendOnes lists the bits of a row.
func appendOnes(list []int, row []uint64) []int {
	for i, w := range row {
		for ; w != 0; w &= w - 1 {
			list = append(list, 64*i+bits.TrailingZeros64(w))
		}
	}
	return list
}
