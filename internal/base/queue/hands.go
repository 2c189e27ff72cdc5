package queue

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/hibiken/asynq"
)

// task is how asynq tells tasks apart.
type task struct{ queue, id string }

// hand is a task that this worker has: taken, worked on, or on its way out.
type hand struct {
	cancel  context.CancelCauseFunc // nil until the handler has begun
	leaving error                   // why it shall go back, once it shall
	ended   time.Time               // of the handler
	sending int                     // scripts about it on their way to Redis
	result  []byte                  // for the web UI, once it is completed
}

// hands are the tasks that this worker has.
type hands struct {
	mu    sync.Mutex
	have  map[task]*hand
	count map[string]int     // of them, by queue
	all   error              // why every task shall go back, and any that still comes: one may be on its way here
	ahead map[string][]ahead // by queue
	empty chan struct{}      // closed when the last one is gone, while somebody waits for that
}

// Why a handler's context ends before its task.
var (
	errPaused = errors.New("the lane is paused")
	errHanded = errors.New("the tasks go on to another worker")
	errLost   = errors.New("another worker has taken the tasks over")
	// ErrReplaced: Redis was started again, or a replica took its place. It may have lost the task.
	ErrReplaced = errors.New("the task was taken from another server of Redis than this one")
)

// lost says that the tasks are not this worker's any more.
func lost(why error) bool { return errors.Is(why, errLost) || errors.Is(why, ErrReplaced) }

func newHands() *hands {
	return &hands{have: map[task]*hand{}, count: map[string]int{}, ahead: map[string][]ahead{}}
}

// open begins a term: what comes stays.
func (h *hands) open() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = nil
}

// begun ties the context of the handler to the hand.
func (h *hands) begun(ctx context.Context, t task) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	one := h.have[t]
	if one == nil {
		one = h.take(t)
	}
	one.cancel = cancel
	if one.leaving != nil {
		cancel(one.leaving)
	}
	return ctx, cancel
}

func (h *hands) ended(t task) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if one := h.have[t]; one != nil {
		one.ended = time.Now()
	}
}

// sending notes that a script about the task is on its way, and says whether the task is to go back.
func (h *hands) sending(t task) (leaving error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	one := h.have[t]
	if one == nil {
		return nil
	}
	one.sending++
	return one.leaving
}

// sent notes what came of the script: with gone the task has left.
func (h *hands) sent(t task, gone bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	one := h.have[t]
	if one == nil {
		return
	}
	if one.sending--; gone {
		h.drop(t)
	}
}

// take and drop say that the worker has a task, and has it no more; mu is held.
func (h *hands) take(t task) *hand {
	if h.have[t] == nil {
		h.count[t.queue]++
	}
	h.have[t] = &hand{leaving: h.all}
	return h.have[t]
}

func (h *hands) drop(t task) {
	if h.have[t] != nil {
		h.count[t.queue]--
	}
	delete(h.have, t)
	if len(h.have) == 0 && h.empty != nil {
		close(h.empty)
		h.empty = nil
	}
}

// leave asks for the tasks of a queue back, of all queues where it is empty. Those that no handler has are dropped at once.
func (h *hands) leave(queue string, why error) (dropped []task) {
	dropped = h.letGo(queue)
	h.mu.Lock()
	defer h.mu.Unlock()
	if queue == "" {
		h.all = why
	}
	for t, one := range h.have {
		if queue != "" && t.queue != queue || one.leaving != nil && !lost(why) {
			continue
		}
		if one.leaving = why; one.cancel != nil {
			one.cancel(why)
		}
	}
	return dropped
}

// allGone returns when no task is left, or when ctx ends.
func (h *hands) allGone(ctx context.Context) error {
	for {
		h.mu.Lock()
		h.forget()
		if len(h.have) == 0 {
			h.mu.Unlock()
			return nil
		}
		if h.empty == nil {
			h.empty = make(chan struct{})
		}
		empty := h.empty
		h.mu.Unlock()
		again := time.NewTimer(forgetAfter)
		select {
		case <-empty:
			again.Stop()
			return nil
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return ctx.Err()
		}
	}
}

// forgetAfter is how long asynq may take from the end of a handler to the script that says so. Where the task's lease
// has ended, as asynq sees it, it never comes.
const forgetAfter = 2 * time.Second

// forget drops what asynq has dropped; mu is held.
func (h *hands) forget() {
	for t, one := range h.have {
		if !one.ended.IsZero() && one.sending == 0 && time.Since(one.ended) > forgetAfter {
			h.drop(t)
		}
	}
}

// lacking are the ids that are in nobody's hands here, in their order.
func (h *hands) lacking(queue string, ids []string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget()
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return h.have[task{queue, id}] != nil })
}

// queues are those that a task in hand is of.
func (h *hands) queues() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []string
	for q, n := range h.count {
		if n > 0 {
			list = append(list, q)
		}
	}
	return list
}

// Handler is next for the tasks of this lead: their context ends when they are to go back, because somebody paused their
// lane, or because the lead goes on to another worker.
func (l *Lead) Handler(next asynq.Handler) asynq.Handler {
	return asynq.HandlerFunc(func(ctx context.Context, at *asynq.Task) error {
		id, _ := asynq.GetTaskID(ctx)
		queue, _ := asynq.GetQueueName(ctx)
		t := task{queue, id}
		ctx, cancel := l.hands.begun(ctx, t)
		defer cancel(nil)
		defer l.hands.ended(t)
		return next.ProcessTask(ctx, at)
	})
}

// Result is what the web UI is to show of a task in hand once it is completed.
func (l *Lead) Result(queue, id string, result []byte) {
	l.hands.mu.Lock()
	defer l.hands.mu.Unlock()
	if one := l.hands.have[task{queue, id}]; one != nil {
		one.result = result
	}
}

func (h *hands) result(t task) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	if one := h.have[t]; one != nil {
		return one.result
	}
	return nil
}
