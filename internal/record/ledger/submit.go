package ledger

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/lease"
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
	Trace    string // see Job.Trace
	// Snapshot is what a preflight saw, nil where there was none. It is durable before anything of the job is enqueued.
	Snapshot *snapshot.Snapshot
	// Pairs of the job; where there is none, nobody holds anything of what was asked for, and the job is over with its record.
	Pairs, Users, Roles int
	// Content identifies the pairs asked for, whatever their order: same job id and other content is refused.
	Content string
	// Plan identifies the parts, so that two plans of the same content cannot mix.
	Plan  string
	Parts int
	// Planned are the parts, where the record may be one that workers adopted from some of them: Redis lost the submission, and
	// not all of its tasks.
	Planned []tasks.Part
}

// Created says what Create found.
type Created struct {
	// Existed is true when the job was there before, with the same content.
	Existed bool
	// NeedParts: the parts are to be written with PutParts and Planned. Written: CreateWhole has done so.
	NeedParts, Written bool
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

func (e *ConflictError) Error() string { return e.Unwrap().Error() }

// Unwrap is its text, which can be said in other languages.
func (e *ConflictError) Unwrap() error {
	if e.Erased {
		return texts.T("job id %s is taken: people of the job of %s were erased since, so that nothing tells whether this is the same; take another job id",
			e.JobID, e.HaveCreated.Format(time.RFC3339))
	}
	switch {
	case e.Named && e.SamePairs:
		return texts.T("job id %s is taken: the same was asked %s for %s, this submission is for %s; take another job id",
			e.JobID, e.HaveCreated.Format(time.RFC3339), orAtOnce(e.HaveAt), orAtOnce(e.WantAt))
	case e.Named:
		return texts.T("job id %s is taken by other content: something else was asked %s; take another job id", e.JobID, e.HaveCreated.Format(time.RFC3339))
	case e.SamePairs:
		return texts.T("job id %s is taken: the same pairs were submitted %s for %s, this submission is for %s; take another job id",
			e.JobID, e.HaveCreated.Format(time.RFC3339), orAtOnce(e.HaveAt), orAtOnce(e.WantAt))
	}
	return texts.T("job id %s is taken by other content: the job of %s has %d pairs (%d users, %d roles), this submission has %d (%d users, %d roles); take another job id",
		e.JobID, e.HaveCreated.Format(time.RFC3339), e.Have, e.HaveUsers, e.HaveRoles, e.Want, e.WantUsers, e.WantRoles)
}

func orAtOnce(at string) texts.Text {
	if at == "" {
		return texts.T("at once")
	}
	return texts.T("%s", at)
}

// SupersededError says that another submission of the same job, planned otherwise, took over.
type SupersededError struct{ JobID string }

func (e *SupersededError) Error() string { return e.Unwrap().Error() }

// Unwrap is its text, which can be said in other languages.
func (e *SupersededError) Unwrap() error {
	return texts.T("job %s is being submitted by another process; the same command again shows its progress", e.JobID)
}

type lookedUp struct{}

// LookedUp has Create write what a job that was asked for by names means, whose record is there, as the worker with this lead has
// looked it up.
func LookedUp(ctx context.Context, lead lease.Fence) context.Context {
	return context.WithValue(ctx, lookedUp{}, lead)
}

func leadOf(ctx context.Context) (lead lease.Fence, resolved bool) {
	lead, resolved = ctx.Value(lookedUp{}).(lease.Fence)
	return lead, resolved
}

// planBy names a plan as the record has it: what another lead plans is another plan, though its pairs be the same, since who has to
// approve them may differ.
func planBy(ctx context.Context, plan string) string {
	if lead, resolved := leadOf(ctx); resolved {
		return fmt.Sprintf("%s@%d", plan, lead.Number())
	}
	return plan
}

// Create opens the record of a job, or finds it: the same id and content is the same job. Other content gives a
// *ConflictError, a lead that has passed on ErrStale; see LookedUp.
func (l *Ledger) Create(ctx context.Context, j NewJob) (Created, error) {
	args, fields, err := l.createArgs(ctx, j)
	args = append(args, fields...)
	if err == nil {
		// First the indexes: a name without a record is dropped by who reads them, a record without a name would never be seen.
		_, err = l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			l.addToIndexes(ctx, p, j)
			return nil
		})
	}
	if err != nil {
		return Created{}, fmt.Errorf("create job %s: %w", j.JobID, err)
	}
	reply, err := l.run(ctx, createScript, j.JobID, args...)
	return l.created(ctx, j, args, reply, err)
}

// addToIndexes has the job found by who looks for all jobs, or for open ones.
func (l *Ledger) addToIndexes(ctx context.Context, p redis.Pipeliner, j NewJob) {
	p.ZAddNX(ctx, indexKey, redis.Z{Score: float64(j.CreatedAt.UnixMicro()), Member: j.JobID})
	p.ZAdd(ctx, openKey, redis.Z{Score: float64(l.now().UnixMicro()), Member: j.JobID})
	if j.Action == tasks.Add {
		p.ZAdd(ctx, restoresKey, redis.Z{Score: float64(l.now().UnixMicro()), Member: j.JobID})
	}
}

// createArgs are the arguments of createScript, and the fields of the job that follow them.
func (l *Ledger) createArgs(ctx context.Context, j NewJob) (args, fields []any, err error) {
	event := EventSubmitted
	lead, resolved := leadOf(ctx)
	if resolved {
		event = EventResolved
	}
	entry, err := encodeEntry(Entry{At: j.CreatedAt, Event: event, JobID: j.JobID, By: j.SubmittedBy, Why: j.Reason,
		Source: j.Source, Pairs: int64(j.Pairs), Users: j.Users, Roles: j.Roles, Simulated: j.Simulated, Restores: j.Restores})
	if err != nil {
		return nil, nil, err
	}
	var seen []byte
	if j.Snapshot != nil {
		if seen, err = j.Snapshot.Encode(); err != nil {
			return nil, nil, err
		}
	}
	calls := j.Parts
	if j.Action == tasks.Add && j.Snapshot != nil {
		calls += len(j.Snapshot.Scopes) // each takes a call of its own
	}
	over := "" // how long the record of a job is kept that is over as soon as it is there
	if j.Pairs == 0 {
		over = strconv.FormatInt(l.retention.Milliseconds(), 10)
	}
	args = []any{j.Content, formatTime(j.At), planBy(ctx, j.Plan), calls, entry, seen, string(lead), "", over, formatTime(l.now())}
	fields = []any{"total", j.Pairs, "users", j.Users, "roles", j.Roles}
	if !resolved {
		fields = append(fields, "source", j.Source, "reason", j.Reason, "priority", j.Priority, "submitted_by", j.SubmittedBy,
			"created_at", formatTime(j.CreatedAt))
	}
	if j.Action != tasks.Remove {
		fields = append(fields, "action", string(j.Action), "restores", j.Restores)
	}
	if j.Asked != "" {
		fields = append(fields, "asked", j.Asked)
	}
	if j.Trace != "" {
		fields = append(fields, "trace", j.Trace)
	}
	if j.Awaiting != "" {
		fields = append(fields, "awaiting", j.Awaiting)
	}
	if j.LastLook {
		fields = append(fields, "last_look", 1)
	}
	if j.OtherApproves {
		fields = append(fields, "other_approves", 1)
	}
	if j.Simulated {
		fields = append(fields, "simulated", 1)
	}
	of, err := seenFields(j.Snapshot)
	return args, append(fields, of...), err
}

// created reads the answer of createScript.
func (l *Ledger) created(ctx context.Context, j NewJob, args, reply []any, err error) (Created, error) {
	for adopted := -1; err == nil && reply[0] == "adopted"; { // again where a worker has adopted one more meanwhile
		n, ours, failed := l.adoptedOf(ctx, j)
		if failed != nil || !ours || n == adopted {
			err = failed
			break
		}
		adopted, args[adoptedArg] = n, n
		reply, err = l.run(ctx, createScript, j.JobID, args...)
	}
	if err != nil {
		return Created{}, fmt.Errorf("create job %s: %w", j.JobID, err)
	}
	switch word := reply[0].(string); word {
	case "created":
		return Created{NeedParts: true, NeedTasks: true}, nil
	case "over":
		return Created{}, nil
	case phasePlanning:
		return Created{Existed: true, NeedParts: true, NeedTasks: true}, nil
	case phasePlanned:
		return Created{Existed: true, NeedTasks: true}, nil
	case phaseSubmitted, phaseRefused, phaseWithdrawn:
		return Created{Existed: true}, nil
	case "gone":
		return Created{}, &NotFoundError{JobID: j.JobID}
	default:
		str := func(i int) string { s, _ := reply[i].(string); return s }
		return Created{}, &ConflictError{JobID: j.JobID, Named: strings.HasPrefix(str(6), askedPrefix), Have: parseInt(str(1)), HaveAt: str(2), HaveUsers: parseInt(str(3)),
			HaveRoles: parseInt(str(4)), HaveCreated: parseTime(str(5)), SamePairs: str(6) == j.Content, Erased: str(6) == erasedContent,
			Want: int64(j.Pairs), WantUsers: int64(j.Users), WantRoles: int64(j.Roles), WantAt: formatTime(j.At)}
	}
}

// adoptedArg is where createScript is told of parts that were adopted.
const adoptedArg = 7

// adoptedOf is how many parts were adopted under the id of a job, and whether the job has planned each of them.
func (l *Ledger) adoptedOf(ctx context.Context, j NewJob) (n int, ours bool, err error) {
	have, err := l.rdb.HGetAll(ctx, keys(j.JobID)[keyParts]).Result()
	if err != nil {
		return 0, false, err
	}
	found := 0
	for i := range j.Planned {
		payload, err := j.Planned[i].Encode()
		if err != nil {
			return 0, false, err
		}
		if have[j.Planned[i].Part] == string(payload) {
			found++
		}
	}
	return len(have), found == len(have), nil
}

// PutParts writes parts of a job that is being planned; again is harmless. It reports false when the record is past
// planning: another process has written all of them.
func (l *Ledger) PutParts(ctx context.Context, jobID, plan string, parts []tasks.Part) (bool, error) {
	args, err := partArgs(parts)
	if err != nil {
		return false, err
	}
	reply, err := l.run(ctx, putPartsScript, jobID, append([]any{planBy(ctx, plan)}, args...)...)
	return planning(jobID, reply, err)
}

// partArgs are the parts of a plan as the scripts take them, each as its name and its payload.
func partArgs(parts []tasks.Part) ([]any, error) {
	args := make([]any, 0, 2*len(parts))
	for i := range parts {
		payload, err := parts[i].Encode()
		if err != nil {
			return nil, err
		}
		args = append(args, parts[i].Part, payload)
	}
	return args, nil
}

// Planned closes the planning of a job: all of its parts are in the record, and it has its place among what was said.
func (l *Ledger) Planned(ctx context.Context, jobID, plan string, parts int) error {
	reply, err := l.speak(ctx, plannedScript, jobID, planBy(ctx, plan), parts)
	_, err = planning(jobID, reply, err)
	return err
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
