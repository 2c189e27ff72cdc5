package index

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Status is what an operator wants to know of an index. It names nobody.
type Status struct {
	// ReadAt is when reading the directory began for what is there; zero where nothing is there.
	ReadAt time.Time
	// People is how many were read then.
	People int
	// Reading says that somebody reads the directory at this moment, and has come to so many staff numbers and addresses.
	Reading bool
	SoFar   int
	// Wanted says that somebody asked lately, so that it is read again in time.
	Wanted bool
	// FailedAt is when the directory could not be read for the last time, and Why that was; zero where it was read since.
	FailedAt time.Time
	Why      string
}

// Look reads the status of the index of an app, see Config. It takes no secret.
func Look(ctx context.Context, rdb redis.UniversalClient, app string) (Status, error) {
	at := keysOf(app)
	var read, lease, added *redis.StringCmd
	var asked *redis.IntCmd
	var about *redis.MapStringStringCmd
	if _, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		read, lease, added = p.Get(ctx, at+"read"), p.Get(ctx, at+"lease"), p.Get(ctx, at+"added")
		asked, about = p.Exists(ctx, at+"asked"), p.HGetAll(ctx, at+"about")
		return nil
	}); err != nil && !errors.Is(err, redis.Nil) {
		return Status{}, wrapped("look at it", err)
	}
	s := Status{Wanted: asked.Val() > 0, Reading: lease.Val() != "", Why: about.Val()["why"]}
	if ms, err := strconv.ParseInt(read.Val(), 10, 64); err == nil {
		s.ReadAt = time.UnixMilli(ms).UTC()
		s.People, _ = strconv.Atoi(about.Val()["people"])
	}
	if s.Reading {
		s.SoFar, _ = strconv.Atoi(added.Val())
	}
	if ms, err := strconv.ParseInt(about.Val()["failed_at"], 10, 64); err == nil {
		s.FailedAt = time.UnixMilli(ms).UTC()
	}
	return s, nil
}

// failureKept is how long it is known at least why the directory could not be read.
const failureKept = 24 * time.Hour

// noteFailure records why the directory could not be read, for whoever wonders.
func (x *Index) noteFailure(ctx context.Context, why error) {
	about := x.keys[len(x.keys)-1]
	_, _ = x.cfg.Redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, about, "failed_at", time.Now().UnixMilli(), "why", why.Error())
		p.Expire(ctx, about, max(failureKept, x.cfg.TTL)) // how many were read is said as long as they are there
		return nil
	})
}
