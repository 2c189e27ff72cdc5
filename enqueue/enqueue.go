// Package enqueue is the producer library: it reads removals, checks them, plans them into the fewest calls, and
// submits them to the workers through Redis. It is what `unrole enqueue`, the HTTP intake and Go services use.
//
// Nothing is sent before everything is checked, and a submission is idempotent: the same job id with the same pairs
// and time is one job, however often and from however many processes it is submitted, also after a crash in the
// middle. The same job id with anything else is refused.
//
// Compatibility: the exported names of this package and the form of the tasks it writes follow semantic versioning;
// fields may be added, nothing is changed or taken away within a major version.
package enqueue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/defaults"
	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/in/cover"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/producer"
	"github.com/unrole/unrole/internal/record/snapshot"
	"github.com/unrole/unrole/tasks"
)

// DefaultMaxUsers is how many distinct users one submission may concern without somebody's word that this is meant.
const DefaultMaxUsers = 500

// Config says where a Client submits to. Redis is required.
type Config struct {
	Redis redis.UniversalClient
	// Protected users and roles refuse a submission whole; nil protects nobody. Workers check theirs again.
	Protected ProtectedIDs
	// Retention is how long the record of a finished job is kept. Zero means 30 days; negative is refused.
	Retention time.Duration
	// Secret is what nobody knows who reads Redis, the app's secret say: by it, what was asked by names is known again (see Ask) and
	// cannot be guessed from the record. Empty means a key that is kept in Redis. All who submit should have the same.
	Secret []byte
}

// Client submits removals. It is safe for concurrent use.
type Client struct {
	cfg    Config
	ledger *ledger.Ledger
	asynq  *asynq.Client
}

// NewClient returns a client. It makes no connection yet.
func NewClient(cfg Config) (*Client, error) {
	if cfg.Redis == nil {
		return nil, errors.New("enqueue: Config.Redis is required")
	}
	d := defaults.Of("enqueue")
	defaults.Fill(d, "Retention", &cfg.Retention, ledger.DefaultRetention)
	if err := d.Err(); err != nil {
		return nil, err
	}
	return &Client{cfg: cfg, ledger: ledger.New(cfg.Redis, cfg.Retention), asynq: asynq.NewClientFromRedisClient(cfg.Redis)}, nil
}

// Submission is a removal to submit. Removals is required.
type Submission struct {
	Removals *Removals
	// JobID is [A-Za-z0-9._-]{1,64}; empty means a new one. Choose one to make a submission repeatable.
	JobID string
	// Source and Reason are for the audit: who asks (a system's name), and why.
	Source, Reason string
	// Priority is the lane: urgent, default (also when empty) or bulk.
	Priority string
	// At is when the removal takes effect; zero or a time in the past means at once.
	At time.Time
	// SubmittedBy names the person or token, for the audit.
	SubmittedBy string
	// MaxUsers refuses a submission that concerns more distinct users, with a *GuardError. 0 means DefaultMaxUsers,
	// negative means no limit: somebody confirmed it.
	MaxUsers int
	// AwaitApproval keeps the job from beginning until somebody approves it (`unrole jobs approve`); meanwhile it is
	// scheduled, and may be cancelled.
	AwaitApproval bool
	// LastLook keeps the job from beginning, also where it is due and approved, until whoever submitted it has looked again
	// whether it still stands and calls Begin; meanwhile it is scheduled, and may be cancelled.
	LastLook bool
	// OtherApproves says that another person than SubmittedBy has to approve it.
	OtherApproves bool
	// Action is what is done with the pairs: tasks.Remove, also when it is left out, or tasks.Add, which gives back what a
	// removal took, with the management scopes of Snapshot. Restores is the job that took it, if it is known here.
	Action   tasks.Action
	Restores string
	// Asked names the request that Removals was made of, where another one of the same JobID is told apart by that: what a
	// restore gives back depends on the moment. It is kept with the job.
	Asked string
	// Plan is what PlanOf made of Removals for this JobID, where the caller has it already; nil makes a new one. Submit
	// refuses a plan of another job or of other pairs.
	Plan []tasks.Part
	// Simulated says that the workers call a simulator: the job's record, its reports and its audit say so.
	Simulated bool
	// Snapshot is what a preflight saw of the pairs, the removals being those that were held; nil where there was none. It is
	// kept with the job, and makes it possible to restore.
	Snapshot *Snapshot
	// Progress, when set, is told how many of the parts are written and enqueued.
	Progress func(done, total int)

	resolved *int64 // the lead by which it was looked up, see SubmitResolved
}

// Snapshot is what DingTalk showed of the pairs of a removal before it was submitted: when that was, which pairs nobody
// held, and the management scopes of those that were held.
type Snapshot = snapshot.Snapshot

// SnapshotPair and SnapshotScope are a user and a role in a Snapshot, and the departments over which he has it.
type (
	SnapshotPair  = snapshot.Pair
	SnapshotScope = snapshot.Scope
)

// Submitted is what became of a submission.
type Submitted struct {
	Job Job
	// Existed is true when the job had been submitted before, with the same content.
	Existed bool
}

// Submit checks, plans and submits. When it returns without an error every pair is durable in Redis and will end
// removed, as a dead letter, or cancelled. After any other error the same call again, with the same JobID, completes
// the submission without doubling anything.
//
// Errors: *GuardError, *ProtectedError, *ConflictError, ErrInProgress, and those of Redis. Nothing was sent after one of
// the first three.
func (c *Client) Submit(ctx context.Context, s Submission) (Submitted, error) {
	if err := c.check(&s); err != nil {
		return Submitted{}, err
	}
	parts := s.Plan
	if parts == nil {
		parts = plan(s.Removals, s.JobID, s.Action)
		putScopes(parts, s.Snapshot)
	}
	digest, err := planDigest(parts)
	if err != nil {
		return Submitted{}, err
	}
	for try := 1; ; try++ {
		done, err := c.submit(ctx, s, digest, parts)
		var superseded *ledger.SupersededError
		if !errors.As(err, &superseded) {
			return done, err
		}
		if try == submitTries {
			return Submitted{}, fmt.Errorf("job %s: %w", s.JobID, ErrInProgress)
		}
	}
}

// submitTries is how often Submit begins anew because another process, which planned the same pairs otherwise, took over.
const submitTries = 3

func (c *Client) submit(ctx context.Context, s Submission, plan string, parts []tasks.Part) (Submitted, error) {
	created, err := c.ledger.Create(ctx, ledger.NewJob{JobID: s.JobID, Source: s.Source, Reason: s.Reason, Priority: s.Priority,
		SubmittedBy: s.SubmittedBy, CreatedAt: time.Now(), At: s.At, Pairs: s.Removals.Pairs(), Users: len(s.Removals.Users()),
		Roles: len(s.Removals.Roles()), Content: contentOf(s), Plan: plan, Parts: len(parts), Awaiting: awaiting(s), LastLook: s.LastLook, OtherApproves: s.OtherApproves, Simulated: s.Simulated,
		Snapshot: s.Snapshot, Action: s.Action, Restores: s.Restores, Asked: s.Asked, Resolved: s.resolved})
	if err != nil {
		return Submitted{}, err
	}
	if s.Restores != "" {
		if err := c.ledger.RestoredBy(ctx, s.Restores, s.JobID); err != nil {
			return Submitted{}, err
		}
	}
	waits := s.AwaitApproval || s.LastLook
	if created.Existed {
		// Whether it waits was decided when it was first submitted.
		job, err := c.ledger.Get(ctx, s.JobID)
		if err != nil {
			return Submitted{}, err
		}
		waits = job.Awaiting != ""
	}
	if created.NeedParts {
		written, err := c.writeParts(ctx, s, plan, parts)
		if err != nil {
			return Submitted{}, err
		}
		// Otherwise another process has written its plan of the same content; that one is enqueued below.
		if written && !waits {
			if err := c.enqueue(ctx, s, parts); err != nil {
				return Submitted{}, err
			}
			created.NeedTasks = false
		}
	}
	job, err := c.ledger.Get(ctx, s.JobID)
	if err != nil {
		return Submitted{}, err
	}
	if created.NeedTasks {
		if _, err := producer.Repair(ctx, c.ledger, c.cfg.Redis, c.asynq, job); err != nil {
			return Submitted{}, err
		}
		if job, err = c.ledger.Get(ctx, s.JobID); err != nil {
			return Submitted{}, err
		}
	}
	return Submitted{Job: job, Existed: created.Existed}, nil
}

// contentOf names what is asked for: a restore of the same pairs is something else.
func contentOf(s Submission) string {
	if s.Action == tasks.Add {
		return string(s.Action) + ":" + s.Removals.Digest()
	}
	return s.Removals.Digest()
}

func awaiting(s Submission) string {
	switch {
	case s.AwaitApproval:
		return ledger.AwaitingApproval
	case s.LastLook:
		return ledger.AwaitingLastLook
	}
	return ""
}

// check validates a submission and fills in its defaults.
func (c *Client) check(s *Submission) error {
	if s.Removals == nil || s.Removals.Pairs() == 0 {
		return errors.New("enqueue: a submission needs at least one pair")
	}
	if err := defaultJob(&s.JobID, &s.Priority); err != nil {
		return err
	}
	if err := checkPlan(s); err != nil {
		return err
	}
	if s.MaxUsers == 0 {
		s.MaxUsers = DefaultMaxUsers
	}
	if s.MaxUsers > 0 {
		if err := Guard(s.Removals, s.MaxUsers); err != nil {
			return err
		}
	}
	if c.cfg.Protected != nil {
		return s.Removals.CheckProtected(c.cfg.Protected)
	}
	return nil
}

// checkPlan refuses a plan that is not one of the submission's pairs, each in the hands of one call.
func checkPlan(s *Submission) error {
	if s.Plan == nil {
		return nil
	}
	planned := &Removals{}
	names := make(map[string]bool, len(s.Plan))
	for i := range s.Plan {
		p := &s.Plan[i]
		switch err := p.Validate(); {
		case err != nil:
			return fmt.Errorf("call %d of the plan: %w", i, err)
		case p.JobID != s.JobID:
			return fmt.Errorf("call %d of the plan is of job %s, the submission is job %s: plan with the submission's job id", i, p.JobID, s.JobID)
		case p.Action != s.Action:
			return fmt.Errorf("call %d of the plan does something else than the submission", i)
		case !p.Fits():
			return fmt.Errorf("call %d of the plan is larger than a call may be", i)
		case names[p.Part]:
			return fmt.Errorf("two calls of the plan are named %s", p.Part)
		}
		names[p.Part] = true
		if err := planned.addOwned(p); err != nil {
			return fmt.Errorf("call %d of the plan %w", i, err)
		}
	}
	if planned.Digest() != s.Removals.Digest() {
		return fmt.Errorf("the plan has %d pairs of other content than the %d of the removals: plan these removals", planned.Pairs(), s.Removals.Pairs())
	}
	return nil
}

// addOwned adds the pairs that a call of a plan owns; one that is there already has two owners.
func (r *Removals) addOwned(p *tasks.Part) error {
	for user, role := range p.EachOwned() {
		if !r.Add(user, role) {
			return fmt.Errorf("owns %s/%d a second time", user, role)
		}
	}
	return nil
}

// partsPerWrite keeps one write to the ledger at some hundred kilobytes.
const partsPerWrite = 200

func (c *Client) writeParts(ctx context.Context, s Submission, plan string, parts []tasks.Part) (bool, error) {
	for from := 0; from < len(parts); from += partsPerWrite {
		mine, err := c.ledger.PutParts(ctx, s.JobID, plan, parts[from:min(from+partsPerWrite, len(parts))])
		if err != nil || !mine {
			return false, err
		}
	}
	return true, c.ledger.Planned(ctx, s.JobID, plan, len(parts))
}

func (c *Client) enqueue(ctx context.Context, s Submission, parts []tasks.Part) error {
	const chunk = 1000
	for from := 0; from < len(parts); from += chunk {
		to := min(from+chunk, len(parts))
		if err := producer.Enqueue(ctx, c.asynq, parts[from:to], s.Priority, s.At); err != nil {
			return err
		}
		if s.Progress != nil {
			s.Progress(to, len(parts))
		}
	}
	return c.ledger.Submitted(ctx, s.JobID)
}

// PlanOf covers the removals with parts of at most one call each, in close to the fewest calls possible. The same
// removals in the same order always give the same parts.
func PlanOf(r *Removals, jobID string) []tasks.Part { return plan(r, jobID, tasks.Remove) }

// RestoreOf is PlanOf for giving back: its calls take fewer users.
func RestoreOf(r *Removals, jobID string) []tasks.Part { return plan(r, jobID, tasks.Add) }

func plan(r *Removals, jobID string, action tasks.Action) []tasks.Part {
	calls := cover.Plan(r.matrix(), pairs.MostOf(action))
	parts := make([]tasks.Part, len(calls))
	users, roles := r.Users(), r.Roles()
	for i, call := range calls {
		p := tasks.Part{V: action.Version(), JobID: jobID, Part: fmt.Sprint(i), Action: action, Own: call.Own,
			UserIDs: make([]string, len(call.Users)), RoleIDs: make([]int64, len(call.Roles))}
		for j, u := range call.Users {
			p.UserIDs[j] = users[u]
		}
		for j, role := range call.Roles {
			p.RoleIDs[j] = roles[role]
		}
		parts[i] = p
	}
	return parts
}

// putScopes gives each part that adds the management scopes of its own pairs.
func putScopes(parts []tasks.Part, seen *Snapshot) {
	if seen == nil {
		return
	}
	scopes := make(map[SnapshotPair][]int64, len(seen.Scopes))
	for _, s := range seen.Scopes {
		scopes[s.Pair] = s.Departments
	}
	for i := range parts {
		if p := &parts[i]; p.Action == tasks.Add {
			for user, role := range p.EachOwned() {
				if departments := scopes[SnapshotPair{UserID: user, RoleID: role}]; departments != nil {
					p.Scopes = append(p.Scopes, tasks.Scope{UserID: user, RoleID: role, Departments: departments})
				}
			}
		}
	}
}

var limits = pairs.MostOf(tasks.Remove)

// Savings says what the simple ways of removing the same pairs would take, in calls.
type Savings struct{ OnePerUser, OnePerRoleSet, OnePerRole int }

// SavingsOf counts the calls of the simple ways.
func SavingsOf(r *Removals) Savings {
	m := r.matrix()
	return Savings{OnePerUser: cover.OnePerUser(m, limits), OnePerRoleSet: cover.OnePerRoleSet(m, limits), OnePerRole: cover.OnePerRole(m, limits)}
}

func planDigest(parts []tasks.Part) (string, error) {
	h := sha256.New()
	for i := range parts {
		b, err := parts[i].Encode()
		if err != nil {
			return "", err
		}
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
