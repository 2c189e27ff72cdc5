package worker

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/base/lease"
	"github.com/unrole/unrole/internal/base/queue"
	"github.com/unrole/unrole/internal/record/producer"
	"github.com/unrole/unrole/tasks"
)

// letters is the queue of the dead letters.
type letters struct {
	redis  redis.UniversalClient
	client *asynq.Client
	log    zerolog.Logger
}

// put enqueues a letter and returns the id it has. An id that holds the same letter is a success: it is there already. One
// that is taken by another letter, or by the task that is running, gives way to the next generation of the name.
func (l *letters) put(ctx context.Context, letter *tasks.Part, id, running string, same func(have *tasks.Part) bool) (string, error) {
	for ; ; id, letter.Part = tasks.NextGeneration(id), tasks.NextGeneration(letter.Part) {
		if id == running {
			continue
		}
		fresh, err := producer.EnqueueLetter(ctx, l.client, letter, id)
		if err != nil || fresh {
			return id, err
		}
		have, err := l.at(ctx, id)
		if err != nil || have != nil && same(have) {
			return id, err
		}
	}
}

// takeBack drops a letter that holds nothing as the lead of the fence knows. One that somebody has made due ends by itself, and one that
// a later lead keeps stays.
func (l *letters) takeBack(ctx context.Context, id string, lead lease.Fence) {
	if err := queue.Drop(ctx, l.redis, tasks.QueueDeadLetter, id, lead); err != nil {
		l.log.Warn().Str("letter", id).Err(err).Msg("an empty dead letter stays where it is")
	}
}

// at reads a task of the queue; nil if there is none or it cannot be read.
func (l *letters) at(ctx context.Context, id string) (*tasks.Part, error) {
	stored, there, err := queue.Read(ctx, l.redis, tasks.QueueDeadLetter, id)
	if err != nil || !there {
		return nil, err
	}
	p, err := tasks.Decode(stored.Payload)
	if err != nil {
		return nil, nil
	}
	return p, nil
}

// keep marks a letter as that of the lead of the fence, and has it own no more than the pairs of to. state is the letter's, 0 where there
// is none. asynq tells its tools of a queue once, which a Redis that was started again may have lost.
func (l *letters) keep(ctx context.Context, to *tasks.Part, lead lease.Fence) (state asynq.TaskState, err error) {
	stored, there, err := queue.Mark(ctx, l.redis, tasks.QueueDeadLetter, to.TaskID(), lead)
	if err == nil && there {
		err = queue.List(ctx, l.redis, tasks.QueueDeadLetter)
	}
	if err != nil || !there {
		return 0, err
	}
	if have, err := tasks.Decode(stored.Payload); err != nil || covers(to, have) {
		return stored.State, nil
	}
	payload, err := to.Encode()
	if err != nil {
		return 0, err
	}
	err = queue.Rewrite(ctx, l.redis, stored, payload, stored.LastErr)
	if errors.Is(err, queue.ErrMoved) { // it is tried again by now, and what is not dead is left alone
		err = nil
	}
	return stored.State, err
}

// redisPause is how long a task without a readable payload rests after an error of Redis.
const redisPause = 5 * time.Second

// unreadable sets a task apart whose payload this build does not understand. The payload is kept as it is.
func (l *letters) unreadable(ctx context.Context, id, queue string, payload []byte, why error) error {
	jobID, part := tasks.SplitAnyTaskID(id)
	letter := &tasks.Part{JobID: jobID, Part: tasks.WholeLetter(tasks.BatchName(part)), Failure: &tasks.Failure{
		Reason: tasks.ReasonBadPayload, ErrMsg: why.Error(), Attempts: 1, FailedAt: time.Now(), Queue: queue, Payload: payload}}
	running := ""
	if queue == tasks.QueueDeadLetter {
		running = id
	}
	if !tasks.IsLane(queue) {
		letter.Failure.Queue = tasks.QueueDefault
	}
	return l.putUnreadable(ctx, id, running, letter, why)
}

func (l *letters) putUnreadable(ctx context.Context, id, running string, letter *tasks.Part, why error) error {
	id, err := l.put(ctx, letter, id, running, func(have *tasks.Part) bool {
		return have.Failure != nil && slices.Equal(have.Failure.Payload, letter.Failure.Payload)
	})
	if err != nil {
		return later(redisPause, err.Error())
	}
	l.log.Error().Str("letter", id).Err(why).Msg("dead letter: the payload cannot be read")
	return nil
}

// readAgain tries a payload again that could not be read: an older worker may have met a newer producer.
func (l *letters) readAgain(ctx context.Context, id string, letter *tasks.Part) error {
	f := *letter.Failure
	part, err := tasks.Decode(f.Payload)
	if err != nil {
		f.Attempts++
		f.FailedAt, f.ErrMsg = time.Now(), err.Error()
		next := *letter
		next.Failure = &f
		return l.putUnreadable(ctx, id, id, &next, err)
	}
	if err := producer.Requeue(ctx, l.redis, l.client, *part, f.Queue); err != nil {
		return later(redisPause, err.Error())
	}
	l.log.Info().Str("task", id).Str("job", part.JobID).Str("part", part.Part).Msg("the payload can be read now: the task is back in its lane")
	return nil
}
