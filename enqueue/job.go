package enqueue

import (
	"context"
	"errors"
	"time"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/producer"
	"github.com/unrole/unrole/internal/record/snapshot"
)

// Job is the record of a submitted removal.
type Job = ledger.Job

// Parts of a Job: its pairs by what became of them, a sum of what a preflight saw, and who or what was named and not found, why, and
// whom it may have meant.
type (
	JobPairs         = ledger.Pairs
	JobSnapshot      = ledger.Seen
	Unresolved       = snapshot.Unresolved
	UnresolvedReason = snapshot.Reason
	Candidate        = snapshot.Candidate
)

// State is how far a Job is. State.Finished says whether anything more happens to it by itself.
type State = ledger.State

// The states of a job, in the order of its life.
const (
	// StateSubmitting: some of its parts are not enqueued yet.
	StateSubmitting = ledger.StateSubmitting
	// StateResolving: a worker looks up in DingTalk whom and what it means; nothing of it is sent before that is certain.
	StateResolving = ledger.StateResolving
	// StateScheduled: it waits for its time (Submission.At), or for an approval (Submission.AwaitApproval).
	StateScheduled = ledger.StateScheduled
	StateRunning   = ledger.StateRunning
	// StateCompleted: every pair was removed, but for those of people whose removal was taken back.
	StateCompleted = ledger.StateCompleted
	// StateCompletedWithDeadLetters: DingTalk refuses some of the pairs for good; the others were removed.
	StateCompletedWithDeadLetters = ledger.StateCompletedWithDeadLetter
	// StateCancelled: somebody cancelled it. What had been called before was removed.
	StateCancelled = ledger.StateCancelled
	// StateRefused: it names nobody for certain, or what must not be touched. Nothing of it was removed; Job.Unresolved has the reasons.
	StateRefused = ledger.StateRefused
)

// ConflictError says that a job id is taken by other content.
type ConflictError = ledger.ConflictError

// NotFoundError says that there is no such job: it was never submitted to this Redis, or its record was older than the
// retention.
type NotFoundError = ledger.NotFoundError

// FinishedError says that a job cannot be cancelled, since it has ended; it holds the record.
type FinishedError = ledger.FinishedError

// NotAwaitingError says that a job does not wait for what was given to it.
type NotAwaitingError = ledger.NotAwaitingError

// SubmittingError says that a job cannot be cancelled yet, since it is being submitted.
type SubmittingError = ledger.SubmittingError

// ErrInProgress says that another process submits the same job at this moment. Submit again, a second later say: it
// completes the submission, or shows what became of it.
var ErrInProgress = texts.Sentinel(texts.T("another process is submitting the same job; submit it again to complete it"))

// Get reads the record of a job. An unknown one gives a *NotFoundError.
func (c *Client) Get(ctx context.Context, jobID string) (Job, error) {
	return c.ledger.Get(ctx, jobID)
}

// waitInterval is the time between two looks at a job that is waited for.
const waitInterval = 250 * time.Millisecond

// Wait waits until the job has ended and returns its record. It goes on while Redis does not answer. When ctx ends before
// the job does, it returns the last record that it read, with ctx's error; the job goes on. An unknown job gives a
// *NotFoundError at once.
func (c *Client) Wait(ctx context.Context, jobID string) (Job, error) {
	return c.ledger.Watch(ctx, jobID, waitInterval, func(_ Job, err error) error {
		var unknown *NotFoundError
		if errors.As(err, &unknown) {
			return err
		}
		return nil
	})
}

// Cancel takes back what of the job is not being called at this moment, and returns its record; by and why are for the
// audit. Pairs that are being called end as DingTalk answers. A second call is harmless. An ended job gives a
// *FinishedError, an unknown one a *NotFoundError; a job in StateSubmitting has to be submitted to its end first, it
// gives a *SubmittingError.
func (c *Client) Cancel(ctx context.Context, jobID, by, why string) (Job, error) {
	return c.ledger.Cancel(ctx, jobID, by, why)
}

// Begin lets a job begin that was submitted with LastLook, at its time or at once where that has passed. by and why are for
// the audit. A job that does not wait for it gives a *NotAwaitingError.
func (c *Client) Begin(ctx context.Context, jobID, by, why string) (Job, error) {
	job, err := c.ledger.Begin(ctx, jobID, by, why)
	if err != nil {
		return Job{}, err
	}
	if _, err := producer.Repair(ctx, c.ledger, c.cfg.Redis, c.asynq, job); err != nil {
		return Job{}, texts.T("%v\njob %s may begin; a worker enqueues its parts within minutes", err, jobID)
	}
	return c.ledger.Get(ctx, jobID)
}
