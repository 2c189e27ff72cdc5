package directory

import (
	"context"
	"slices"
	"sync"

	"github.com/unrole/unrole/tasks"
)

// line lets those of a process who wait for the turn of one API through one by one: the most urgent first, and those of one lane in
// the order of their coming.
type line struct {
	mu      sync.Mutex
	taken   bool
	waiting [][]chan struct{} // by lane, the most urgent first
}

func newLine() *line { return &line{waiting: make([][]chan struct{}, len(tasks.Lanes()))} }

// enter waits until it is the turn of somebody of the lane. Who gets no error has to leave.
func (l *line) enter(ctx context.Context, lane int) error {
	l.mu.Lock()
	if !l.taken {
		l.taken = true
		l.mu.Unlock()
		return nil
	}
	mine := make(chan struct{})
	l.waiting[lane] = append(l.waiting[lane], mine)
	l.mu.Unlock()
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := slices.Index(l.waiting[lane], mine); at >= 0 {
		l.waiting[lane] = slices.Delete(l.waiting[lane], at, at+1)
	} else {
		l.next()
	}
	return ctx.Err()
}

func (l *line) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next()
}

func (l *line) next() {
	for lane, waiting := range l.waiting {
		if len(waiting) > 0 {
			close(waiting[0])
			l.waiting[lane] = waiting[1:]
			return
		}
	}
	l.taken = false
}
