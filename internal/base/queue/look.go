package queue

import (
	"context"
	"errors"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// TaskCheckInterval is for asynq's configuration: asynq sleeps so long after a look that found nothing, and nothing ends
// that sleep. Here it is the look that waits (see Lead), and it comes back without a task only when the worker stops.
const TaskCheckInterval = 2 * time.Millisecond

// longestLook is how long after asynq asked it gets a task: its lease of 30 s counts from then, and asynq takes no word of a task
// whose lease is over.
const longestLook = 5 * time.Second

// look is how one queue is looked at for tasks; asynq does it from one goroutine.
type look struct {
	queue string
	none  bool       // the last look left nothing
	told  bool       // and Redis had told of a task: the lane is paused
	news  chan heard // of the listener, while one is there
}

// heard is what a listener comes back with.
type heard int

const (
	silence heard = iota
	tasks
	failure
)

// look answers asynq's look for a task of a queue: it waits until this worker leads and there may be one.
func (l *Lead) look(ctx context.Context, queue string, send func(most int) (msgs []string, err error)) (msg string, err error) {
	k := l.looks[queue]
	pause, asked := 50*time.Millisecond, time.Now()
	for l.mayTake(ctx) {
		if msg, ok := l.hands.next(queue); ok {
			return msg, nil
		}
		if k.none && !l.listen(k) {
			continue
		}
		if time.Since(asked) > longestLook {
			k.none = false // it asks again at once, and then it is looked
			return "", redis.Nil
		}
		most, fence := l.room(queue), l.Fence()
		msgs, err := send(most)
		k.none = len(msgs) < most
		switch {
		case err == nil:
			k.told = false
			l.hands.keep(queue, msgs)
			if !l.Leads(fence) {
				l.hands.letGo(queue) // whoever wanted what is in hand back did not see them, and nobody asks for them any more
			}
		case errors.Is(err, redis.Nil):
		case isStale(err):
			l.refused(fence)
		default:
			l.log.Debug().Err(err).Str("queue", queue).Msg("no look for tasks")
			k.none = false
			l.pause(pause)
			pause = min(2*pause, 2*time.Second)
		}
	}
	return "", redis.Nil
}

// mayTake waits until this worker may take tasks; false when it stops.
func (l *Lead) mayTake(ctx context.Context) bool {
	for {
		l.mu.Lock()
		may, over, changed := l.leading && time.Since(l.kept) < sure, l.over, l.changed
		l.mu.Unlock()
		if over || may {
			return !over
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// listen waits until there may be a task; false says that the lead has gone meanwhile. Redis tells of a task, whoever put
// it there, to who waits for the oldest one to be moved to where it is. That is asked again and again, and where Redis does
// not know it, or this user may not, a look every CheckInterval takes its place.
func (l *Lead) listen(k *look) bool {
	if k.told {
		k.told = false
		return l.pause(l.cfg.CheckInterval)
	}
	for {
		if k.news == nil {
			news := make(chan heard, 1)
			k.news = news
			l.background.Go(func() { news <- l.listener(k.queue) })
		}
		h, leads := whileLeading(l, k.news)
		if !leads {
			return false
		}
		k.news = nil
		switch h {
		case tasks:
			k.told = true
			return true
		case failure:
			return l.pause(l.cfg.CheckInterval)
		}
	}
}

// listener waits for a pending task. It cannot be interrupted but by closing the connection.
func (l *Lead) listener(queue string) heard {
	conn := l.connection()
	if conn == nil {
		return failure
	}
	timeout := max(l.cfg.CheckInterval, time.Second) // go-redis takes no less
	ctx, cancel := context.WithTimeout(context.Background(), timeout+time.Second)
	defer cancel()
	pending := StateKey(queue, asynq.TaskStatePending)
	err := conn.BLMove(ctx, pending, pending, "RIGHT", "RIGHT", timeout).Err()
	switch {
	case err == nil:
		return tasks
	case errors.Is(err, redis.Nil):
		return silence
	}
	l.log.Debug().Err(err).Str("queue", queue).Msg("Redis does not tell of new tasks")
	return failure
}

// pause waits; false says that the lead has gone meanwhile.
func (l *Lead) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	_, leads := whileLeading(l, timer.C)
	return leads
}

// whileLeading receives from c; false says that the lead has gone meanwhile.
func whileLeading[T any](l *Lead, c <-chan T) (T, bool) {
	for {
		l.mu.Lock()
		leading, changed := l.leading && !l.over, l.changed
		l.mu.Unlock()
		if !leading {
			return *new(T), false
		}
		select {
		case v := <-c:
			return v, true
		case <-changed:
		}
	}
}
