package queue

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/lease"
)

const (
	// MaxRetry is asynq's limit of retries. unrole counts attempts itself, and only a handler that panics spends this one.
	MaxRetry = 1000
	// Timeout ends a handler. The default of asynq, 30 minutes, would end the wait for a hold that lasts a weekend.
	Timeout = 30 * 24 * time.Hour
)

var (
	//go:embed lua/back.lua
	backLua    string
	backScript = redis.NewScript(backLua)
	//go:embed lua/ungroup.lua
	ungroupLua    string
	ungroupScript = redis.NewScript(ungroupLua)
	//go:embed lua/husk.lua
	huskLua    string
	huskScript = redis.NewScript(huskLua)
	//go:embed lua/drop.lua
	dropLua    string
	dropScript = redis.NewScript(dropLua)
)

var errStale = errors.New("another worker takes the tasks by now")

// ClearHusk deletes what is left of a task that has no message, and reports whether there was something.
func ClearHusk(ctx context.Context, rdb redis.UniversalClient, queue, id string) (bool, error) {
	n, err := huskScript.Run(ctx, rdb, []string{TaskKey(queue, id)}).Int()
	return n > 0, err
}

// Drop deletes a scheduled task that the lead of the fence has enqueued, unless a later lead has taken the queue over or somebody has made
// the task due.
func Drop(ctx context.Context, rdb redis.UniversalClient, queue, id string, lead lease.Fence) error {
	return dropScript.Run(ctx, rdb, []string{TaskKey(queue, id), StateKey(queue, asynq.TaskStateScheduled), fenceKey(queue)}, lead.Number(), id).Err()
}

// back makes active tasks of a queue pending again, all of them where no ids are named, in the name of the lead of that
// number. From here on whoever led before can do nothing any more with tasks of the queue.
func back(ctx context.Context, rdb redis.UniversalClient, queue string, number int64, ids ...string) (int64, error) {
	args := []any{number, taskPrefix(queue)}
	for _, id := range ids {
		args = append(args, id)
	}
	n, err := backScript.Run(ctx, rdb, []string{fenceKey(queue), StateKey(queue, asynq.TaskStateActive), key(queue, "lease"),
		StateKey(queue, asynq.TaskStatePending)}, args...).Int64()
	if err == nil && n < 0 {
		err = errStale
	}
	if err != nil {
		return 0, fmt.Errorf("put tasks of queue %s back: %w", queue, err)
	}
	return n, nil
}

// ungroup takes the tasks of a queue out of their groups.
func ungroup(ctx context.Context, rdb redis.UniversalClient, queue string, groups []string) (tasks int64, err error) {
	for _, group := range groups {
		n, err := ungroupScript.Run(ctx, rdb, []string{key(queue, "g:"+group), key(queue, "groups"), StateKey(queue, asynq.TaskStatePending)},
			group, taskPrefix(queue), time.Now().UnixNano()).Int64()
		if err != nil {
			return tasks, fmt.Errorf("take tasks of queue %s out of their group: %w", queue, err)
		}
		tasks += n
	}
	return tasks, nil
}
