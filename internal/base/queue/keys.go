// Package queue is everything that unrole knows of asynq's insides, and what it makes of it: one worker of the fleet takes
// the tasks, what it had in its hands goes on with the next one, and nothing is lost on the way.
//
// asynq 0.26 keeps a queue in these keys of one hash slot, which its own scripts move task ids between:
//
//	asynq:{Q}:pending          list    new ids come in on the left, the next task is taken on the right
//	asynq:{Q}:active           list    what a worker has in its hands; the last taken is on the left
//	asynq:{Q}:lease            zset    the same ids by the moment asynq gives their worker up
//	asynq:{Q}:scheduled|retry  zset    ids by when they are due
//	asynq:{Q}:archived|completed zset
//	asynq:{Q}:paused           string  while it exists nothing is taken
//	asynq:{Q}:groups, …:g:NAME set     names of groups, and a zset of the ids in each
//	asynq:{Q}:t:ID             hash    msg (protobuf), state, pending_since, group
//
// The tests of this room fail where another asynq does it otherwise.
package queue

import "github.com/hibiken/asynq"

// keyPrefix begins the keys of every queue.
const keyPrefix = "asynq:{"

func key(queue, name string) string { return keyPrefix + queue + "}:" + name }

// StateKey is where asynq keeps the ids of the tasks of a queue in a state.
func StateKey(queue string, s asynq.TaskState) string { return key(queue, s.String()) }

// TaskKey is where asynq keeps a task.
func TaskKey(queue, id string) string { return taskPrefix(queue) + id }

func taskPrefix(queue string) string { return key(queue, "t:") }

// fenceKey holds, in the slot of the queue, the number of the last lead that took it over. Scripts of an earlier one
// are refused.
func fenceKey(queue string) string { return "unrole:lead:{" + queue + "}" }
