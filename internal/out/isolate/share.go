package isolate

import (
	"math"
	"sync"

	"github.com/unrole/unrole/internal/base/pairs"
)

// Learned is the share of bad users and bad roles that the batches of a job have shown, so that the next search begins
// with the right group sizes. The zero value has seen nothing. It is safe for concurrent use.
type Learned struct {
	mu        sync.Mutex
	userTally tally
	roleTally tally
}

// Passed notes a batch that was accepted at once; without it the share would look somewhat higher than it is.
func (l *Learned) Passed(batch pairs.Size) {
	l.found(tally{good: float64(batch.Users)}, tally{good: float64(batch.Roles)})
}

func (l *Learned) found(users, roles tally) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.roleTally.add(roles)
	l.userTally.add(users)
}

func (l *Learned) users() distribution {
	if l == nil {
		return cold
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.userTally.prior()
}

func (l *Learned) roles() distribution {
	if l == nil {
		return cold
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.roleTally.prior()
}

// memory is how many ids a tally remembers; older ones fade. Four full batches keep it quick.
const memory = 4 * horizon

// tally counts ids.
type tally struct{ bad, good float64 }

func (t *tally) add(more tally) {
	t.bad += more.bad
	t.good += more.good
	if n := t.bad + t.good; n > memory {
		t.bad *= memory / n
		t.good *= memory / n
	}
}

// surprise is the chance that a batch has nothing to do with the ones before it. It keeps the estimate quick: a batch
// of quite another kind is recognised within some calls.
const surprise = 0.05

func (t *tally) prior() distribution {
	if t.bad+t.good == 0 {
		return cold
	}
	d := cold.after(t.bad, t.good)
	for i := range d {
		d[i].weight = (1-surprise)*d[i].weight + surprise*cold[i].weight
	}
	return d
}

// distribution is what is believed about the share of bad ids: possible shares and their weights, which add up to 1.
type distribution []struct{ share, weight float64 }

// cold is the prior of a search that knows nothing but that its batch was refused. Shares lie evenly on the log-odds
// scale from 0.0001 to 0.999. The weights lean to small shares, since most refused batches hold one or two bad ids, and
// leave enough to large ones that a batch of bad ids only is recognised within some calls; the exponents were
// chosen by the table of the package's tests.
var cold = func() distribution {
	const points, low, high = 41, -9.0, 7.0
	d := make(distribution, points)
	for i := range d {
		odds := low + (high-low)*float64(i)/(points-1)
		share := 1 / (1 + math.Exp(-odds))
		d[i].share = share
		d[i].weight = math.Pow(share, -0.6) * math.Pow(1-share, 0.5)
	}
	return d.normalised()
}()

// after is d once so many bad and good ids were seen.
func (d distribution) after(bad, good float64) distribution {
	logs := make([]float64, len(d))
	top := math.Inf(-1)
	for i, c := range d {
		logs[i] = math.Log(c.weight) + bad*math.Log(c.share) + good*math.Log1p(-c.share)
		top = max(top, logs[i])
	}
	out := make(distribution, len(d))
	for i, c := range d {
		out[i].share = c.share
		out[i].weight = math.Exp(logs[i] - top)
	}
	return out.normalised()
}

func (d distribution) normalised() distribution {
	sum := 0.0
	for _, c := range d {
		sum += c.weight
	}
	for i := range d {
		d[i].weight /= sum
	}
	return d
}
