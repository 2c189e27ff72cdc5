package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/forget"
)

// Drop erases a finished job that is named after somebody: its record goes, and its trail goes on under the name that
// Names.JobID gives it, with an entry that says so. What Redis has of it elsewhere is the caller's to erase, before: nothing
// leads there any more. A job that is not finished by then gives an *UnfinishedError, one that has vanished nothing.
func (l *Ledger) Drop(ctx context.Context, e Erasure) (Erased, error) {
	for {
		_, done, err := l.erasing(ctx, e)
		if err != nil || !done.NamedAfter {
			return done, err
		}
		moved, err := l.drop(ctx, e, done)
		if err != nil {
			return done, fmt.Errorf("erase job %s: %w", e.JobID, err)
		}
		if !moved {
			return done, nil
		}
	}
}

// drop copies the trail, and drops the job if nothing of it has moved since.
func (l *Ledger) drop(ctx context.Context, e Erasure, done Erased) (moved bool, err error) {
	name := e.Names.JobID(e.JobID)
	later := keys(name)[keyAudit]
	// A trail that a former try has begun is written anew.
	if err := l.rdb.Unlink(ctx, later).Err(); err != nil {
		return false, err
	}
	last, err := l.copyTrail(ctx, e, name)
	if err != nil {
		return false, err
	}
	if last != "" || done.Known {
		entry, err := encodeEntry(Entry{At: l.now(), Event: EventErased, JobID: name, By: e.By, Why: e.Why, Pairs: done.Pairs, Letters: e.Letters})
		if err != nil {
			return false, err
		}
		if err := l.rdb.XAdd(ctx, &redis.XAddArgs{Stream: later, Values: []any{"entry", entry}}).Err(); err != nil {
			return false, err
		}
	}
	reply, err := l.run(ctx, dropScript, e.JobID, last)
	if err != nil {
		return false, err
	}
	if said := reply[0].(int64); said != 1 {
		if err := l.rdb.Unlink(ctx, later).Err(); err != nil || said == 0 {
			return true, err
		}
		job, err := l.Get(ctx, e.JobID)
		if unknown := (*NotFoundError)(nil); errors.As(err, &unknown) {
			return true, nil
		}
		if err == nil {
			err = &UnfinishedError{Job: job}
		}
		return false, err
	}
	_, err = l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, index := range indexes {
			p.ZRem(ctx, index, e.JobID)
		}
		return nil
	})
	return false, err
}

// copyTrail writes the trail of a job under another name, and returns its last place, "" where it has none.
func (l *Ledger) copyTrail(ctx context.Context, e Erasure, name string) (last string, err error) {
	var copies []redis.XAddArgs
	err = l.Trail(ctx, e.JobID, "", func(t TrailEntry) error {
		without := forget.Strings(e.Names.JSON(t.JSON, auditTexts...), func(key, value string) string {
			if key == "job_id" && value == e.JobID {
				return name
			}
			return value
		})
		copies, last = append(copies, redis.XAddArgs{Stream: keys(name)[keyAudit], ID: t.ID, Values: []any{"entry", without}}), t.ID
		return nil
	})
	var unknown *NotFoundError
	if err != nil && !errors.As(err, &unknown) {
		return "", err
	}
	for some := range slices.Chunk(copies, 500) {
		if _, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i := range some {
				p.XAdd(ctx, &some[i])
			}
			return nil
		}); err != nil {
			return "", err
		}
	}
	return last, nil
}
