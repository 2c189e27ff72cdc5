package worker

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/redisconn"
)

// steady gives asynq a connection that rides out whatever Redis refuses: scripts wait in the gate until they get
// through, the context of the command ends, or ending does, since asynq's loops know no end of their own. What lead keeps
// back never gets there.
//
// The caller closes it once asynq's servers have shut down, and not before: their subscriber panics when its channel is
// closed under it.
func steady(rdb redis.UniversalClient, gate *redisconn.Gate, ending context.Context, lead redis.Hook) (client redis.UniversalClient, closeClient func()) {
	return redisconn.Steady(rdb, gate, lead, endingHook{ending})
}

// endingHook ends commands with the worker.
type endingHook struct{ ending context.Context }

func (h endingHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h endingHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		ctx, cancel := h.with(ctx)
		defer cancel()
		return next(ctx, cmds)
	}
}

func (h endingHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		ctx, cancel := h.with(ctx)
		defer cancel()
		return next(ctx, cmd)
	}
}

func (h endingHook) with(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(h.ending, cancel)
	return ctx, func() { stop(); cancel() }
}
