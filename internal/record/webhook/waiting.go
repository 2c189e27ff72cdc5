package webhook

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// Waiting is what an operator does with messages that the receiver has not taken.
type Waiting struct{ inspector *asynq.Inspector }

// NewWaiting looks into rdb, which is not closed.
func NewWaiting(rdb redis.UniversalClient) *Waiting {
	return &Waiting{asynq.NewInspectorFromRedisClient(rdb)}
}

// Undelivered is a message that the receiver has not taken.
type Undelivered struct {
	ID    string `json:"id"`
	JobID string `json:"job_id"`
	// State is pending, active or retry while it is tried by itself; archived when nobody tries it any more.
	State     string `json:"state"`
	Attempts  int    `json:"attempts"`
	LastError string `json:"last_error"`
	// Next is when it is tried next.
	Next *time.Time `json:"next,omitempty"`
	// EndedAt is when the job ended.
	EndedAt time.Time `json:"ended_at"`
}

// waitingPage is how many messages one look at a state is about.
const waitingPage = 500

// List lists the messages, the end of the oldest first.
func (w *Waiting) List() ([]Undelivered, error) {
	var all []Undelivered
	for _, list := range []func(string, ...asynq.ListOption) ([]*asynq.TaskInfo, error){
		w.inspector.ListActiveTasks, w.inspector.ListPendingTasks, w.inspector.ListRetryTasks, w.inspector.ListArchivedTasks,
	} {
		for page := 1; ; page++ {
			tasks, err := list(Queue, asynq.PageSize(waitingPage), asynq.Page(page))
			if errors.Is(err, asynq.ErrQueueNotFound) {
				return nil, nil // no message was ever sent
			}
			if err != nil {
				return nil, fmt.Errorf("list the messages of the webhook: %w", err)
			}
			for _, t := range tasks {
				all = append(all, undelivered(t))
			}
			if len(tasks) < waitingPage {
				break
			}
		}
	}
	slices.SortFunc(all, func(a, b Undelivered) int { return cmp.Or(a.EndedAt.Compare(b.EndedAt), cmp.Compare(a.ID, b.ID)) })
	// One that changed its state between two looks is in both.
	return slices.CompactFunc(all, func(a, b Undelivered) bool { return a.ID == b.ID }), nil
}

func undelivered(t *asynq.TaskInfo) Undelivered {
	u := Undelivered{ID: t.ID, State: t.State.String(), Attempts: t.Retried, LastError: t.LastErr}
	if t.State == asynq.TaskStateRetry {
		u.Next = &t.NextProcessAt
	}
	if t.State == asynq.TaskStateArchived {
		u.Attempts++ // the last one, which is no retry to come
	}
	var e envelope
	var m message
	if json.Unmarshal(t.Payload, &e) == nil && json.Unmarshal(e.Body, &m) == nil {
		u.JobID, u.EndedAt = m.Data.JobID, m.Timestamp
	}
	return u
}

// NotWaitingError says that a message does not wait: it was taken, or a worker is sending it.
type NotWaitingError struct{ ID string }

func (e *NotWaitingError) Error() string {
	return fmt.Sprintf("no message %s waits: unrole webhook list shows those that do", e.ID)
}

// Retry has a message sent at once that waits for its next attempt, or that nobody tries any more. One that does not gives a
// *NotWaitingError.
func (w *Waiting) Retry(id string) error {
	err := w.inspector.RunTask(Queue, id)
	switch {
	case errors.Is(err, asynq.ErrQueueNotFound), errors.Is(err, asynq.ErrTaskNotFound):
		return &NotWaitingError{id}
	case err != nil:
		// asynq has no name for one that is due or under way.
		info, again := w.inspector.GetTaskInfo(Queue, id)
		if errors.Is(again, asynq.ErrTaskNotFound) || again == nil && (info.State == asynq.TaskStateActive || info.State == asynq.TaskStatePending) {
			return &NotWaitingError{id}
		}
		return fmt.Errorf("send message %s again: %w", id, err)
	}
	return nil
}
