package pairs

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/unrole/unrole/tasks"
)

// Set is a set of pairs of the first users and roles that Size says. Sets that meet each other have the same size. The
// zero value is the empty set of no users and no roles.
type Set struct {
	size Size
	// One bit per role, user by user; each user begins with a word of their own.
	bits []uint64
	per  int // words per user
}

// None returns an empty set.
func None(size Size) Set {
	per := (size.Roles + 63) / 64
	return Set{size: size, bits: make([]uint64, size.Users*per), per: per}
}

// All returns the set of all pairs.
func All(size Size) Set {
	s := None(size)
	for i := range s.bits {
		s.bits[i] = ^uint64(0)
		if left := size.Roles - i%s.per*64; left < 64 {
			s.bits[i] = 1<<left - 1
		}
	}
	return s
}

// Add puts a pair into the set.
func (s Set) Add(u User, r Role) { s.row(u)[r/64] |= 1 << (r % 64) }

// Has reports whether the set has a pair.
func (s Set) Has(u User, r Role) bool { return s.row(u)[r/64]>>(r%64)&1 == 1 }

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
	in := None(s.size)
	mask := make([]uint64, s.per)
	for _, role := range r.Roles {
		mask[role/64] |= 1 << (role % 64)
	}
	for _, u := range r.Users {
		row := in.row(u)
		for i, w := range s.row(u) {
			row[i] = w & mask[i]
		}
	}
	return in
}

func (s Set) row(u User) []uint64 { return s.bits[int(u)*s.per : (int(u)+1)*s.per] }

// Hull is the smallest rectangle around the set.
func (s Set) Hull() Rectangle {
	h := Rectangle{Users: make([]User, 0, s.size.Users), Roles: make([]Role, 0, s.size.Roles)}
	roles := make([]uint64, s.per)
	for u := range User(s.size.Users) {
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
	for u := range User(s.size.Users) {
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

// Owned is the set as tasks.Part.Own of a part that is cut out along the rectangle.
func (s Set) Owned(r Rectangle) tasks.Own { return r.Own(s.Has) }

// appendOnes lists the bits of a row.
func appendOnes(list []Role, row []uint64) []Role {
	for i, w := range row {
		for ; w != 0; w &= w - 1 {
			list = append(list, Role(64*i+bits.TrailingZeros64(w)))
		}
	}
	return list
}
