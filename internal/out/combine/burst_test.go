package combine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/in/cover"
	"github.com/unrole/unrole/tasks"
)

var callLimits = pairs.Size{Users: tasks.MaxUsers, Roles: tasks.MaxRoles}

// company is the planner's: 2,000 users of 80 roles, who have one of 20 departments' 3 roles and one of 10 titles' 2,
// and one in three of them another role.
func company(seed uint64) [][]pairs.Role {
	const users, roles, departments, titles = 2000, 80, 20, 10
	rng := rand.New(rand.NewPCG(seed, 1))
	draw := func(n, k int) [][]pairs.Role {
		sets := make([][]pairs.Role, n)
		for i := range sets {
			for _, r := range rng.Perm(roles)[:k] {
				sets[i] = append(sets[i], pairs.Role(r))
			}
		}
		return sets
	}
	d, t := draw(departments, 3), draw(titles, 2)
	all := make([][]pairs.Role, users)
	for u := range all {
		set := slices.Concat(d[rng.IntN(departments)], t[rng.IntN(titles)])
		if rng.Float64() < 1./3 {
			set = append(set, pairs.Role(rng.IntN(roles)))
		}
		slices.Sort(set)
		all[u] = slices.Compact(set)
	}
	return all
}

// single is the removal of one user of the company.
func single(people [][]pairs.Role, user int) *Offer {
	roles := make([]int64, len(people[user]))
	for i, r := range people[user] {
		roles[i] = int64(r) + 1
	}
	return NewOffer(1, []string{fmt.Sprint("user", user)}, roles, nil, nil)
}

// burst plays removals that arrive evenly within two seconds, each at its share of the pools, and slots every 50 ms that
// go to the pools in turn. A call lasts 200 ms. It returns the calls made, and how long all of it took.
func burst(t testing.TB, people [][]pairs.Role, share []int, pools int) (calls int, took time.Duration) {
	const arrivals, slot, lasts = 2 * time.Second, 50 * time.Millisecond, 4
	ps := make([]*Pool, pools)
	began := time.Now()
	now := began
	for i := range ps {
		ps[i] = NewPool(callLimits)
		ps[i].now = func() time.Time { return now }
	}
	type flight struct {
		pool *Pool
		ends int
		call Call
	}
	var flights []flight
	arrived, turn := 0, 0
	for tick := 1; ; tick++ {
		now = began.Add(time.Duration(tick) * slot)
		for ; arrived < len(people) && began.Add(arrivals*time.Duration(arrived)/time.Duration(len(people))).Before(now); arrived++ {
			ps[share[arrived]].Add(single(people, arrived))
		}
		for len(flights) > 0 && flights[0].ends <= tick {
			flights[0].pool.Done(flights[0].call)
			flights = flights[1:]
		}
		idle := true
		for range pools {
			turn = (turn + 1) % pools
			if ps[turn].Gathers() {
				break
			}
			if c, ok := ps[turn].Next(); ok {
				flights = append(flights, flight{ps[turn], tick + lasts, c})
				calls++
				idle = false
				break
			}
		}
		if idle && arrived == len(people) && len(flights) == 0 && tick > 40 {
			break
		}
	}
	for _, p := range ps {
		if p.Len() > 0 {
			t.Fatalf("%d offers are left", p.Len())
		}
	}
	return calls, now.Sub(began)
}

// shares gives every user one of the pools at random.
func shares(seed uint64, users, pools int) []int {
	rng := rand.New(rand.NewPCG(seed, 2))
	share := make([]int, users)
	for i := range share {
		share[i] = rng.IntN(pools)
	}
	return share
}

// bursts are the companies of the tests, and how many calls cover.Plan needs for their pools' shares, all known at
// once. BenchmarkBurst plans again.
var bursts = []struct {
	seed           uint64
	pools, planned int
}{
	{0, 1, 116}, {3, 1, 118}, {5, 1, 116},
	{0, 3, 255}, {3, 3, 261}, {5, 3, 245},
}

// mostOverPlan is what a burst may cost, against a plan of all of it.
const mostOverPlan = 1.35

// mostCalls is what a burst may cost one pool. It took 142 to 147 calls and 7.3 to 7.6 s while every slot of the arrival was used.
const mostCalls, mostTime = 128, 7900 * time.Millisecond

func TestABurstTakesFewMoreCallsThanItsPlan(t *testing.T) {
	for _, b := range bursts {
		people := company(b.seed)
		calls, took := burst(t, people, shares(b.seed, len(people), b.pools), b.pools)
		ratio := float64(calls) / float64(b.planned)
		t.Logf("%d removals, %d pools: %d calls, planned at once %d, ratio %.2f, done after %v", len(people), b.pools, calls, b.planned, ratio, took)
		if ratio > mostOverPlan {
			t.Errorf("company %d, %d pools: %d calls, %.2f × the plan's %d", b.seed, b.pools, calls, ratio, b.planned)
		}
		if b.pools == 1 && (calls > mostCalls || took > mostTime) {
			t.Errorf("company %d: %d calls, %v", b.seed, calls, took)
		}
	}
}

func TestABurstIsPlayedTheSameEveryTime(t *testing.T) {
	people := company(7)
	share := shares(7, len(people), 1)
	a, _ := burst(t, people, share, 1)
	if b, _ := burst(t, people, share, 1); a != b {
		t.Errorf("%d calls, then %d", a, b)
	}
}

// BenchmarkBurst compares bursts with what cover.Plan makes of them now, and the waiting parts of a plan with the plan.
func BenchmarkBurst(b *testing.B) {
	for _, x := range bursts {
		b.Run(fmt.Sprintf("company %d, %d pools", x.seed, x.pools), func(b *testing.B) {
			people := company(x.seed)
			share := shares(x.seed, len(people), x.pools)
			planned, ofParts := 0, 0
			for i := range x.pools {
				m := cover.Matrix{NumRoles: 80}
				for u, roles := range people {
					if share[u] == i {
						m.Roles = append(m.Roles, roles)
					}
				}
				made, plan := callsOfParts(m, 0)
				planned += plan
				ofParts += made
			}
			calls := 0
			for b.Loop() {
				calls, _ = burst(b, people, share, x.pools)
			}
			b.ReportMetric(float64(calls), "calls")
			b.ReportMetric(float64(planned), "planned")
			b.ReportMetric(float64(calls)/float64(planned), "ratio")
			b.ReportMetric(float64(ofParts), "calls-of-planned-parts")
			if float64(calls) > mostOverPlan*float64(planned) {
				b.Errorf("%d calls where the plan has %d", calls, planned)
			}
		})
	}
}

// callsOfParts is how many calls a pool makes of a plan's parts that all wait, in the plan's order or another one.
func callsOfParts(m cover.Matrix, order uint64) (calls, planned int) {
	plan := cover.Plan(m, callLimits)
	if order > 0 {
		rng := rand.New(rand.NewPCG(order, 3))
		rng.Shuffle(len(plan), func(i, j int) { plan[i], plan[j] = plan[j], plan[i] })
	}
	p := NewPool(callLimits)
	for _, c := range plan {
		p.Add(rectangle(1, c.Users, c.Roles))
	}
	for c, ok := p.Next(); ok; c, ok = p.Next() {
		calls++
		p.Done(c)
	}
	return calls, len(plan)
}

func TestRemovalsWithoutTemplatesShareCallsRoleByRole(t *testing.T) {
	const users, roles, each = 1000, 40, 20
	rng := rand.New(rand.NewPCG(1, 1))
	people := make([][]pairs.Role, users)
	count := make([]int, roles)
	p := NewPool(callLimits)
	for u := range people {
		for _, r := range rng.Perm(roles)[:each] {
			people[u] = append(people[u], pairs.Role(r))
			count[r]++
		}
		p.Add(single(people, u))
	}
	perRole, calls := 0, 0
	for _, n := range count {
		perRole += (n + tasks.MaxUsers - 1) / tasks.MaxUsers
	}
	for c, ok := p.Next(); ok; c, ok = p.Next() {
		calls++
		p.Done(c)
	}
	t.Logf("%d calls, one per role takes %d, one per removal %d", calls, perRole, users)
	if calls > perRole*5/4 {
		t.Errorf("%d calls, one per role takes %d", calls, perRole)
	}
}
