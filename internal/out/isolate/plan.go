package isolate

import (
	"math"
	"sync"
)

// horizon is the number of ids a plan looks ahead, the most users one DingTalk call takes. More ids are searched with
// one plan after the other.
const horizon = 100

// plan is the best way to search one axis (the users or the roles of a batch): which group to try next for every state
// the search can be in. It is the exact optimum among nested procedures, which never mix suspects of a refused group
// with ids outside of it, for independent bad ids of an unknown share with a given prior (Sobel and Groll, "Group
// testing to eliminate efficiently all defectives in a binomial sample", 1959, and "Binomial group-testing with an
// unknown proportion of defectives", 1966).
//
// A state is (bad, good, mixed): so many ids found bad, so many that passed, and so many that form a group in which at
// least one is bad (0: no such group). Nothing else matters: the ids that a refused group was narrowed from are as
// unknown as those that were never tried.
type plan struct {
	n int
	// groups holds the size to try at (bad, good, mixed), bad by bad; see at.
	groups [][]uint8
}

// group is the size of the group to try next, 1 ≤ group ≤ max(1, mixed-1) when mixed is positive, else at most what is
// left. The state must leave something to try: mixed ≥ 2, or mixed 0 and bad+good < n.
func (p *plan) group(bad, good, mixed int) int { return int(p.groups[bad][p.at(bad, good, mixed)]) }

// covers reports whether the state lies within the plan.
func (p *plan) covers(bad, good, mixed int) bool {
	return bad >= 0 && good >= 0 && bad+good+max(mixed, 1) <= p.n
}

func (p *plan) at(bad, good, mixed int) int {
	width := p.n - bad + 1 // good runs from 0 to n-bad, mixed from 0 to n-bad-good
	return good*width - good*(good-1)/2 + mixed
}

// newPlan solves the search of n ids, n ≤ horizon, for a prior over the share of bad ones.
//
// With L the probability of a state's evidence under the prior, and W the calls still to be expected times L, the best
// group minimises W = L + W(state if it passes) + W(state if it is refused). L of (b, g, m) is the mean of
// p^b·(1-p)^g·(1-(1-p)^m), the last factor left out for m = 0. That is n⁴/24 steps: some milliseconds for 100 ids.
func newPlan(n int, prior distribution) *plan {
	p := &plan{n: n, groups: make([][]uint8, n+1)}
	stride := n + 1
	var (
		evidence = make([]float64, n+1) // of (b, g, 0), by g
		weight   = make([]float64, len(prior))
		next     = make([]float64, n+1)           // W(b+1, g, 0), by g
		current  = make([]float64, n+1)           // W(b, g, 0), by g
		byGood   = make([]float64, stride*stride) // W(b, g, m) at [g][m]
		bySum    = make([]float64, stride*stride) // the same at [g+m][m], so that both halves of a step are read in order
	)
	for b := n; b >= 0; b-- {
		p.groups[b] = make([]uint8, p.at(b, n-b, 0)+1)
		for i, c := range prior {
			weight[i] = c.weight * math.Pow(c.share, float64(b))
		}
		for g := 0; g <= n-b; g++ {
			sum := 0.0
			for i, c := range prior {
				sum += weight[i]
				weight[i] *= 1 - c.share
			}
			evidence[g] = sum
		}
		for g := n - b; g >= 0; g-- {
			left := n - b - g
			row := byGood[g*stride : g*stride+left+1]
			if left > 0 {
				row[1] = next[g] // one suspect left: it is bad, and no call is spent on it
				bySum[(g+1)*stride+1] = next[g]
			}
			for m := 2; m <= left; m++ {
				sum := bySum[(g+m)*stride : (g+m)*stride+m]
				best, group := math.Inf(1), 1
				for x := 1; x < m; x++ {
					if w := sum[m-x] + row[x]; w < best {
						best, group = w, x
					}
				}
				row[m] = best + evidence[g] - evidence[g+m]
				bySum[(g+m)*stride+m] = row[m]
				p.groups[b][p.at(b, g, m)] = uint8(group)
			}
			current[g] = 0
			if left > 0 {
				best, group := math.Inf(1), 1
				for x := 1; x <= left; x++ {
					if w := current[g+x] + row[x]; w < best {
						best, group = w, x
					}
				}
				current[g] = best + evidence[g]
				p.groups[b][p.at(b, g, 0)] = uint8(group)
			}
		}
		next, current = current, next
	}
	return p
}

// coldPlans keeps the plans of cold searches by number of ids, since all of them are alike; 5 MB if every number up to
// horizon occurs.
var coldPlans [horizon + 1]struct {
	once sync.Once
	plan *plan
}

// planFor is newPlan, solved only once for the cold prior.
func planFor(n int, prior distribution) *plan {
	if &prior[0] != &cold[0] {
		return newPlan(n, prior)
	}
	c := &coldPlans[n]
	c.once.Do(func() { c.plan = newPlan(n, cold) })
	return c.plan
}
