package lease

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/test/redistest"
)

// Whatever the processes do, at most one believes what Redis says: Take is true for the holder and for nobody else.
func TestOneProcessHoldsTheLease(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		leases := make([]*Lease, 4)
		for i := range leases {
			leases[i] = New(rdb, "lease", time.Hour)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		holder := -1
		for range 2000 {
			i := rng.IntN(len(leases))
			if rng.IntN(4) == 0 {
				if err := leases[i].End(t.Context()); err != nil {
					t.Fatal(err)
				}
				if i == holder {
					holder = -1
				}
				continue
			}
			mine, err := leases[i].Take(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if want := holder == -1 || holder == i; mine != want {
				t.Fatalf("%d takes the lease of %d: %t", i, holder, mine)
			}
			if mine {
				holder = i
			}
			if got := rdb.Get(t.Context(), "lease").Val(); got != leases[holder].Holder() {
				t.Fatalf("%q lies under the key, the holder is %q", got, leases[holder].Holder())
			}
		}
	})
}

func TestALeaseEndsWithItsHolder(t *testing.T) {
	memory, rdb := redistest.Memory(t)
	gone, next := New(rdb, "lease", 5*time.Second), New(rdb, "lease", 5*time.Second)
	take := func(l *Lease, want bool) {
		t.Helper()
		if mine, err := l.Take(t.Context()); err != nil || mine != want {
			t.Fatalf("taken: %t, %v; want %t", mine, err, want)
		}
	}
	take(gone, true)
	memory.FastForward(4 * time.Second)
	take(gone, true) // keeps it for as long again
	memory.FastForward(4 * time.Second)
	take(next, false)
	memory.FastForward(time.Second)
	take(next, true)
	take(gone, false)
}
