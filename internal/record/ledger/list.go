package ledger

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// List returns the most recent jobs first: count of them after skipping skip; count < 0 means all.
func (l *Ledger) List(ctx context.Context, skip, count int) ([]Job, error) {
	var jobs []Job
	const page = 200
	for start := int64(0); count < 0 || len(jobs) < skip+count; start += page {
		scored, err := l.rdb.ZRevRangeWithScores(ctx, indexKey, start, start+page-1).Result()
		if err != nil {
			return nil, fmt.Errorf("list jobs: %w", err)
		}
		if len(scored) == 0 {
			break
		}
		ids := make([]string, len(scored))
		for i, z := range scored {
			ids[i] = z.Member.(string)
		}
		records, err := l.records(ctx, ids)
		if err != nil {
			return nil, err
		}
		var vanished []any
		for i, fields := range records {
			if len(fields) > 0 {
				jobs = append(jobs, l.job(ids[i], fields))
			} else if int64(scored[i].Score) < l.now().Add(-time.Hour).UnixMicro() {
				// A younger one may just be being created: its name comes first.
				vanished = append(vanished, ids[i])
			}
		}
		if len(vanished) > 0 {
			// Best effort: a name that stays is looked up in vain by the next list, nothing more.
			l.rdb.ZRem(ctx, indexKey, vanished...)
			start -= int64(len(vanished))
		}
	}
	jobs = jobs[min(skip, len(jobs)):]
	if count >= 0 && len(jobs) > count {
		jobs = jobs[:count]
	}
	return jobs, nil
}

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
			records, err := l.records(ctx, some)
			if err != nil {
				yield(Job{}, err)
				return
			}
			for i, fields := range records {
				// A name without a record is a job whose retention has passed.
				if len(fields) > 0 && !yield(l.job(some[i], fields), nil) {
					return
				}
			}
		}
	}
}

// records reads the hashes of jobs; that of a job without a record is empty.
func (l *Ledger) records(ctx context.Context, jobIDs []string) ([]map[string]string, error) {
	replies := make([]*redis.MapStringStringCmd, len(jobIDs))
	if _, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range jobIDs {
			replies[i] = p.HGetAll(ctx, jobKey(id))
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	records := make([]map[string]string, len(jobIDs))
	for i, reply := range replies {
		records[i] = reply.Val()
	}
	return records, nil
}

// CreatedSince lists the ids of the jobs that were created at t or later, the oldest first, and when the newest of them was
// by the clock of whoever submitted it.
func (l *Ledger) CreatedSince(ctx context.Context, t time.Time) (ids []string, newest time.Time, err error) {
	least := "-inf"
	if !t.IsZero() {
		least = strconv.FormatInt(t.UnixMicro(), 10)
	}
	found, err := l.rdb.ZRangeByScoreWithScores(ctx, indexKey, &redis.ZRangeBy{Min: least, Max: "+inf"}).Result()
	if err != nil {
		return nil, newest, fmt.Errorf("list jobs: %w", err)
	}
	for _, z := range found {
		ids = append(ids, z.Member.(string))
		newest = time.UnixMicro(int64(z.Score))
	}
	return ids, newest, nil
}

// Stalled lists the unfinished jobs that are due, whose parts are known, and that have neither moved nor been checked
// for a while: candidates for a look at whether asynq still has their tasks.
func (l *Ledger) Stalled(ctx context.Context, moved, checked time.Time) ([]Job, error) {
	jobs, err := l.List(ctx, 0, -1)
	if err != nil {
		return nil, err
	}
	var stalled []Job
	for _, j := range jobs {
		if j.State.Finished() || j.Awaiting != "" || j.CreatedAt.After(moved) || j.At != nil && j.At.After(moved) {
			continue
		}
		f, err := l.rdb.HMGet(ctx, jobKey(j.JobID), "phase", "touched_at", "checked_at").Result()
		if err != nil {
			return nil, fmt.Errorf("read job %s: %w", j.JobID, err)
		}
		when := func(i int) time.Time { s, _ := f[i].(string); return parseTime(s) }
		if f[0] != phasePlanning && when(1).Before(moved) && when(2).Before(checked) {
			stalled = append(stalled, j)
		}
	}
	return stalled, nil
}

// fields reads one field of each job that has it.
func (l *Ledger) fields(ctx context.Context, jobIDs []string, field string, visit func(jobID, value string)) error {
	const page = 500
	for ; len(jobIDs) > 0; jobIDs = jobIDs[min(page, len(jobIDs)):] {
		now := jobIDs[:min(page, len(jobIDs))]
		replies := make([]*redis.SliceCmd, len(now))
		if _, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, id := range now {
				replies[i] = p.HMGet(ctx, jobKey(id), field)
			}
			return nil
		}); err != nil {
			return fmt.Errorf("read %d jobs: %w", len(now), err)
		}
		for i, reply := range replies {
			if value, ok := reply.Val()[0].(string); ok {
				visit(now[i], value)
			}
		}
	}
	return nil
}
