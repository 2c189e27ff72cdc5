package combine

import (
	"cmp"
	"math/bits"
	"slices"
)

const (
	// maxLeads is how many users of a small leader are weighed for; they mostly want the same.
	maxLeads = 4
	// torn is how many times as much a call must be worth that leaves some of the leader to a later one. The planner's
	// parts are good rectangles already, and go whole.
	torn = 1.5
)

// choice is the best role set so far; none is 0.
type choice struct {
	set   uint64
	value value
}

func (c *choice) consider(set uint64, v value) {
	if c.set == 0 || v.compare(c.value) > 0 {
		*c = choice{set, v}
	}
}

// take makes the call of the leader.
func (p *Pool) take(leader *Offer) Call {
	defer p.chooser.reset()
	if leader.known == nil {
		return p.takeLarge(leader)
	}
	return p.takeSmall(leader)
}

// takeSmall makes the most valuable rectangle that has an open pair of the leader.
func (p *Pool) takeSmall(leader *Offer) Call {
	c := &p.chooser
	for _, r := range leader.known {
		c.know(r)
	}
	leads := leader.leads()
	for _, u := range leads {
		for _, cl := range p.byUser[leader.users[u]].claims {
			for _, r := range cl.offer.known {
				c.know(r)
			}
		}
	}
	c.scan(p.concerned(), leader.lane)
	c.price()
	c.group()

	var whole, part choice
	for _, u := range leads {
		who := p.byUser[leader.users[u]]
		row := slices.IndexFunc(c.rows, func(r row) bool { return r.who == who })
		alike := 0
		for v := range leader.users {
			if leader.asked[v] == leader.asked[u] && leader.left[v] == leader.left[u] {
				alike++
			}
		}
		for _, set := range c.candidates(who, project(leader, leader.left[u])) {
			if p.completes(leader, set) {
				whole.consider(set, c.worth(set))
				continue
			}
			v := c.worth(set)
			loss := float32(alike) * c.dearer(row, set)
			v.add(value{-loss, -loss})
			part.consider(set, v)
		}
	}
	if all := leader.open(); whole.set == 0 && p.completes(leader, all) {
		whole.consider(all, c.worth(all))
	}
	set := whole.set
	switch tear, roleByRole := p.mayTear(); {
	case roleByRole:
		set = p.oneRole(leader, leads[0])
	case whole.set == 0 || tear && part.set != 0 && part.value.compare(whole.value.times(torn)) > 0:
		set = part.set
	}
	c.pick(set, leader)
	d := p.draft(leader)
	d.fill(set)
	return d.finish()
}

// mayTear reports whether a call may end no offer, so that still no more calls are made than there are offers. It may if
// calls were saved before, or if going on role by role takes so few that more than was saved may be spent on a good start.
// roleByRole reports that this is so with no call to spare: it has to be done.
func (p *Pool) mayTear() (ok, roleByRole bool) {
	if p.saved > 0 {
		return true, false
	}
	spare := len(p.ready) + p.saved - p.large - p.byRole
	return spare > 0, spare == 0 && p.saved < 0
}

// oneRole is the role of the user's open pairs that is worth the most alone: with no call to spare, it goes on role by role.
func (p *Pool) oneRole(o *Offer, u int) uint64 {
	var best choice
	for left := project(o, o.left[u]); left != 0; left &= left - 1 {
		best.consider(left&-left, p.chooser.worth(left&-left))
	}
	return best.set
}

// completes reports whether a call with the roles of the set serves all that is open of a small offer.
func (p *Pool) completes(o *Offer, set uint64) bool {
	for u, left := range o.left {
		if left != 0 && (project(o, left)&^set != 0 || !covered(p.byUser[o.users[u]], set)) {
			return false
		}
	}
	return true
}

// open are the roles of a small offer that have open pairs.
func (o *Offer) open() (set uint64) {
	for _, left := range o.left {
		set |= project(o, left)
	}
	return set
}

// leads lists users of the offer with open pairs, each asking for something else.
func (o *Offer) leads() []int {
	var leads []int
	for u, left := range o.left {
		if left == 0 || slices.ContainsFunc(leads, func(l int) bool { return o.asked[l] == o.asked[u] && o.left[l] == left }) {
			continue
		}
		if leads = append(leads, u); len(leads) == maxLeads {
			break
		}
	}
	return leads
}

// picked is a person whom the call may serve.
type picked struct {
	who    *person
	leads  bool // served for the leader
	value  value
	offer  *Offer // the most urgent one
	served uint64
}

// pick lists whom a call with the roles of the set may serve: the leader's users, then by value, then in the order of
// their offers.
func (c *chooser) pick(set uint64, leader *Offer) {
	for i, r := range c.rows {
		if !covered(r.who, set) {
			continue
		}
		e := picked{who: r.who, served: set & r.open}
		if len(c.prices) > 0 {
			prices := c.prices[i*len(c.roles) : (i+1)*len(c.roles)]
			e.value = value{worth(prices, set&r.top), worth(prices, set&r.open)}
		}
		for _, cl := range r.who.claims {
			if within(cl.offer, cl.offer.left[cl.u], set) == 0 {
				continue
			}
			e.leads = e.leads || cl.offer == leader
			if e.offer == nil || cl.offer.before(e.offer) {
				e.offer = cl.offer
			}
		}
		c.picked = append(c.picked, e)
	}
	slices.SortFunc(c.picked, func(a, b picked) int {
		if a.leads != b.leads {
			if a.leads {
				return -1
			}
			return 1
		}
		return cmp.Or(b.value.compare(a.value), cmp.Compare(a.offer.lane, b.offer.lane), cmp.Compare(a.offer.seq, b.offer.seq),
			cmp.Compare(a.who.at, b.who.at))
	})
}

// fill takes the people picked for the set into an empty call.
func (d *draft) fill(set uint64) {
	c := &d.pool.chooser
	people := c.picked[:min(len(c.picked), c.most.Users)]
	var served uint64
	for _, e := range people {
		served |= e.served
	}
	// A role of which nothing is served, since all of it is over for those who are served, is left out.
	set &= served
	for x := set; x != 0; x &= x - 1 {
		d.call.Roles = append(d.call.Roles, c.roles[bits.TrailingZeros64(x)].id)
	}
	for _, e := range people {
		d.call.Users = append(d.call.Users, e.who.user)
		d.join(e.who, set)
	}
}

// join serves all that is open for the person in the set.
func (d *draft) join(who *person, set uint64) {
	for _, cl := range who.claims {
		if in := within(cl.offer, cl.offer.left[cl.u], set); in != 0 {
			d.serve(cl.offer, cl.u, in)
		}
	}
}

// takeLarge makes the call of a leader that is not combined pair by pair: his best rectangle, what others want inside
// it, and where it has fewer users than a call may have, others who want all of its roles.
func (p *Pool) takeLarge(leader *Offer) Call {
	d := p.draft(leader)
	set := leader.best()
	for r, id := range leader.roles {
		if set>>r&1 == 1 {
			d.call.Roles = append(d.call.Roles, id)
		}
	}
	whole := leader.shape != "" && len(d.call.Roles) == len(leader.roles)
	d.expect(leader)
	for u, asked := range leader.asked {
		if in := leader.left[u] & set; set&^asked == 0 && in != 0 {
			d.call.Users = append(d.call.Users, leader.users[u])
			d.serve(leader, u, in)
		}
	}
	if whole && len(p.alike[leader.shape]) > 1 {
		d.joinAlike(leader.shape)
	}
	if len(p.people) > 0 && !leader.apart {
		d.joinSmall()
	}
	return d.finish()
}

// maxAlike is how many offers of the same roles are looked at for one call.
const maxAlike = 32

// joinAlike serves other large offers of the same roles that fit into the call as a whole.
func (d *draft) joinAlike(shape string) {
	in := make(map[string]bool, d.pool.most.Users)
	for _, id := range d.call.Users {
		in[id] = true
	}
	looks := 0
	var more []string
	for _, o := range d.pool.alike[shape] {
		if o.leftPairs == 0 {
			continue
		}
		if looks++; looks > maxAlike || len(d.call.Users) == d.pool.most.Users {
			return
		}
		more = more[:0]
		for u, id := range o.users {
			if o.left[u] != 0 && !in[id] {
				more = append(more, id)
			}
			if len(d.call.Users)+len(more) > d.pool.most.Users {
				break
			}
		}
		if len(d.call.Users)+len(more) > d.pool.most.Users {
			continue
		}
		for _, id := range more {
			in[id] = true
		}
		d.call.Users = append(d.call.Users, more...)
		for u, left := range o.left {
			if left != 0 {
				d.serve(o, u, left)
			}
		}
	}
}

// joinSmall serves what small offers want of the call, and adds people who want all of its roles while there is room.
func (d *draft) joinSmall() {
	p, c := d.pool, &d.pool.chooser
	var set uint64
	for _, id := range d.call.Roles {
		if r := p.roles[id]; r != nil {
			c.know(r)
			set |= 1 << r.bit
		}
	}
	if set == 0 {
		return
	}
	in := map[*person]bool{}
	for _, id := range d.call.Users {
		if who := p.byUser[id]; who != nil {
			in[who] = true
			d.join(who, set)
		}
	}
	if len(d.call.Users) == d.pool.most.Users || len(c.roles) < len(d.call.Roles) {
		return
	}
	c.scan(p.concerned(), d.call.Lane)
	c.prices = c.prices[:0]
	c.pick(set, d.call.Members[0].Offer)
	for _, e := range c.picked {
		if len(d.call.Users) == d.pool.most.Users {
			return
		}
		if !in[e.who] {
			d.call.Users = append(d.call.Users, e.who.user)
			d.join(e.who, set)
		}
	}
}

// best is the role set of the offer's own rectangle that serves the most of its open pairs. Each of its roles serves
// at least one.
func (o *Offer) best() uint32 {
	var sets []uint32
	for u, asked := range o.asked {
		if o.left[u] != 0 && !slices.Contains(sets, asked) {
			sets = append(sets, asked)
		}
	}
	var best uint32
	most := 0
	for _, set := range sets {
		n := 0
		var served uint32
		for u, asked := range o.asked {
			if set&^asked == 0 {
				n += bits.OnesCount32(o.left[u] & set)
				served |= o.left[u] & set
			}
		}
		if n > most {
			best, most = served, n
		}
	}
	return best
}
