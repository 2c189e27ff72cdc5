package worker

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/out/combine"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/tasks"
)

// counting grants every slot at once and counts them.
type counting struct{ granted, unused atomic.Int32 }

func (p *counting) Reserve(ctx context.Context) (pace.Grant, error) {
	p.granted.Add(1)
	return pace.Grant{}, ctx.Err()
}

func (p *counting) Report(_ context.Context, _ pace.Grant, o pace.Answer) {
	if o.Kind == pace.Unused {
		p.unused.Add(1)
	}
}

// A slot is a twentieth of the fleet's second: none is reserved for what a call under way has taken along already.
func TestAsManySlotsAreReservedAsCallsAreMade(t *testing.T) {
	for _, offers := range []int{1, 3, 50} {
		t.Run(fmt.Sprint(offers), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				pacer := &counting{}
				d := newDispatcher(pacer, func(context.Context) {}, 64, pairs.MostOf(tasks.Remove))
				for i := range offers {
					// No two of them fit into one call.
					users, roles := names(fmt.Sprint(i, "-"), 100), roleIDs(20)
					d.offer(combine.NewOffer(0, users, roles, nil, nil))
				}
				var calls atomic.Int32
				go d.run(ctx, func(s slot, c combine.Call) {
					defer s.done()
					<-ctx.Done() // the answer takes its time
					d.pool.Done(c)
					calls.Add(1)
				})
				synctest.Wait()
				if n := pacer.granted.Load(); int(n) != offers {
					t.Errorf("%d slots for %d calls", n, offers)
				}
				cancel()
				d.wait()
				if int(calls.Load()) != offers || pacer.unused.Load() != 0 {
					t.Errorf("%d calls for %d offers, %d slots unused", calls.Load(), offers, pacer.unused.Load())
				}
			})
		})
	}
}
