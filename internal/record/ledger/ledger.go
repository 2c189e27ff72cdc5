// Package ledger keeps the record of every job in Redis: what was asked, what became of each pair, and numbers that
// always add up.
//
// A job is a handful of keys that share one hash slot, so that each change is one atomic script on a single Redis,
// Sentinel or Cluster alike:
//
//	unrole:job:{ID}         hash    the job itself and its counts
//	unrole:job:{ID}:parts   hash    part name → payload, the pairs that were asked for
//	unrole:job:{ID}:state   hash    part name → what became of its pairs (see PartState); "verified…" → what DingTalk
//	                                showed of them when it was asked (see Verification)
//	unrole:job:{ID}:begun   hash    name of a part or letter → that it is being called just now, so that a cancel leaves it
//	                                alone, and how many calls have taken their worker along (see lua/keys.lua)
//	unrole:job:{ID}:bad     hash    "u:…" or "r:…" → why DingTalk refuses that id, learned by any batch of the job; "c:…" →
//	                                why that user keeps what was not called yet (see CancelUsers)
//	unrole:job:{ID}:seen    string  what a preflight saw of the pairs (see Ledger.Snapshot), where there was one
//	unrole:job:{ID}:asked   string  what was asked, while people and roles of it are to be looked up (see asked.go)
//	unrole:job:{ID}:audit   stream  what happened, never trimmed
//	unrole:jobs             zset    job ids by time of creation
//	unrole:jobs:open        zset    ids of jobs that are not finished (see open.go)
//	unrole:jobs:resolving   zset    ids of jobs whose people and roles are to be looked up
//	unrole:jobs:restores    zset    ids of the jobs that give back, and unrole:word, the number of the last word (see word.go)
//
// State changes by compare-and-set: the caller computes the new state of a part in Go, and the script takes it only if
// nobody changed the part since, together with the difference in the job's counts. So a pair is counted once, however
// often its part ran.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/snapshot"
	"github.com/unrole/unrole/tasks"
)

// Ledger reads and writes job records. It is safe for concurrent use.
type Ledger struct {
	rdb       redis.UniversalClient
	retention time.Duration
	now       func() time.Time
}

// DefaultRetention is how long the record of a finished job is kept.
const DefaultRetention = 720 * time.Hour

// New returns a ledger in rdb. Records of finished jobs without open dead letters vanish after retention; zero means
// DefaultRetention.
func New(rdb redis.UniversalClient, retention time.Duration) *Ledger {
	if retention <= 0 {
		retention = DefaultRetention
	}
	return &Ledger{rdb: rdb, retention: retention, now: time.Now}
}

// State of a job.
type State string

const (
	StateSubmitting State = "submitting"
	// StateResolving: a worker looks up whom and what the job means; nothing of it is sent before that is certain.
	StateResolving               State = "resolving"
	StateScheduled               State = "scheduled"
	StateRunning                 State = "running"
	StateCompleted               State = "completed"
	StateCompletedWithDeadLetter State = "completed_with_dead_letters"
	StateCancelled               State = "cancelled"
	// StateRefused: it could not be looked up as it was asked, and nothing of it was removed; see Job.Refusal.
	StateRefused State = "refused"
)

// States lists every State, in the order of a job's life.
func States() []State {
	return []State{StateSubmitting, StateResolving, StateScheduled, StateRunning, StateCompleted, StateCompletedWithDeadLetter, StateCancelled, StateRefused}
}

// Finished reports whether nothing more happens to the job by itself.
func (s State) Finished() bool {
	return s == StateCompleted || s == StateCompletedWithDeadLetter || s == StateCancelled || s == StateRefused
}

// Pairs are the counts of a job. Total = Removed + Restored + Dead + Cancelled + Pending at any instant.
type Pairs struct {
	Total   int64 `json:"total"`
	Removed int64 `json:"removed"`
	// Restored are those that a restore has given back; a removal has none.
	Restored  int64 `json:"restored,omitempty"`
	Dead      int64 `json:"dead"`
	Cancelled int64 `json:"cancelled"`
	Pending   int64 `json:"pending"`
}

// Job is the public record of a job.
type Job struct {
	JobID      string     `json:"job_id"`
	State      State      `json:"state"`
	Source     string     `json:"source"`
	Reason     string     `json:"reason"`
	Priority   string     `json:"priority"`
	CreatedAt  time.Time  `json:"created_at"`
	FinishedAt *time.Time `json:"finished_at"`
	Pairs      Pairs      `json:"pairs"`
	// APICalls counts the calls to DingTalk that served the job, refused ones included. A call that served several
	// jobs counts for each of them.
	APICalls int64 `json:"api_calls"`
	// Users and Roles are the distinct ids asked for; 0 for a job that was adopted from the queue.
	Users int64 `json:"users,omitempty"`
	Roles int64 `json:"roles,omitempty"`
	// At is the time before which nothing is removed; nil means at once.
	At *time.Time `json:"at,omitempty"`
	// Planning says that the parts are still being written into the record: nothing of it may be enqueued yet.
	Planning bool `json:"-"`
	// SubmittedBy is the user and host, or the API token, that submitted the job.
	SubmittedBy  string     `json:"submitted_by,omitempty"`
	CancelledAt  *time.Time `json:"cancelled_at,omitempty"`
	CancelledBy  string     `json:"cancelled_by,omitempty"`
	CancelReason string     `json:"cancel_reason,omitempty"`
	// PlannedCalls is what the planner needed, without faults.
	PlannedCalls int64 `json:"planned_calls,omitempty"`
	// Awaiting is AwaitingApproval while somebody has to approve the job before it begins, then AwaitingLastLook where the
	// program that submitted it looks again; see Approve and Begin.
	Awaiting string `json:"awaiting,omitempty"`
	// LastLook says that it waits for Begin before it begins, also once it is approved.
	LastLook bool `json:"-"`
	// OtherApproves says that another person than SubmittedBy has to.
	OtherApproves bool       `json:"-"`
	ApprovedAt    *time.Time `json:"approved_at,omitempty"`
	ApprovedBy    string     `json:"approved_by,omitempty"`
	// Simulated says that DingTalk was never called: a simulator answered.
	Simulated bool `json:"simulated,omitempty"`
	// Action is what the job does with its pairs: empty for a removal.
	Action tasks.Action `json:"action,omitempty"`
	// Restores is the job whose removals this one gives back, RestoredBy those that give back what this one removed.
	Restores   string   `json:"restores,omitempty"`
	RestoredBy []string `json:"restored_by,omitempty"`
	// Asked names the request that the pairs were made of, see enqueue.Submission.Asked.
	Asked string `json:"-"`
	// Trace is the one in which it was submitted, as package trace has it; empty where nobody traced.
	Trace string `json:"-"`
	// Snapshot sums up what a preflight saw; nil where there was none.
	Snapshot *Seen `json:"snapshot,omitempty"`
	// Refusal says why the job was refused, and ResolvingFailed why it cannot be looked up at this moment.
	Refusal         string `json:"refusal,omitempty"`
	ResolvingFailed string `json:"resolving_failed,omitempty"`
	// Unresolved are the first of what was asked for and not resolved, MoreUnresolved counts the others; see snapshot.Snapshot.
	Unresolved     []snapshot.Unresolved `json:"unresolved,omitempty"`
	MoreUnresolved int64                 `json:"more_unresolved,omitempty"`

	word int64 // its place among what was said, see lua/word.lua
}

// Seen sums up a snapshot.Snapshot.
type Seen struct {
	// At is when DingTalk was asked.
	At time.Time `json:"seen_at"`
	// NotHeld counts pairs that were asked for and not held, which are not among those of the job; Unresolved the rows that
	// named nobody; Scoped the pairs of the job that had a management scope.
	NotHeld    int64 `json:"not_held"`
	Unresolved int64 `json:"unresolved"`
	Scoped     int64 `json:"scoped"`
}

// SourceQueue is the source of a job that was adopted: its tasks were put straight into Redis.
const SourceQueue = "queue"

// NotFoundError says that the ledger has no such job: it never existed, or it vanished after its retention.
type NotFoundError struct{ JobID string }

func (e *NotFoundError) Error() string { return e.Unwrap().Error() }

// Unwrap is its text, which can be said in other languages.
func (e *NotFoundError) Unwrap() error {
	return texts.T("no job %s: it was never submitted here, or its record was older than the retention", e.JobID)
}

const indexKey = "unrole:jobs"

func jobKey(jobID string) string { return "unrole:job:{" + jobID + "}" }

// keys are the keys of a job in the order in which lua/keys.lua names them.
func keys(jobID string) []string {
	k := jobKey(jobID)
	return []string{k, k + ":parts", k + ":state", k + ":begun", k + ":bad", k + ":seen", k + ":asked", k + ":audit", k + ":copy"}
}

// keysWith are the keys of a job and one of all jobs, as lua/keys.lua names them; without that one on a cluster, where it is in another
// slot.
func (l *Ledger) keysWith(jobID, ofAll string) (k []string, shared bool) {
	if _, slots := l.rdb.(*redis.ClusterClient); slots {
		return keys(jobID), false
	}
	return append(keys(jobID), ofAll), true
}

// Positions in keys.
const (
	keyJob = iota
	keyParts
	keyState
	keyBegun
	keyBad
	keySeen
	keyAsked
	keyAudit
	keyCopy // of the audit, within one script
)

// Get returns the record of one job, or a *NotFoundError.
func (l *Ledger) Get(ctx context.Context, jobID string) (Job, error) {
	if err := tasks.ValidateJobID(jobID); err != nil {
		return Job{}, err
	}
	fields, err := l.rdb.HGetAll(ctx, jobKey(jobID)).Result()
	if err != nil {
		return Job{}, fmt.Errorf("read job %s: %w", jobID, err)
	}
	if len(fields) == 0 {
		return Job{}, &NotFoundError{JobID: jobID}
	}
	return l.job(jobID, fields), nil
}

// job turns the fields of a job's hash into its public record.
func (l *Ledger) job(id string, f map[string]string) Job {
	j := Job{
		JobID: id, Source: f["source"], Reason: f["reason"], Priority: f["priority"],
		CreatedAt: parseTime(f["created_at"]), FinishedAt: optionalTime(f["finished_at"]), At: optionalTime(f["at"]),
		APICalls: parseInt(f["api_calls"]), Users: parseInt(f["users"]), Roles: parseInt(f["roles"]),
		SubmittedBy: f["submitted_by"], CancelledAt: optionalTime(f["cancelled_at"]), CancelledBy: f["cancelled_by"],
		CancelReason: f["cancel_reason"], PlannedCalls: parseInt(f["planned_calls"]),
		ApprovedAt: optionalTime(f["approved_at"]), ApprovedBy: f["approved_by"], OtherApproves: f["other_approves"] != "", LastLook: f["last_look"] != "", Simulated: f["simulated"] != "",
		Pairs: Pairs{Total: parseInt(f["total"]), Removed: parseInt(f["removed"]), Dead: parseInt(f["dead"]),
			Cancelled: parseInt(f["cancelled"])},
	}
	if seen := f["seen_at"]; seen != "" {
		j.Snapshot = &Seen{At: parseTime(seen), NotHeld: parseInt(f["not_held"]), Unresolved: parseInt(f["unresolved"]), Scoped: parseInt(f["scoped"])}
	}
	j.word, j.Action, j.Restores = parseInt(f["word"]), tasks.Action(f["action"]), f["restores"]
	j.Asked, j.Trace = f["asked"], f["trace"]
	if by := f["restored_by"]; by != "" {
		j.RestoredBy = strings.Split(by, ",")
	}
	j.Planning = f["phase"] == phasePlanning || f["phase"] == phaseResolving
	j.readAsked(f)
	j.Pairs.Pending = j.Pairs.Total - j.Pairs.Removed - j.Pairs.Dead - j.Pairs.Cancelled
	if j.Action == tasks.Add {
		j.Pairs.Removed, j.Pairs.Restored = 0, j.Pairs.Removed
	}
	if j.Pairs.Pending > 0 && j.CancelledAt == nil {
		j.Awaiting = f["awaiting"]
	}
	switch {
	case f["phase"] == phaseRefused:
		j.State = StateRefused
	case f["phase"] == phaseWithdrawn:
		j.State = StateCancelled
	case f["phase"] == phaseResolving, f["phase"] == phasePlanning && f["named"] != "":
		j.State = StateResolving
	case j.Pairs.Pending == 0 && j.Pairs.Cancelled > 0 && (j.CancelledAt != nil || j.Pairs.Cancelled == j.Pairs.Total):
		j.State = StateCancelled
	case j.Pairs.Pending == 0 && j.Pairs.Dead > 0:
		j.State = StateCompletedWithDeadLetter
	case j.Pairs.Pending == 0:
		j.State = StateCompleted
	case j.Awaiting != "" && f["phase"] != phasePlanning:
		j.State = StateScheduled
	case f["phase"] != phaseSubmitted:
		j.State = StateSubmitting
	case j.At != nil && j.At.After(l.now()):
		j.State = StateScheduled
	default:
		j.State = StateRunning
	}
	return j
}

// Times are kept as RFC 3339 with microseconds, UTC.
const timeLayout = "2006-01-02T15:04:05.000000Z07:00"

func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(timeLayout)
}

func parseTime(s string) time.Time {
	t, _ := time.Parse(time.RFC3339, s)
	return t
}

func optionalTime(s string) *time.Time {
	if s == "" {
		return nil
	}
	t := parseTime(s)
	return &t
}

func parseInt(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// run executes a script and returns its reply as a list.
func (l *Ledger) run(ctx context.Context, s *redis.Script, jobID string, args ...any) ([]any, error) {
	return l.runWith(ctx, s, keys(jobID), args...)
}

func (l *Ledger) runWith(ctx context.Context, s *redis.Script, keys []string, args ...any) ([]any, error) {
	reply, err := s.Run(ctx, l.rdb, keys, args...).Slice()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	return reply, staleness(reply)
}

// staleness is the error of a reply that took no word of this lead.
func staleness(reply []any) error {
	if len(reply) == 1 {
		switch reply[0] {
		case "stale":
			return ErrStale
		case "replaced":
			return ErrReplaced
		}
	}
	return nil
}
