package combine

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/tasks"
)

// The best rectangle is not the one with the most pairs. A role that a hundred users hold as part of their
// department's three makes a rectangle of a hundred pairs, but those pairs would have gone with the three in one call,
// and the department still needs that call for the other two. So each open pair has a price, the share of a call that
// it is going to cost: one part in the number of pairs that the best call for it may have. A rectangle is worth the
// sum of its prices, less what it makes dearer for the leader. Templates then go as templates, pairs that are in none
// are worth collecting, and an offer is only torn apart where that pays.
const (
	// maxBits is how many roles one choice looks at: those of the leader, then those of his users' other offers.
	maxBits = 64
	// maxSlots is how many roles of the pool are told apart when pairs are priced.
	maxSlots = 1024
	// maxWork bounds role sets weighed × groups, some milliseconds.
	maxWork = 500_000
	// maxTemplates is how many of the commonest role sets are intersected with each other where there are too many
	// subsets to weigh them all.
	maxTemplates = 32
)

// chooser weighs the rectangles that a small leader may go with. Its fields are the space of one choice, kept for the
// next.
type chooser struct {
	most    pairs.Size
	roles   []*role // by bit
	rows    []row
	prices  []float32 // of row i and bit b: i*len(roles)+b
	groups  []group
	worths  []float32 // of group i and bit b, all its users together: i*len(roles)+b
	byMasks map[[3]uint64]int
	both    []*[maxSlots]int32 // by bit and slot: the users who have both roles open
	slots   []int
	ranked  []ranked
	picked  []picked
	people  []*person
}

// row is what small offers ask for one user, each bit being one role of the choice.
type row struct {
	who              *person
	asked, open, top uint64 // top: the open pairs of offers that are at least as urgent as the leader
	group            int
}

// group is the users for whom the same is asked.
type group struct {
	asked, open, top uint64
	users            int
}

// value orders rectangles: what is as urgent as the leader comes first.
type value struct{ top, all float32 }

func (v value) compare(b value) int {
	return cmp.Or(cmp.Compare(v.top, b.top), cmp.Compare(v.all, b.all))
}

func (v value) times(f float32) value { return value{v.top * f, v.all * f} }

func (v *value) add(b value) {
	v.top += b.top
	v.all += b.all
}

// ranked is a group in the order of its users' value.
type ranked struct {
	each  value
	users int
}

// know gives the role a bit, if there is one left.
func (c *chooser) know(r *role) {
	if r.bit < 0 && len(c.roles) < maxBits {
		r.bit = len(c.roles)
		c.roles = append(c.roles, r)
	}
}

// reset makes ready for another choice.
func (c *chooser) reset() {
	for _, r := range c.roles {
		r.bit = -1
	}
	clear(c.roles)
	clear(c.rows)
	clear(c.picked)
	clear(c.people)
	c.roles, c.rows, c.picked = c.roles[:0], c.rows[:0], c.picked[:0]
}

// scan finds the rows with open pairs in the roles of the choice.
func (c *chooser) scan(people []*person, lane int) {
	for _, who := range people {
		r := row{who: who}
		for _, cl := range who.claims {
			open := project(cl.offer, cl.offer.left[cl.u])
			r.open |= open
			if cl.offer.lane <= lane {
				r.top |= open
			}
			r.asked |= project(cl.offer, cl.offer.asked[cl.u])
		}
		if r.open != 0 {
			c.rows = append(c.rows, r)
		}
	}
}

// fewConcerned: where the roles of a choice have fewer refs than one in so many of the people, these are found by the roles.
const fewConcerned = 8

// concerned lists the people of whom a small offer wants one of the roles of the choice, and others where they are many, in the
// order of Pool.people.
func (p *Pool) concerned() []*person {
	c, refs := &p.chooser, 0
	for _, r := range c.roles {
		refs += len(r.refs)
	}
	if refs > len(p.people)/fewConcerned {
		return p.people
	}
	c.people = c.people[:0]
	for _, r := range c.roles {
		for _, ref := range r.refs {
			for u, asked := range ref.offer.asked {
				if asked>>ref.i&1 == 1 {
					c.people = append(c.people, p.byUser[ref.offer.users[u]])
				}
			}
		}
	}
	slices.SortFunc(c.people, func(a, b *person) int { return cmp.Compare(a.at, b.at) })
	return slices.Compact(c.people)
}

// price prices the open pairs of the rows. How large a call may get that has a pair's role is told from the other
// roles of its user: by how many users those are open together with it.
func (c *chooser) price() {
	for len(c.both) < len(c.roles) {
		c.both = append(c.both, new([maxSlots]int32))
	}
	for _, both := range c.both[:len(c.roles)] {
		clear(both[:])
	}
	for i := range c.rows {
		r := &c.rows[i]
		c.openSlots(r.who)
		for x := r.open; x != 0; x &= x - 1 {
			both := c.both[bits.TrailingZeros64(x)]
			for _, s := range c.slots {
				both[s]++
			}
		}
	}
	c.prices = slices.Grow(c.prices[:0], len(c.rows)*len(c.roles))[:len(c.rows)*len(c.roles)]
	clear(c.prices)
	for i := range c.rows {
		r := &c.rows[i]
		c.openSlots(r.who)
		for x := r.open; x != 0; x &= x - 1 {
			b := bits.TrailingZeros64(x)
			c.prices[i*len(c.roles)+b] = c.share(b)
		}
	}
}

// share is the price of a pair whose user has the roles of c.slots open.
func (c *chooser) share(b int) float32 {
	var space [maxBits]int32
	together := space[:0]
	for _, s := range c.slots {
		together = append(together, min(c.both[b][s], int32(c.most.Users)))
	}
	slices.Sort(together)
	most := int32(1)
	for k, users := range together {
		most = max(most, users*int32(min(len(together)-k, tasks.MaxRoles)))
	}
	return 1 / float32(most)
}

// dearer is by how much the rest of what is open of a row gets dearer when a call takes the set out of it: roles that
// would have gone along go alone.
func (c *chooser) dearer(i int, set uint64) float32 {
	rest := c.rows[i].open &^ set
	before := worth(c.prices[i*len(c.roles):(i+1)*len(c.roles)], rest)
	c.slots = c.slots[:0]
	for x := rest; x != 0; x &= x - 1 {
		if s := c.roles[bits.TrailingZeros64(x)].slot; s >= 0 {
			c.slots = append(c.slots, s)
		}
	}
	var after float32
	for x := rest; x != 0; x &= x - 1 {
		after += c.share(bits.TrailingZeros64(x))
	}
	return max(0, after-before)
}

// openSlots lists the slots of the roles that are open for the person.
func (c *chooser) openSlots(who *person) {
	c.slots = c.slots[:0]
	for _, cl := range who.claims {
		for x := cl.offer.left[cl.u]; x != 0 && len(c.slots) < maxBits; x &= x - 1 {
			s := cl.offer.known[bits.TrailingZeros32(x)].slot
			if s >= 0 && (len(who.claims) == 1 || !slices.Contains(c.slots, s)) {
				c.slots = append(c.slots, s)
			}
		}
	}
}

// group puts rows together for whom the same is asked and open.
func (c *chooser) group() {
	if c.byMasks == nil {
		c.byMasks = map[[3]uint64]int{}
	}
	clear(c.byMasks)
	c.groups, c.worths = c.groups[:0], c.worths[:0]
	n := len(c.roles)
	for i := range c.rows {
		r := &c.rows[i]
		key := [3]uint64{r.asked, r.open, r.top}
		g, ok := c.byMasks[key]
		if !ok {
			g = len(c.groups)
			c.byMasks[key] = g
			c.groups = append(c.groups, group{asked: r.asked, open: r.open, top: r.top})
			c.worths = append(c.worths, c.prices[i*n:(i+1)*n]...)
		} else {
			for b, price := range c.prices[i*n : (i+1)*n] {
				c.worths[g*n+b] += price
			}
		}
		c.groups[g].users++
		r.group = g
	}
}

// worth adds up the prices of the set, in one row of prices or worths.
func worth(prices []float32, set uint64) (sum float32) {
	for ; set != 0; set &= set - 1 {
		sum += prices[bits.TrailingZeros64(set)]
	}
	return sum
}

// worth is what the best call with exactly the roles of the set is worth.
func (c *chooser) worth(set uint64) value {
	var all value
	users := 0
	c.ranked = c.ranked[:0]
	for i := range c.groups {
		g := &c.groups[i]
		if set&^g.asked != 0 || set&g.open == 0 {
			continue
		}
		prices := c.worths[i*len(c.roles) : (i+1)*len(c.roles)]
		v := value{worth(prices, set&g.top), worth(prices, set&g.open)}
		c.ranked = append(c.ranked, ranked{v.times(1 / float32(g.users)), g.users})
		all.add(v)
		users += g.users
	}
	if users <= c.most.Users {
		return all
	}
	slices.SortFunc(c.ranked, func(a, b ranked) int { return b.each.compare(a.each) })
	var most value
	room := c.most.Users
	for _, r := range c.ranked {
		k := min(room, r.users)
		most.add(r.each.times(float32(k)))
		if room -= k; room == 0 {
			break
		}
	}
	return most
}

// candidates gives the role sets worth weighing for a call that serves one of the pairs of lead for this person, the
// likely ones first. A call with exactly those roles may serve the person.
func (c *chooser) candidates(who *person, lead uint64) []uint64 {
	var all uint64
	for _, cl := range who.claims {
		all |= project(cl.offer, cl.offer.asked[cl.u])
	}
	seen := map[uint64]bool{}
	var sets []uint64
	add := func(set uint64) {
		set = trim(set, lead)
		if set&lead != 0 && !seen[set] && covered(who, set) {
			sets = append(sets, set)
		}
		seen[set] = true
	}
	most := maxWork / max(1, len(c.groups))
	if n := bits.OnesCount64(all); n < 16 && 1<<n <= most {
		for set := all; set != 0; set = (set - 1) & all {
			add(set)
		}
		return sets
	}
	add(all)
	add(lead)
	for x := lead; x != 0; x &= x - 1 {
		add(x & -x)
	}
	templates := c.templates(all)
	for i, a := range templates {
		add(a)
		for _, b := range templates[:i] {
			add(a & b)
		}
	}
	return sets[:min(len(sets), max(most, 1+bits.OnesCount64(lead)))]
}

// templates are the commonest parts of the set that are asked for.
func (c *chooser) templates(set uint64) []uint64 {
	pairs := map[uint64]int{}
	for _, g := range c.groups {
		if part := g.asked & set; part != 0 {
			pairs[part] += g.users * bits.OnesCount64(part)
		}
	}
	parts := make([]uint64, 0, len(pairs))
	for part := range pairs {
		parts = append(parts, part)
	}
	slices.SortFunc(parts, func(a, b uint64) int {
		return cmp.Or(cmp.Compare(pairs[b], pairs[a]), cmp.Compare(a, b))
	})
	return parts[:min(len(parts), maxTemplates)]
}

// trim makes the set small enough for a call, dropping what is not of lead first.
func trim(set, lead uint64) uint64 {
	for bits.OnesCount64(set) > tasks.MaxRoles {
		from := set &^ lead
		if from == 0 {
			from = set
		}
		set &^= 1 << (bits.Len64(from) - 1)
	}
	return set
}

// project expresses pairs of one user of the offer in the bits of the choice.
func project(o *Offer, pairs uint32) (set uint64) {
	for ; pairs != 0; pairs &= pairs - 1 {
		if b := o.known[bits.TrailingZeros32(pairs)].bit; b >= 0 {
			set |= 1 << b
		}
	}
	return set
}

// within gives those pairs of one user of the offer that are in the set.
func within(o *Offer, pairs uint32, set uint64) (in uint32) {
	for x := pairs; x != 0; x &= x - 1 {
		i := bits.TrailingZeros32(x)
		if b := o.known[i].bit; b >= 0 && set>>b&1 == 1 {
			in |= 1 << i
		}
	}
	return in
}

// covered reports whether a call with the roles of the set may serve the person: something is open, and what it would
// serve belongs to offers that together asked for all of the set.
func covered(who *person, set uint64) bool {
	var asked uint64
	for _, cl := range who.claims {
		if within(cl.offer, cl.offer.left[cl.u], set) != 0 {
			asked |= project(cl.offer, cl.offer.asked[cl.u])
		}
	}
	return asked != 0 && set&^asked == 0
}
