package worker

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// patience is how long a script of asynq is repeated while Redis is away. asynq's lease lasts 30 s, and its own second
// try of a completion comes with an ended context, so a completion that does not get through here runs the task again.
const patience = 25 * time.Second

// steady gives asynq a connection that rides out a short outage of Redis: scripts are repeated, with a pause between,
// until they get through, the context of the command or of the worker ends, or patience runs out. It also keeps
// asynq's fetch loop, which knows no pause, from spinning. What lead keeps back never gets there.
//
// The caller closes it once asynq's servers have shut down, and not before: their subscriber panics when its channel is
// closed under it.
func steady(rdb redis.UniversalClient, ending context.Context, lead redis.Hook) (client redis.UniversalClient, closeClient func()) {
	// A copy of its own with the same options: its hooks must not concern anybody else. The one option that go-redis
	// still writes to while the clients connect is not shared.
	quiet := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	switch c := rdb.(type) {
	case *redis.Client:
		own := *c.Options()
		own.MaintNotificationsConfig = quiet
		client = redis.NewClient(&own)
	case *redis.ClusterClient:
		own := *c.Options()
		own.MaintNotificationsConfig = quiet
		client = redis.NewClusterClient(&own)
	default:
		return rdb, func() {}
	}
	client.AddHook(steadyHook{ending: ending})
	client.AddHook(lead)
	return client, func() { client.Close() }
}

type steadyHook struct{ ending context.Context }

func (h steadyHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h steadyHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h steadyHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if name := cmd.Name(); name != "evalsha" && name != "eval" {
			return next(ctx, cmd)
		}
		deadline := time.Now().Add(patience)
		pause := 50 * time.Millisecond
		for {
			err := next(ctx, cmd)
			if err == nil || !away(err) || time.Now().Add(pause).After(deadline) {
				return err
			}
			select {
			case <-ctx.Done():
				return err
			case <-h.ending.Done():
				return err
			case <-time.After(pause):
			}
			pause = min(2*pause, time.Second)
		}
	}
}

// away reports whether err says that Redis could not be reached or cannot take commands for now, as against an answer.
func away(err error) bool {
	var netErr net.Error
	if errors.As(err, &netErr) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, redis.ErrPoolTimeout) {
		return !errors.Is(err, context.Canceled)
	}
	for _, prefix := range []string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "OOM", "MISCONF"} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return false
}
