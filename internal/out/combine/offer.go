package combine

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/tasks"
)

// Offer is what one waiting task wants removed: some of the pairs of some users and some roles.
type Offer struct {
	// Tag is the caller's own; the pool does not look at it.
	Tag any

	lane  int
	seq   int64
	since time.Time // when it was added
	users []string
	roles []int64
	// By user, bit r is the pair with roles[r]. asked never changes; a pair of it is in left, in flight or over.
	asked, left, flying []uint32
	leftPairs, inFlight int

	apart  bool // no call serves it with others
	state  offerState
	at     int     // position in Pool.ready while it has open pairs
	member int     // position in the members of the call being drafted, from 1; 0 is none
	known  []*role // by position in roles; small offers only
	place  []int   // in the refs of each of these
	shape  string  // the roles, if all pairs are asked for; large offers that leave room in a call only
}

type offerState int8

const (
	fresh   offerState = iota // never added
	waiting                   // has pairs that are open or in flight
	leaving                   // withdrawn, the last calls are still under way
	gone
)

// NewOffer describes what a task wants: the pairs of users[u] and roles[r] for which asked(u, r) holds, nil meaning
// all of them. Lane 0 is the most urgent. Neither list may have duplicates, nor more entries than a call: NewOffer panics
// on more roles than any call takes. The lists are kept, not copied.
//
// Say asked for every pair that may be called, also for one that another part of the same job owns: pairs that are not
// asked tear holes into the rectangle, and a rectangle with holes takes several calls.
func NewOffer(lane int, users []string, roles []int64, asked func(u pairs.User, r pairs.Role) bool, tag any) *Offer {
	if len(roles) > tasks.MaxRoles {
		panic(fmt.Sprintf("combine: offer of %d roles, a call takes at most %d", len(roles), tasks.MaxRoles))
	}
	o := &Offer{Tag: tag, lane: lane, users: users, roles: roles}
	rows := make([]uint32, 3*len(users))
	o.asked, o.left, o.flying = rows[:len(users):len(users)], rows[len(users):2*len(users):2*len(users)], rows[2*len(users):]
	for u := range users {
		row := uint32(1)<<len(roles) - 1
		if asked != nil {
			for r := range pairs.Role(len(roles)) {
				if !asked(pairs.User(u), r) {
					row &^= 1 << r
				}
			}
		}
		o.asked[u] = row
		o.leftPairs += bits.OnesCount32(row)
	}
	copy(o.left, o.asked)
	return o
}

// Apart has every call that serves the offer serve it alone. It is said before Add.
func (o *Offer) Apart() { o.apart = true }

// Lane is the lane that the offer was made in.
func (o *Offer) Lane() int { return o.lane }

// before reports whether o leads before b.
func (o *Offer) before(b *Offer) bool {
	return o.lane < b.lane || o.lane == b.lane && o.seq < b.seq
}

// fullShape tells the roles of the offer whatever their order, if all its pairs are asked for; else it is empty.
func (o *Offer) fullShape() string {
	for _, row := range o.asked {
		if row != 1<<len(o.roles)-1 {
			return ""
		}
	}
	key := make([]byte, 0, 8*len(o.roles))
	for _, id := range slices.Sorted(slices.Values(o.roles)) {
		key = binary.LittleEndian.AppendUint64(key, uint64(id))
	}
	return string(key)
}

// take moves open pairs of user u into flight.
func (o *Offer) take(u int, row uint32) {
	o.left[u] &^= row
	o.flying[u] |= row
	n := bits.OnesCount32(row)
	o.leftPairs -= n
	o.inFlight += n
	o.count(row, -1)
}

// count tells the roles of a small offer that pairs of one user are open, or are not any more.
func (o *Offer) count(row uint32, one int) {
	if o.known == nil {
		return
	}
	for ; row != 0; row &= row - 1 {
		o.known[bits.TrailingZeros32(row)].opens(one)
	}
}

// land ends the flight of pairs of user u, which are to be called again or not.
func (o *Offer) land(u pairs.User, row uint32, again bool) {
	o.flying[u] &^= row
	o.inFlight -= bits.OnesCount32(row)
	if again && o.state == waiting {
		o.left[u] |= row
		o.count(row, 1)
		o.leftPairs += bits.OnesCount32(row)
	}
}

// Call is one rectangle to remove, every role of Roles for every user of Users.
//
// Every pair of it was asked for by at least one of its members. Each role and each user of it, and each member, has
// at least one pair that the call serves; the others were asked for too, and are over or in flight elsewhere.
type Call struct {
	// Lane and Seq are those of the leader, see Pool.First.
	Lane int
	Seq  int64
	// Roles and Users are no more than a call takes, without duplicates, and never empty.
	Roles []int64
	Users []string
	// Members are the offers that the call serves, the leader first.
	Members []Member

	id int64
}

// Size is that of the call.
func (c Call) Size() pairs.Size { return pairs.Size{Users: len(c.Users), Roles: len(c.Roles)} }

// Member is the share of one offer in a call.
type Member struct {
	Offer *Offer
	// Rectangle has those of the offer's own users and roles that it has a served pair with, its users in no particular
	// order. Not every pair of it is served, see Serves.
	pairs.Rectangle

	rows []uint32 // by place in Users: the served pairs, bit r is the offer's role r
}

// Serves reports whether the call serves the pair of Users[i] and role r of the offer's own list: it was open, and is
// in flight for this offer by this call only.
func (m Member) Serves(i int, r pairs.Role) bool { return m.rows[i]&(1<<r) != 0 }

// Pairs is the number of pairs that the call serves for this member.
func (m Member) Pairs() int {
	n := 0
	for _, row := range m.rows {
		n += bits.OnesCount32(row)
	}
	return n
}
