package queue

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/unrole/unrole/internal/base/redisconn"
)

// Stored is a task as asynq keeps it.
type Stored struct {
	Queue, ID string
	State     asynq.TaskState
	Payload   []byte
	// LastErr is what its last try came to.
	LastErr string

	msg []byte
}

var storedStates = []asynq.TaskState{asynq.TaskStateActive, asynq.TaskStatePending, asynq.TaskStateScheduled, asynq.TaskStateRetry,
	asynq.TaskStateArchived, asynq.TaskStateCompleted}

// EachStored visits the tasks of some queues, those that are over and kept for a while included. One that is there from the
// beginning to the end is visited at least once, wherever it is moved meanwhile: it is looked for by its own key.
func EachStored(ctx context.Context, rdb redis.UniversalClient, queues []string, visit func(Stored) error) error {
	err := redisconn.Scan(ctx, rdb, taskPrefix("*")+"*", func(keys []string) error {
		ids := map[string][]string{}
		for _, k := range keys {
			queue, id, _ := strings.Cut(strings.TrimPrefix(k, keyPrefix), "}:t:")
			ids[queue] = append(ids[queue], id)
		}
		for _, queue := range queues {
			if len(ids[queue]) == 0 {
				continue
			}
			if err := visitStored(ctx, rdb, queue, ids[queue], visit); err != nil {
				return fmt.Errorf("queue %s: %w", queue, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the stored tasks: %w", err)
	}
	return nil
}

// Read reads one task of a queue.
func Read(ctx context.Context, rdb redis.UniversalClient, queue, id string) (s Stored, there bool, err error) {
	if err = visitStored(ctx, rdb, queue, []string{id}, func(one Stored) error {
		s, there = one, true
		return nil
	}); err != nil {
		err = fmt.Errorf("read task %s of queue %s: %w", id, queue, err)
	}
	return s, there, err
}

func visitStored(ctx context.Context, rdb redis.UniversalClient, queue string, ids []string, visit func(Stored) error) error {
	replies := make([]*redis.SliceCmd, len(ids))
	if _, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range ids {
			replies[i] = p.HMGet(ctx, TaskKey(queue, id), "msg", "state")
		}
		return nil
	}); err != nil {
		return err
	}
	for i, id := range ids {
		msg, there := replies[i].Val()[0].(string)
		state, _ := replies[i].Val()[1].(string)
		if !there {
			continue // gone since
		}
		if err := visit(stored(queue, id, msg, state)); err != nil {
			return err
		}
	}
	return nil
}

// stored is a task of which asynq has that message and state.
func stored(queue, id, msg, state string) Stored {
	s := Stored{Queue: queue, ID: id, msg: []byte(msg)}
	for _, known := range storedStates {
		if known.String() == state {
			s.State = known
		}
	}
	s.Payload = fieldOf(s.msg, fieldPayload)
	s.LastErr = string(fieldOf(s.msg, fieldError))
	return s
}

// fieldOf is the last of the message's fields of that number, nil where it has none.
func fieldOf(msg []byte, number protowire.Number) (value []byte) {
	for rest := msg; len(rest) > 0; {
		n, typ, length := protowire.ConsumeField(rest)
		if length < 0 {
			return nil
		}
		if n == number && typ == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(rest)
			value, _ = protowire.ConsumeBytes(rest[tag:])
		}
		rest = rest[length:]
	}
	return value
}

// ErrMoved says that a task is in a worker's hands, or not any more what it was.
var ErrMoved = errors.New("the task has moved")

//go:embed lua/rewrite.lua
var rewriteLua string

var rewriteScript = redis.NewScript(rewriteLua)

// Rewrite gives a task, as it was read, another payload and last error. One that a worker has taken since, or that somebody
// else has changed, gives ErrMoved.
func Rewrite(ctx context.Context, rdb redis.UniversalClient, s Stored, payload []byte, lastErr string) error {
	var msg []byte
	for rest := s.msg; len(rest) > 0; {
		number, _, n := protowire.ConsumeField(rest)
		if n < 0 {
			return fmt.Errorf("task %s of queue %s cannot be read: %w", s.ID, s.Queue, protowire.ParseError(n))
		}
		if number != fieldPayload && number != fieldError {
			msg = append(msg, rest[:n]...)
		}
		rest = rest[n:]
	}
	msg = protowire.AppendBytes(protowire.AppendTag(msg, fieldPayload, protowire.BytesType), payload)
	if lastErr != "" {
		msg = protowire.AppendString(protowire.AppendTag(msg, fieldError, protowire.BytesType), lastErr)
	}
	done, err := rewriteScript.Run(ctx, rdb, []string{TaskKey(s.Queue, s.ID)}, s.msg, msg).Bool()
	if err == nil && !done {
		err = ErrMoved
	}
	if err != nil {
		return fmt.Errorf("write task %s of queue %s anew: %w", s.ID, s.Queue, err)
	}
	return nil
}
