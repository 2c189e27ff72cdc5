// Package verify asks DingTalk who holds the roles that a job removed or gave back: an independent proof of what the ledger
// says. It only reads.
package verify

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/unrole/unrole/internal/base/defaults"
	"github.com/unrole/unrole/internal/base/forget"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// Directory lists who holds a role. *dingtalk.Client is one.
type Directory interface {
	RoleHolders(ctx context.Context, roleID int64, offset, size int) (dingtalk.HoldersPage, error)
}

// Pacer hands out the moments to call. *pace.Pacer is one.
type Pacer interface {
	Reserve(ctx context.Context) (pace.Grant, error)
	Report(ctx context.Context, g pace.Grant, o pace.Answer)
}

// Config says what a verification works with. Directory, Pacer and Ledger are required.
type Config struct {
	Directory Directory
	Pacer     Pacer
	Ledger    *ledger.Ledger
	// By names who verifies, for the audit.
	By string
	// Attempts is how often one page is asked for when DingTalk is busy. Default 5.
	Attempts int
	// RetryBase is the first wait between two such attempts; it doubles. Default 1 s.
	RetryBase time.Duration
	// Progress, when set, is told how many roles are done.
	Progress func(done, total int)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Result is what a verification found.
type Result struct {
	ledger.Verification
	// Denied is set when DingTalk would not answer at all (a permission, credentials, a hold of the fleet), so that
	// pairs are unknown until somebody acts.
	Denied bool
	// Contrary are the pairs that are still held although DingTalk said it removed them; of a restore, those that are not held
	// as they were before, although it said it gave them back. Dead are those that are so because they are dead letters, Open
	// those that were cancelled or are not done yet.
	Contrary, Dead, Open Left
	// UnknownDead are the dead letters of roles that DingTalk does not know: nobody can hold those. UnknownOther are all
	// other pairs of which nothing is known.
	UnknownDead, UnknownOther Left
}

// Left counts pairs that are not as the job was to leave them, and names the first of them, at most 20.
type Left struct {
	Pairs int64
	First []ledger.Row
}

const mostNamed = 20

func (l *Left) add(row ledger.Row) {
	if l.Pairs++; len(l.First) < mostNamed {
		l.First = append(l.First, row)
	}
}

// Job asks DingTalk, role by role and a hundred holders a call, about every pair of the job, and keeps the answers in
// the job's record, so that reports carry them. The number of calls goes by how many people hold the roles, not by the
// pairs. Memory goes by the job's distinct users and by who still holds its roles.
//
// A role that could not be read makes its pairs unknown; that is no error. Errors are those of Redis and of ctx.
func Job(ctx context.Context, cfg Config, jobID string) (Result, error) {
	if cfg.Directory == nil || cfg.Pacer == nil || cfg.Ledger == nil {
		return Result{}, errors.New("verify: Directory, Pacer and Ledger are required")
	}
	d := defaults.Of("verify")
	defaults.Fill(d, "Attempts", &cfg.Attempts, 5)
	defaults.Fill(d, "RetryBase", &cfg.RetryBase, time.Second)
	if err := d.Err(); err != nil {
		return Result{}, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	job, err := cfg.Ledger.Get(ctx, jobID)
	if err != nil {
		return Result{}, err
	}
	s := &survey{cfg: cfg, action: job.Action, users: map[string]uint32{}, held: map[int64]holders{}, unknown: map[int64]error{}}
	roles, err := s.readJob(ctx, jobID)
	if err != nil {
		return Result{}, err
	}
	for i, role := range roles {
		if cfg.Progress != nil {
			cfg.Progress(i, len(roles))
		}
		if s.denied != nil {
			s.unknown[role] = s.denied
			continue
		}
		if err := s.ask(ctx, role); err != nil {
			return Result{}, err
		}
	}
	return s.conclude(ctx, jobID, roles)
}

// holders are the users of the job who hold a role, with the departments over which they do, if the job gives back.
type holders map[uint32][]int64

// survey is a verification under way.
type survey struct {
	cfg     Config
	action  tasks.Action
	users   map[string]uint32 // the job's users, numbered
	held    map[int64]holders
	unknown map[int64]error // why nothing is known about a role
	denied  error           // why nothing more is asked
}

// readJob numbers the users of the job and lists its roles in order.
func (s *survey) readJob(ctx context.Context, jobID string) ([]int64, error) {
	seen := map[int64]bool{}
	err := s.cfg.Ledger.Each(ctx, jobID, func(rec ledger.PartRecord) error {
		for _, user := range rec.Part.UserIDs {
			if _, known := s.users[user]; !known && !forget.IsStandIn(user) {
				s.users[user] = uint32(len(s.users))
			}
		}
		for _, role := range rec.Part.RoleIDs {
			seen[role] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	roles := make([]int64, 0, len(seen))
	for role := range seen {
		roles = append(roles, role)
	}
	slices.Sort(roles)
	return roles, nil
}

// ask reads the holders of one role. It returns an error only where the verification cannot go on.
func (s *survey) ask(ctx context.Context, role int64) error {
	found, err := s.holders(ctx, role)
	var denied *deniedError
	switch {
	case err == nil:
		s.held[role] = found
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		if errors.As(err, &denied) {
			s.denied = err
		}
		s.unknown[role] = err
	}
	return nil
}

// conclude gives every pair its verdict, keeps them, and sums them up.
func (s *survey) conclude(ctx context.Context, jobID string, roles []int64) (Result, error) {
	res := Result{Denied: s.denied != nil,
		Verification: ledger.Verification{At: s.cfg.Now(), By: s.cfg.By, Action: s.action, Why: s.why(roles)}}
	err := s.cfg.Ledger.Each(ctx, jobID, func(rec ledger.PartRecord) error {
		said := make([]ledger.Verdict, 0, rec.Part.Pairs())
		scopes := map[string]map[int64][]int64{}
		for _, scope := range rec.Part.Scopes {
			if scopes[scope.UserID] == nil {
				scopes[scope.UserID] = map[int64][]int64{}
			}
			scopes[scope.UserID][scope.RoleID] = scope.Departments
		}
		for _, user := range rec.Part.UserIDs {
			for _, role := range rec.Part.RoleIDs {
				said = append(said, s.verdict(user, role, scopes[user][role]))
			}
		}
		for i, row := range rec.Rows() {
			res.count(said[i], row)
		}
		return s.cfg.Ledger.PutVerdicts(ctx, rec, res.At, said)
	})
	if err != nil {
		return Result{}, err
	}
	return res, s.cfg.Ledger.PutVerification(ctx, jobID, res.Verification)
}

// verdict is that of a pair which had the management scope of these departments before; without any, its scope does not count.
func (s *survey) verdict(user string, role int64, departments []int64) ledger.Verdict {
	found, known := s.held[role]
	n, ours := s.users[user]
	scope, holds := found[n]
	switch {
	case !known || !ours: // a part that came into the job after it was read, or somebody who was erased
		return ledger.VerdictUnknown
	case s.action == tasks.Remove && holds:
		return ledger.StillHeld
	case s.action == tasks.Remove:
		return ledger.Gone
	case !holds:
		return ledger.NotHeld
	case len(departments) > 0 && !sameSet(scope, departments):
		return ledger.OtherScope
	default:
		return ledger.Held
	}
}

func sameSet(a, b []int64) bool {
	return slices.Equal(slices.Compact(slices.Sorted(slices.Values(a))), slices.Compact(slices.Sorted(slices.Values(b))))
}

func (r *Result) count(v ledger.Verdict, row ledger.Row) {
	r.Add(v)
	switch {
	case v.Contrary():
		switch row.Outcome.Kind {
		case ledger.Removed, ledger.Restored:
			r.Contrary.add(row)
		case ledger.Dead:
			r.Dead.add(row)
		default:
			r.Open.add(row)
		}
	case v == ledger.VerdictUnknown:
		if row.Outcome.Kind == ledger.Dead && row.Outcome.Reason == tasks.ReasonInvalidRole {
			r.UnknownDead.add(row)
		} else {
			r.UnknownOther.add(row)
		}
	}
}

// why says in one line why pairs are unknown: the first reason, and how many roles it and others concern.
func (s *survey) why(roles []int64) string {
	for _, role := range roles {
		if err := s.unknown[role]; err != nil {
			if n := len(s.unknown); n > 1 {
				return texts.T("role %s and %d more: %v", strconv.FormatInt(role, 10), n-1, err).String()
			}
			return texts.T("of role %s: %v", strconv.FormatInt(role, 10), err).String()
		}
	}
	return ""
}
