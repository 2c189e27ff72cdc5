package combine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/unrole/unrole/internal/in/cover/covertest"
)

// jobs draws overlapping parts of several jobs about the same people, in any order: whatever a planner could have made.
func jobs(t *rapid.T) (all []*Offer) {
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "parts"), 1))
	users := rapid.SampledFrom([]int{5, 30, 150}).Draw(t, "users")
	roles := rapid.SampledFrom([]int{4, 10, 30}).Draw(t, "roles")
	most := rapid.SampledFrom([]int{1, 3, 20, 100}).Draw(t, "users of a part")
	for range rapid.IntRange(1, 60).Draw(t, "number") {
		all = append(all, rectangle(rng.IntN(3), rng.Perm(users)[:1+rng.IntN(min(users, most))], rng.Perm(roles)[:1+rng.IntN(min(roles, 6))]))
	}
	return all
}

func rectangle[U, R ~int | ~int32](lane int, users []U, roles []R) *Offer {
	ids, numbers := make([]string, len(users)), make([]int64, len(roles))
	for i, u := range users {
		ids[i] = fmt.Sprint("user", u)
	}
	for i, r := range roles {
		numbers[i] = int64(r) + 1
	}
	return NewOffer(lane, ids, numbers, nil, nil)
}

// Jobs that are submitted together never take more calls than their plans have, in whatever order their parts arrive and calls are
// answered.
func TestPlansAreKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		waiting := jobs(t)
		planned, calls := len(waiting), 0
		p := NewPool(callLimits)
		var flying []Call
		perCall := rapid.SampledFrom([]int{1, 3, planned}).Draw(t, "parts that arrive for each call")
		dice := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "dice"), 2))
		for len(waiting) > 0 || p.Len() > 0 {
			for range min(perCall, len(waiting)) {
				p.Add(waiting[0])
				waiting = waiting[1:]
			}
			if c, ok := p.Next(); ok {
				flying = append(flying, c)
			}
			for len(flying) > dice.IntN(4) {
				i := dice.IntN(len(flying))
				p.Done(flying[i])
				calls++
				flying[i] = flying[len(flying)-1]
				flying = flying[:len(flying)-1]
			}
		}
		if calls > planned {
			t.Fatalf("%d calls, planned %d", calls, planned)
		}
	})
}

// What one job saved is not another's to spend, however the last offer left.
func TestAnEmptyPoolHasSavedNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, waiting := NewPool(callLimits), jobs(t)
		dice := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "dice"), 3))
		var flying []Call
		for _, o := range waiting {
			p.Add(o)
		}
		for range dice.IntN(6) {
			if c, ok := p.Next(); ok {
				flying = append(flying, c)
			}
		}
		end := func() {
			for _, c := range flying {
				p.Done(c)
			}
		}
		last := rapid.Bool().Draw(t, "the last one is withdrawn")
		if last {
			end()
		}
		for _, o := range waiting {
			p.Withdraw(o)
		}
		if !last {
			end()
		}
		if p.Len() != 0 || p.saved != 0 {
			t.Fatalf("%d offers, %d saved calls", p.Len(), p.saved)
		}
	})
}

// The plans of these companies were torn before.
func TestAJobAloneTakesNoMoreThanItsPlan(t *testing.T) {
	for _, c := range covertest.Companies() {
		if !slices.Contains([]string{"templates-60x12-1", "templates-60x20-1", "templates-80x24-2", "templates-100x30-2", "templates-150x24-0"}, c.Name) {
			continue
		}
		for order := range uint64(3) {
			if calls, planned := callsOfParts(c.Matrix, order); calls > planned {
				t.Errorf("%s in order %d: %d calls, planned %d", c.Name, order, calls, planned)
			}
		}
	}
}
