package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/tasks"
)

// EventVerified records that DingTalk was asked who still holds the roles of a job.
const EventVerified Event = "verified"

// All yields every job of the ledger, the most recent first, reading a page at a time. It ends at the first error.
func (l *Ledger) All(ctx context.Context) iter.Seq2[Job, error] {
	return func(yield func(Job, error) bool) {
		// The names are read at once: positions shift while jobs come in.
		ids, err := l.rdb.ZRevRange(ctx, indexKey, 0, -1).Result()
		if err != nil {
			yield(Job{}, fmt.Errorf("list jobs: %w", err))
			return
		}
		const page = 200
		for ; len(ids) > 0; ids = ids[min(page, len(ids)):] {
			some := ids[:min(page, len(ids))]
			replies := make([]*redis.MapStringStringCmd, len(some))
			if _, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
				for i, id := range some {
					replies[i] = p.HGetAll(ctx, jobKey(id))
				}
				return nil
			}); err != nil {
				yield(Job{}, fmt.Errorf("list jobs: %w", err))
				return
			}
			for i, reply := range replies {
				// A name without a record is a job whose retention has passed.
				if fields := reply.Val(); len(fields) > 0 && !yield(l.job(some[i], fields), nil) {
					return
				}
			}
		}
	}
}

// TrailEntry is one entry of a job's audit trail as it stands in Redis.
type TrailEntry struct {
	// ID is the entry's place in the stream of its job, "MILLISECONDS-N"; later entries have greater ids.
	ID string
	// JSON is the entry as it was written, one object without a line break.
	JSON string
}

// Entry decodes the entry.
func (t TrailEntry) Entry() (Entry, error) {
	var e Entry
	if err := json.Unmarshal([]byte(t.JSON), &e); err != nil {
		return Entry{}, fmt.Errorf("audit entry %s: %w", t.ID, err)
	}
	return e, nil
}

// Trail calls visit for every entry of a job's audit trail after the one of the given id, oldest first; the empty id
// means from the beginning. The trail outlives the job's record: a job without either gives a *NotFoundError.
func (l *Ledger) Trail(ctx context.Context, jobID, after string, visit func(TrailEntry) error) error {
	if err := tasks.ValidateJobID(jobID); err != nil {
		return err
	}
	key := keys(jobID)[keyAudit]
	found := after != ""
	for {
		start := "-"
		if after != "" {
			start = "(" + after
		}
		const page = 500
		entries, err := l.rdb.XRangeN(ctx, key, start, "+", page).Result()
		if err != nil {
			return fmt.Errorf("read the audit trail of job %s: %w", jobID, err)
		}
		for _, x := range entries {
			text, _ := x.Values["entry"].(string)
			if err := visit(TrailEntry{ID: x.ID, JSON: text}); err != nil {
				return err
			}
			after, found = x.ID, true
		}
		if len(entries) < page {
			break
		}
	}
	if !found {
		if n, err := l.rdb.Exists(ctx, jobKey(jobID)).Result(); err == nil && n == 0 {
			return &NotFoundError{JobID: jobID}
		}
	}
	return nil
}
