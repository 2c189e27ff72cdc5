package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hibiken/asynq"

	"github.com/unrole/unrole/internal/base/trace"
	"github.com/unrole/unrole/tasks"
)

const (
	// crashLimit is how many calls in a row may take their worker along, or panic, before the task that they served is set
	// aside.
	crashLimit = 10
	// panicLimit is how often a handler may panic outside of a call.
	panicLimit = 100
	// suspectAfter is from how many such calls on a task is called alone, and at most one such task at a time: others that
	// were in the same call, or in flight beside it, prove that it was not they.
	suspectAfter = 3
)

// handle is the way of a task, top to bottom.
func (w *Worker) handle(ctx context.Context, at *asynq.Task) (err error) {
	id, _ := asynq.GetTaskID(ctx)
	queue, _ := asynq.GetQueueName(ctx)
	defer w.recovered("a handler panicked", id, func(crash *end) { err = crash })

	ctx = trace.From(ctx, at.Headers())
	if at.Type() != tasks.TypeRemove {
		return w.letters.unreadable(ctx, id, queue, at.Payload(), fmt.Errorf("task type %q is not known to this build", at.Type()))
	}
	part, err := tasks.Decode(at.Payload())
	if err != nil {
		return w.letters.unreadable(ctx, id, queue, at.Payload(), err)
	}
	if part.Failure != nil && part.Failure.Reason == tasks.ReasonBadPayload {
		return w.letters.readAgain(ctx, id, part)
	}
	w.rounds.Wake(part.JobID)
	v := w.visit(id, queue, part)
	ctx = v.trace(ctx, queue)
	defer v.span.End(false)
	defer w.neighbours.add(v)()
	panics, _ := asynq.GetRetryCount(ctx)
	err = v.through(ctx, panics)
	if err == nil && part.Fits() {
		v.showResult(queue)
	}
	if v.goneWithRedis(ctx, err) {
		v.bringBack(w.ending)
	}
	return w.ended(v.log, err)
}

// laneOf is the lane a task competes in, the most urgent being 0. A dead letter competes in the lane it came from.
func laneOf(queue string, part *tasks.Part) int {
	if part.Failure != nil {
		queue = part.Failure.Queue
	}
	if i := slices.Index(tasks.Lanes(), queue); i >= 0 {
		return i
	}
	return slices.Index(tasks.Lanes(), tasks.QueueDefault)
}

// through brings the task to its end: in children if it is larger than a call, else pair by pair.
func (v *visit) through(ctx context.Context, panics int) error {
	if err := v.look(ctx); err != nil {
		return err
	}
	if !v.part.Fits() {
		return v.split(ctx)
	}
	// A worker that dies takes every task that waits in it along; to blame is one that was being called.
	if v.crashes() >= crashLimit || panics >= panicLimit {
		n := max(v.crashes(), panics)
		return v.setAside(tasks.Failure{Reason: tasks.ReasonCrashed, Attempts: n, FailedAt: time.Now(),
			ErrMsg: fmt.Sprintf("the task took its worker down, or panicked, %d times in a row", n)})
	}
	for {
		if err := v.settleKnown(); err != nil || !v.open() {
			return err
		}
		if err := v.takeTurn(ctx); err != nil || !v.open() {
			_ = v.giveScopes(ctx) // a search that is over, or who had the task before, may have given roles
			return err
		}
		err := v.wait(ctx)
		var e *end
		if errors.As(err, &e) && e.kind == endSpent {
			err = v.setApart(ctx, e.spent)
		}
		if err := v.w.goesOn(ctx, err); err != nil {
			_ = v.giveScopes(ctx) // whoever got a role gets its scope before the task leaves; if not, from who takes it next
			return err
		}
		if err == nil && !v.open() {
			return nil
		}
		if err := v.look(ctx); err != nil {
			return err
		}
	}
}

// wait offers the task to the calls to come, until every open pair of it was called or it has to leave.
func (v *visit) wait(ctx context.Context) error {
	if err := v.giveScopes(ctx); err != nil || !v.open() {
		return err
	}
	if h := v.api.searches.of(v.part); h != nil {
		return v.until(ctx, h.over, func() { v.told(h) })
	}
	if over := v.api.jobs.wait(v.part.JobID); over != nil {
		return v.until(ctx, over, func() {})
	}
	if x := v.unproven(); x != nil {
		if err := v.prove(ctx, x); err != nil {
			return err
		}
	}
	st := newStay(ctx, v)
	if v.crashes() >= suspectAfter {
		select {
		case v.w.suspects <- struct{}{}:
			defer func() { <-v.w.suspects }()
		case <-v.w.stopping.Done():
			return stopping
		case <-ctx.Done():
			return goesBack(ctx)
		}
		st.offer.Apart()
	}
	v.api.dispatch.offer(st.offer)
	select {
	case <-st.ended:
	case <-v.w.stopping.Done():
		st.leave(stopping)
	case <-ctx.Done():
		st.leave(goesBack(ctx))
	}
	// What is in flight ends normally.
	<-st.ended
	return st.why
}

// until waits for what calls of others come to before the task is offered, so that it is looked at anew.
func (v *visit) until(ctx context.Context, over <-chan struct{}, then func()) error {
	select {
	case <-over:
		then()
		return again("what it waited for is over")
	case <-v.w.stopping.Done():
		return stopping
	case <-ctx.Done():
		return back("the task waited for as long as asynq lets it")
	}
}

// showResult leaves what became of the part with the task, where the asynq web UI shows it.
func (v *visit) showResult(lane string) {
	body, err := json.Marshal(v.summary())
	if err != nil {
		v.log.Debug().Err(err).Msg("the task's result is not shown in the web UI")
	}
	v.w.lead.Result(lane, v.id, body)
}
