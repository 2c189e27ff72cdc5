package ledger

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/lease"
	"github.com/unrole/unrole/internal/record/snapshot"
	"github.com/unrole/unrole/tasks"
)

// resolvingKey has the ids of a lane's jobs whose people and roles are to be looked up, by when they were asked for, in µs. A name is put in
// before its record, and taken out once nothing of it is to be looked up or enqueued. That of the default lane is as old as the first of
// them, which had all.
func resolvingKey(lane string) string {
	if lane == tasks.QueueUrgent || lane == tasks.QueueBulk {
		return "unrole:jobs:resolving:" + lane
	}
	return "unrole:jobs:resolving"
}

// askedPrefix begins the content of a job that was asked for by names.
const askedPrefix = "asked:"

// Asked is a removal that names people or roles otherwise than by id, as Ask takes it.
type Asked struct {
	JobID, Source, Reason, Priority, SubmittedBy string
	CreatedAt, At                                time.Time
	Simulated                                    bool
	// Content identifies what was asked. It outlives Request, and must not tell what that was.
	Content string
	// Request is what was asked, in the form of internal/in/asked. It is kept until it is looked up.
	Request []byte
}

// Ask opens the record of a job whose people and roles are to be looked up by a worker, or finds it: existed is true then. Other
// content gives a *ConflictError. When it returns, what was asked is durable.
func (l *Ledger) Ask(ctx context.Context, a Asked) (existed bool, err error) {
	score := float64(l.now().UnixMicro())
	// First the indexes, see Create.
	if _, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.ZAddNX(ctx, indexKey, redis.Z{Score: float64(a.CreatedAt.UnixMicro()), Member: a.JobID})
		p.ZAdd(ctx, openKey, redis.Z{Score: score, Member: a.JobID})
		p.ZAdd(ctx, resolvingKey(a.Priority), redis.Z{Score: score, Member: a.JobID})
		return nil
	}); err != nil {
		return false, fmt.Errorf("create job %s: %w", a.JobID, err)
	}
	entry, err := encodeEntry(Entry{At: a.CreatedAt, Event: EventSubmitted, JobID: a.JobID, By: a.SubmittedBy, Why: a.Reason, Source: a.Source, Simulated: a.Simulated})
	if err != nil {
		return false, err
	}
	content := askedPrefix + a.Content
	args := []any{content, formatTime(a.At), a.Request, entry, "named", 1, "source", a.Source, "reason", a.Reason, "priority", a.Priority,
		"submitted_by", a.SubmittedBy, "created_at", formatTime(a.CreatedAt)}
	if a.Simulated {
		args = append(args, "simulated", 1)
	}
	reply, err := l.run(ctx, askScript, a.JobID, args...)
	if err != nil {
		return false, fmt.Errorf("create job %s: %w", a.JobID, err)
	}
	if word := reply[0].(string); word != "conflict" {
		return word == "existed", nil
	}
	str := func(i int) string { s, _ := reply[i].(string); return s }
	return false, &ConflictError{JobID: a.JobID, Named: true, HaveCreated: parseTime(str(1)), HaveAt: str(2), WantAt: formatTime(a.At), SamePairs: str(3) == content,
		Erased: str(3) == erasedContent}
}

// AnyResolving reports whether a job of any lane may wait to be looked up, by one question for all lanes: that is what an idle worker
// asks. Where it has no answer, as from a cluster that has the lanes on several nodes, one may.
func (l *Ledger) AnyResolving(ctx context.Context) bool {
	var keys []string
	for _, lane := range tasks.Lanes() {
		keys = append(keys, resolvingKey(lane))
	}
	n, err := l.rdb.Exists(ctx, keys...).Result()
	return err != nil || n > 0
}

// Resolving lists the jobs of a lane that were asked for by names and have not been resolved and enqueued, the oldest first, count at most.
func (l *Ledger) Resolving(ctx context.Context, lane string, count int) ([]string, error) {
	ids, err := l.rdb.ZRange(ctx, resolvingKey(lane), 0, int64(count)-1).Result()
	if err != nil {
		return nil, fmt.Errorf("list the jobs to be resolved: %w", err)
	}
	return ids, nil
}

// ResolvingGone takes a name without a record out of those that Resolving lists, unless it was put in lately: then it may be
// about to get one.
func (l *Ledger) ResolvingGone(ctx context.Context, lane, jobID string) error {
	return l.tidy(ctx, resolvingKey(lane), []string{jobID})
}

// ResolvingDone takes a job that was resolved out of those that Resolving lists.
func (l *Ledger) ResolvingDone(ctx context.Context, lane, jobID string) error {
	if err := l.rdb.ZRem(ctx, resolvingKey(lane), jobID).Err(); err != nil {
		return fmt.Errorf("list job %s as resolved: %w", jobID, err)
	}
	return nil
}

// TakeAsked returns the job, and what was asked of it by names; nil where nothing is to be looked up any more, a *NotFoundError
// where there is no record yet, or none any more. From here on the
// record obeys the lead, which is empty for who has none: an earlier one gets ErrStale.
func (l *Ledger) TakeAsked(ctx context.Context, jobID string, lead lease.Fence) (Job, []byte, error) {
	reply, err := l.run(ctx, takeAskedScript, jobID, string(lead))
	if err != nil {
		return Job{}, nil, fmt.Errorf("take job %s: %w", jobID, err)
	}
	if reply[0].(string) == "gone" { // also if it is there by now: whoever looks again finds it, with what was asked
		return Job{}, nil, &NotFoundError{JobID: jobID}
	}
	job, err := l.Get(ctx, jobID)
	if err != nil || len(reply) < 2 {
		return job, nil, err
	}
	text, _ := reply[1].(string)
	return job, []byte(text), nil
}

// NoteAsked records why a job cannot be looked up at this moment, for whoever wonders. What an earlier lead says is left out.
func (l *Ledger) NoteAsked(ctx context.Context, jobID, why string, lead lease.Fence) error {
	if _, err := l.run(ctx, noteAskedScript, jobID, why, string(lead)); err != nil {
		return fmt.Errorf("note why job %s waits: %w", jobID, err)
	}
	return nil
}

// EndAsked ends a job that was asked for by names and has no pair: refused, and why; or, where that is empty, completed, since
// nothing of it is held. A job that is over already is left alone; an earlier lead gets ErrStale.
func (l *Ledger) EndAsked(ctx context.Context, jobID string, lead lease.Fence, refusal string, seen *snapshot.Snapshot) error {
	now := l.now()
	phase, entry := phaseSubmitted, Entry{At: now, Event: EventResolved, JobID: jobID}
	if refusal != "" {
		phase, entry.Event, entry.Why = phaseRefused, EventRefused, refusal
	}
	text, err := encodeEntry(entry)
	if err != nil {
		return err
	}
	data, err := seen.Encode()
	if err != nil {
		return fmt.Errorf("end job %s: %w", jobID, err)
	}
	fields, err := seenFields(seen)
	if err != nil {
		return fmt.Errorf("end job %s: %w", jobID, err)
	}
	args := append([]any{phase, string(lead), formatTime(now), l.retention.Milliseconds(), data, text, "refusal", refusal}, fields...)
	if _, err := l.run(ctx, endAskedScript, jobID, args...); err != nil {
		return fmt.Errorf("end job %s: %w", jobID, err)
	}
	return nil
}

// mostUnresolved is how many unresolved rows a job's record names; its snapshot has all.
const mostUnresolved = 20

// seenFields are what the job's hash has of a snapshot.
func seenFields(s *snapshot.Snapshot) ([]any, error) {
	if s == nil {
		return nil, nil
	}
	fields := []any{"seen_at", formatTime(s.SeenAt), "not_held", len(s.NotHeld), "unresolved", s.Unresolved, "scoped", len(s.Scopes)}
	if n := len(s.Rows); n > 0 {
		rows, err := json.Marshal(s.Rows[:min(n, mostUnresolved)])
		if err != nil {
			return nil, err
		}
		fields = append(fields, "unresolved_rows", rows, "more_unresolved", max(0, n-mostUnresolved))
	}
	return fields, nil
}

// readAsked reads what became of what was asked by names.
func (j *Job) readAsked(f map[string]string) {
	j.Refusal, j.ResolvingFailed, j.MoreUnresolved = f["refusal"], f["unresolved_because"], parseInt(f["more_unresolved"])
	if rows := f["unresolved_rows"]; rows != "" && json.Unmarshal([]byte(rows), &j.Unresolved) != nil {
		j.Unresolved = nil
	}
}

// namingKey has the key of digests of what people are named by.
const namingKey = "unrole:asked:key"

// NamingKey is the key under which what people are named by becomes a digest, the same for all processes.
func (l *Ledger) NamingKey(ctx context.Context) ([]byte, error) {
	err := l.rdb.SetNX(ctx, namingKey, rand.Text(), 0).Err()
	if err == nil {
		var key string
		if key, err = l.rdb.Get(ctx, namingKey).Result(); err == nil {
			return []byte(key), nil
		}
	}
	if errors.Is(err, redis.Nil) {
		err = errors.New("it vanished")
	}
	return nil, fmt.Errorf("read the key of what people are named by: %w", err)
}
