package ledger

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/redis/go-redis/v9"
)

// The index of open jobs is a sorted set of job ids by when they were put into it, in µs. A name is put in before its job
// opens, and taken out some time after it ended: who reads the index looks at the record. It is built anew once a day from all
// jobs, which finds those of producers of an older version; by a worker, so that nobody waits for that who reads it.
const (
	openKey = "unrole:jobs:open"
	// indexedKey says that the index is complete.
	indexedKey  = "unrole:jobs:indexed"
	indexedFor  = 48 * time.Hour
	indexedAnew = 24 * time.Hour
	// A name is taken out when its job has ended and the name was put in so long ago that whoever did so has opened it.
	lingers = time.Minute
)

// opened puts jobs into the index of open ones, before they open.
func (l *Ledger) opened(ctx context.Context, jobIDs ...string) error {
	now := float64(l.now().UnixMicro())
	names := make([]redis.Z, len(jobIDs))
	for i, id := range jobIDs {
		names[i] = redis.Z{Score: now, Member: id}
	}
	if err := l.rdb.ZAdd(ctx, openKey, names...).Err(); err != nil {
		return fmt.Errorf("put %d jobs into the index of open ones: %w", len(jobIDs), err)
	}
	return nil
}

// index builds the index of open jobs where it is not complete, or has been for so long.
func (l *Ledger) index(ctx context.Context, age time.Duration) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("index the open jobs: %w", err)
		}
	}()
	// The key is missing at -2 ns.
	if left, err := l.rdb.PTTL(ctx, indexedKey).Result(); err != nil || left > indexedFor-age {
		return err
	}
	for page, err := range l.names(ctx, indexKey) {
		if err != nil {
			return err
		}
		ended := map[string]bool{}
		if err := l.fields(ctx, page, []string{"total", "finished_at"}, func(id string, f []string) {
			ended[id] = f[0] == "" || f[1] != ""
		}); err != nil {
			return err
		}
		var open []redis.Z
		for _, id := range page {
			if !ended[id] {
				open = append(open, redis.Z{Score: float64(l.now().UnixMicro()), Member: id})
			}
		}
		if len(open) > 0 {
			if err := l.rdb.ZAddNX(ctx, openKey, open...).Err(); err != nil {
				return err
			}
		}
	}
	return l.rdb.Set(ctx, indexedKey, 1, indexedFor).Err()
}

// OpenNames lists the ids of the jobs that are not finished, and of some that ended within the last minutes, the latest
// first.
func (l *Ledger) OpenNames(ctx context.Context) ([]string, error) {
	return l.openNames(ctx, indexedFor)
}

func (l *Ledger) openNames(ctx context.Context, indexed time.Duration) ([]string, error) {
	if err := l.index(ctx, indexed); err != nil {
		return nil, err
	}
	var ids []string
	for page, err := range l.names(ctx, openKey) {
		if err != nil {
			return nil, err
		}
		ids = append(ids, page...)
	}
	return ids, nil
}

// Open yields the jobs that are not finished, the latest first, reading a page at a time. It ends at the first error.
func (l *Ledger) Open(ctx context.Context) iter.Seq2[Job, error] {
	return func(yield func(Job, error) bool) {
		if err := l.index(ctx, indexedFor); err != nil {
			yield(Job{}, err)
			return
		}
		for job, err := range l.jobs(ctx, openKey) {
			if (err != nil || !job.State.Finished()) && !yield(job, err) {
				return
			}
		}
	}
}

// tidy takes jobs that ended out of an index, unless they were put in lately: then they may be opening.
func (l *Ledger) tidy(ctx context.Context, index string, jobIDs []string) error {
	latest := float64(l.now().Add(-lingers).UnixMicro())
	for len(jobIDs) > 0 {
		page := jobIDs[:min(pageOfJobs, len(jobIDs))]
		jobIDs = jobIDs[len(page):]
		scores, err := l.rdb.ZMScore(ctx, index, page...).Result()
		if err != nil {
			return fmt.Errorf("tidy the index of jobs: %w", err)
		}
		var args []any
		for i, score := range scores {
			if score > 0 && score < latest {
				args = append(args, page[i], int64(score))
			}
		}
		if args == nil {
			continue
		}
		if err := tidyScript.Run(ctx, l.rdb, []string{index}, args...).Err(); err != nil {
			return fmt.Errorf("tidy the index of jobs: %w", err)
		}
	}
	return nil
}
