package isolate_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/unrole/unrole/internal/base/pairs"
)

// Who suspects the right ones saves most of the search; who suspects the wrong ones pays little for it.
func TestSuspectsSaveCallsAndCostFew(t *testing.T) {
	const batches = 40
	for _, c := range []struct {
		bad, right, wrong int     // bad users, how many of them are suspects, and how many others are
		calls             float64 // against the search without suspects
	}{
		{1, 1, 0, 0.25}, {3, 3, 0, 0.3}, {10, 10, 0, 0.35}, {3, 3, 3, 0.5}, {3, 2, 0, 0.8}, {3, 0, 3, 1.15}, {1, 0, 1, 1.3},
	} {
		var calls [2]int
		for with := range 2 {
			for seed := range batches {
				b := newBatch(full)
				situation{badUsers: c.bad}.spoil(b, seed)
				if bad := slices.Sorted(maps.Keys(b.badUsers)); with == 1 {
					b.suspects.Users = slices.Clone(bad[:c.right])
					for u := pairs.User(0); len(b.suspects.Users) < c.right+c.wrong; u += 7 {
						if !b.badUsers[u] {
							b.suspects.Users = append(b.suspects.Users, u)
						}
					}
				}
				got, _ := search(t, b, b.send)
				verify(t, b, got)
				calls[with] += len(b.calls)
			}
		}
		share := float64(calls[1]) / float64(calls[0])
		t.Logf("%d of 100 users are bad; suspects are %d of them and %d others: %.2f calls a batch, × %.2f", c.bad, c.right, c.wrong, float64(calls[1])/batches, share)
		if share > c.calls {
			t.Errorf("want × %g", c.calls)
		}
	}
}
