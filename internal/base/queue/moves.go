package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

const (
	// MaxRetry is asynq's limit of retries. unrole counts attempts itself, and only a handler that panics spends this one.
	MaxRetry = 1000
	// Timeout ends a handler. The default of asynq, 30 minutes, would end the wait for a hold that lasts a weekend.
	Timeout = 30 * 24 * time.Hour
)

// backScript makes active tasks pending again, as asynq's own requeue does, but all in one step and in their order: what
// was taken first is taken first again. A task that Redis has lost is dropped. KEYS: fence, active, lease, pending. ARGV:
// number of the lead, prefix of task keys, then the ids, none meaning all. Returns how many went back, or -1 where a later
// lead has taken the queue over.
var backScript = redis.NewScript(`
local fence = redis.call('GET', KEYS[1])
if fence and tonumber(fence) > tonumber(ARGV[1]) then return -1 end
if fence ~= ARGV[1] then redis.call('SET', KEYS[1], ARGV[1]) end
local active = redis.call('LRANGE', KEYS[2], 0, -1)
if #active == 0 then return 0 end
local chosen = {}
for i = 3, #ARGV do chosen[ARGV[i]] = true end
redis.call('DEL', KEYS[2])
local n, seen = 0, {}
for _, id in ipairs(active) do
  if #ARGV > 2 and not chosen[id] then
    redis.call('RPUSH', KEYS[2], id)
  elseif not seen[id] then
    seen[id] = true
    redis.call('ZREM', KEYS[3], id)
    local task = ARGV[2] .. id
    if redis.call('HEXISTS', task, 'msg') == 1 then
      redis.call('HSET', task, 'state', 'pending')
      redis.call('RPUSH', KEYS[4], id)
      n = n + 1
    else
      redis.call('DEL', task)
    end
  end
end
return n
`)

var errStale = errors.New("another worker takes the tasks by now")

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

// ungroupScript makes the tasks of an asynq group single ones: nobody here aggregates. KEYS: the group, all groups,
// pending. ARGV: name of the group, prefix of task keys, now in nanoseconds.
var ungroupScript = redis.NewScript(`
local ids = redis.call('ZRANGE', KEYS[1], 0, 999)
for _, id in ipairs(ids) do
  redis.call('ZREM', KEYS[1], id)
  local task = ARGV[2] .. id
  if redis.call('HEXISTS', task, 'msg') == 1 then
    redis.call('HDEL', task, 'group')
    redis.call('HSET', task, 'state', 'pending', 'pending_since', ARGV[3])
    redis.call('LPUSH', KEYS[3], id)
  end
end
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SREM', KEYS[2], ARGV[1]) end
return #ids
`)

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
