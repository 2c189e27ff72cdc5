package queue

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/lease"
)

// takeAtOnce is how many tasks are taken in one round trip at most. asynq takes one at a time and waits for Redis each time: where
// processors are busy that is some hundred a second, and a burst comes in so slowly that it hardly shares calls.
const takeAtOnce = 50

// spare is how many tasks are taken besides where handlers are busy: the next that end have theirs without a round trip.
const spare = 16

// leaseDuration is that of asynq.
const leaseDuration = 30 * time.Second

// ahead is a task that was taken together with one that asynq has asked for, until it asks for this one too.
type ahead struct {
	task task // its id is empty where the message cannot be read
	msg  string
}

// keep takes what Redis has handed out of a queue into the hands, as this worker takes it. asynq is told of it one by one.
func (h *hands) keep(queue string, msgs []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, msg := range msgs {
		id, own, ok := ours([]byte(msg))
		if !ok {
			h.ahead[queue] = append(h.ahead[queue], ahead{msg: msg})
			continue
		}
		t := task{queue, id}
		h.take(t)
		h.ahead[queue] = append(h.ahead[queue], ahead{t, string(own)})
	}
}

// next is the next task of a queue that asynq has not been told of.
func (h *hands) next(queue string) (msg string, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	waiting := h.ahead[queue]
	if len(waiting) == 0 {
		return "", false
	}
	h.ahead[queue] = waiting[1:]
	return waiting[0].msg, true
}

// waiting are the tasks of a queue that asynq has not been told of.
func (h *hands) waiting(queue string) (ids []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.ahead[queue] {
		if a.task.id != "" {
			ids = append(ids, a.task.id)
		}
	}
	return ids
}

// letGo drops the tasks of a queue that asynq has not been told of, of all queues where it is empty: nobody works on them.
func (h *hands) letGo(queue string) (dropped []task) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for q, waiting := range h.ahead {
		if queue != "" && q != queue {
			continue
		}
		delete(h.ahead, q)
		for _, a := range waiting {
			if a.task.id != "" {
				h.drop(a.task)
				dropped = append(dropped, a.task)
			}
		}
	}
	return dropped
}

// extend keeps the leases of tasks that asynq has not been told of: it keeps those of the others only, and its tools call a task orphaned
// that has none. While a lane stands still, as by a hold, the tasks may wait for days.
func (l *Lead) extend(ctx context.Context, queue string) error {
	var leases []redis.Z
	until := float64(time.Now().Add(leaseDuration).Unix())
	for _, id := range l.hands.waiting(queue) {
		leases = append(leases, redis.Z{Member: id, Score: until})
	}
	if len(leases) == 0 {
		return nil
	}
	return l.cfg.Redis.ZAddXX(ctx, key(queue, "lease"), leases...).Err()
}

// Leads reports whether this worker still takes tasks by the lead of the fence.
func (l *Lead) Leads(fence lease.Fence) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leading && !l.over && l.fence == fence
}

// room is how many tasks of a queue may be taken now, by how many handlers are free. Whoever asks has one.
func (l *Lead) room(queue string) int {
	l.hands.mu.Lock()
	defer l.hands.mu.Unlock()
	return max(1, min(takeAtOnce, spare+l.cfg.Handlers-l.hands.count[queue]))
}
