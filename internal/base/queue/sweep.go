package queue

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/wait"
)

// sweep puts back what is active and in nobody's hands, which asynq finds late or not at all: the reply of a look was
// lost, or Redis has lost the lease of the task. And it makes single tasks of groups.
func (l *Lead) sweep(ctx context.Context) {
	suspects := map[string][]string{}
	for n := 0; wait.For(ctx, sweepInterval) == nil; n++ {
		if !l.Held() {
			continue
		}
		if n%listEvery == 0 {
			if err := l.list(ctx); err != nil && ctx.Err() == nil {
				l.log.Warn().Err(err).Msg("queues could not be listed for asynq's web UI; it is tried again")
			}
		}
		for _, q := range l.cfg.Queues {
			found, err := l.sweepQueue(ctx, q, suspects[q])
			if suspects[q] = found; err != nil && ctx.Err() == nil {
				l.log.Warn().Err(err).Msg("looking for lost tasks failed; it is tried again")
			}
		}
	}
}

// list has asynq's tools know of every queue that has tasks. A producer of asynq tells once in its life that there is one, and a
// Redis that is started again may have lost that.
func (l *Lead) list(ctx context.Context) error {
	used := make([]*redis.IntCmd, len(l.cfg.Queues))
	if _, err := l.cfg.Redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, q := range l.cfg.Queues {
			var keys []string
			for s := asynq.TaskStateActive; s <= asynq.TaskStateCompleted; s++ {
				keys = append(keys, StateKey(q, s))
			}
			used[i] = p.Exists(ctx, keys...)
		}
		return nil
	}); err != nil {
		return err
	}
	var err error
	for i, q := range l.cfg.Queues {
		if used[i].Val() > 0 {
			err = errors.Join(err, List(ctx, l.cfg.Redis, q))
		}
	}
	return err
}

// List has asynq's tools know of a queue: what they do not know they take for empty.
func List(ctx context.Context, rdb redis.UniversalClient, queue string) error {
	return rdb.SAdd(ctx, "asynq:queues", queue).Err()
}

// sweepQueue puts back what it suspects the second time, and returns what it suspects for the first: a task may be on its
// way into somebody's hands, or out of them.
func (l *Lead) sweepQueue(ctx context.Context, queue string, suspects []string) (next []string, err error) {
	var active, groups *redis.StringSliceCmd
	if _, err := l.cfg.Redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		active = p.LRange(ctx, StateKey(queue, asynq.TaskStateActive), 0, -1)
		groups = p.SMembers(ctx, key(queue, "groups"))
		return nil
	}); err != nil {
		return nil, err
	}
	if err := l.extend(ctx, queue); err != nil {
		return nil, err
	}
	lost := l.hands.lacking(queue, active.Val())
	again := slices.DeleteFunc(slices.Clone(lost), func(id string) bool { return !slices.Contains(suspects, id) })
	if len(again) > 0 {
		n, err := back(ctx, l.cfg.Redis, queue, l.Number(), again...)
		if err != nil {
			return nil, err
		}
		l.log.Warn().Str("queue", queue).Int64("tasks", n).Msg("tasks that nobody had in hands are taken again")
	}
	if n, err := ungroup(ctx, l.cfg.Redis, queue, groups.Val()); err != nil || n > 0 {
		l.log.Info().Str("queue", queue).Int64("tasks", n).Err(err).Msg("tasks of a group are taken one by one")
	}
	return lost, nil
}

// watchPauses puts tasks of lanes back that were paused in the web UI: asynq takes no more of them, but keeps what it has.
func (l *Lead) watchPauses(ctx context.Context) {
	for wait.For(ctx, pauseInterval) == nil {
		for _, q := range l.hands.queues() {
			if n, err := l.cfg.Redis.Exists(ctx, key(q, "paused")).Result(); err == nil && n > 0 {
				for _, t := range l.hands.leave(q, errPaused) {
					l.putBack(t)
				}
			}
		}
	}
}

// putBack has tasks pending again soon, together with others that come back at the same time.
func (l *Lead) putBack(t task) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.returned[t.queue] = append(l.returned[t.queue], t.id)
}

const (
	// giveBackInterval is how long tasks that come back wait for each other, and for as long again while more come.
	giveBackInterval = 50 * time.Millisecond
	giveBackMost     = 10 // intervals
)

// giveBack puts tasks back, those together in their order that come back together. What it does not get through the sweep
// finds, or the end of the lead.
func (l *Lead) giveBack(ctx context.Context) {
	before, waited := 0, 0
	for wait.For(ctx, giveBackInterval) == nil {
		l.mu.Lock()
		n := 0
		for _, ids := range l.returned {
			n += len(ids)
		}
		if n > before && waited < giveBackMost {
			before, waited = n, waited+1
			l.mu.Unlock()
			continue
		}
		before, waited = 0, 0
		returned := l.returned
		l.returned = map[string][]string{}
		l.mu.Unlock()
		for q, ids := range returned {
			if _, err := back(ctx, l.cfg.Redis, q, l.Number(), ids...); err != nil && !errors.Is(err, errStale) && ctx.Err() == nil {
				l.log.Warn().Err(err).Msg("they go back when that is seen")
			}
		}
	}
}
