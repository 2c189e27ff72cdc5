package worker

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/base/queue"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/producer"
	"github.com/unrole/unrole/tasks"
)

// mayBeLost is how long a Redis that is started again, or followed by a replica, may have kept a task to itself: one that came
// earlier is known to it, or over.
const mayBeLost = time.Minute

// goneWithRedis reports whether the work on the task ended since Redis is another server than the one that it was taken from.
func (v *visit) goneWithRedis(ctx context.Context, err error) bool {
	if errors.Is(err, ledger.ErrReplaced) {
		v.w.lead.Replaced(v.lead)
		v.w.lead.Outlive(ctx, v.lead)
	}
	return err != nil && errors.Is(context.Cause(ctx), queue.ErrReplaced)
}

// bringBack enqueues the task again if Redis has lost its whole job: it was acknowledged, and this worker may be the only one that still
// knows of it. A child comes back with its parent, and a letter where its part does.
func (v *visit) bringBack(ctx context.Context) {
	came := v.came.Round(0) // by the clock of the wall, which a machine that sleeps does not stop
	if v.part.Failure != nil || strings.Contains(v.part.Part, ".") || time.Since(came) > mayBeLost {
		return
	}
	job, err := v.w.cfg.Ledger.Get(ctx, v.part.JobID)
	var unknown *ledger.NotFoundError
	if err == nil && !job.Planning {
		return
	}
	if err == nil || errors.As(err, &unknown) {
		var at time.Time
		if v.claim != nil {
			at = v.claim.At
		}
		err = producer.Enqueue(queue.Unfenced(ctx), v.w.client, []tasks.Part{*v.part}, v.laneName(), at)
	}
	if err != nil {
		v.log.Warn().Err(err).Msg("a task that Redis has lost could not be enqueued again")
		return
	}
	v.log.Warn().Msg("Redis has lost the job of this task: it is enqueued again")
}
