package lease

import (
	"context"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
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
		holder, number := -1, int64(0)
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
			term, err := leases[i].Take(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if want := holder == -1 || holder == i; term.Mine != want {
				t.Fatalf("%d takes the lease of %d: %+v", i, holder, term)
			}
			if term.Mine {
				if same := holder == i; same != (term.Number == number) || term.Number < number {
					t.Fatalf("term %d follows %d, of the same holder: %t", term.Number, number, same)
				}
				holder, number = i, term.Number
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
		if term, err := l.Take(t.Context()); err != nil || term.Mine != want {
			t.Fatalf("taken: %+v, %v; want %t", term, err, want)
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

// commands says of each command that Redis has answered it.
type commands chan struct{}

func (commands) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c commands) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err == nil {
			c <- struct{}{}
		}
		return err
	}
}

func (commands) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestALeaseIsKeptWhileSomethingIsDoneAndWhatIsDoneEndsWithIt(t *testing.T) {
	const ttl = 600 * time.Millisecond
	for name, lose := range map[string]func(*miniredis.Miniredis, *Lease){
		"somebody else has it": func(memory *miniredis.Miniredis, other *Lease) {
			memory.FlushAll()
			other.Take(t.Context())
		},
		"Redis is away": func(memory *miniredis.Miniredis, _ *Lease) { memory.SetError("LOADING") },
	} {
		t.Run(name, func(t *testing.T) {
			memory, rdb := redistest.Memory(t)
			other := New(rdb, "lease", ttl)
			taken := make(commands, 100)
			holders := redis.NewClient(&redis.Options{Addr: memory.Addr()})
			defer holders.Close()
			holders.AddHook(taken)
			mine, err := New(holders, "lease", ttl).During(t.Context(), func(ctx context.Context) {
				for range 6 { // longer than it lasts by itself
					<-taken
					if term, err := other.Take(t.Context()); err != nil || term.Mine || ctx.Err() != nil {
						t.Fatalf("it is not kept: %+v, %v, %v", term, err, ctx.Err())
					}
				}
				lose(memory, other)
				select {
				case <-ctx.Done():
				case <-time.After(10 * ttl):
					t.Error("what is done goes on without the lease")
				}
			})
			if !mine || err != nil {
				t.Errorf("taken: %t, %v", mine, err)
			}
		})
	}
	_, rdb := redistest.Memory(t)
	if _, err := New(rdb, "lease", time.Hour).Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	if mine, err := New(rdb, "lease", ttl).During(t.Context(), func(context.Context) { t.Error("done without the lease") }); mine || err != nil {
		t.Errorf("somebody else has it: %t, %v", mine, err)
	}
}

// Who lost the lease and nobody took it has missed nothing: what it did goes on.
func TestALapsedLeaseThatNobodyTookGoesOn(t *testing.T) {
	memory, rdb := redistest.Memory(t)
	first, second := New(rdb, "lease", 5*time.Second), New(rdb, "lease", 5*time.Second)
	take := func(l *Lease) int64 {
		t.Helper()
		term, err := l.Take(t.Context())
		if err != nil || !term.Mine {
			t.Fatalf("not taken: %+v, %v", term, err)
		}
		memory.FastForward(6 * time.Second)
		return term.Number
	}
	a := take(first)
	if b := take(first); b != a {
		t.Errorf("term %d became %d", a, b)
	}
	b := take(second)
	if c := take(first); !(a < b && b < c) {
		t.Errorf("terms %d, %d, %d do not grow", a, b, c)
	}
	given := take(second)
	if err := second.End(t.Context()); err != nil { // after it had lapsed
		t.Fatal(err)
	}
	if b = take(second); b <= given {
		t.Errorf("what was given back goes on: after %d comes %d", given, b)
	}
	// Redis lost everything: a term that nobody remembers is over all the same.
	memory.FlushAll()
	memory.SetTime(time.Now().Add(time.Second)) // the clock has passed what terms within one millisecond have counted up
	if d := take(second); d <= b {
		t.Errorf("after %d comes %d", b, d)
	}
}

func TestTheHolderOfALeaseSaysWhereItRuns(t *testing.T) {
	_, rdb := redistest.Memory(t)
	if host, pid, err := Machine(t.Context(), rdb, "lease"); err != nil || host != "" || pid != 0 {
		t.Errorf("nobody holds it: %q, %d, %v", host, pid, err)
	}
	if _, err := New(rdb, "lease", time.Hour).Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	here, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if host, pid, err := Machine(t.Context(), rdb, "lease"); err != nil || host != here || pid != os.Getpid() {
		t.Errorf("%q, %d, %v", host, pid, err)
	}
}
