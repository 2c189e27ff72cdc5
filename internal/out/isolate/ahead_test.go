package isolate_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/out/isolate"
)

// ahead searches the batch with up to width probes under way, each of which takes as long as lasts says, in virtual time,
// and returns how long the search took. What the answer will be is decided when the probe is sent.
func ahead(t *testing.T, b *batch, width int, probe isolate.Probe, lasts func() time.Duration) (got isolate.Result, took time.Duration, err error) {
	t.Helper()
	first := b.whole()
	if first.Passed {
		return got, 0, nil
	}
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		underWay := 0
		began := time.Now()
		got, err = isolate.Run(t.Context(), b.size, first, isolate.Options{Suspects: b.suspects, Found: func(f isolate.Finding) { mu.Lock(); defer mu.Unlock(); b.found(f) }, Width: func() int { return width }},
			func(ctx context.Context, r pairs.Rectangle) (isolate.Answer, error) {
				mu.Lock()
				if underWay++; underWay > width {
					t.Errorf("%d probes under way, at most %d", underWay, width)
				}
				answer, err := probe(ctx, r)
				takes := lasts()
				mu.Unlock()
				time.Sleep(takes)
				mu.Lock()
				underWay--
				mu.Unlock()
				return answer, err
			})
		took = time.Since(began)
		if underWay > 0 {
			t.Errorf("the search ended with %d probes under way", underWay)
		}
	})
	return got, took, err
}

// A second for each answer, against the calls and the time that the same batches take one by one.
func TestAskingAheadTakesAThirdOfTheTimeForFewMoreCalls(t *testing.T) {
	for _, row := range []struct {
		share             float64
		width             int
		most, least, time float64 // × the calls, at most and, as a check of this test, at least; × the time
	}{
		{0.03, 1, 1, 1, 1},
		{0.01, 8, 1.25, 1, 0.75},
		{0.03, 4, 1.15, 1.01, 0.5}, {0.03, 8, 1.15, 1.01, 0.45},
		{0.1, 8, 1.15, 1.01, 0.3},
		{1, 8, 1.15, 1.01, 0.2},
	} {
		func() {
			var calls, took [2]float64
			for i, width := range []int{1, row.width} {
				for seed := range 100 {
					b := randomBatch(row.share, seed)
					got, d, err := ahead(t, b, width, b.send, func() time.Duration { return time.Second })
					if err != nil {
						t.Fatal(err)
					}
					if len(b.calls) > 1 {
						verify(t, b, got)
					}
					calls[i] += float64(len(b.calls))
					took[i] += d.Seconds()
				}
			}
			more, faster := calls[1]/calls[0], took[1]/took[0]
			t.Logf("%g %% bad, %d at once: %.1f calls a batch, × %.2f, within %.1f s, × %.2f", 100*row.share, row.width, calls[1]/100, more, took[1]/100, faster)
			if more > row.most || more < row.least || faster > row.time {
				t.Errorf("want × %g to × %g the calls within × %g the time", row.least, row.most, row.time)
			}
		}()
	}
}

// apart draws how long calls take, from so many that hardly two answers come in the same instant: who of these is first is not
// the order that was drawn.
func apart(random *rand.Rand) func() time.Duration {
	return func() time.Duration { return 1 + time.Duration(random.Int64N(int64(time.Second))) }
}

func TestExactlyTheBadIdsComeOutInWhateverOrderAnswersCome(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := drawBatch(rt, full)
		drawBlame(rt, b, rapid.Bool().Draw(rt, "vague"))
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "order"), 7))
		width := rapid.IntRange(1, 30).Draw(rt, "width")
		got, _, err := ahead(t, b, width, b.send, apart(random))
		if err != nil {
			rt.Fatal(err)
		}
		if len(b.calls) > 1 && !got.NothingPassed {
			verify(rt, b, got)
		}
	})
}

func TestAnErrorEndsTheSearchWhenNoProbeIsUnderWay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := drawBatch(rt, full)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "order"), 8))
		ends := errors.New("ends")
		left := rapid.IntRange(0, 20).Draw(rt, "answers before the error")
		got, _, err := ahead(t, b, 10, func(ctx context.Context, r pairs.Rectangle) (isolate.Answer, error) {
			if left--; left < 0 {
				return isolate.Answer{}, ends
			}
			return b.send(ctx, r)
		}, apart(random))
		// An error about what nobody wants to know any more does not end it.
		if left < 0 && !errors.Is(err, ends) && (err != nil || len(b.unaccounted(got)) > 0) {
			rt.Fatalf("the search says %v", err)
		}
		for u := range got.BadUsers {
			if !b.badUsers[u] {
				rt.Errorf("user %d is good", u)
			}
		}
		for r := range got.BadRoles {
			if !b.badRoles[r] {
				rt.Errorf("role %d is good", r)
			}
		}
	})
}
