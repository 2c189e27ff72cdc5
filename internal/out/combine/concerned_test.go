package combine

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// What a choice is made of does not depend on how the people were found: by their roles where few want one of them, or by looking at
// all. Nor does the number of calls that going on role by role takes depend on how the pool came to what it has.
func TestAChoiceSeesEverybodyConcerned(t *testing.T) {
	byRoles := 0
	rapid.Check(t, func(t *rapid.T) {
		p := NewPool(callLimits)
		dice := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "dice"), 5))
		roles := rapid.SampledFrom([]int{5, 40, 400}).Draw(t, "roles")
		var flying []Call
		var offers []*Offer
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			switch dice.IntN(8) {
			case 0:
				if c, ok := p.Next(); ok {
					flying = append(flying, c)
				}
			case 1:
				if n := len(flying); n > 0 {
					p.end(flying[n-1], dice.IntN(2) == 0)
					flying = flying[:n-1]
				}
			case 2:
				if len(offers) > 0 {
					p.Withdraw(offers[dice.IntN(len(offers))])
				}
			default:
				o := rectangle(dice.IntN(3), dice.Perm(300)[:1+dice.IntN(2)], dice.Perm(roles)[:1+dice.IntN(3)])
				offers = append(offers, o)
				p.Add(o)
			}
		}
		byRole := 0
		for _, r := range p.roles {
			byRole += r.calls()
		}
		if byRole != p.byRole {
			t.Fatalf("role by role takes %d calls, the pool has %d", byRole, p.byRole)
		}
		for n := 0; n < 20 && n < len(p.people); n++ {
			c := &p.chooser
			for _, cl := range p.people[n].claims {
				for _, r := range cl.offer.known {
					c.know(r)
				}
			}
			found := p.concerned()
			if len(found) < len(p.people) {
				byRoles++
			}
			c.scan(found, 1)
			rows := append([]row(nil), c.rows...)
			c.rows = c.rows[:0]
			c.scan(p.people, 1)
			if !reflect.DeepEqual(rows, c.rows) && len(rows)+len(c.rows) > 0 {
				t.Fatalf("%d rows by the roles, %d of all people", len(rows), len(c.rows))
			}
			c.reset()
		}
	})
	if byRoles == 0 {
		t.Error("nobody was looked for by roles")
	}
}
