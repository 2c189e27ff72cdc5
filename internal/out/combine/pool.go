package combine

import (
	"container/heap"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/unrole/unrole/internal/base/pairs"
)

// smallShare of the users of a call is the most of an offer that is combined with others pair by pair. A larger one fills a
// good part of a call alone, and goes as the rectangle it is: it gains little, and two thousand of them would cost much.
const smallShare = 5

// Pool holds the offers of the tasks that wait for a slot. It is safe for concurrent use.
type Pool struct {
	most pairs.Size // of a call
	now  func() time.Time

	mu     sync.Mutex
	seq    int64
	offers int
	ready  queue // the offers with open pairs
	flying map[int64]struct{}
	calls  int64
	// saved is how many offers were called to their end since the pool was empty, less the calls that took; what is to be
	// called again counts in neither. See mayTear.
	saved int
	large int // of offers: not combined pair by pair
	came  arrivals
	begun bool // a call was made since the pool was empty

	// What large offers without holes ask for that leave room in a call, by shape, in the order of Add.
	alike map[string][]*Offer

	// What small offers ask for, by user.
	people []*person
	byUser map[string]*person
	roles  map[int64]*role
	slots  slots
	// byRole is how many calls it takes to go on role by role, at least.
	byRole int

	chooser chooser
}

// person is one user and the small offers that ask for pairs of theirs.
type person struct {
	at     int // position in Pool.people
	user   string
	claims []claim
}

// claim is row u of a small offer.
type claim struct {
	offer *Offer
	u     int
}

// role is a role that small offers ask for.
type role struct {
	id   int64
	pool *Pool
	refs []ref // the offers
	open int   // pairs of it, those counted twice that two offers want
	slot int   // its number among the roles of the pool, or -1 if there are too many
	bit  int   // its bit in the masks of the choice under way, or -1
}

// ref is role i of a small offer.
type ref struct {
	offer *Offer
	i     int
}

// opens notes that so many pairs of the role are open besides.
func (r *role) opens(n int) {
	r.pool.byRole -= r.calls()
	r.open += n
	r.pool.byRole += r.calls()
}

// calls is how many take the open pairs of the role alone, at least.
func (r *role) calls() int { return (r.open + r.pool.most.Users - 1) / r.pool.most.Users }

// refers and refersNot note that role i of a small offer is this one, or no more.
func (r *role) refers(o *Offer, i int) {
	o.known[i], o.place[i] = r, len(r.refs)
	r.refs = append(r.refs, ref{o, i})
}

func (r *role) refersNot(o *Offer, i int) {
	last := r.refs[len(r.refs)-1]
	r.refs[o.place[i]] = last
	last.offer.place[last.i] = o.place[i]
	r.refs[len(r.refs)-1] = ref{}
	r.refs = r.refs[:len(r.refs)-1]
}

// NewPool returns an empty pool, whose calls are at most that large.
func NewPool(most pairs.Size) *Pool {
	return &Pool{most: most, chooser: chooser{most: most}, now: time.Now, flying: map[int64]struct{}{}, came: arrivals{}, alike: map[string][]*Offer{}, byUser: map[string]*person{}, roles: map[int64]*role{}}
}

// Add puts an offer into the pool, behind those of its lane. An offer is added once; Add panics the second time, and at one
// that is larger than a call.
func (p *Pool) Add(o *Offer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o.state != fresh {
		panic("combine: offer added twice")
	}
	if len(o.users) > p.most.Users || len(o.roles) > p.most.Roles {
		panic(fmt.Sprintf("combine: offer of %d users × %d roles, a call takes at most %d × %d", len(o.users), len(o.roles), p.most.Users, p.most.Roles))
	}
	if o.leftPairs == 0 {
		o.state = gone
		return
	}
	o.seq = p.seq
	p.seq++
	o.state, o.since = waiting, p.now()
	p.came[o.lane]++
	p.offers++
	p.large++
	heap.Push(&p.ready, o)
	switch {
	case o.apart:
	case len(o.users) <= p.most.Users/smallShare:
		p.index(o)
	case len(o.users) < p.most.Users:
		if o.shape = o.fullShape(); o.shape != "" {
			p.alike[o.shape] = append(p.alike[o.shape], o)
		}
	}
}

// Next takes the call to be made now: its pairs are in flight until Done or Return. It is the best rectangle that
// serves the leader: the first offer, by lane and then by order of Add, that has open pairs. ok is false when no offer
// has.
func (p *Pool) Next() (c Call, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.ready) == 0 {
		return Call{}, false
	}
	p.begun = true
	return p.take(p.ready[0]), true
}

// Done notes that the pairs of the call need no more calls: they were removed, or refused for good. Only the first of
// Done and Return counts for a call.
func (p *Pool) Done(c Call) {
	p.end(c, false)
}

// Return notes that the call was not made, or not answered. Its pairs are open again and its offers keep their place
// in the order, except those that were withdrawn, whose pairs are forgotten.
func (p *Pool) Return(c Call) {
	p.end(c, true)
}

// end lands the call. If it is to be made again, the served pairs are open once more.
func (p *Pool) end(c Call, again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.flying[c.id]; !ok {
		return
	}
	delete(p.flying, c.id)
	if again {
		p.saved++
	}
	for n := range c.Members {
		m := &c.Members[n]
		o := m.Offer
		wasReady := o.leftPairs > 0
		for i, u := range m.Users {
			o.land(u, m.rows[i], again)
		}
		switch {
		case o.leftPairs > 0 && !wasReady:
			heap.Push(&p.ready, o)
			p.saved--
		case o.leftPairs == 0 && o.inFlight == 0:
			p.remove(o)
		}
	}
}

// Withdraw takes the offer's open pairs out of the pool. Those in flight stay until their call ends and are then
// forgotten. An offer that is not in the pool is ignored.
func (p *Pool) Withdraw(o *Offer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o.state != waiting {
		return
	}
	o.state = leaving
	if o.leftPairs > 0 {
		heap.Remove(&p.ready, o.at)
		for _, row := range o.left {
			o.count(row, -1)
		}
		clear(o.left)
		o.leftPairs = 0
	} else {
		p.saved-- // it leaves before its end
	}
	if o.inFlight == 0 {
		p.remove(o)
	}
}

// Open is the number of pairs of the offer that are open, and that are in flight. Both are 0 once nothing is left to
// do for the offer.
func (p *Pool) Open(o *Offer) (open, inFlight int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o.state == fresh {
		return 0, 0
	}
	return o.leftPairs, o.inFlight
}

// Len is how many offers have pairs open or in flight.
func (p *Pool) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.offers
}

// First is the lane and the place in the order of Add of the offer that Next would serve; ok is false when there is
// none.
func (p *Pool) First() (lane int, seq int64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.ready) == 0 {
		return 0, 0, false
	}
	return p.ready[0].lane, p.ready[0].seq, true
}

// index makes a small offer known by user and role.
func (p *Pool) index(o *Offer) {
	p.large--
	o.known, o.place = make([]*role, len(o.roles)), make([]int, len(o.roles))
	for i, id := range o.roles {
		r := p.roles[id]
		if r == nil {
			r = &role{id: id, pool: p, bit: -1, slot: p.slots.take()}
			p.roles[id] = r
		}
		r.refers(o, i)
	}
	for u, id := range o.users {
		if o.asked[u] == 0 {
			continue
		}
		o.count(o.asked[u], 1)
		who := p.byUser[id]
		if who == nil {
			who = &person{at: len(p.people), user: id}
			p.byUser[id] = who
			p.people = append(p.people, who)
		}
		who.claims = append(who.claims, claim{o, u})
	}
}

// remove forgets an offer that has nothing open nor in flight.
func (p *Pool) remove(o *Offer) {
	o.state = gone
	if p.offers--; p.offers == 0 {
		p.saved, p.begun = 0, false
	}
	if o.shape != "" {
		same := p.alike[o.shape]
		if same = slices.DeleteFunc(same, func(x *Offer) bool { return x == o }); len(same) == 0 {
			delete(p.alike, o.shape)
		} else {
			p.alike[o.shape] = same
		}
	}
	if o.known == nil {
		p.large--
		return
	}
	for i, r := range o.known {
		if r.refersNot(o, i); len(r.refs) == 0 {
			delete(p.roles, r.id)
			p.slots.free(r.slot)
		}
	}
	for u, id := range o.users {
		if o.asked[u] == 0 {
			continue
		}
		who := p.byUser[id]
		for i := range who.claims {
			if who.claims[i].offer == o {
				who.claims = append(who.claims[:i], who.claims[i+1:]...)
				break
			}
		}
		if len(who.claims) == 0 {
			delete(p.byUser, id)
			last := p.people[len(p.people)-1]
			p.people[who.at], last.at = last, who.at
			p.people[len(p.people)-1] = nil
			p.people = p.people[:len(p.people)-1]
		}
	}
}

// queue is a heap, the most urgent offer on top.
type queue []*Offer

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].before(q[j]) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].at, q[j].at = i, j
}
func (q *queue) Push(x any) {
	o := x.(*Offer)
	o.at = len(*q)
	*q = append(*q, o)
}
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	(*q)[len(*q)-1] = nil
	*q = (*q)[:len(*q)-1]
	return last
}

// slots numbers roles from 0 to maxSlots-1, as long as there are numbers left.
type slots struct {
	issued int
	unused []int
}

func (s *slots) take() int {
	if n := len(s.unused); n > 0 {
		slot := s.unused[n-1]
		s.unused = s.unused[:n-1]
		return slot
	}
	if s.issued == maxSlots {
		return -1
	}
	s.issued++
	return s.issued - 1
}

func (s *slots) free(slot int) {
	if slot >= 0 {
		s.unused = append(s.unused, slot)
	}
}
