package combine

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/tasks"
)

// drainEach measures Next and Done on a pool that stays full: what a call finished is added anew, which is measured too.
func drainEach(b *testing.B, offers []func() *Offer) {
	p := NewPool(callLimits)
	again := map[*Offer]func() *Offer{}
	add := func(make func() *Offer) {
		o := make()
		again[o] = make
		p.Add(o)
	}
	for _, make := range offers {
		add(make)
	}
	pairs := 0
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		c, _ := p.Next()
		p.Done(c)
		for _, m := range c.Members {
			pairs += m.Pairs()
			if open, flying := p.Open(m.Offer); open+flying == 0 {
				make := again[m.Offer]
				delete(again, m.Offer)
				add(make)
			}
		}
	}
	b.ReportMetric(float64(pairs)/float64(b.N), "pairs/call")
}

func manyUsers(prefix string, n int) []string {
	users := make([]string, n)
	for u := range users {
		users[u] = fmt.Sprint(prefix, "-", u)
	}
	return users
}

// BenchmarkNext gives the cost of a call, Next and Done and the Add of all that it finished, in a pool of two thousand
// waiting offers.
func BenchmarkNext(b *testing.B) {
	const waiting = 2000
	randomRoles := func(rng *rand.Rand, of, n int) []int64 {
		roles := make([]int64, n)
		for i, r := range rng.Perm(of)[:n] {
			roles[i] = int64(r) + 1
		}
		return roles
	}
	b.Run("full batches", func(b *testing.B) {
		var offers []func() *Offer
		for i := range waiting {
			users, roles := manyUsers(fmt.Sprint(i), tasks.MaxUsers), randomRoles(rand.New(rand.NewPCG(1, 1)), 80, tasks.MaxRoles)
			offers = append(offers, func() *Offer { return NewOffer(1, users, roles, nil, nil) })
		}
		drainEach(b, offers)
	})
	b.Run("full batches and a burst", func(b *testing.B) {
		var offers []func() *Offer
		for i := range waiting {
			users, roles := manyUsers(fmt.Sprint(i), tasks.MaxUsers), randomRoles(rand.New(rand.NewPCG(1, 1)), 80, tasks.MaxRoles)
			offers = append(offers, func() *Offer { return NewOffer(1, users, roles, nil, nil) })
		}
		offers = append(offers, singles(company(1))...)
		drainEach(b, offers)
	})
	b.Run("single removals of a company", func(b *testing.B) { drainEach(b, singles(company(1))) })
	b.Run("single removals of 20 random roles", func(b *testing.B) {
		var offers []func() *Offer
		rng := rand.New(rand.NewPCG(1, 1))
		for i := range waiting {
			users, roles := []string{fmt.Sprint("user", i)}, randomRoles(rng, 80, tasks.MaxRoles)
			offers = append(offers, func() *Offer { return NewOffer(1, users, roles, nil, nil) })
		}
		drainEach(b, offers)
	})
	b.Run("removals of 20 users and 5 random roles", func(b *testing.B) {
		var offers []func() *Offer
		rng := rand.New(rand.NewPCG(1, 1))
		for i := range waiting {
			users, roles := manyUsers(fmt.Sprint(i), callLimits.Users/smallShare), randomRoles(rng, 80, 5)
			offers = append(offers, func() *Offer { return NewOffer(1, users, roles, nil, nil) })
		}
		drainEach(b, offers)
	})
	b.Run("half calls of the same roles", func(b *testing.B) {
		var offers []func() *Offer
		roles := []int64{1, 2, 3}
		for i := range waiting {
			users := manyUsers(fmt.Sprint(i), tasks.MaxUsers/2)
			offers = append(offers, func() *Offer { return NewOffer(1, users, roles, nil, nil) })
		}
		drainEach(b, offers)
	})
	b.Run("alone", func(b *testing.B) {
		drainEach(b, []func() *Offer{func() *Offer { return NewOffer(1, []string{"user"}, []int64{1, 2, 3, 4, 5}, nil, nil) }})
	})
}

func singles(people [][]pairs.Role) []func() *Offer {
	offers := make([]func() *Offer, len(people))
	for u := range people {
		offers[u] = func() *Offer { return single(people, u) }
	}
	return offers
}
