package worker

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/base/lease"
	"github.com/unrole/unrole/internal/base/wait"
)

// Only removals that wait in the same worker can share a call, so one worker takes the tasks and the others stand by.
// Nothing else depends on it: two who lead for a moment make more calls than one, and who cannot ask leads.
const (
	leadKey      = "unrole:lead"
	leadInterval = time.Second
	// leadTTL is how long nobody takes tasks after a leader was killed.
	leadTTL = 5 * time.Second
	// leadTries is how many calls in a row end without an answer before somebody else has a try: the way to DingTalk may
	// be closed to this worker alone.
	leadTries = 3
)

// lead is a worker's side of it. As a hook of asynq's connection it answers the looks for tasks that are not for this
// worker to take.
type lead struct {
	lease      *lease.Lease
	log        zerolog.Logger
	said       string // in the log
	leads      atomic.Bool
	unanswered atomic.Int32 // calls since the last one that DingTalk answered
}

func newLead(rdb redis.UniversalClient, log zerolog.Logger) *lead {
	return &lead{lease: lease.New(rdb, leadKey, leadTTL), log: log}
}

// run takes the lead when it is free and keeps it, until ctx ends.
func (l *lead) run(ctx context.Context) {
	defer l.resign()
	for wait.For(ctx, leadInterval) == nil {
		if l.leads.Load() && l.unanswered.Load() >= leadTries {
			l.log.Warn().Msg("DingTalk does not answer this worker: another one may take the tasks")
			l.resign()
			l.said = ""
			if wait.For(ctx, 3*leadInterval) != nil {
				return
			}
			l.unanswered.Store(0)
		}
		l.take(ctx)
	}
}

func (l *lead) take(ctx context.Context) {
	mine, err := l.lease.Take(ctx)
	l.leads.Store(mine || err != nil)
	if err != nil {
		return
	}
	says := "another worker takes the tasks; this one stands by"
	if mine {
		says = "this worker takes the tasks"
	}
	if says != l.said {
		l.said = says
		l.log.Info().Msg(says)
	}
}

func (l *lead) resign() {
	l.leads.Store(false)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := l.lease.End(ctx); err != nil {
		l.log.Debug().Err(err).Dur("ttl", leadTTL).Msg("the lead could not be given back; it ends by itself")
	}
}

// heard notes whether DingTalk answered a call.
func (l *lead) heard(answered bool) {
	if answered {
		l.unanswered.Store(0)
	} else {
		l.unanswered.Add(1)
	}
}

func (l *lead) DialHook(next redis.DialHook) redis.DialHook { return next }

func (l *lead) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (l *lead) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if !l.leads.Load() && looksForTask(cmd) {
			return redis.Nil // as if there were none
		}
		return next(ctx, cmd)
	}
}

// looksForTask recognises asynq's script that takes a pending task of a queue, by its first two keys.
func looksForTask(cmd redis.Cmder) bool {
	args := cmd.Args()
	if len(args) < 5 {
		return false
	}
	pending, _ := args[3].(string)
	queue, ok := strings.CutSuffix(pending, ":pending")
	return ok && args[4] == queue+":paused"
}
