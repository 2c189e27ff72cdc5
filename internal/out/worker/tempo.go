package worker

import (
	"sync"
	"time"
)

// tempo is how long DingTalk takes to answer, against the time between two slots of the pace.
type tempo struct {
	mu      sync.Mutex
	answer  time.Duration // moving average
	spacing time.Duration // as of the last slot
}

func (t *tempo) took(answer, spacing time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.answer == 0 {
		t.answer = answer
	}
	t.answer += (answer - t.answer) / 8
	t.spacing = spacing
}

// slotsPerAnswer is how many slots pass while a call is answered; 0 where the answer is faster.
func (t *tempo) slotsPerAnswer() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.spacing <= 0 {
		return 0
	}
	return int(t.answer / t.spacing)
}
