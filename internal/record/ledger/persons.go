package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/tasks"
)

// Stays says what CancelUsers did to the pairs of the given people in one job.
type Stays struct {
	JobID string `json:"job_id"`
	// State is that of the job afterwards.
	State State `json:"state"`
	// Cancelled counts the pairs that were taken back by this call.
	Cancelled int64 `json:"cancelled"`
	// InFlight counts those that are being called just now, where DingTalk's answer decides and what it does not accept is
	// cancelled; those that were given back and get their management scope yet; and those that wait in a part that is larger
	// than a call, or still being written, which are cancelled in their turn.
	InFlight int64 `json:"in_flight"`
	// Removed and Dead count what had ended before; what a restore gave back is among Removed.
	Removed int64 `json:"removed"`
	Dead    int64 `json:"dead"`
}

// staysField is the field, among the ids of a job, of somebody whose roles are not to be taken any more.
func staysField(userID string) string { return "c:" + userID }

// CancelUsers takes back what no job has begun of some people: their pairs alone, in every job that has not ended, by and
// why being for the audit. What of them waits in a larger part, or in a dead letter, is cancelled when its turn comes, and in
// no call any more. It returns the jobs that have pairs of them, the latest first. Again is harmless and finishes a call
// that was interrupted. Jobs that ended, and those submitted later, are left alone.
func (l *Ledger) CancelUsers(ctx context.Context, userIDs []string, by, why string) ([]Stays, error) {
	mark, err := json.Marshal(tasks.Failure{ErrMsg: why, FailedAt: l.now().UTC()})
	if err != nil {
		return nil, err
	}
	var done []Stays
	for job, err := range l.Open(ctx) {
		if err != nil {
			return done, err
		}
		concerned, err := l.concerned(ctx, job.JobID, userIDs, len(userIDs))
		if err != nil {
			return done, err
		}
		if job.Planning {
			concerned = userIDs // its parts are still being written: they may come to be about any of them
		}
		if len(concerned) == 0 {
			continue
		}
		one, err := l.cancelUsers(ctx, job, concerned, string(mark), by, why)
		var vanished *NotFoundError
		if errors.As(err, &vanished) {
			continue
		}
		if err != nil {
			return done, fmt.Errorf("cancel people of job %s: %w", job.JobID, err)
		}
		done = append(done, one)
	}
	return done, nil
}

func (l *Ledger) cancelUsers(ctx context.Context, job Job, userIDs []string, mark, by, why string) (Stays, error) {
	entry, err := encodeEntry(Entry{At: l.now(), Event: EventCancelled, JobID: job.JobID, By: by, Why: why, Users: len(userIDs)})
	if err != nil {
		return Stays{}, err
	}
	args := []any{entry}
	for _, id := range userIDs {
		args = append(args, staysField(id), mark)
	}
	// The mark comes first: whatever begins from here on leaves these people out.
	reply, err := l.run(ctx, cancelUsersScript, job.JobID, args...)
	if err != nil {
		return Stays{}, err
	}
	if reply[0].(int64) == -2 {
		return Stays{}, &NotFoundError{JobID: job.JobID}
	}
	of := map[string]bool{}
	for _, id := range userIDs {
		of[id] = true
	}
	cancelled, err := l.cancelOpen(ctx, job, by, why, func(p *tasks.Part) []pairs.User {
		if job.Planning || !p.Fits() {
			return nil // what is written anew, or split, keeps no word about its pairs; the mark is there for it
		}
		var some []pairs.User
		for u, id := range p.UserIDs {
			if of[id] {
				some = append(some, pairs.User(u))
			}
		}
		return some
	})
	if err != nil {
		return Stays{}, err
	}
	s := Stays{JobID: job.JobID, Cancelled: cancelled}
	if err := l.Rows(ctx, job.JobID, func(row Row) error {
		switch {
		case !of[row.UserID]:
		case row.Outcome.Kind == Pending:
			s.InFlight++
		case row.Outcome.Kind == Removed, row.Outcome.Kind == Restored:
			s.Removed++
		case row.Outcome.Kind == Dead:
			s.Dead++
		}
		return nil
	}); err != nil {
		return Stays{}, err
	}
	now, err := l.Get(ctx, job.JobID)
	s.State = now.State
	return s, err
}

// concerned returns those of the people that the job was asked about, in the order given; it stops looking when it has found
// enough of them.
func (l *Ledger) concerned(ctx context.Context, jobID string, userIDs []string, enough int) ([]string, error) {
	found := map[string]bool{}
	all := errors.New("enough are found")
	err := l.Each(ctx, jobID, func(rec PartRecord) error {
		for _, id := range userIDs {
			if !found[id] && slices.Contains(rec.Part.UserIDs, id) {
				found[id] = true
			}
		}
		if len(found) >= enough {
			return all
		}
		return nil
	})
	if err != nil && !errors.Is(err, all) {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(userIDs), func(id string) bool { return !found[id] }), nil
}

// cancelOpen settles as cancelled what of some users of each part, nil meaning all of them, is open and not being called.
// It returns how many pairs that were.
func (l *Ledger) cancelOpen(ctx context.Context, job Job, by, why string, of func(*tasks.Part) []pairs.User) (cancelled int64, err error) {
	now := l.now()
	var at time.Time
	if job.At != nil {
		at = *job.At // the record must outlive the tasks that are scheduled for it
	}
	err = l.Each(ctx, job.JobID, func(rec PartRecord) error {
		about := pairs.Rectangle{}
		if of != nil {
			if about.Users = of(rec.Part); about.Users == nil {
				return nil
			}
		}
		if own, letters := rec.Open(); rec.Begun || !own && letters == nil {
			return nil
		}
		c := &Claim{Part: rec.Part, def: rec.Part, State: rec.State, At: at}
		delta, err := l.change(ctx, c, "idle", func(s *PartState) (Delta, []Entry) {
			d := s.apply(rec.Part, Settlement{Pairs: about, Outcome: Outcome{Kind: Cancelled, ErrMsg: why, At: now}})
			return d, []Entry{{Event: EventCancelled, By: by, Why: why}}
		})
		if errors.Is(err, errBegun) {
			return nil
		}
		cancelled += delta.Cancelled
		return err
	})
	return cancelled, err
}
