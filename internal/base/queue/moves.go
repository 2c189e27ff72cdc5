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
	//go:embed lua/mark.lua
	markLua    string
	markScript = redis.NewScript(markLua)
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

// Mark reads a task, and marks it as that of the lead of the fence: no earlier one drops it any more. there is false where there is no
// such task.
func Mark(ctx context.Context, rdb redis.UniversalClient, queue, id string, lead lease.Fence) (s Stored, there bool, err error) {
	reply, err := markScript.Run(ctx, rdb, []string{TaskKey(queue, id)}, lead.Number()).StringSlice()
	if err != nil || len(reply) != 2 {
		return Stored{}, false, err
	}
	return stored(queue, id, reply[0], reply[1]), true, nil
}

// Drop deletes a scheduled task in the name of the lead of the fence, unless a later lead has marked it or somebody has made it due.
func Drop(ctx context.Context, rdb redis.UniversalClient, queue, id string, lead lease.Fence) error {
	// In the other order they are the keys of a script of asynq that enqueues, see parse.
	return dropScript.Run(ctx, rdb, []string{StateKey(queue, asynq.TaskStateScheduled), TaskKey(queue, id)}, lead.Number(), id).Err()
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
