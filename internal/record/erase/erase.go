// Package erase forgets people in everything that Redis has of finished jobs, and says what it could not reach.
package erase

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/forget"
	"github.com/unrole/unrole/internal/base/queue"
	"github.com/unrole/unrole/internal/record/audit"
	"github.com/unrole/unrole/internal/record/deadletter"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/webhook"
	"github.com/unrole/unrole/tasks"
)

// Wish says who is to be forgotten, and who wants it.
type Wish struct {
	UserIDs []string
	// By and Why are for the audit of each job. Why may not name the people.
	By, Why string
	// DryRun counts and changes nothing.
	DryRun bool
}

// Result counts what was erased, or would be.
type Result struct {
	// Jobs had something of the people, Pairs of theirs among it; their number stays counted.
	Jobs  int   `json:"jobs"`
	Pairs int64 `json:"pairs"`
	// Dropped jobs had the id of one of them in their own: their records are gone as a whole, their trails have another name.
	Dropped int `json:"dropped_jobs"`
	// Letters were given up, or cut where they are of others too; Tasks were over and kept for a while, Messages those of the
	// webhook, Limits the guards of a day that counted one of them.
	Letters  int `json:"dead_letters"`
	Tasks    int `json:"tasks"`
	Messages int `json:"messages"`
	Limits   int `json:"limits"`
	// Left is what still has something of them.
	Left   []Left `json:"left"`
	DryRun bool   `json:"dry_run"`
}

// Left is something that is not over, and so was left as it is.
type Left struct {
	JobID string `json:"job_id"`
	// State is that of the job, "queued" for a task whose job is not known, "moving" where a worker has a task of a finished
	// job, "draft" for a list that waits in the console for somebody's confirmation, two hours at most.
	State string `json:"state"`
}

// Run forgets people. What is not over is named in the result and left alone. Again is harmless, and finishes a run that was
// interrupted.
func Run(ctx context.Context, rdb redis.UniversalClient, l *ledger.Ledger, wish Wish) (Result, error) {
	e := &eraser{rdb: rdb, ledger: l, wish: wish, names: forget.New(wish.UserIDs), inspector: asynq.NewInspectorFromRedisClient(rdb),
		result: Result{DryRun: wish.DryRun, Left: []Left{}}, tasks: map[string][]queue.Stored{}}
	if e.names.Text(wish.Why) != wish.Why {
		return e.result, errors.New("the reason names the person who is to be forgotten, and would be kept: word it without the id")
	}
	if err := e.survey(ctx); err != nil {
		return e.result, err
	}
	for _, jobID := range e.jobs {
		if err := e.job(ctx, jobID); err != nil {
			return e.result, err
		}
	}
	if err := e.drafts(ctx); err != nil {
		return e.result, err
	}
	var err error
	if e.result.Limits, err = l.EraseGuards(ctx, e.names, wish.DryRun); err != nil || len(e.bare) == 0 {
		return e.result, err
	}
	// A job whose last letter is gone need not be kept for it.
	_, err = deadletter.New(rdb, l).Expire(ctx, e.bare)
	return e.result, err
}

type eraser struct {
	rdb       redis.UniversalClient
	ledger    *ledger.Ledger
	inspector *asynq.Inspector
	wish      Wish
	names     forget.Names
	result    Result

	jobs  []string                  // that have something of the people
	tasks map[string][]queue.Stored // that have, by job
	bare  []string                  // jobs of which letters were given up
}

// survey finds the jobs and tasks.
func (e *eraser) survey(ctx context.Context) error {
	named, err := e.ledger.Naming(ctx, e.names)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, id := range named {
		known[id] = true
	}
	for _, q := range append(tasks.Lanes(), tasks.QueueDeadLetter, webhook.Queue) {
		if err := queue.EachStored(ctx, e.rdb, q, func(s queue.Stored) error {
			jobID := jobOf(s)
			if e.names.JobID(jobID) != jobID && known[jobID] || e.isNamed(s) {
				known[jobID] = true
				e.tasks[jobID] = append(e.tasks[jobID], s)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	for id := range known {
		e.jobs = append(e.jobs, id)
	}
	slices.Sort(e.jobs)
	return nil
}

func (e *eraser) leave(jobID, state string) {
	e.result.Left = append(e.result.Left, Left{jobID, state})
}

// job erases one job: its letters first, so that none is tried again under a name that its record does not know any more.
func (e *eraser) job(ctx context.Context, jobID string) error {
	stored := e.tasks[jobID]
	for _, s := range stored {
		if s.State == asynq.TaskStateActive || s.Queue == tasks.QueueDeadLetter && s.State != asynq.TaskStateScheduled && s.State != asynq.TaskStateArchived {
			e.leave(jobID, "moving")
			return nil
		}
	}
	erasure := ledger.Erasure{JobID: jobID, Names: e.names, By: e.wish.By, Why: e.wish.Why}
	found, err := e.ledger.Erasable(ctx, erasure)
	var unfinished *ledger.UnfinishedError
	switch {
	case errors.As(err, &unfinished):
		e.leave(jobID, string(unfinished.Job.State))
		return nil
	case err != nil:
		return err
	case !found.Known && slices.ContainsFunc(stored, isToCome):
		e.leave(jobID, "queued")
		return nil
	}
	do := e.rewrite
	if found.NamedAfter {
		do = e.drop
	}
	letters, others := split(stored)
	for _, s := range letters {
		if err := e.letter(ctx, s, found.NamedAfter); err != nil {
			return e.moved(jobID, err)
		}
	}
	erasure.Letters = len(letters)
	if !e.wish.DryRun {
		erase := e.ledger.Erase
		if found.NamedAfter {
			erase = e.ledger.Drop
		}
		if _, err := erase(ctx, erasure); errors.As(err, &unfinished) {
			e.leave(jobID, string(unfinished.Job.State))
			return nil
		} else if err != nil {
			return err
		}
		if found.NamedAfter {
			if err := audit.Forget(ctx, e.rdb, jobID); err != nil {
				return err
			}
		}
	}
	e.result.Jobs++
	e.result.Pairs += found.Pairs
	e.result.Letters += len(letters)
	if found.NamedAfter {
		e.result.Dropped++
	}
	for _, s := range others {
		if err := do(ctx, s); err != nil {
			return e.moved(jobID, err)
		}
		if s.Queue == webhook.Queue {
			e.result.Messages++
		} else {
			e.result.Tasks++
		}
	}
	return nil
}

// moved leaves a job of which a worker has just taken a task; other errors end the run.
func (e *eraser) moved(jobID string, err error) error {
	if errors.Is(err, queue.ErrMoved) {
		e.leave(jobID, "moving")
		return nil
	}
	return err
}

// drafts names the lists that wait for a confirmation in the console.
func (e *eraser) drafts(ctx context.Context) error {
	ids, err := e.ledger.Drafts(ctx, e.names)
	for _, id := range ids {
		e.leave(id, "draft")
	}
	slices.SortFunc(e.result.Left, func(a, b Left) int { return cmp.Compare(a.JobID, b.JobID) })
	return err
}

// isToCome reports whether the task is still to be worked on.
func isToCome(s queue.Stored) bool {
	return s.Queue != tasks.QueueDeadLetter && s.Queue != webhook.Queue && s.State != asynq.TaskStateCompleted && s.State != asynq.TaskStateArchived
}

func split(stored []queue.Stored) (letters, others []queue.Stored) {
	for _, s := range stored {
		if s.Queue == tasks.QueueDeadLetter {
			letters = append(letters, s)
		} else {
			others = append(others, s)
		}
	}
	return letters, others
}

func jobOf(s queue.Stored) string {
	if s.Queue == webhook.Queue {
		jobID, _, _ := strings.Cut(s.ID, ".finished.")
		return jobID
	}
	if part, err := tasks.Decode(s.Payload); err == nil {
		return part.JobID
	}
	jobID, _ := tasks.SplitAnyTaskID(s.ID)
	return jobID
}

func (e *eraser) drop(_ context.Context, s queue.Stored) error {
	if e.wish.DryRun {
		return nil
	}
	err := e.inspector.DeleteTask(s.Queue, s.ID)
	if errors.Is(err, asynq.ErrTaskNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete task %s of queue %s: %w", s.ID, s.Queue, errors.Join(err, queue.ErrMoved))
	}
	return nil
}
