package ledger

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/snapshot"
	"github.com/unrole/unrole/tasks"
)

// The phases of a submission. In planning the parts are written into the record and nothing is enqueued yet; once
// planned, the record says what the parts are, and whoever finds them not enqueued may do it; submitted means that
// asynq has all of them.
const (
	phasePlanning  = "planning"
	phasePlanned   = "planned"
	phaseSubmitted = "submitted"
	// Before them, where people and roles have to be looked up; and what such a job ends in that has no pairs.
	phaseResolving = "resolving"
	phaseRefused   = "refused"
	phaseWithdrawn = "withdrawn"
)

// New job, as Create takes it.
type NewJob struct {
	JobID, Source, Reason, Priority, SubmittedBy string
	CreatedAt                                    time.Time
	At                                           time.Time // zero: at once
	Awaiting                                     string    // AwaitingApproval, AwaitingLastLook, or empty
	LastLook                                     bool      // once approved, it waits for Begin
	OtherApproves                                bool      // see Job.OtherApproves
	Simulated                                    bool      // see Job.Simulated
	// Action is what is done with the pairs, Restores the job whose removals are given back by it, if there is one.
	Action   tasks.Action
	Restores string
	Asked    string // see Job.Asked
	// Snapshot is what a preflight saw, nil where there was none. It is durable before anything of the job is enqueued.
	Snapshot            *snapshot.Snapshot
	Pairs, Users, Roles int
	// Content identifies the pairs asked for, whatever their order: same job id and other content is refused.
	Content string
	// Plan identifies the parts, so that two plans of the same content cannot mix.
	Plan  string
	Parts int
	// Resolved says by which lead it was looked up what the job means, whose record is there; nil where nothing had to be.
	Resolved *int64
}

// Created says what Create found.
type Created struct {
	// Existed is true when the job was there before, with the same content.
	Existed bool
	// NeedParts: the parts are to be written with PutParts and Planned.
	NeedParts bool
	// NeedTasks: the parts are to be enqueued, then Submitted called.
	NeedTasks bool
}

// ConflictError says that the job id is taken by other content.
type ConflictError struct {
	JobID        string
	Have, Want   int64 // pairs
	HaveAt       string
	WantAt       string
	SamePairs    bool
	HaveUsers    int64
	WantUsers    int64
	HaveRoles    int64
	WantRoles    int64
	HaveCreated  time.Time
	HaveSource   string
	HaveFinished bool
	// Erased says that people of the job were erased: nothing tells any more whether it is the same.
	Erased bool
	// Named says that this submission, or the job, names people or roles that have to be looked up.
	Named bool
}

func (e *ConflictError) Error() string { return e.In(texts.English) }

// In says it in a language.
func (e *ConflictError) In(l texts.Lang) string {
	if e.Erased {
		return texts.T("job id %s is taken: people of the job of %s were erased since, so that nothing tells whether this is the same; take another job id",
			e.JobID, e.HaveCreated.Format(time.RFC3339)).In(l)
	}
	switch {
	case e.Named && e.SamePairs:
		return texts.T("job id %s is taken: the same was asked %s for %s, this submission is for %s; take another job id",
			e.JobID, e.HaveCreated.Format(time.RFC3339), orAtOnce(e.HaveAt), orAtOnce(e.WantAt)).In(l)
	case e.Named:
		return texts.T("job id %s is taken by other content: something else was asked %s; take another job id", e.JobID, e.HaveCreated.Format(time.RFC3339)).In(l)
	case e.SamePairs:
		return texts.T("job id %s is taken: the same pairs were submitted %s for %s, this submission is for %s; take another job id",
			e.JobID, e.HaveCreated.Format(time.RFC3339), orAtOnce(e.HaveAt), orAtOnce(e.WantAt)).In(l)
	}
	return texts.T("job id %s is taken by other content: the job of %s has %d pairs (%d users, %d roles), this submission has %d (%d users, %d roles); take another job id",
		e.JobID, e.HaveCreated.Format(time.RFC3339), e.Have, e.HaveUsers, e.HaveRoles, e.Want, e.WantUsers, e.WantRoles).In(l)
}

func orAtOnce(at string) texts.Text {
	if at == "" {
		return texts.T("at once")
	}
	return texts.T("%s", at)
}

// SupersededError says that another submission of the same job, planned otherwise, took over.
type SupersededError struct{ JobID string }

func (e *SupersededError) Error() string { return e.In(texts.English) }

// In says it in a language.
func (e *SupersededError) In(l texts.Lang) string {
	return texts.T("job %s is being submitted by another process; the same command again shows its progress", e.JobID).In(l)
}

// Create opens the record of a job, or finds it: the same id and content is the same job. Other content gives a
// *ConflictError.
func (l *Ledger) Create(ctx context.Context, j NewJob) (Created, error) {
	// First the indexes: a name without a record is dropped by who reads them, a record without a name would never be seen.
	if _, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.ZAddNX(ctx, indexKey, redis.Z{Score: float64(j.CreatedAt.UnixMicro()), Member: j.JobID})
		p.ZAdd(ctx, openKey, redis.Z{Score: float64(l.now().UnixMicro()), Member: j.JobID})
		if j.Action == tasks.Add {
			p.ZAdd(ctx, restoresKey, redis.Z{Score: float64(l.now().UnixMicro()), Member: j.JobID})
		}
		return nil
	}); err != nil {
		return Created{}, fmt.Errorf("create job %s: %w", j.JobID, err)
	}
	event, lead := EventSubmitted, ""
	if j.Resolved != nil {
		event, lead = EventResolved, strconv.FormatInt(*j.Resolved, 10)
	}
	entry, err := encodeEntry(Entry{At: j.CreatedAt, Event: event, JobID: j.JobID, By: j.SubmittedBy, Why: j.Reason,
		Source: j.Source, Pairs: int64(j.Pairs), Users: j.Users, Roles: j.Roles, Simulated: j.Simulated, Restores: j.Restores})
	if err != nil {
		return Created{}, err
	}
	var seen []byte
	if j.Snapshot != nil {
		if seen, err = j.Snapshot.Encode(); err != nil {
			return Created{}, fmt.Errorf("create job %s: %w", j.JobID, err)
		}
	}
	calls := j.Parts
	if j.Action == tasks.Add && j.Snapshot != nil {
		calls += len(j.Snapshot.Scopes) // each takes a call of its own
	}
	args := []any{j.Content, formatTime(j.At), j.Plan, calls, entry, seen, lead, "total", j.Pairs, "users", j.Users, "roles", j.Roles}
	if j.Resolved == nil {
		args = append(args, "source", j.Source, "reason", j.Reason, "priority", j.Priority, "submitted_by", j.SubmittedBy,
			"created_at", formatTime(j.CreatedAt))
	}
	if j.Action != tasks.Remove {
		args = append(args, "action", string(j.Action), "restores", j.Restores)
	}
	if j.Asked != "" {
		args = append(args, "asked", j.Asked)
	}
	if j.Awaiting != "" {
		args = append(args, "awaiting", j.Awaiting)
	}
	if j.LastLook {
		args = append(args, "last_look", 1)
	}
	if j.OtherApproves {
		args = append(args, "other_approves", 1)
	}
	if j.Simulated {
		args = append(args, "simulated", 1)
	}
	fields, err := seenFields(j.Snapshot)
	if err != nil {
		return Created{}, fmt.Errorf("create job %s: %w", j.JobID, err)
	}
	args = append(args, fields...)
	reply, err := l.run(ctx, createScript, j.JobID, args...)
	if err != nil {
		return Created{}, fmt.Errorf("create job %s: %w", j.JobID, err)
	}
	switch word := reply[0].(string); word {
	case "created":
		return Created{NeedParts: true, NeedTasks: true}, nil
	case phasePlanning:
		return Created{Existed: true, NeedParts: true, NeedTasks: true}, nil
	case phasePlanned:
		return Created{Existed: true, NeedTasks: true}, nil
	case phaseSubmitted, phaseRefused, phaseWithdrawn:
		return Created{Existed: true}, nil
	case "stale":
		return Created{}, ErrStale
	case "gone":
		return Created{}, &NotFoundError{JobID: j.JobID}
	default:
		str := func(i int) string { s, _ := reply[i].(string); return s }
		return Created{}, &ConflictError{JobID: j.JobID, Named: strings.HasPrefix(str(6), askedPrefix), Have: parseInt(str(1)), HaveAt: str(2), HaveUsers: parseInt(str(3)),
			HaveRoles: parseInt(str(4)), HaveCreated: parseTime(str(5)), SamePairs: str(6) == j.Content, Erased: str(6) == erasedContent,
			Want: int64(j.Pairs), WantUsers: int64(j.Users), WantRoles: int64(j.Roles), WantAt: formatTime(j.At)}
	}
}

// PutParts writes parts of a job that is being planned; again is harmless. It reports false when the record is past
// planning: another process has written all of them.
func (l *Ledger) PutParts(ctx context.Context, jobID, plan string, parts []tasks.Part) (bool, error) {
	args := make([]any, 0, 1+2*len(parts))
	args = append(args, plan)
	for i := range parts {
		payload, err := parts[i].Encode()
		if err != nil {
			return false, err
		}
		args = append(args, parts[i].Part, payload)
	}
	return l.planning(ctx, putPartsScript, jobID, args...)
}

// Planned closes the planning of a job: all of its parts are in the record, and it has its place among what was said.
func (l *Ledger) Planned(ctx context.Context, jobID, plan string, parts int) error {
	reply, err := l.speak(ctx, plannedScript, jobID, plan, parts)
	_, err = planning(jobID, reply, err)
	return err
}

func (l *Ledger) planning(ctx context.Context, s *redis.Script, jobID string, args ...any) (bool, error) {
	reply, err := l.run(ctx, s, jobID, args...)
	return planning(jobID, reply, err)
}

// planning reads the answer of a script that writes a plan.
func planning(jobID string, reply []any, err error) (bool, error) {
	if err != nil {
		return false, fmt.Errorf("write the plan of job %s: %w", jobID, err)
	}
	switch word := reply[0].(string); word {
	case phasePlanning:
		return true, nil
	case phasePlanned, phaseSubmitted:
		return false, nil
	case "superseded":
		return false, &SupersededError{JobID: jobID}
	default:
		return false, fmt.Errorf("write the plan of job %s: the record is %s; submit it again", jobID, word)
	}
}

// Submitted records that asynq has every part of the job.
func (l *Ledger) Submitted(ctx context.Context, jobID string) error {
	if _, err := l.run(ctx, submittedScript, jobID); err != nil {
		return fmt.Errorf("close the submission of job %s: %w", jobID, err)
	}
	return nil
}
