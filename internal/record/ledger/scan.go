package ledger

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/tasks"
)

// PartRecord is one part as the record has it.
type PartRecord struct {
	Part  *tasks.Part
	State PartState
	Begun bool
}

// Each calls visit for every part of the job that was not split, each at least once and usually once, a page at a
// time. It stops at the first error.
func (l *Ledger) Each(ctx context.Context, jobID string, visit func(PartRecord) error) error {
	k := keys(jobID)
	seen := make(map[string]bool)
	it := uint64(0)
	for {
		page, next, err := l.rdb.HScan(ctx, k[keyParts], it, "", 200).Result()
		if err != nil {
			return fmt.Errorf("read parts of job %s: %w", jobID, err)
		}
		var names []string
		payloads := make(map[string]string)
		for i := 0; i+1 < len(page); i += 2 {
			if name := page[i]; !seen[name] {
				seen[name] = true
				names = append(names, name)
				payloads[name] = page[i+1]
			}
		}
		if err := l.visit(ctx, k, names, payloads, visit); err != nil {
			return err
		}
		if it = next; it == 0 {
			return nil
		}
	}
}

// HasLetter reports whether pairs of the batch that the letter was set apart from wait in it.
func (l *Ledger) HasLetter(ctx context.Context, letter *tasks.Part) (has bool, err error) {
	k, batch := keys(letter.JobID), tasks.BatchName(letter.Part)
	payload, err := l.rdb.HGet(ctx, k[keyParts], batch).Result()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read part %s of job %s: %w", batch, letter.JobID, err)
	}
	err = l.visit(ctx, k, []string{batch}, map[string]string{batch: payload}, func(rec PartRecord) error {
		for _, row := range rec.Rows() {
			has = has || row.Outcome.Kind == Dead && row.Outcome.Letter == letter.Part
		}
		return nil
	})
	return has, err
}

func (l *Ledger) visit(ctx context.Context, k, names []string, payloads map[string]string, visit func(PartRecord) error) error {
	if len(names) == 0 {
		return nil
	}
	var states, begun *redis.SliceCmd
	if _, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		states = p.HMGet(ctx, k[keyState], names...)
		begun = p.HMGet(ctx, k[keyBegun], names...)
		return nil
	}); err != nil {
		return fmt.Errorf("read part states: %w", err)
	}
	for i, name := range names {
		part, err := tasks.Decode([]byte(payloads[name]))
		if err != nil {
			return fmt.Errorf("part %s of the record: %w", name, err)
		}
		text, _ := states.Val()[i].(string)
		state, err := decodeState(text, part.Pairs())
		if err != nil {
			return fmt.Errorf("part %s of the record: %w", name, err)
		}
		if state.Children > 0 {
			continue
		}
		if err := visit(PartRecord{Part: part, State: state, Begun: isBegun(begun.Val()[i])}); err != nil {
			return err
		}
	}
	return nil
}

// isBegun reports whether a mark (see lua/keys.lua) says that a call is under way.
func isBegun(mark any) bool {
	text, marked := mark.(string)
	_, err := strconv.Atoi(text)
	return marked && err != nil
}

// Row is one requested pair and what became of it.
type Row struct {
	UserID  string
	RoleID  int64
	Part    string
	Outcome Outcome
}

// Rows calls visit for every requested pair of the job, once, in no particular order.
func (l *Ledger) Rows(ctx context.Context, jobID string, visit func(Row) error) error {
	return l.Each(ctx, jobID, func(rec PartRecord) error {
		for _, row := range rec.Rows() {
			if err := visit(row); err != nil {
				return err
			}
		}
		return nil
	})
}

// Rows goes through the pairs that the part owns; each with its number in the rectangle.
func (rec PartRecord) Rows() iter.Seq2[int, Row] {
	return func(yield func(int, Row) bool) {
		i := -1
		for _, user := range rec.Part.UserIDs {
			for _, role := range rec.Part.RoleIDs {
				i++
				if !rec.Part.Own.Has(i) {
					continue
				}
				o := *rec.State.of(i)
				if o.Kind == Removed && rec.Part.Action == tasks.Add {
					o.Kind = Restored
				}
				if !yield(i, Row{UserID: user, RoleID: role, Part: rec.Part.Part, Outcome: o}) {
					return
				}
			}
		}
	}
}

// Open lists the names of the tasks that pending pairs of the part wait for: the part's own, and those of dead letters
// that are being tried again.
func (rec PartRecord) Open() (own bool, letters []string) {
	for _, row := range rec.Rows() {
		switch {
		case row.Outcome.Kind != Pending:
		case row.Outcome.Letter == "":
			own = true
		case !slices.Contains(letters, row.Outcome.Letter):
			letters = append(letters, row.Outcome.Letter)
		}
	}
	return own, letters
}

// FinishedError says that a job cannot be cancelled any more.
type FinishedError struct{ Job Job }

func (e *FinishedError) Error() string { return e.Unwrap().Error() }

// Unwrap is its text, which can be said in other languages.
func (e *FinishedError) Unwrap() error {
	return texts.T("job %s is already %s; there is nothing left to cancel", e.Job.JobID, InWords(e.Job.State))
}

// SubmittingError says that a job cannot be cancelled yet.
type SubmittingError struct{ JobID string }

func (e *SubmittingError) Error() string { return e.Unwrap().Error() }

// Unwrap is its text, which can be said in other languages.
func (e *SubmittingError) Unwrap() error {
	return texts.T("job %s is still being submitted, and nothing of it is enqueued: complete the submission by the same command, then cancel it", e.JobID)
}

// Cancel marks the job as cancelled and settles at once what is not being called. What is in flight ends normally, and so does what
// has its role and waits for its management scope.
// Again is harmless and finishes a cancel that was interrupted. A finished job gives a *FinishedError,
// one that is being planned a *SubmittingError.
func (l *Ledger) Cancel(ctx context.Context, jobID, by, why string) (Job, error) {
	job, _, err := l.CancelFirst(ctx, jobID, by, why)
	return job, err
}

// CancelFirst is Cancel, and says whether this call was the one that cancelled the job.
func (l *Ledger) CancelFirst(ctx context.Context, jobID, by, why string) (job Job, first bool, err error) {
	if err := tasks.ValidateJobID(jobID); err != nil {
		return Job{}, false, err
	}
	now := l.now()
	entry, err := encodeEntry(Entry{At: now, Event: EventCancelled, JobID: jobID, By: by, Why: why})
	if err != nil {
		return Job{}, false, err
	}
	reply, err := l.run(ctx, cancelScript, jobID, formatTime(now), by, why, entry, l.retention.Milliseconds())
	if err != nil {
		return Job{}, false, fmt.Errorf("cancel job %s: %w", jobID, err)
	}
	switch reply[0].(int64) {
	case -3:
		return Job{}, false, &SubmittingError{JobID: jobID}
	case -2:
		return Job{}, false, &NotFoundError{JobID: jobID}
	case -1:
		job, err := l.Get(ctx, jobID)
		if err != nil {
			return Job{}, false, err
		}
		return job, false, &FinishedError{Job: job}
	}
	if job, err = l.Get(ctx, jobID); err != nil {
		return Job{}, false, err
	}
	if _, err := l.cancelOpen(ctx, job, by, why, nil); err != nil {
		return Job{}, false, fmt.Errorf("cancel job %s: %w", jobID, err)
	}
	job, err = l.Get(ctx, jobID)
	return job, reply[0] == int64(1), err
}

// Checked records that every open part of the job was seen to have a task.
func (l *Ledger) Checked(ctx context.Context, jobID string) error {
	if _, err := l.run(ctx, checkedScript, jobID, formatTime(l.now())); err != nil {
		return fmt.Errorf("record the check of job %s: %w", jobID, err)
	}
	return nil
}
