package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"

	"github.com/unrole/unrole/internal/base/trace"
	"github.com/unrole/unrole/internal/base/wait"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/producer"
	"github.com/unrole/unrole/tasks"
)

// reconcileKey is held by the process that reconciles for the fleet.
const reconcileKey = "unrole:reconcile"

// After looksAtOnce jobs a look takes its time: 50 a second, so that the thousand that ledger.Rounds hands out at most fit between two.
const (
	looksAtOnce  = 50
	betweenLooks = 20 * time.Millisecond
)

// reconcile looks, once per interval over the whole fleet, for what asynq has lost or given up. The leader does it, which knows the
// jobs that move.
func (w *Worker) reconcile(ctx context.Context) {
	breaks := int64(0)
	for wait.For(ctx, w.cfg.ReconcileInterval) == nil {
		if !w.lead.Held() {
			continue
		}
		if now := w.lead.Breaks(); now != breaks {
			w.rounds.WakeAll()
			breaks = now
		}
		mine, err := w.cfg.Redis.SetNX(ctx, reconcileKey, 1, w.cfg.ReconcileInterval*9/10).Result()
		if err != nil || !mine {
			continue
		}
		if err := w.Reconcile(ctx); err != nil && ctx.Err() == nil {
			w.log.Warn().Err(err).Msg("reconciling failed; it is tried again")
		}
	}
}

// Reconcile moves what is in asynq's archive to the dead letters, and enqueues again the parts of unfinished jobs whose
// tasks asynq does not have any more: deleted in the web UI, or lost by a failover.
func (w *Worker) Reconcile(ctx context.Context) error {
	// One job or task that cannot be helped must not keep the others from it.
	errs := []error{w.sweepArchive(ctx)}
	stalled, err := w.rounds.Stalled(ctx)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for i, job := range stalled {
		// Many jobs at once are mostly those of a fleet that starts, and all is well with them: nobody is to wait for Redis meanwhile.
		if i >= looksAtOnce {
			if err := wait.For(ctx, betweenLooks); err != nil {
				return errors.Join(append(errs, err)...)
			}
		}
		n, err := producer.Repair(ctx, w.cfg.Ledger, w.redis, w.client, job)
		errs = append(errs, err)
		if n > 0 || err != nil {
			w.rounds.Wake(job.JobID)
		}
		if n > 0 {
			w.log.Warn().Str("job", job.JobID).Int("parts", n).Msg("parts without a task were enqueued again")
		}
	}
	return errors.Join(errs...)
}

// sweepArchive turns archived tasks (crashed at their last attempt, or archived by hand in the web UI) into dead
// letters: asynq's archive forgets.
func (w *Worker) sweepArchive(ctx context.Context) error {
	const page = 100
	var errs []error
	for _, queue := range append(tasks.Lanes(), tasks.QueueDeadLetter) {
		for {
			archived, err := w.inspector.ListArchivedTasks(queue, asynq.PageSize(page))
			if err != nil {
				if !errors.Is(err, asynq.ErrQueueNotFound) {
					errs = append(errs, fmt.Errorf("read the archive of queue %s: %w", queue, err))
				}
				break
			}
			swept := 0
			for _, info := range archived {
				if err := w.sweep(ctx, queue, info); err != nil {
					errs = append(errs, err)
					continue
				}
				swept++
			}
			// What could not be swept stays on the page; the next round tries it again.
			if len(archived) < page || swept < len(archived) {
				break
			}
		}
	}
	return errors.Join(errs...)
}

func (w *Worker) sweep(ctx context.Context, queue string, info *asynq.TaskInfo) error {
	ctx = trace.From(ctx, info.Headers)
	part, err := tasks.Decode(info.Payload)
	switch {
	case err != nil:
		err = w.letters.unreadable(ctx, info.ID, queue, info.Payload, err)
	case part.Failure != nil && part.Failure.Reason == tasks.ReasonBadPayload:
		err = w.letters.putUnreadable(ctx, info.ID, info.ID, part, errors.New("archived"))
	default:
		v := w.visit(info.ID, queue, part)
		err = v.giveUp(v.trace(ctx, queue), info)
		if errors.Is(err, ledger.ErrReplaced) {
			w.lead.Replaced(v.lead)
		}
		v.span.End(err != nil)
	}
	if err != nil {
		return err
	}
	if err := w.inspector.DeleteTask(queue, info.ID); err != nil && !errors.Is(err, asynq.ErrTaskNotFound) {
		return fmt.Errorf("clear task %s from the archive: %w", info.ID, err)
	}
	return nil
}

// giveUp makes a dead letter of a task that asynq has given up; one that is larger than a call is divided after all.
func (v *visit) giveUp(ctx context.Context, info *asynq.TaskInfo) error {
	if err := v.look(ctx); err != nil {
		return err
	}
	if !v.part.Fits() {
		return v.split(ctx)
	}
	f := tasks.Failure{Reason: tasks.ReasonCrashed, ErrMsg: "the task was archived in asynq", Attempts: info.Retried, FailedAt: info.LastFailedAt}
	if info.LastErr != "" {
		f.ErrMsg += ": " + info.LastErr
	}
	if f.FailedAt.IsZero() {
		f.FailedAt = time.Now()
	}
	if old := v.part.Failure; old != nil && info.Retried < info.MaxRetry {
		f = *old // a letter that somebody archived by hand: what DingTalk said of it stays
	}
	return v.setAside(f)
}
