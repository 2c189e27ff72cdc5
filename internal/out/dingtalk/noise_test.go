package dingtalk_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/simulator"
)

// Everything at once: whoever repeats what is busy or throttled removes every pair, and nothing else ever comes back.
func TestThroughAllNoiseEveryPairIsRemoved(t *testing.T) {
	for seed := range uint64(3) {
		synctest.Test(t, func(t *testing.T) {
			sim := simulator.New(simulator.Options{Seed: seed, Busy: 0.2, DropBefore: 0.03, DropAfter: 0.05, ProxyPages: 0.05,
				Truncated: 0.05, QPS: 20, TokenTTL: 2 * time.Second, TokenAnnounced: 2 * time.Hour, Latency: 20 * time.Millisecond,
				Jitter: 30 * time.Millisecond, Shape: simulator.ShapeMixed, StringErrCode: seed%2 == 1})
			c := connect(t, sim)
			const users = 120
			for i := range users {
				sim.Grant(fmt.Sprint("u", i), 1, 2)
			}
			for i := range users {
				for {
					_, err := c.RemoveRoles(t.Context(), []int64{1, 2}, []string{fmt.Sprint("u", i)})
					if err == nil {
						break
					}
					e := refusal(t, err, sim.Token())
					if e.Class != dingtalk.ClassBusy && e.Class != dingtalk.ClassThrottled || errors.Is(err, dingtalk.ErrNotSent) {
						t.Fatal(e)
					}
					time.Sleep(max(e.Wait, 50*time.Millisecond))
				}
			}
			if st := sim.Stats(); sim.Assignments() != 0 || st.RemovedPairs != 2*users || st.Violations != 0 {
				t.Errorf("seed %d: %d pairs left, %+v", seed, sim.Assignments(), st)
			}
		})
	}
}
