package pairs

import (
	"fmt"
	"iter"
)

// Runs shortens a list that has one entry per pair to its runs: an entry, and how many times it stands there in a row.
func Runs[T comparable](list []T) iter.Seq2[T, int] {
	return func(yield func(T, int) bool) {
		for len(list) > 0 {
			n := 1
			for n < len(list) && list[n] == list[0] {
				n++
			}
			if !yield(list[0], n) {
				return
			}
			list = list[n:]
		}
	}
}

// Unrolled is the list of the runs. It fails unless they come to the given number of pairs, and allocates no more than
// those.
func Unrolled[T any](runs iter.Seq2[T, int], pairs int) ([]T, error) {
	list := make([]T, 0, pairs)
	for entry, n := range runs {
		if n < 0 || n > pairs-len(list) {
			return nil, fmt.Errorf("a run of %d after %d of %d pairs", n, len(list), pairs)
		}
		for range n {
			list = append(list, entry)
		}
	}
	if len(list) != pairs {
		return nil, fmt.Errorf("runs of %d pairs, there are %d", len(list), pairs)
	}
	return list, nil
}
