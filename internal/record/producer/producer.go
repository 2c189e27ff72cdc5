// Package producer puts parts into asynq's queues, the same way for new jobs, for the children of a part and for dead
// letters.
package producer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"golang.org/x/sync/errgroup"

	"github.com/unrole/unrole/internal/base/queue"
	"github.com/unrole/unrole/internal/base/trace"
	"github.com/unrole/unrole/tasks"
)

const (
	// retention keeps the id and the result of a finished part, so that enqueuing it again is noticed and the web UI
	// shows what came of it.
	retention = 24 * time.Hour
	// parallel enqueues fill the round trips to Redis (one goroutine: 5,000 a second, 16: 20,000 and more).
	parallel = 16
)

// farFuture is when dead letters are scheduled for: never, unless somebody makes them due.
var farFuture = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

// Enqueue puts the parts into a lane, not to be processed before at. A part that is there already is a success, so an
// interrupted call is completed by repeating it. The tasks belong to the trace of ctx.
func Enqueue(ctx context.Context, client *asynq.Client, parts []tasks.Part, lane string, at time.Time) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i := range parts {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			opts := []asynq.Option{asynq.Queue(lane), asynq.Retention(retention)}
			if !at.IsZero() {
				opts = append(opts, asynq.ProcessAt(at))
			}
			_, err := put(ctx, client, &parts[i], parts[i].TaskID(), opts...)
			return err
		})
	}
	return g.Wait()
}

// EnqueueLetter puts a dead letter into the dead-letter queue under the given task id. It reports false when that id
// is taken.
func EnqueueLetter(ctx context.Context, client *asynq.Client, letter *tasks.Part, id string) (bool, error) {
	return put(ctx, client, letter, id, asynq.Queue(tasks.QueueDeadLetter), asynq.ProcessAt(farFuture))
}

func put(ctx context.Context, client *asynq.Client, p *tasks.Part, id string, opts ...asynq.Option) (bool, error) {
	payload, err := p.Encode()
	if err != nil {
		return false, err
	}
	opts = append(opts, asynq.TaskID(id), asynq.MaxRetry(queue.MaxRetry), asynq.Timeout(queue.Timeout))
	_, err = client.EnqueueContext(ctx, asynq.NewTaskWithHeaders(tasks.TypeRemove, payload, trace.Headers(ctx)), opts...)
	switch {
	case errors.Is(err, asynq.ErrTaskIDConflict):
		// Also what a lost reply to a successful enqueue looks like.
		return false, nil
	case err != nil && ctx.Err() != nil:
		// Of a script's error asynq passes on the text only; errors.Is has to find that the context ended.
		return false, fmt.Errorf("enqueue %s: %w", id, ctx.Err())
	case err != nil:
		return false, fmt.Errorf("enqueue %s: %w", id, err)
	}
	return true, nil
}
