package tasks

import (
	"iter"
	"math/bits"
)

// Own says which pairs of a rectangle a part owns. Nil means all of them. Otherwise pair n is bit n%8 of byte n/8, the
// least significant bit being the first; bits beyond the last pair mean nothing.
type Own []byte

// OwnOf writes down which pairs are owned, in the order of their numbers. It is never nil.
func OwnOf(owned iter.Seq[bool]) Own {
	own := Own{}
	pairs := 0
	for is := range owned {
		if pairs%8 == 0 {
			own = append(own, 0)
		}
		if is {
			own[pairs/8] |= 1 << (pairs % 8)
		}
		pairs++
	}
	return own
}

// Has reports whether the pair of that number is owned.
func (o Own) Has(pair int) bool { return o == nil || o[pair/8]&(1<<(pair%8)) != 0 }

// count is how many of so many pairs are owned.
func (o Own) count(pairs int) int {
	if o == nil {
		return pairs
	}
	n := 0
	for i, b := range o {
		if left := pairs - 8*i; left < 8 {
			b &= 1<<left - 1
		}
		n += bits.OnesCount8(b)
	}
	return n
}

// ownBytes is the length of an Own of so many pairs.
func ownBytes(pairs int) int { return (pairs + 7) / 8 }
