package fleet

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"
)

// operation is one thing that a process does to the world outside it: a write to a connection of Redis (a command or a
// pipeline), a call of DingTalk, its answer.
type operation struct {
	by   *process
	what string
	form url.Values // of a call of DingTalk; nil for all else
	// open lets it happen, with what becomes of it. It runs while everything else stands still.
	open func(fate)
}

// fate is what becomes of an operation.
type fate struct {
	kind fateKind
	// says is the error reply of a refusal, late how much later than usual the reply arrives.
	says string
	late time.Duration
}

type fateKind uint8

const (
	fine      fateKind = iota
	dieBefore          // the process ends, and the operation never takes effect
	dieAfter           // the process ends when it has taken effect
	cutBefore          // the connection breaks, and the operation never takes effect
	cutAfter           // the connection breaks when it has taken effect: the reply is lost
	refused            // an error is the reply, without effect
	late               // the reply takes its time
	fateKinds          // how many there are
)

var fateNames = [fateKinds]string{"", "dies before", "dies after", "cut before", "cut after", "refused", "late"}

// gate lets the operations of all processes through, one at a time, in an order that its seed decides.
type gate struct {
	rng *rand.Rand
	// fateOf decides about an operation that is about to happen.
	fateOf func(*operation) fate
	// after looks at the world when one has happened.
	after func(*operation, fate)
	// pace is how long most operations take at the most.
	pace time.Duration

	mu      sync.Mutex
	waiting []*operation
	arrived chan struct{} // holds a token when something waits that was not looked at
	over    bool

	began  time.Time
	opened int
	trace  traceHash
	points map[string]int // operations by process
	log    io.Writer      // of the trace; nil for none
}

// traceHash is a sum over everything that happened, in its order: equal for equal histories.
type traceHash struct{ sum uint64 }

func (t *traceHash) add(line string) {
	h := fnv.New64a()
	_, _ = io.WriteString(h, line)
	t.sum = t.sum*1099511628211 ^ h.Sum64()
}

func newGate(rng *rand.Rand, pace time.Duration) *gate {
	return &gate{rng: rng, pace: pace, arrived: make(chan struct{}, 1), points: map[string]int{}, began: time.Now(), fateOf: func(*operation) fate { return fate{} }, after: func(*operation, fate) {}}
}

// wait puts an operation before the gate.
func (g *gate) wait(o *operation) {
	g.mu.Lock()
	over := g.over
	if !over {
		g.waiting = append(g.waiting, o)
	}
	g.mu.Unlock()
	if over {
		o.open(fate{kind: dieBefore})
		return
	}
	g.nudge()
}

func (g *gate) nudge() {
	select {
	case g.arrived <- struct{}{}:
	default:
	}
}

// withdraw takes back an operation that nobody waits for any more; it reports false if it has happened.
func (g *gate) withdraw(o *operation) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := slices.Index(g.waiting, o)
	if at < 0 {
		return false
	}
	g.waiting = slices.Delete(g.waiting, at, at+1)
	return true
}

// run opens the gate for one operation after the other until stop is closed.
func (g *gate) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			g.close()
			return
		case <-g.arrived:
		}
		for {
			synctest.Wait() // everybody has done what there was to do before the next operation is chosen
			o := g.next()
			if o == nil {
				break
			}
			if d := g.delay(); d > 0 {
				time.Sleep(d)
			}
			f := g.fateOf(o)
			g.note(o, f)
			o.open(f)
			g.after(o, f)
		}
	}
}

// close lets everything that waits, and whatever comes, end without effect.
func (g *gate) close() {
	g.mu.Lock()
	g.over = true
	left := g.waiting
	g.waiting = nil
	g.mu.Unlock()
	for _, o := range left {
		o.open(fate{kind: dieBefore})
	}
}

// next takes one of the waiting operations of processes that run. The order in which they came is forgotten, since the
// scheduler of goroutines decided it, and then one is drawn.
func (g *gate) next() *operation {
	g.mu.Lock()
	defer g.mu.Unlock()
	slices.SortStableFunc(g.waiting, func(a, b *operation) int {
		return cmp.Or(strings.Compare(a.by.name, b.by.name), strings.Compare(a.what, b.what))
	})
	var open []int
	for i, o := range g.waiting {
		if !o.by.frozen() {
			open = append(open, i)
		}
	}
	if len(open) == 0 {
		return nil
	}
	at := open[g.rng.IntN(len(open))]
	o := g.waiting[at]
	g.waiting = slices.Delete(g.waiting, at, at+1)
	return o
}

// delay is how long the next operation takes on its way: mostly a fraction of a millisecond, now and then longer.
func (g *gate) delay() time.Duration {
	switch n := g.rng.IntN(100); {
	case n < 70:
		return 0
	case n < 98:
		return time.Duration(g.rng.Int64N(int64(g.pace) + 1))
	default:
		return time.Duration(g.rng.Int64N(int64(30*g.pace) + 1))
	}
}

func (g *gate) note(o *operation, f fate) {
	g.opened++
	g.points[o.by.name]++
	line := fmt.Sprintf("%d %s %s %s %s", time.Since(g.began).Microseconds(), o.by.name, o.what, fateNames[f.kind], f.says)
	g.trace.add(line)
	if g.log != nil {
		fmt.Fprintln(g.log, line)
	}
}

// say puts something into the trace that no process did.
func (g *gate) say(line string) {
	line = fmt.Sprintf("%d -- %s", time.Since(g.began).Microseconds(), line)
	g.trace.add(line)
	if g.log != nil {
		fmt.Fprintln(g.log, line)
	}
}
