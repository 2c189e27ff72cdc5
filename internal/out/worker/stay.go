package worker

import (
	"context"
	"sync"
	"time"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/out/combine"
)

// stay is the time in which calls serve a task: one wait in the pool, or a search in its own pairs. It ends when all of
// them were called, or when the task has to leave.
type stay struct {
	*visit
	offer *combine.Offer // nil outside the pool
	asked pairs.Set      // what calls may cover for the task; it does not change
	// of is what is in question where what is asked is busy. turned: the tries before were about something else.
	of     pairs.Rectangle
	turned bool
	// task ends when the task has to go back.
	task  context.Context
	began time.Time
	slot  sync.Once // the first slot ends the wait that is measured

	left  sync.Once
	why   error // why the task left early; to be read when the stay has ended
	over  sync.Once
	ended chan struct{} // closed when nothing of the offer is open or in flight any more
}

// newStay makes the offer of a task, which has to go back when ctx ends.
func newStay(ctx context.Context, v *visit) *stay {
	st := &stay{visit: v, task: ctx, began: time.Now(), ended: make(chan struct{})}
	st.asked, st.of, st.turned = v.turn()
	st.offer = combine.NewOffer(v.lane, v.part.UserIDs, v.part.RoleIDs, st.asked.Has, st)
	return st
}

// leave takes the task out of the pool; the first reason counts.
func (st *stay) leave(why error) {
	st.left.Do(func() {
		st.why = why
		if st.offer != nil {
			st.api.dispatch.pool.Withdraw(st.offer)
		}
	})
	st.progress()
}

// progress ends the stay of a task that has nothing open and nothing in flight any more.
func (st *stay) progress() {
	if st.offer == nil {
		return
	}
	if open, inFlight := st.api.dispatch.pool.Open(st.offer); open == 0 && inFlight == 0 {
		st.over.Do(func() { close(st.ended) })
	}
}
