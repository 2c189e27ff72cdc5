package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/tasks"
)

// What Job.Awaiting says of a job that waits for a word. Its parts are in the record and not in the queues, so nothing can begin
// it but Approve, which is somebody's word, or Begin, which is that of the program that submitted it: it has looked again
// whether the job still stands.
const (
	AwaitingApproval = "approval"
	AwaitingLastLook = "last_look"
)

// guardWindow is how long a user counts against the rolling guard of its source.
const guardWindow = 24 * time.Hour

// Admit counts the distinct users that a source submits in 24 hours. It reports false, and counts none of the given
// ones, where they would be more than limit; counted is how many the source has used up. The same users again are
// counted once, so a submission may be repeated.
func (l *Ledger) Admit(ctx context.Context, source string, users []string, limit int) (admitted bool, counted int64, err error) {
	now := l.now()
	args := make([]any, 0, 4+len(users))
	args = append(args, now.Add(-guardWindow).UnixMicro(), now.UnixMicro(), limit, guardWindow.Milliseconds())
	for _, u := range users {
		args = append(args, u)
	}
	sum := sha256.Sum256([]byte(source))
	reply, err := admitScript.Run(ctx, l.rdb, []string{"unrole:guard:{" + hex.EncodeToString(sum[:16]) + "}"}, args...).Int64Slice()
	if err != nil {
		return false, 0, fmt.Errorf("count the users of source %.80q: %w", source, err)
	}
	return reply[0] == 1, reply[1], nil
}

// MustWait reports whether a new job has to wait for approval, since its source submits more users in 24 hours than the
// limit; 0 is no limit. A job that is known already was counted when it came. counted is how many the source has used up.
func (l *Ledger) MustWait(ctx context.Context, jobID, source string, users []string, limit int) (wait bool, counted int64, err error) {
	if limit <= 0 {
		return false, 0, nil
	}
	if jobID != "" {
		var unknown *NotFoundError
		if _, err := l.Get(ctx, jobID); err == nil {
			return false, 0, nil
		} else if !errors.As(err, &unknown) {
			return false, 0, err
		}
	}
	if len(users) > limit {
		return true, 0, nil
	}
	admitted, counted, err := l.Admit(ctx, source, users, limit)
	return !admitted, counted, err
}

// NotAwaitingError says that a job does not wait for approval.
type NotAwaitingError struct{ Job Job }

func (e *NotAwaitingError) Error() string { return e.Unwrap().Error() }

// Unwrap is its text, which can be said in other languages.
func (e *NotAwaitingError) Unwrap() error {
	return texts.T("job %s does not wait for approval (%s)", e.Job.JobID, InWords(e.Job.State))
}

// SamePersonError says that somebody wants to approve what they submitted themselves, which takes another person.
type SamePersonError struct{ Job Job }

func (e *SamePersonError) Error() string { return e.Unwrap().Error() }

// Unwrap is its text, which can be said in other languages.
func (e *SamePersonError) Unwrap() error {
	return texts.T("job %s was submitted by %s: another person has to approve it", e.Job.JobID, e.Job.SubmittedBy)
}

// SamePerson reports whether two names of the audit are those of one person, at whatever machine.
func SamePerson(a, b string) bool {
	a, _, _ = strings.Cut(a, "@")
	b, _, _ = strings.Cut(b, "@")
	return strings.EqualFold(a, b)
}

// Approve lets a job begin that waits for approval, with an entry in its audit. Its parts are not enqueued by it:
// producer.Repair does that, for whoever approves at once, else for the reconciler. A job that does not wait, or was
// cancelled, gives a *NotAwaitingError, an unknown one a *NotFoundError, one that by may not approve a *SamePersonError. Again by the
// same person it is harmless while the job goes on: the reply to the first may have been lost, and the parts are to be enqueued then.
func (l *Ledger) Approve(ctx context.Context, jobID, by, why string) (Job, error) {
	if err := tasks.ValidateJobID(jobID); err != nil {
		return Job{}, err
	}
	waiting, err := l.Get(ctx, jobID)
	if err != nil {
		return Job{}, err
	}
	if waiting.Awaiting != "" && waiting.OtherApproves && SamePerson(waiting.SubmittedBy, by) {
		return Job{}, &SamePersonError{Job: waiting}
	}
	now := l.now()
	return l.letBegin(ctx, approveScript, Entry{At: now, Event: EventApproved, JobID: jobID, By: by, Why: why}, formatTime(now), by)
}

// Begin lets a job begin that was submitted to be looked at again, and was, with an entry in its audit; see Approve for what
// remains to be done, and for errors. One that waits for approval, too, gives a *NotAwaitingError.
func (l *Ledger) Begin(ctx context.Context, jobID, by, why string) (Job, error) {
	if err := tasks.ValidateJobID(jobID); err != nil {
		return Job{}, err
	}
	return l.letBegin(ctx, beginScript, Entry{At: l.now(), Event: EventReleased, JobID: jobID, By: by, Why: why})
}

func (l *Ledger) letBegin(ctx context.Context, s *redis.Script, e Entry, args ...any) (Job, error) {
	entry, err := encodeEntry(e)
	if err != nil {
		return Job{}, err
	}
	reply, err := l.speak(ctx, s, e.JobID, append(args, entry)...)
	if err != nil {
		return Job{}, fmt.Errorf("let job %s begin: %w", e.JobID, err)
	}
	if reply[0].(int64) == -2 {
		return Job{}, &NotFoundError{JobID: e.JobID}
	}
	job, err := l.Get(ctx, e.JobID)
	if err != nil || reply[0].(int64) != 0 {
		return job, err
	}
	if e.Event == EventApproved && job.ApprovedBy == e.By && job.CancelledAt == nil && !job.State.Finished() {
		return job, nil
	}
	return job, &NotAwaitingError{Job: job}
}
