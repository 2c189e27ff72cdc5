// Package restore decides what of a job's removals can be given back, and makes a submission of it.
package restore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/forget"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/snapshot"
	"github.com/unrole/unrole/tasks"
)

// Wish is what somebody wants back. JobID is required.
type Wish struct {
	JobID string
	// Users and Roles are whose and which; nil means all.
	Users []string
	Roles []int64
	// FromRemoved gives back what DingTalk said it removed, where nobody looked who held it before.
	FromRemoved bool
	// EvenLater gives back also what a later job removed again.
	EvenLater bool
	// As is the job id that the restore is to have, where it is chosen already: what that job gives back was not given back
	// before. See Submitted.
	As string
}

// asked names the wish, whatever of it can be given back at the moment.
func (w Wish) asked() string {
	users, roles := slices.Sorted(slices.Values(w.Users)), slices.Sorted(slices.Values(w.Roles))
	text, _ := json.Marshal([]any{w.JobID, slices.Compact(users), slices.Compact(roles), w.FromRemoved, w.EvenLater}) // nothing of it can fail
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

func (w Wish) wants(user string, role int64) bool {
	return (w.Users == nil || slices.Contains(w.Users, user)) && (w.Roles == nil || slices.Contains(w.Roles, role))
}

// strangers refuses a wish for users and roles that were not met.
func (w Wish) strangers(users map[string]bool, roles map[int64]bool) error {
	strangers := &StrangersError{JobID: w.JobID}
	for _, id := range w.Users {
		if !users[id] {
			strangers.Users = append(strangers.Users, id)
		}
	}
	for _, id := range w.Roles {
		if !roles[id] {
			strangers.Roles = append(strangers.Roles, id)
		}
	}
	if strangers.Users == nil && strangers.Roles == nil {
		return nil
	}
	return strangers
}

// TakenError says that a job of the id that a restore is to have is something else.
type TakenError struct{ JobID string }

func (e *TakenError) Error() string { return e.Unwrap().Error() }

// Unwrap is its text, which can be said in other languages.
func (e *TakenError) Unwrap() error {
	return texts.T("job id %s is taken by another job, or by a restore of something else; take another job id", e.JobID)
}

// Submitted finds the job Wish.As that was submitted, whole, for the same wish before; nil where there is none. So the same
// wish again is the same job, whatever the first one has given back by now. Another job of that id gives a *TakenError.
func Submitted(ctx context.Context, l *ledger.Ledger, wish Wish) (*ledger.Job, error) {
	if wish.As == "" {
		return nil, nil
	}
	job, err := l.Get(ctx, wish.As)
	var unknown *ledger.NotFoundError
	switch {
	case errors.As(err, &unknown):
		return nil, nil
	case err != nil:
		return nil, err
	case job.Action != tasks.Add || job.Asked != wish.asked():
		return nil, &TakenError{JobID: job.JobID}
	case job.Planning:
		return nil, nil
	}
	return &job, nil
}

// Plan is what would be given back, and what of the wish would not.
type Plan struct {
	// Job is the one whose removals are given back; zero where that is read from a report.
	Job ledger.Job
	// Removals are the pairs that would be given back; there is at least one.
	Removals *enqueue.Removals
	// Scopes are the management scopes that some of them had.
	Scopes []enqueue.SnapshotScope
	// Later are pairs that a later job removed, which are left out; Back counts those that were given back since, or are
	// being.
	Later []Later
	Back  int
	// BackBy is one of the jobs that gave back what Back counts.
	BackBy string
	// TooWide are pairs that had more departments than DingTalk takes in one call: they are left out.
	TooWide []enqueue.SnapshotScope
	// Kept counts pairs that the job did not take: dead letters, cancelled ones, and those that are pending; and those of people
	// whose data was erased.
	Kept int
	// Unseen says that nobody looked who held the roles before: some of them may not have been held.
	Unseen bool

	seenAt time.Time
	asked  string
}

// Later is a pair that was removed again, and the job that did it.
type Later struct {
	enqueue.SnapshotPair
	JobID string
}

// Of finds out what can be given back, by the job's record and those of all jobs since. It changes nothing.
//
// Errors: *ledger.NotFoundError, *RestoreError, *NoSnapshotError, *StrangersError, *NothingError, and those of Redis.
func Of(ctx context.Context, l *ledger.Ledger, wish Wish) (*Plan, error) {
	job, err := l.Get(ctx, wish.JobID)
	if err != nil {
		return nil, err
	}
	if job.Action == tasks.Add {
		return nil, &RestoreError{JobID: job.JobID}
	}
	seen, err := l.Snapshot(ctx, wish.JobID)
	if err != nil {
		return nil, err
	}
	if seen == nil && !wish.FromRemoved {
		return nil, &NoSnapshotError{JobID: job.JobID}
	}
	p := &Plan{Job: job, Removals: &enqueue.Removals{}, Unseen: seen == nil, seenAt: job.CreatedAt, asked: wish.asked()}
	scopes := map[enqueue.SnapshotPair][]int64{}
	if seen != nil {
		p.seenAt = seen.SeenAt
		for _, s := range seen.Scopes {
			scopes[s.Pair] = s.Departments
		}
	}
	taken, err := p.taken(ctx, l, wish)
	if err != nil {
		return nil, err
	}
	since := ledger.Words{}
	for _, pair := range taken {
		since[pair.UserID] = map[int64]ledger.Word{}
	}
	if err := l.Since(ctx, job, func(other ledger.Job) bool { return other.JobID != wish.As }, since); err != nil {
		return nil, err
	}
	for _, pair := range taken {
		last, said := since[pair.UserID][pair.RoleID]
		departments := scopes[pair]
		switch {
		case said && last.Action == tasks.Add:
			p.Back, p.BackBy = p.Back+1, last.JobID
		case said && !wish.EvenLater:
			p.Later = append(p.Later, Later{pair, last.JobID})
		default:
			p.add(pair, departments)
		}
	}
	if p.Removals.Pairs() == 0 {
		return nil, &NothingError{Plan: p}
	}
	return p, nil
}

// add has a pair given back with the management scope of these departments, where that is possible.
func (p *Plan) add(pair enqueue.SnapshotPair, departments []int64) bool {
	scope := enqueue.SnapshotScope{Pair: pair, Departments: departments}
	if len(departments) > tasks.MaxDepartments {
		p.TooWide = append(p.TooWide, scope)
		return false
	}
	if p.Removals.Add(pair.UserID, pair.RoleID) && len(departments) > 0 {
		p.Scopes = append(p.Scopes, scope)
	}
	return true
}

// taken lists the pairs of the wish that the job removed, user by user.
func (p *Plan) taken(ctx context.Context, l *ledger.Ledger, wish Wish) ([]enqueue.SnapshotPair, error) {
	users, roles := map[string]bool{}, map[int64]bool{}
	var taken []enqueue.SnapshotPair
	err := l.Rows(ctx, wish.JobID, func(row ledger.Row) error {
		if !wish.wants(row.UserID, row.RoleID) {
			return nil
		}
		users[row.UserID], roles[row.RoleID] = true, true
		if row.Outcome.Kind != ledger.Removed || forget.IsStandIn(row.UserID) {
			p.Kept++
			return nil
		}
		taken = append(taken, enqueue.SnapshotPair{UserID: row.UserID, RoleID: row.RoleID})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := wish.strangers(users, roles); err != nil {
		return nil, err
	}
	slices.SortFunc(taken, snapshot.Compare)
	return taken, nil
}

// Submission is the plan as a submission: what the caller says of job id, lane, source, reason and the like is kept.
func (p *Plan) Submission(s enqueue.Submission) enqueue.Submission {
	s.Removals, s.Action, s.Restores = p.Removals, tasks.Add, p.Job.JobID
	s.Asked = p.asked
	s.Simulated = p.Job.Simulated
	if !p.Unseen || p.Scopes != nil {
		s.Snapshot = &enqueue.Snapshot{SeenAt: p.seenAt, Scopes: p.Scopes}
	}
	return s
}

// Calls is how many calls the plan takes, without faults.
func (p *Plan) Calls() int {
	return len(enqueue.RestoreOf(p.Removals, "plan")) + len(p.Scopes)
}
