package pace

import (
	"sync"
	"time"
)

// Lag watches how far behind its slot each call of a process goes out: between the two the worker looks at its ledger,
// which takes long when Redis has just come back. A call that lags as usual keeps its distance to the others; one that
// lags more arrives together with those that follow it. The zero value is ready.
type Lag struct {
	mu     sync.Mutex
	usual  time.Duration // moving average
	gaveUp bool
}

// Missed reports whether a call that would go out now lags behind its slot by more than the margin over what is usual:
// its slot should be reported Unused, and another one be waited for. It never says so twice in a row, so that a Redis
// that becomes slow costs slots for a while and stops no one, nor of a probe, which nothing follows.
func (l *Lag) Missed(g Grant) bool {
	if g.Probe {
		return false
	}
	lag := time.Since(g.At)
	l.mu.Lock()
	defer l.mu.Unlock()
	over := lag > l.usual+margin
	l.usual += (lag - l.usual) / 8
	l.gaveUp = over && !l.gaveUp
	return l.gaveUp
}
