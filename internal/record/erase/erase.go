// Package erase forgets people in everything that Redis has of finished jobs, and says what it could not reach.
package erase

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/forget"
	"github.com/unrole/unrole/internal/base/queue"
	"github.com/unrole/unrole/internal/record/audit"
	"github.com/unrole/unrole/internal/record/deadletter"
	"github.com/unrole/unrole/internal/record/index"
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
	// Signs are staff numbers and addresses in the index of the directory.
	Signs int `json:"signs"`
	// Left is what still has something of them, or may have.
	Left   []Left `json:"left"`
	DryRun bool   `json:"dry_run"`
}

// Doubtful is the state of what has an id or a text that may as well be about somebody else: offboard-zhang-2, zhang.li for zhang.
const Doubtful = "doubtful"

// Left is something that is not over or is in doubt, and so was left as it is.
type Left struct {
	JobID string `json:"job_id"`
	// State is that of the job, "queued" for a task whose job is not known, "moving" where a worker has a task of a finished
	// job, "draft" for a list that waits in the console for somebody's confirmation, two hours at most, or Doubtful.
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
	for _, jobID := range slices.Sorted(maps.Keys(e.named)) {
		if err := e.job(ctx, jobID); err != nil {
			return e.result, err
		}
	}
	if err := e.drafts(ctx); err != nil {
		return e.result, err
	}
	var err error
	if e.result.Signs, err = index.Erase(ctx, rdb, wish.UserIDs, wish.DryRun); err != nil {
		return e.result, err
	}
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

	named map[string]ledger.Named   // jobs that have something of the people, or may have
	tasks map[string][]queue.Stored // that have, or of whose job only its record knows, by job
	bare  []string                  // jobs of which letters were given up
}

// survey finds the jobs and tasks. It takes an id of a job wherever one is, since a run that was interrupted may have left it there.
func (e *eraser) survey(ctx context.Context) (err error) {
	if e.named, err = e.ledger.Naming(ctx, e.names); err != nil {
		return err
	}
	followed, err := audit.Followed(ctx, e.rdb)
	if err != nil {
		return err
	}
	for _, jobID := range followed {
		if _, known := e.named[jobID]; !known && e.names.Fits(jobID) != forget.FitNot {
			e.named[jobID] = ledger.Named{}
		}
	}
	queues := append(tasks.Lanes(), tasks.QueueDeadLetter, webhook.Queue)
	seen := map[string]bool{}
	return queue.EachStored(ctx, e.rdb, queues, func(s queue.Stored) error {
		jobID, key := jobOf(s), queue.TaskKey(s.Queue, s.ID)
		named, doubts := e.isNamed(s), e.doubts(s)
		if seen[key] || !named && !doubts && e.names.Fits(jobID) == forget.FitNot {
			return nil
		}
		seen[key] = true
		have := e.named[jobID]
		e.named[jobID] = ledger.Named{Sure: have.Sure || named, Doubtful: have.Doubtful || doubts}
		e.tasks[jobID] = append(e.tasks[jobID], s)
		return nil
	})
}

func (e *eraser) leave(jobID, state string) {
	e.result.Left = append(e.result.Left, Left{jobID, state})
}

// job erases one job: its letters first, so that none is tried again under a name that its record does not know any more. Of one
// that is named after somebody everything else goes first, since nothing leads there from a record that is gone.
func (e *eraser) job(ctx context.Context, jobID string) error {
	erasure := ledger.Erasure{JobID: jobID, Names: e.names, By: e.wish.By, Why: e.wish.Why}
	found, err := e.ledger.Erasable(ctx, erasure)
	var unfinished *ledger.UnfinishedError
	if err != nil && !errors.As(err, &unfinished) {
		return err
	}
	stored := e.tasks[jobID]
	if !found.NamedAfter {
		stored = slices.DeleteFunc(stored, func(s queue.Stored) bool { return !e.isNamed(s) })
	}
	switch {
	case found.NamedAfter && found.Doubtful && len(stored) > 0:
		e.leave(jobID, Doubtful)
		return nil
	case !found.NamedAfter && !e.named[jobID].Sure:
		if found.Doubtful || e.named[jobID].Doubtful {
			e.leave(jobID, Doubtful)
		}
		return nil
	case unfinished != nil:
		e.leave(jobID, string(unfinished.Job.State))
		return nil
	case slices.ContainsFunc(stored, isMoving):
		e.leave(jobID, "moving")
		return nil
	case !found.Known && slices.ContainsFunc(stored, isToCome):
		e.leave(jobID, "queued")
		return nil
	}
	letters, others := split(stored)
	for _, s := range letters {
		if err := e.letter(ctx, s, found.NamedAfter); err != nil {
			return e.moved(jobID, err)
		}
	}
	erasure.Letters = len(letters)
	steps := []func() error{
		func() error { return e.record(ctx, erasure, found.NamedAfter) },
		func() error { return e.others(ctx, others, found.NamedAfter) },
	}
	later := jobID
	if found.NamedAfter {
		slices.Reverse(steps)
		later = e.names.JobID(jobID)
	}
	for _, step := range steps {
		if err := step(); errors.As(err, &unfinished) {
			e.leave(jobID, string(unfinished.Job.State))
			return nil
		} else if err != nil {
			return e.moved(jobID, err)
		}
	}
	e.result.Jobs++
	e.result.Pairs += found.Pairs
	e.result.Letters += len(letters)
	if found.NamedAfter {
		e.result.Dropped++
	}
	if e.named[jobID].Doubtful || found.Doubtful && !found.NamedAfter {
		e.leave(later, Doubtful)
	}
	return nil
}

// record erases what the ledger has of a job, and what is kept of its trail elsewhere.
func (e *eraser) record(ctx context.Context, erasure ledger.Erasure, namedAfter bool) error {
	if e.wish.DryRun {
		return nil
	}
	if !namedAfter {
		_, err := e.ledger.Erase(ctx, erasure)
		return err
	}
	if _, err := e.ledger.Drop(ctx, erasure); err != nil {
		return err
	}
	return audit.Forget(ctx, e.rdb, erasure.JobID)
}

// others erases tasks that are over, and messages.
func (e *eraser) others(ctx context.Context, stored []queue.Stored, namedAfter bool) error {
	do := e.rewrite
	if namedAfter {
		do = e.drop
	}
	for _, s := range stored {
		if err := do(ctx, s); err != nil {
			return err
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

// isMoving reports whether a worker has the task, or is about to.
func isMoving(s queue.Stored) bool {
	return s.State == asynq.TaskStateActive || s.Queue == tasks.QueueDeadLetter && s.State != asynq.TaskStateScheduled && s.State != asynq.TaskStateArchived
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
