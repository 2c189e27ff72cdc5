package producer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/queue"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/base/trace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// Repair enqueues the parts of a job again that have open pairs and no task, and returns how many there were. A
// submission whose process died after the plan was written is completed by it. A job that waits for approval has no tasks, nor has one whose
// people and roles a worker still looks up.
// The tasks belong to the trace of the job, where it has one.
func Repair(ctx context.Context, l *ledger.Ledger, rdb redis.UniversalClient, client *asynq.Client, job ledger.Job) (int, error) {
	if job.Awaiting != "" || job.State == ledger.StateResolving {
		return 0, nil
	}
	if job.Planning {
		return 0, texts.T("the submission of job %s was interrupted before it was complete, and nothing of it is enqueued: repeat it with the same job id", job.JobID)
	}
	ctx = trace.Within(ctx, job.Trace)
	at := time.Time{}
	if job.At != nil {
		at = *job.At
	}
	lane := job.Priority
	if !tasks.IsLane(lane) {
		lane = tasks.QueueDefault
	}
	var missing []tasks.Part
	repaired := 0
	enqueue := func() error {
		if err := Enqueue(ctx, client, missing, lane, at); err != nil {
			return err
		}
		repaired += len(missing)
		missing = missing[:0]
		return nil
	}
	err := l.Each(ctx, job.JobID, func(rec ledger.PartRecord) error {
		own, letters := rec.Open()
		for _, letter := range letters {
			there, err := hasTask(ctx, rdb, tasks.QueueDeadLetter, job.JobID+":"+letter)
			if err != nil {
				return err
			}
			if !there {
				// The letter was deleted while it was tried again. Its pairs go back to the part.
				if err := l.Release(ctx, rec, letter); err != nil {
					return err
				}
				own = true
			}
		}
		if !own {
			return nil
		}
		there, err := hasTask(ctx, rdb, lane, rec.Part.TaskID())
		if err != nil || there {
			return err
		}
		// A task that asynq keeps as completed although pairs are open would be in the way of a new one.
		if missing = append(missing, *rec.Part); len(missing) >= 500 {
			return enqueue()
		}
		return nil
	})
	if err == nil {
		err = enqueue()
	}
	if err != nil {
		return repaired, fmt.Errorf("repair job %s: %w", job.JobID, err)
	}
	return repaired, l.Checked(ctx, job.JobID)
}

// Requeue puts a part back into its lane whose task ended before it could be read.
func Requeue(ctx context.Context, rdb redis.UniversalClient, client *asynq.Client, part tasks.Part, lane string) error {
	if there, err := hasTask(ctx, rdb, lane, part.TaskID()); err != nil || there {
		return err
	}
	return Enqueue(ctx, client, []tasks.Part{part}, lane, time.Time{})
}

// hasTask reports whether asynq has the task and will still run it, or is running it. A completed task is deleted,
// since its id would be in the way.
func hasTask(ctx context.Context, rdb redis.UniversalClient, lane, id string) (bool, error) {
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	info, err := inspector.GetTaskInfo(lane, id)
	switch {
	case errors.Is(err, asynq.ErrTaskNotFound) || errors.Is(err, asynq.ErrQueueNotFound):
		return false, nil
	case err != nil:
		if husk, clearErr := queue.ClearHusk(ctx, rdb, lane, id); clearErr == nil && husk {
			return false, nil
		}
		return false, fmt.Errorf("look for task %s: %w", id, err)
	case info.State == asynq.TaskStateCompleted:
		if err := inspector.DeleteTask(lane, id); err != nil && !errors.Is(err, asynq.ErrTaskNotFound) {
			return false, fmt.Errorf("delete the finished task %s: %w", id, err)
		}
		return false, nil
	}
	return true, nil
}
