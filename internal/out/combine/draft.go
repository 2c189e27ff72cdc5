package combine

import (
	"container/heap"
	"math/bits"

	"github.com/unrole/unrole/internal/base/pairs"
)

// draft is a call in the making.
type draft struct {
	pool *Pool
	call Call
}

func (p *Pool) draft(leader *Offer) *draft {
	p.calls++ // from 1: a Call that no pool made is 0, and ends nothing
	d := &draft{pool: p, call: Call{Lane: leader.lane, Seq: leader.seq, id: p.calls}}
	d.member(leader)
	return d
}

func (d *draft) member(o *Offer) *Member {
	if o.member == 0 {
		d.call.Members = append(d.call.Members, Member{Offer: o})
		o.member = len(d.call.Members)
	}
	return &d.call.Members[o.member-1]
}

// expect makes room for a large leader, so that his rows are not moved again and again.
func (d *draft) expect(leader *Offer) {
	m := d.member(leader)
	m.Users, m.rows = make([]pairs.User, 0, len(leader.users)), make([]uint32, 0, len(leader.users))
	d.call.Users = make([]string, 0, d.pool.most.Users)
}

// serve takes open pairs of row u of the offer into the call.
func (d *draft) serve(o *Offer, u int, row uint32) {
	m := d.member(o)
	m.Users = append(m.Users, pairs.User(u))
	m.rows = append(m.rows, row)
	o.take(u, row)
}

// finish returns the call. The roles and users of it are complete.
func (d *draft) finish() Call {
	for i := range d.call.Members {
		m := &d.call.Members[i]
		var roles uint32
		for _, row := range m.rows {
			roles |= row
		}
		m.Roles = make([]pairs.Role, 0, bits.OnesCount32(roles))
		for ; roles != 0; roles &= roles - 1 {
			m.Roles = append(m.Roles, pairs.Role(bits.TrailingZeros32(roles)))
		}
		m.Offer.member = 0
		if m.Offer.leftPairs == 0 {
			heap.Remove(&d.pool.ready, m.Offer.at)
			d.pool.saved++
		}
	}
	d.pool.saved--
	d.pool.flying[d.call.id] = struct{}{}
	return d.call
}
