package worker

import (
	"testing"
	"time"

	"github.com/unrole/unrole/internal/base/lease"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// A Redis that has lost a job whole knows of it again from the worker that had its task, however far that was: about to be called, or
// taken over by another worker that never saw it.
func TestWhatRedisHasLostComesBackFromTheWorkerThatHadIt(t *testing.T) {
	for name, another := range map[string]bool{"its call falls": false, "another worker takes the lead": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, "--appendonly", "no")
			rdb := server.Client()
			w := newWorld(t, rdb, simulator.Options{Open: true})
			w.gate = make(chan struct{})
			w.work()
			w.single("lost", "u1")
			pool := w.workers[0].apis[tasks.Remove].dispatch.pool
			w.until(func() bool { return pool.Len() > 0 })

			server.Kill()
			server.Resume()
			if another {
				term, err := lease.New(rdb, "unrole:{lead}", 3*time.Second).Take(t.Context())
				if err != nil || !term.Mine {
					t.Fatalf("the lead is not taken: %+v, %v", term, err)
				}
				for _, lane := range tasks.Lanes() {
					rdb.Set(t.Context(), "unrole:lead:{"+lane+"}", term.Number, 0)
				}
				w.until(func() bool { return w.workers[0].lead.Number() == 0 })
			}
			close(w.gate)
			w.until(func() bool {
				job, err := w.ledger.Get(t.Context(), "lost")
				return err == nil && job.Pairs.Removed == 1
			})
		})
	}
}
