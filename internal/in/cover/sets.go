package cover

import "math/bits"

// A set of roles is a bit for each, in words; its length is up to its owner.

func set(x []uint64, r int32)      { x[r/64] |= 1 << (r % 64) }
func unset(x []uint64, r int32)    { x[r/64] &^= 1 << (r % 64) }
func has(x []uint64, r int32) bool { return x[r/64]>>(r%64)&1 == 1 }

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
func members(to []int32, x []uint64) []int32 {
	for w, y := range x {
		for ; y != 0; y &= y - 1 {
			to = append(to, int32(w*64+bits.TrailingZeros64(y)))
		}
	}
	return to
}
