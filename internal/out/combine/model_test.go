package combine

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/tasks"
)

type pair struct {
	user string
	role int64
}

// wish is what the model knows of an offer.
type wish struct {
	offer     *Offer
	lane      int
	order     int
	asked     map[pair]bool
	open      map[pair]bool
	flying    map[pair]bool
	withdrawn bool
}

// model checks a pool against plain sets of pairs.
type model struct {
	most   pairs.Size
	pool   *Pool
	wishes []*wish
	calls  []Call
}

func (m *model) of(o *Offer) *wish { return o.Tag.(*wish) }

func (m *model) first() *wish {
	var first *wish
	for _, w := range m.wishes {
		if len(w.open) > 0 && (first == nil || w.lane < first.lane || w.lane == first.lane && w.order < first.order) {
			first = w
		}
	}
	return first
}

func (m *model) add(lane int, users []string, roles []int64, asked func(pairs.User, pairs.Role) bool) *wish {
	w := &wish{lane: lane, order: len(m.wishes), asked: map[pair]bool{}, open: map[pair]bool{}, flying: map[pair]bool{}}
	for u, user := range users {
		for r, role := range roles {
			if asked == nil || asked(pairs.User(u), pairs.Role(r)) {
				w.asked[pair{user, role}] = true
				w.open[pair{user, role}] = true
			}
		}
	}
	w.offer = NewOffer(lane, users, roles, asked, w)
	m.wishes = append(m.wishes, w)
	m.pool.Add(w.offer)
	return w
}

func served(m Member) []pair {
	var pairs []pair
	for i, u := range m.Users {
		for _, r := range m.Roles {
			if m.Serves(i, r) {
				pairs = append(pairs, pair{m.Offer.users[u], m.Offer.roles[r]})
			}
		}
	}
	return pairs
}

func (m *model) next(t rapid.TB) {
	first := m.first()
	lane, seq, ok := m.pool.First()
	if ok != (first != nil) || ok && lane != first.lane {
		t.Fatalf("First is %d, %d, %t, want %+v", lane, seq, ok, first)
	}
	c, ok := m.pool.Next()
	if ok != (first != nil) {
		t.Fatalf("Next is %t with %+v open", ok, first)
	}
	if !ok {
		return
	}
	m.calls = append(m.calls, c)
	if c.Lane != lane || c.Seq != seq || m.of(c.Members[0].Offer) != first {
		t.Fatalf("call of lane %d, seq %d led by %+v, want %d, %d, %+v", c.Lane, c.Seq, m.of(c.Members[0].Offer), lane, seq, first)
	}
	if n := len(c.Roles); n == 0 || n > m.most.Roles {
		t.Fatalf("%d roles", n)
	}
	if n := len(c.Users); n == 0 || n > m.most.Users {
		t.Fatalf("%d users", n)
	}
	asked := map[pair]bool{}
	usefulUsers, usefulRoles := map[string]bool{}, map[int64]bool{}
	seen := map[*Offer]bool{}
	for _, mem := range c.Members {
		w := m.of(mem.Offer)
		if seen[mem.Offer] {
			t.Fatalf("offer %d is a member twice", w.order)
		}
		seen[mem.Offer] = true
		for p := range w.asked {
			asked[p] = true
		}
		pairs := served(mem)
		if len(pairs) == 0 || len(pairs) != mem.Pairs() {
			t.Fatalf("member with %d pairs, of which %d are in Users × Roles", mem.Pairs(), len(pairs))
		}
		for _, p := range pairs {
			if !w.open[p] {
				t.Fatalf("%v is served, but not open", p)
			}
			if !slices.Contains(c.Users, p.user) || !slices.Contains(c.Roles, p.role) {
				t.Fatalf("%v is served, but not in the call", p)
			}
			delete(w.open, p)
			w.flying[p] = true
			usefulUsers[p.user], usefulRoles[p.role] = true, true
		}
	}
	if len(usefulUsers) != len(c.Users) || len(usefulRoles) != len(c.Roles) {
		t.Fatalf("%d × %d, of which %d users and %d roles are served or no duplicates", len(c.Users), len(c.Roles), len(usefulUsers), len(usefulRoles))
	}
	for _, u := range c.Users {
		for _, r := range c.Roles {
			if !asked[pair{u, r}] {
				t.Fatalf("%s × %d is called, no member asked for it", u, r)
			}
		}
	}
}

func (m *model) end(i int, done bool) {
	c := m.calls[i]
	m.calls = slices.Delete(m.calls, i, i+1)
	for _, mem := range c.Members {
		w := m.of(mem.Offer)
		for _, p := range served(mem) {
			delete(w.flying, p)
			if !w.withdrawn && !done {
				w.open[p] = true
			}
		}
	}
	if done {
		m.pool.Done(c)
	} else {
		m.pool.Return(c)
	}
}

func (m *model) check(t rapid.TB) {
	n := 0
	for _, w := range m.wishes {
		open, flying := m.pool.Open(w.offer)
		if open != len(w.open) || flying != len(w.flying) {
			t.Fatalf("offer %d has %d open and %d in flight, want %d and %d", w.order, open, flying, len(w.open), len(w.flying))
		}
		if open+flying > 0 {
			n++
		}
	}
	if m.pool.Len() != n {
		t.Fatalf("pool of %d, want %d", m.pool.Len(), n)
	}
}

// drain makes all calls that are left and checks that nothing is forgotten.
func (m *model) drain(t rapid.TB) {
	for len(m.calls) > 0 {
		m.end(0, false)
	}
	for m.first() != nil {
		m.next(t)
		m.end(0, true)
	}
	m.check(t)
	p := m.pool
	if len(p.alike)+len(p.people)+len(p.byUser)+len(p.roles)+len(p.ready)+len(p.flying) > 0 {
		t.Fatalf("an empty pool keeps %d people, %d roles, %d offers, %d calls", len(p.people), len(p.roles), len(p.ready), len(p.flying))
	}
}

func names(users []int) []string {
	s := make([]string, len(users))
	for i, u := range users {
		s[i] = fmt.Sprintf("user%d", u)
	}
	return s
}

func TestAnySequenceKeepsThePromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{most: rapid.SampledFrom([]pairs.Size{pairs.MostOf(tasks.Remove), pairs.MostOf(tasks.Add)}).Draw(t, "of a call")}
		m.pool = NewPool(m.most)
		numUsers := rapid.SampledFrom([]int{3, 8, 130}).Draw(t, "users")
		numRoles := rapid.SampledFrom([]int{2, 6, 40}).Draw(t, "roles")
		template := rapid.SliceOfNDistinct(rapid.Int64Range(1, int64(numRoles)), 1, min(numRoles, 20), rapid.ID)
		templates := rapid.SliceOfN(template, 1, 4).Draw(t, "templates")
		offer := func(t *rapid.T, users []int) {
			roles := slices.Clone(rapid.SampledFrom(templates).Draw(t, "template"))
			roles = append(roles, rapid.SliceOfN(rapid.Int64Range(1, int64(numRoles)), 0, 2).Draw(t, "extras")...)
			slices.Sort(roles)
			roles = slices.Compact(roles)
			roles = roles[:min(len(roles), tasks.MaxRoles)]
			var asked func(pairs.User, pairs.Role) bool
			if rapid.IntRange(0, 3).Draw(t, "holes") == 0 {
				hole := rapid.IntRange(2, 5).Draw(t, "every")
				asked = func(u pairs.User, r pairs.Role) bool { return (int(u)*7+int(r))%hole != 0 }
			}
			m.add(rapid.IntRange(0, 2).Draw(t, "lane"), names(users), roles, asked)
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) { m.check(t) },
			"add": func(t *rapid.T) {
				offer(t, []int{rapid.IntRange(0, numUsers-1).Draw(t, "user")})
			},
			"add several": func(t *rapid.T) {
				most := min(numUsers, rapid.SampledFrom([]int{3, m.most.Users / smallShare, m.most.Users}).Draw(t, "most"))
				users := rapid.Permutation(seq(numUsers)).Draw(t, "users")
				offer(t, users[:rapid.IntRange(1, most).Draw(t, "n")])
			},
			"next": func(t *rapid.T) { m.next(t) },
			"end": func(t *rapid.T) {
				if len(m.calls) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(m.calls)-1).Draw(t, "call")
				m.end(i, rapid.Bool().Draw(t, "done"))
			},
			"withdraw": func(t *rapid.T) {
				if len(m.wishes) == 0 {
					t.Skip()
				}
				w := rapid.SampledFrom(m.wishes).Draw(t, "offer")
				if len(w.open)+len(w.flying) > 0 {
					w.withdrawn = true
				}
				clear(w.open)
				m.pool.Withdraw(w.offer)
			},
		})
		m.drain(t)
	})
}

func seq(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}
