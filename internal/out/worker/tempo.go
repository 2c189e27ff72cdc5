package worker

import (
	"hash/crc32"
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
	// doubtAt is how unlikely it is by chance alone when so many busy answers in a row may say something about a task, rareAt
	// when they do.
	doubtAt = 0.05
	rareAt  = 0.0001
)

// chance is how many busy answers in a row may be down to chance, as often as calls are busy now.
type chance struct {
	// together: so many say nothing about a task. What was busy comes back with all others.
	together int
	// soon: so many hardly say anything. What was busy comes back soon, but ever fewer at the same moment, so that one that keeps
	// others busy is left by them.
	soon int
}

func (t *tempo) chance() chance {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.passing < chancePasses || t.passing >= 1 {
		return chance{}
	}
	busyInARow := func(at float64) int { return int(math.Log(at) / math.Log(1-t.passing)) }
	return chance{busyInARow(doubtAt), busyInARow(rareAt)}
}

const (
	// roundsPerBase is how many rounds, in which all come back who do so soon, make the shortest pause.
	roundsPerBase = 4
	// maxDivided is how often those who come back soon are divided.
	maxDivided = 4
)

// pause is how long a removal of that user, busy so often in a row, waits until it is tried again: until its moment in the present
// round or the next one. All have the same moment at first; each further busy answer divides those who still share one. The pace
// spreads whoever comes back at once.
func (c chance) pause(now time.Time, round time.Duration, busy int, user string) time.Duration {
	divided := min(max(busy-c.together, 0), maxDivided)
	moment := time.Duration(crc32.ChecksumIEEE([]byte(user))>>(32-divided)) * round >> divided
	next := now.Truncate(round).Add(moment)
	if !next.After(now) {
		next = next.Add(round)
	}
	return next.Sub(now)
}
