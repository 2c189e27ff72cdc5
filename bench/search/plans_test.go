package search

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/unrole/unrole/internal/in/cover"
	"github.com/unrole/unrole/internal/in/cover/covertest"
	"github.com/unrole/unrole/internal/simulator"
)

// Jobs that are submitted together take no more calls than the sum of their plans, and one that is alone no more than its own,
// in whatever order they arrive and however their parts meet. Each seed is a world of its own.
func TestJobsTogetherTakeNoMoreCallsThanTheirPlans(t *testing.T) {
	worlds := uint64(4)
	if *every {
		worlds = 60
	}
	for seed := range worlds {
		r := rand.New(rand.NewPCG(seed, 18))
		companies := make([]cover.Matrix, 1+r.IntN(4))
		most := 0
		for i := range companies {
			for planned(companies[i]) == 0 {
				companies[i] = covertest.Random(r.Uint64(), 2+r.IntN(60), 1+r.IntN(30), 0.05+0.6*r.Float64())
			}
			most += planned(companies[i])
		}
		under := setting{qps: []float64{5, 20, 200}[r.IntN(3)], sim: simulator.Options{Latency: time.Duration(r.IntN(1500)) * time.Millisecond}}
		t.Run(fmt.Sprintf("seed %d: %d jobs", seed, len(companies)), func(t *testing.T) {
			inVirtualTime(t, under, func(w *world) {
				var submitting sync.WaitGroup
				for i, company := range companies {
					after := time.Duration(r.IntN(3000)) * time.Millisecond
					submitting.Go(func() {
						time.Sleep(after)
						w.submit(fmt.Sprint("job", i), of(company))
					})
				}
				submitting.Wait()
				for i := range companies {
					w.ended(fmt.Sprint("job", i), 10*time.Minute, 0)
				}
				if n := w.calls(); n > most {
					t.Errorf("%d calls, the plans have %d", n, most)
				}
			})
		})
	}
}
