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
	for start := int64(0); count < 0 || len(jobs) < skip+count; start += pageOfJobs {
		scored, err := l.rdb.ZRevRangeWithScores(ctx, indexKey, start, start+pageOfJobs-1).Result()
		if err != nil {
			return nil, fmt.Errorf("list jobs: %w", err)
		}
		if len(scored) == 0 {
			break
		}
		found, vanished, err := l.listed(ctx, scored)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, found...)
		start -= int64(vanished)
	}
	jobs = jobs[min(skip, len(jobs)):]
	if count >= 0 && len(jobs) > count {
		jobs = jobs[:count]
	}
	return jobs, nil
}

// Page returns count jobs by their place in the ledger, the most recent first. Where records have vanished it has fewer, and
// places shift.
func (l *Ledger) Page(ctx context.Context, skip, count int) ([]Job, error) {
	scored, err := l.rdb.ZRevRangeWithScores(ctx, indexKey, int64(skip), int64(skip+count)-1).Result()
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	jobs, _, err := l.listed(ctx, scored)
	return jobs, err
}

// listed reads the jobs that the ledger's index names. Names whose record has vanished are taken out of it, and counted.
func (l *Ledger) listed(ctx context.Context, scored []redis.Z) (jobs []Job, gone int, err error) {
	ids := make([]string, len(scored))
	for i, z := range scored {
		ids[i] = z.Member.(string)
	}
	records, err := l.records(ctx, ids)
	if err != nil {
		return nil, 0, err
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
	}
	return jobs, len(vanished), nil
}

// pageOfJobs is how many jobs one round trip is about.
const pageOfJobs = 200

// All yields every job of the ledger, the most recent first, reading a page at a time. It ends at the first error.
func (l *Ledger) All(ctx context.Context) iter.Seq2[Job, error] { return l.jobs(ctx, indexKey) }

// Count is how many jobs All yields, and a few whose retention has passed.
func (l *Ledger) Count(ctx context.Context) (int, error) {
	n, err := l.rdb.ZCard(ctx, indexKey).Result()
	if err != nil {
		return 0, fmt.Errorf("count jobs: %w", err)
	}
	return int(n), nil
}

// names yields the ids of an index in pages, the highest score first. Jobs that come in meanwhile are not among them.
func (l *Ledger) names(ctx context.Context, index string) iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		for page, err := range l.places(ctx, index, place{}) {
			if !yield(idsOf(page), err) {
				return
			}
		}
	}
}

// places yields an index in pages, the highest score first and the greatest id first of a score, from behind a place or, for
// the zero one, from the beginning. It ends at the first error.
func (l *Ledger) places(ctx context.Context, index string, behind place) iter.Seq2[[]place, error] {
	return func(yield func([]place, error) bool) {
		// By score, since positions shift while jobs come in; ties are those of one microsecond.
		by := redis.ZRangeBy{Min: "-inf", Max: "+inf", Count: pageOfJobs}
		if behind != (place{}) {
			by.Max = strconv.FormatInt(behind.at, 10)
		}
		for {
			found, err := l.rdb.ZRevRangeByScoreWithScores(ctx, index, &by).Result()
			if err != nil {
				yield(nil, fmt.Errorf("list jobs: %w", err))
				return
			}
			var page []place
			for _, z := range found {
				if p := (place{int64(z.Score), z.Member.(string)}); p.at != behind.at || p.id < behind.id {
					page = append(page, p)
				}
			}
			if len(page) > 0 && !yield(page, nil) || len(found) < pageOfJobs {
				return
			}
			last := strconv.FormatInt(int64(found[len(found)-1].Score), 10)
			if last != by.Max {
				by.Max, by.Offset = last, 0
			}
			for _, z := range found {
				if strconv.FormatInt(int64(z.Score), 10) == last {
					by.Offset++ // read already
				}
			}
		}
	}
}

// jobs yields the jobs of an index, the highest score first, reading a page at a time. It ends at the first error.
func (l *Ledger) jobs(ctx context.Context, index string) iter.Seq2[Job, error] {
	return func(yield func(Job, error) bool) {
		for page, err := range l.looks(ctx, index, "") {
			if err != nil {
				yield(Job{}, err)
				return
			}
			for _, look := range page {
				if !yield(look.Job, nil) {
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

// fields reads some fields of each job that has a record; one that is missing is empty.
func (l *Ledger) fields(ctx context.Context, jobIDs, names []string, visit func(jobID string, values []string)) error {
	for len(jobIDs) > 0 {
		page := jobIDs[:min(500, len(jobIDs))]
		jobIDs = jobIDs[len(page):]
		replies := make([]*redis.SliceCmd, len(page))
		if _, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, id := range page {
				replies[i] = p.HMGet(ctx, jobKey(id), names...)
			}
			return nil
		}); err != nil {
			return fmt.Errorf("read %d jobs: %w", len(page), err)
		}
		for i, reply := range replies {
			values, some := make([]string, len(names)), false
			for n, v := range reply.Val() {
				text, ok := v.(string)
				values[n], some = text, some || ok
			}
			if some {
				visit(page[i], values)
			}
		}
	}
	return nil
}
