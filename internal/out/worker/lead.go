package worker

import (
	"context"

	"github.com/unrole/unrole/internal/base/lease"
	"github.com/unrole/unrole/internal/base/queue"
	"github.com/unrole/unrole/internal/out/dingtalk"
)

// Held reports whether this worker has the lead of the fleet for certain. Fence goes with what it writes then, and Replaced tells
// it of a write that was refused since Redis is another server; see queue.Lead.
func (w *Worker) Held() bool             { return w.lead.Held() }
func (w *Worker) Fence() lease.Fence     { return w.lead.Fence() }
func (w *Worker) Replaced(f lease.Fence) { w.lead.Replaced(f) }

// leading makes calls only while this worker has the lead: another one may make the same ones otherwise.
type leading struct {
	Caller
	lead *queue.Lead
}

// RemoveRoles looks at the lead for the last time when the request is about to be written (see dingtalk.Client): a
// process that was frozen while it waited for a token or a connection makes no call when it wakes. What is not seen is a
// freeze in the microseconds between that look and the write.
func (l leading) RemoveRoles(ctx context.Context, roleIDs []int64, userIDs []string) (dingtalk.Reply, error) {
	return l.call(ctx, func(ctx context.Context) (dingtalk.Reply, error) { return l.Caller.RemoveRoles(ctx, roleIDs, userIDs) })
}

// AddRoles looks at the lead in the same way.
func (l leading) AddRoles(ctx context.Context, roleIDs []int64, userIDs []string) (dingtalk.Reply, error) {
	return l.call(ctx, func(ctx context.Context) (dingtalk.Reply, error) { return l.Caller.AddRoles(ctx, roleIDs, userIDs) })
}

// SetScope looks at the lead in the same way.
func (l leading) SetScope(ctx context.Context, roleID int64, userID string, departments []int64) (dingtalk.Reply, error) {
	return l.call(ctx, func(ctx context.Context) (dingtalk.Reply, error) {
		return l.Caller.SetScope(ctx, roleID, userID, departments)
	})
}

func (l leading) call(ctx context.Context, call func(context.Context) (dingtalk.Reply, error)) (dingtalk.Reply, error) {
	ctx = whileHeld{ctx, l.lead}
	if err := ctx.Err(); err != nil {
		return dingtalk.Reply{}, err
	}
	return call(ctx)
}

// whileHeld is a context that is over for whoever asks while the lead is not held. What is under way goes on: its answer
// may still be written down if nobody else has taken the tasks.
type whileHeld struct {
	context.Context
	lead *queue.Lead
}

func (c whileHeld) Err() error {
	if err := c.Context.Err(); err != nil || c.lead.Held() {
		return err
	}
	return context.Canceled
}
