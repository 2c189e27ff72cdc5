package worker

import (
	"sync"
	"testing"
	"time"

	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
)

// A search may stand still for as long as a hold lasts; nothing of its batch is being called meanwhile, so a cancel has
// nothing to wait for.
func TestACancelTakesEffectAtOnceWhileASearchStandsStill(t *testing.T) {
	for name, c := range map[string]struct {
		// refused is what happens when the batch has been refused; calls is how many there are then until the search stands
		// still, gettoken's included.
		refused func(*world, *pace.Pacer)
		calls   int
	}{
		"in a sticky hold that came before its next probe": {calls: 2, refused: func(w *world, p *pace.Pacer) {
			if err := p.SetHold(w.Context(), pace.HoldReason{Kind: pace.HoldEverythingRefused}); err != nil {
				w.Error(err)
			}
		}},
		"in a hold that its probe was answered with": {calls: 3, refused: func(w *world, _ *pace.Pacer) {
			w.sim.Fail(simulator.FaultPermission, 0)
		}},
		"in the backoff of a busy probe": {calls: 3, refused: func(w *world, _ *pace.Pacer) {
			w.sim.Fail(simulator.FaultBusy, 0)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			_, rdb := redistest.Memory(t)
			var w *world
			var pacer *pace.Pacer
			var first sync.Once
			w = newWorld(t, rdb, simulator.Options{Open: true, BadUsers: []string{"u007"}, Observe: func(simulator.Call) {
				first.Do(func() { c.refused(w, pacer) })
			}})
			w.config.RetryBase, w.config.RetryCap = time.Hour, time.Hour
			w.holdProbe = time.Hour
			pacer = w.pacer()
			w.submit("still", names("u", 50), roleIDs(10))
			w.work()
			w.waitForCalls(c.calls)
			w.until(func() bool { return !w.begun("still") })
			job, err := w.ledger.Cancel(t.Context(), "still", "somebody", "they stay")
			if err != nil || job.State != ledger.StateCancelled || job.Pairs != (ledger.Pairs{Total: 500, Cancelled: 500}) {
				t.Errorf("%+v, %v: want all of it cancelled at once", job, err)
			}
		})
	}
}

// begun reports whether any part of the job is marked as being called.
func (w *world) begun(jobID string) bool {
	w.Helper()
	any := false
	if err := w.ledger.Each(w.Context(), jobID, func(r ledger.Record) error { any = any || r.Begun; return nil }); err != nil {
		w.Fatal(err)
	}
	return any
}
