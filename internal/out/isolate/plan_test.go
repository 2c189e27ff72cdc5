package isolate

import (
	"fmt"
	"math"
	"testing"
)

// expected is the mean number of calls that a batch of p.n ids takes with the plan, the first one included, if each is
// bad with probability share. It is exact: no seeds.
func expected(p *plan, share float64) float64 {
	good := 1 - share
	type state struct{ bad, good, mixed int }
	known := map[state]float64{}
	var rest func(s state) float64
	rest = func(s state) float64 {
		if s.mixed == 1 {
			s = state{s.bad + 1, s.good, 0}
		}
		if s.mixed == 0 && s.bad+s.good == p.n {
			return 0
		}
		if calls, ok := known[s]; ok {
			return calls
		}
		x := p.group(s.bad, s.good, s.mixed)
		passes := math.Pow(good, float64(x))
		if s.mixed > 0 {
			none := math.Pow(good, float64(s.mixed))
			passes = (passes - none) / (1 - none)
		}
		calls := 1.0
		if passes > 0 {
			calls += passes * rest(state{s.bad, s.good + x, max(0, s.mixed-x)})
		}
		if passes < 1 {
			calls += (1 - passes) * rest(state{s.bad, s.good, x})
		}
		known[s] = calls
		return calls
	}
	return 1 + (1-math.Pow(good, float64(p.n)))*rest(state{0, 0, p.n})
}

var shares = []struct{ share, most float64 }{
	{0.003, 3.6}, {0.01, 8.9}, {0.03, 22}, {0.1, 53}, {0.3, 103}, {0.6, 115}, {1, 115},
}

func TestExpectedCalls(t *testing.T) {
	p := planFor(100, cold)
	for _, row := range shares {
		got := expected(p, row.share)
		t.Logf("%5.1f %% bad: %6.2f calls per 100 expected, at most %g", 100*row.share, got, row.most)
		if got > row.most {
			t.Errorf("%g %% bad: %.2f calls expected, want at most %g", 100*row.share, got, row.most)
		}
	}
}

// BenchmarkExpectedCalls sets the exact means beside those of a search that knows the share from the start, which no
// nested procedure beats: go test -run '^$' -bench ExpectedCalls -benchtime 1x ./internal/out/isolate
func BenchmarkExpectedCalls(b *testing.B) {
	for _, row := range shares {
		b.Run(fmt.Sprintf("bad=%g%%", 100*row.share), func(b *testing.B) {
			for range b.N {
				b.ReportMetric(expected(planFor(100, cold), row.share), "calls")
				b.ReportMetric(expected(newPlan(100, certain(row.share)), row.share), "calls-share-known")
			}
		})
	}
}

func certain(share float64) distribution {
	return distribution{{share: share, weight: 1}}
}

// For a known share the best nested procedure is known: the recursion of Sobel and Groll over the size of the mixed
// group and the number of ids left, written down here a second time.
func TestPlanIsTheBestForAKnownShare(t *testing.T) {
	for _, share := range []float64{0.01, 0.05, 0.2, 0.35, 0.5, 0.9} {
		good := 1 - share
		for _, n := range []int{1, 2, 3, 7, 20, 33} {
			g := make([][]float64, n+1) // calls at [ids left][size of the mixed group]
			for left := range n + 1 {
				g[left] = make([]float64, left+1)
				for mixed := 1; mixed <= left; mixed++ {
					if mixed == 1 {
						g[left][1] = g[left-1][0]
						continue
					}
					best := math.Inf(1)
					for x := 1; x < mixed; x++ {
						none := math.Pow(good, float64(mixed))
						passes := (math.Pow(good, float64(x)) - none) / (1 - none)
						best = min(best, 1+passes*g[left-x][mixed-x]+(1-passes)*g[left][x])
					}
					g[left][mixed] = best
				}
				best := math.Inf(1)
				for x := 1; x <= left; x++ {
					passes := math.Pow(good, float64(x))
					best = min(best, 1+passes*g[left-x][0]+(1-passes)*g[left][x])
				}
				if left > 0 {
					g[left][0] = best
				}
			}
			want := 1 + (1-math.Pow(good, float64(n)))*g[n][n]
			if got := expected(newPlan(n, certain(share)), share); math.Abs(got-want) > 1e-9 {
				t.Errorf("%d ids, share %g: %g calls, the best are %g", n, share, got, want)
			}
		}
	}
}

// From a share of (3-√5)/2 on nothing beats one by one (Ungar 1960).
func TestWhenMostAreBadThePlanGoesOneByOne(t *testing.T) {
	p := newPlan(50, certain(0.4))
	for bad := range 50 {
		for good := range 50 - bad {
			if got := p.group(bad, good, 0); got != 1 {
				t.Fatalf("after %d bad and %d good ids: groups of %d", bad, good, got)
			}
		}
	}
}

func TestEveryGroupIsPossible(t *testing.T) {
	for _, prior := range []distribution{cold, cold.after(400, 0), cold.after(0, 400)} {
		p := planFor(horizon, prior)
		for bad := range horizon {
			for good := range horizon - bad {
				left := horizon - bad - good
				if got := p.group(bad, good, 0); got < 1 || got > left {
					t.Fatalf("bad %d, good %d: group of %d", bad, good, got)
				}
				for mixed := 2; mixed <= left; mixed++ {
					if got := p.group(bad, good, mixed); got < 1 || got >= mixed {
						t.Fatalf("bad %d, good %d, mixed %d: group of %d", bad, good, mixed, got)
					}
				}
			}
		}
	}
}

func BenchmarkNewPlan(b *testing.B) {
	for b.Loop() {
		newPlan(horizon, cold)
	}
}
