package cover

import "math/bits"

// A set of roles, or of what else is numbered, is a bit for each, in words; its length is up to its owner.

func set[P ~int32](x []uint64, p P)      { x[p/64] |= 1 << (p % 64) }
func unset[P ~int32](x []uint64, p P)    { x[p/64] &^= 1 << (p % 64) }
func has[P ~int32](x []uint64, p P) bool { return x[p/64]>>(p%64)&1 == 1 }

func empty(x []uint64) bool {
	for _, w := range x {
		if w != 0 {
			return false
		}
	}
	return true
}

func count(x []uint64) int {
	n := 0
	for _, w := range x {
		n += bits.OnesCount64(w)
	}
	return n
}

// members appends what is in the set, ascending.
func members[P ~int32](to []P, x []uint64) []P {
	for w, y := range x {
		for ; y != 0; y &= y - 1 {
			to = append(to, P(w*64+bits.TrailingZeros64(y)))
		}
	}
	return to
}
