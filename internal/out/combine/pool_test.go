package combine

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/unrole/unrole/tasks"
)

func mustNext(t *testing.T, p *Pool, users []string, roles []int64, members ...*Offer) Call {
	t.Helper()
	c, ok := p.Next()
	if !ok {
		t.Fatal("no call")
	}
	if got := slices.Sorted(slices.Values(c.Users)); !slices.Equal(got, slices.Sorted(slices.Values(users))) {
		t.Fatalf("users %v, want %v", got, users)
	}
	if got := slices.Sorted(slices.Values(c.Roles)); !slices.Equal(got, roles) {
		t.Fatalf("roles %v, want %v", got, roles)
	}
	var got []*Offer
	for _, m := range c.Members {
		got = append(got, m.Offer)
	}
	if len(got) != len(members) {
		t.Fatalf("%d members, want %d", len(got), len(members))
	}
	for _, o := range members {
		if !slices.Contains(got, o) {
			t.Fatalf("offer %v is no member", o.Tag)
		}
	}
	return c
}

func mustBeEmpty(t *testing.T, p *Pool) {
	t.Helper()
	if c, ok := p.Next(); ok {
		t.Fatalf("another call: %v × %v", c.Users, c.Roles)
	}
	if p.Len() != 0 {
		t.Fatalf("%d offers are left", p.Len())
	}
}

func TestAloneARemovalGoesWhole(t *testing.T) {
	for _, n := range []int{1, 3, callLimits.Users / smallShare, callLimits.Users/smallShare + 1, tasks.MaxUsers} {
		for _, k := range []int{1, 5, tasks.MaxRoles} {
			p := NewPool(callLimits)
			users, roles := manyUsers("u", n), make([]int64, k)
			for i := range roles {
				roles[i] = int64(i) + 1
			}
			o := NewOffer(1, users, roles, nil, nil)
			p.Add(o)
			p.Done(mustNext(t, p, users, roles, o))
			mustBeEmpty(t, p)
		}
	}
}

func TestThePairThatSeveralWantIsCalledOnce(t *testing.T) {
	for _, n := range []int{1, callLimits.Users/smallShare + 1} {
		p := NewPool(callLimits)
		users := manyUsers("u", n)
		a := NewOffer(1, users, []int64{1, 2}, nil, "a")
		b := NewOffer(1, users, []int64{2, 1}, nil, "b")
		inside := NewOffer(2, users[:1], []int64{2}, nil, "inside")
		for _, o := range []*Offer{a, b, inside} {
			p.Add(o)
		}
		p.Done(mustNext(t, p, users, []int64{1, 2}, a, b, inside))
		mustBeEmpty(t, p)
	}
}

func TestTheUrgentGoesFirstAndWhole(t *testing.T) {
	p := NewPool(callLimits)
	for u := range 300 {
		p.Add(NewOffer(2, []string{fmt.Sprint("bulk", u)}, []int64{1, 2}, nil, nil))
	}
	urgent := NewOffer(0, []string{"urgent"}, []int64{1, 2, 7, 8}, nil, nil)
	p.Add(urgent)
	if lane, _, ok := p.First(); !ok || lane != 0 {
		t.Fatalf("first is lane %d, %t", lane, ok)
	}
	p.Done(mustNext(t, p, []string{"urgent"}, []int64{1, 2, 7, 8}, urgent))
	for range 3 {
		c, ok := p.Next()
		if !ok || c.Lane != 2 || len(c.Users) != tasks.MaxUsers || len(c.Roles) != 2 {
			t.Fatalf("%d × %d in lane %d, want a full call of the bulk lane", len(c.Users), len(c.Roles), c.Lane)
		}
		p.Done(c)
	}
	mustBeEmpty(t, p)
}

func TestTheLessUrgentFillTheCallOfTheUrgent(t *testing.T) {
	p := NewPool(callLimits)
	urgent := NewOffer(0, []string{"a"}, []int64{1, 2}, nil, nil)
	bulk := NewOffer(2, []string{"b"}, []int64{1, 2, 3}, nil, nil)
	p.Add(bulk)
	p.Add(urgent)
	p.Done(mustNext(t, p, []string{"a", "b"}, []int64{1, 2}, urgent, bulk))
	p.Done(mustNext(t, p, []string{"b"}, []int64{3}, bulk))
	mustBeEmpty(t, p)
}

func TestAnOfferIsTornOnlyWhereItPays(t *testing.T) {
	p := NewPool(callLimits)
	a := NewOffer(1, []string{"a"}, []int64{1, 2, 3}, nil, nil)
	b := NewOffer(1, []string{"b"}, []int64{1, 2, 4}, nil, nil)
	p.Add(a)
	p.Add(b)
	p.Done(mustNext(t, p, []string{"a"}, []int64{1, 2, 3}, a))
	p.Done(mustNext(t, p, []string{"b"}, []int64{1, 2, 4}, b))
	mustBeEmpty(t, p)
}

func TestAReturnedCallKeepsItsPlace(t *testing.T) {
	p := NewPool(callLimits)
	a := NewOffer(1, []string{"a"}, []int64{1}, nil, nil)
	b := NewOffer(1, []string{"b"}, []int64{2}, nil, nil)
	p.Add(a)
	p.Add(b)
	c := mustNext(t, p, []string{"a"}, []int64{1}, a)
	p.Return(c)
	p.Return(c)
	p.Done(c)
	c = mustNext(t, p, []string{"a"}, []int64{1}, a)
	p.Withdraw(a)
	if open, inFlight := p.Open(a); open != 0 || inFlight != 1 {
		t.Fatalf("%d open, %d in flight", open, inFlight)
	}
	p.Return(c)
	p.Done(mustNext(t, p, []string{"b"}, []int64{2}, b))
	mustBeEmpty(t, p)
}

func TestLargeOffersOfTheSameRolesShareACall(t *testing.T) {
	p := NewPool(callLimits)
	a := NewOffer(1, manyUsers("a", 60), []int64{1, 2}, nil, "a")
	b := NewOffer(1, manyUsers("b", 50), []int64{1, 2}, nil, "b")
	c := NewOffer(1, manyUsers("c", 30), []int64{2, 1}, nil, "c")
	d := NewOffer(1, []string{"d"}, []int64{1, 2, 3}, nil, "d")
	for _, o := range []*Offer{a, b, c, d} {
		p.Add(o)
	}
	p.Done(mustNext(t, p, slices.Concat(a.users, c.users, d.users), []int64{1, 2}, a, c, d))
	p.Done(mustNext(t, p, b.users, []int64{1, 2}, b))
	p.Done(mustNext(t, p, d.users, []int64{3}, d))
	mustBeEmpty(t, p)
}

func TestManyAtOnce(t *testing.T) {
	p := NewPool(callLimits)
	var adders, callers sync.WaitGroup
	added := make(chan struct{}, 400)
	for w := range 4 {
		adders.Go(func() {
			for i := range 100 {
				p.Add(NewOffer(w%3, []string{fmt.Sprint("user", i)}, []int64{int64(w), 9}, nil, nil))
				added <- struct{}{}
			}
		})
	}
	for range 4 {
		callers.Go(func() {
			for range added {
				if c, ok := p.Next(); ok {
					p.First()
					if len(c.Users)%2 == 0 {
						p.Return(c)
					} else {
						p.Done(c)
					}
				}
			}
		})
	}
	adders.Wait()
	close(added)
	callers.Wait()
	for c, ok := p.Next(); ok; c, ok = p.Next() {
		p.Done(c)
	}
	mustBeEmpty(t, p)
}

func TestOffersBeyondACallAreRefused(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("accepted")
		}
	}()
	NewPool(callLimits).Add(NewOffer(1, manyUsers("u", tasks.MaxUsers+1), []int64{1}, nil, nil))
}
