package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/redisconn"
	"github.com/unrole/unrole/tasks"
)

// TrailEntry is one entry of a job's audit trail as it stands in Redis.
type TrailEntry struct {
	// ID is the entry's place in the stream of its job, "MILLISECONDS-N"; later entries have greater ids.
	ID string
	// JSON is one object without a line break, and not empty: the entry as it was written. What is no entry of the ledger's
	// stands in it under "unreadable".
	JSON string
}

func trailEntry(jobID string, x redis.XMessage) TrailEntry {
	text, _ := x.Values["entry"].(string)
	if !strings.HasPrefix(text, `{"`) || strings.Contains(text, "\n") || !json.Valid([]byte(text)) {
		// Texts only, which cannot fail.
		b, _ := json.Marshal(map[string]any{"job_id": jobID, "unreadable": x.Values})
		text = string(b)
	}
	return TrailEntry{ID: x.ID, JSON: text}
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
		const page = 500
		entries, err := l.rdb.XRangeN(ctx, key, trailStart(after), "+", page).Result()
		if err != nil {
			return fmt.Errorf("read the audit trail of job %s: %w", jobID, err)
		}
		for _, x := range entries {
			if err := visit(trailEntry(jobID, x)); err != nil {
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

// Trails returns the next entries of several trails, at most so many of each, in one round trip: those after the ids in
// after, by job; a job that is not in it begins at its beginning. The reply is in the order of the jobs.
func (l *Ledger) Trails(ctx context.Context, jobIDs []string, after map[string]string, most int64) ([][]TrailEntry, error) {
	replies := make([]*redis.XMessageSliceCmd, len(jobIDs))
	_, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range jobIDs {
			replies[i] = p.XRangeN(ctx, keys(id)[keyAudit], trailStart(after[id]), "+", most)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read audit trails: %w", err)
	}
	trails := make([][]TrailEntry, len(jobIDs))
	for i, id := range jobIDs {
		for _, x := range replies[i].Val() {
			trails[i] = append(trails[i], trailEntry(id, x))
		}
	}
	return trails, nil
}

func trailStart(after string) string {
	if after == "" {
		return "-"
	}
	return "(" + after
}

// TrimTrail takes the entries before a place, "MILLISECONDS-N", off the audit trail of a job. It reports whether the trail is
// gone: nothing of it was left, and its job has no record any more.
func (l *Ledger) TrimTrail(ctx context.Context, jobID, place string) (gone bool, err error) {
	reply, err := l.run(ctx, trimScript, jobID, place)
	if err != nil {
		return false, fmt.Errorf("shorten the audit trail of job %s: %w", jobID, err)
	}
	return reply[0] == int64(1), nil
}

// JobsWithTrail lists every job that has an audit trail, also those whose record is gone. It scans all keys of Redis.
func (l *Ledger) JobsWithTrail(ctx context.Context) ([]string, error) {
	pattern := keys("*")[keyAudit]
	before, behind, _ := strings.Cut(pattern, "*")
	found := map[string]bool{} // a scan may name a key twice
	err := redisconn.Scan(ctx, l.rdb, pattern, func(some []string) error {
		for _, key := range some {
			found[strings.TrimSuffix(strings.TrimPrefix(key, before), behind)] = true
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for audit trails: %w", err)
	}
	return slices.Sorted(maps.Keys(found)), nil
}
