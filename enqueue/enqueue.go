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
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/defaults"
	"github.com/unrole/unrole/internal/base/trace"
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
}

// Client submits removals. It is safe for concurrent use.
type Client struct {
	cfg    Config
	ledger *ledger.Ledger
	asynq  *asynq.Client
	// first: a submission has begun; begun is closed when the first one has ended. See begin.
	first atomic.Bool
	begun chan struct{}
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
	return &Client{cfg: cfg, ledger: ledger.New(cfg.Redis, cfg.Retention), asynq: asynq.NewClientFromRedisClient(cfg.Redis), begun: make(chan struct{})}, nil
}

// Submission is a removal to submit. Removals is required.
type Submission struct {
	// Removals may be empty where there is a Snapshot: nobody holds anything of what was asked for then, and the job is over as soon
	// as it is there, for its record and its report.
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
	// restore gives back, and what all roles of somebody are, depends on the moment. It is kept with the job.
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
}

// Snapshot is what DingTalk showed of the pairs of a removal before it was submitted: when that was, which pairs nobody
// held, and the management scopes of those that were held.
type Snapshot = snapshot.Snapshot

// SnapshotPair and SnapshotScope are a user and a role in a Snapshot, and the departments over which that user has it.
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
		var lost *ledger.NotFoundError
		switch {
		case !errors.As(err, &superseded) && !errors.As(err, &lost):
			return done, err
		case try < submitTries:
		case superseded != nil:
			return Submitted{}, fmt.Errorf("job %s: %w", s.JobID, ErrInProgress)
		default:
			return Submitted{}, err
		}
	}
}

// submitTries is how often Submit begins anew because another process, which planned the same pairs otherwise, took over, or because
// Redis was started again and has lost what was submitted so far.
const submitTries = 3

func (c *Client) submit(ctx context.Context, s Submission, plan string, parts []tasks.Part) (Submitted, error) {
	job := ledger.NewJob{JobID: s.JobID, Source: s.Source, Reason: s.Reason, Priority: s.Priority,
		SubmittedBy: s.SubmittedBy, CreatedAt: time.Now(), At: s.At, Pairs: s.Removals.Pairs(), Users: len(s.Removals.Users()),
		Roles: len(s.Removals.Roles()), Content: contentOf(s), Plan: plan, Parts: len(parts), Planned: parts, Awaiting: awaiting(s), LastLook: s.LastLook, OtherApproves: s.OtherApproves, Simulated: s.Simulated,
		Snapshot: s.Snapshot, Action: s.Action, Restores: s.Restores, Asked: s.Asked, Trace: trace.Parent(ctx)}
	create := c.ledger.Create
	if len(parts) <= partsPerWrite && s.Restores == "" {
		create = c.ledger.CreateWhole
		leave, err := c.begin(ctx)
		if err != nil {
			return Submitted{}, err
		}
		defer leave()
	}
	created, err := create(ctx, job)
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
		found, err := c.ledger.Get(ctx, s.JobID)
		if err != nil {
			return Submitted{}, err
		}
		waits = found.Awaiting != ""
	}
	if created.NeedParts {
		if created.Written, err = c.writeParts(ctx, s, plan, parts); err != nil {
			return Submitted{}, err
		}
	}
	// Otherwise another process has written its plan of the same content; that one is enqueued below.
	if created.Written && !waits {
		done, err := c.enqueue(ctx, s, parts)
		return Submitted{Job: done, Existed: created.Existed}, err
	}
	done, err := c.ledger.Get(ctx, s.JobID)
	if err != nil {
		return Submitted{}, err
	}
	if created.NeedTasks {
		if _, err := producer.Repair(ctx, c.ledger, c.cfg.Redis, c.asynq, done); err != nil {
			return Submitted{}, err
		}
		if done, err = c.ledger.Get(ctx, s.JobID); err != nil {
			return Submitted{}, err
		}
	}
	return Submitted{Job: done, Existed: created.Existed}, nil
}

// begin has the first small submission of a client go alone, and returns to the others when that has ended: it brings the scripts
// to Redis that hundreds beside it would each send whole. leave is to be called at the end.
func (c *Client) begin(ctx context.Context) (leave func(), err error) {
	if c.first.CompareAndSwap(false, true) {
		return func() { close(c.begun) }, nil
	}
	select {
	case <-c.begun:
		return func() {}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// contentOf names what is asked for: a restore of the same pairs is something else. Where nothing of it is held, what it is about are
// the pairs that nobody held, or, where nobody was asked about by pairs, the request itself.
func contentOf(s Submission) string {
	switch {
	case s.Action == tasks.Add:
		return string(s.Action) + ":" + s.Removals.Digest()
	case s.Removals.Pairs() > 0:
		return s.Removals.Digest()
	}
	wanted := &Removals{}
	for _, p := range s.Snapshot.NotHeld {
		wanted.Add(p.UserID, p.RoleID)
	}
	switch {
	case wanted.Pairs() > 0:
	case s.Asked != "":
		return "asked:" + s.Asked
	default: // by a saved plan: nothing but the look itself tells it from another
		return "seen:" + s.Snapshot.SeenAt.UTC().Format(time.RFC3339Nano)
	}
	return "not held:" + wanted.Digest()
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
	if s.Removals == nil || s.Removals.Pairs() == 0 && (s.Snapshot == nil || s.Action != tasks.Remove) {
		return errors.New("enqueue: a submission needs at least one pair, or the Snapshot by which nobody holds what is to be removed")
	}
	if err := defaults.Job(&s.JobID, &s.Priority); err != nil {
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

func (c *Client) enqueue(ctx context.Context, s Submission, parts []tasks.Part) (ledger.Job, error) {
	const chunk = 1000
	for from := 0; from < len(parts); from += chunk {
		to := min(from+chunk, len(parts))
		if err := producer.Enqueue(ctx, c.asynq, parts[from:to], s.Priority, s.At); err != nil {
			return ledger.Job{}, err
		}
		if s.Progress != nil {
			s.Progress(to, len(parts))
		}
	}
	return c.ledger.SubmittedWhole(ctx, s.JobID)
}
