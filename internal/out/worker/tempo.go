package worker

import (
	"math"
	"sync"
	"time"
)

// tempo is how long DingTalk takes to answer, against the time between two slots of the pace, and how often it is too busy.
type tempo struct {
	mu      sync.Mutex
	calls   int           // answered as passed or busy
	passing float64       // moving average: the share that passed
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

// answered notes that a call passed, or that DingTalk was too busy for it.
func (t *tempo) answered(passed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls++
	share := 0.
	if passed {
		share = 1
	}
	t.passing += (share - t.passing) / float64(min(t.calls, passingOver))
}

const (
	// passingOver is over how many calls the share is taken.
	passingOver = 16
	// chancePasses is the share of calls that have to pass before chance explains that others are busy. Below it, DingTalk is
	// taken to be out.
	chancePasses = 0.25
	// chanceAt is how unlikely it is by chance alone when so many busy answers in a row say something about a task.
	chanceAt  = 0.05
	maxChance = 4
)

// chance is how many busy answers in a row say nothing about a task, as often as calls are busy now.
func (t *tempo) chance() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.passing < chancePasses || t.passing >= 1 {
		return 0
	}
	return min(maxChance, int(math.Log(chanceAt)/math.Log(1-t.passing)))
}
