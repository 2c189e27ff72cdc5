package combine

import "time"

// While a burst arrives, what goes out with every slot are poor calls: most of those who would share them are not there yet. A
// slot that is left to a burst costs nobody time, since calls that are saved end it as early.
const (
	// aBurst is how many offers of a lane between two slots are one.
	aBurst = 10
	// gatherFor is for how long an offer waits at most for those who would share its call.
	gatherFor = 1250 * time.Millisecond
)

// arrivals is what came into the pool since the last slot, by lane.
type arrivals map[int]int

// Gathers reports, once for each slot, whether it is better left: a small offer leads, many of its lane have come since the last
// slot, and it has not waited for long. The first call that is made when the pool was empty is never held back.
func (p *Pool) Gathers() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer clear(p.came)
	if len(p.ready) == 0 || !p.begun {
		return false
	}
	leader := p.ready[0]
	return leader.known != nil && !leader.apart && p.came[leader.lane] >= aBurst && p.now().Sub(leader.since) < gatherFor
}
