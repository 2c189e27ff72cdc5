package directory

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/unrole/unrole/tasks"
)

// Whoever waits comes through once, the most urgent first; who gave up does not, and takes nobody's turn with them.
func TestALineLetsEverybodyThroughTheMostUrgentFirst(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		lanes := rapid.SliceOfN(rapid.IntRange(0, len(tasks.Lanes())-1), 0, 20).Draw(r, "lanes")
		givesUp := rapid.SliceOfN(rapid.Bool(), len(lanes), len(lanes)).Draw(r, "gives up")
		synctest.Test(t, func(t *testing.T) {
			l := newLine()
			if err := l.enter(context.Background(), 0); err != nil {
				t.Fatal(err)
			}
			type waiter struct{ lane, number int }
			var want []waiter
			came := make(chan waiter, 100)
			var cancels []context.CancelFunc
			for n, lane := range lanes {
				ctx, cancel := context.WithCancel(context.Background())
				if givesUp[n] {
					cancels = append(cancels, cancel)
				} else {
					want = append(want, waiter{lane, n})
					defer cancel()
				}
				go func() {
					if l.enter(ctx, lane) == nil {
						came <- waiter{lane, n}
						l.leave()
					}
				}()
				synctest.Wait()
			}
			for _, cancel := range cancels {
				cancel()
			}
			synctest.Wait()
			l.leave()
			synctest.Wait()
			close(came)
			var got []waiter
			for w := range came {
				got = append(got, w)
			}
			slices.SortStableFunc(want, func(a, b waiter) int { return a.lane - b.lane })
			if !slices.Equal(got, want) {
				r.Fatalf("came %v, want %v", got, want)
			}
			if l.taken {
				r.Fatal("somebody has the turn for good")
			}
		})
	})
}
