package combine

import (
	"fmt"
	"testing"
	"time"
)

// Only a small offer that leads a burst of its own lane is held back, never for long, and never the first of all.
func TestASlotIsLeftToABurstOnly(t *testing.T) {
	for _, c := range []struct {
		what          string
		leader, burst int // lanes
		users         int // of the leader
		apart, fresh  bool
		more          int
		waited        time.Duration
		gathers       bool
	}{
		{what: "a burst", leader: 1, burst: 1, users: 1, more: 50, gathers: true},
		{what: "a trickle", leader: 1, burst: 1, users: 1, more: 5},
		{what: "somebody urgent before a burst in bulk", leader: 0, burst: 2, users: 1, more: 50},
		{what: "a burst of what is urgent", leader: 0, burst: 0, users: 1, more: 50, gathers: true},
		{what: "a batch before a burst", leader: 1, burst: 1, users: 90, more: 50},
		{what: "one that is called alone", leader: 1, burst: 1, users: 1, apart: true, more: 50},
		{what: "one that waits already", leader: 1, burst: 1, users: 1, more: 50, waited: gatherFor},
		{what: "the first of all", leader: 1, burst: 1, users: 1, fresh: true, more: 50},
	} {
		p := NewPool(callLimits)
		now := time.Now()
		p.now = func() time.Time { return now }
		var first Call
		if !c.fresh {
			p.Add(rectangle(c.leader, []int{1000}, []int{1}))
			first, _ = p.Next()
		}
		users := make([]int, c.users)
		for i := range users {
			users[i] = i
		}
		leader := rectangle(c.leader, users, []int{1, 2})
		if c.apart {
			leader.Apart()
		}
		p.Add(leader)
		for i := range c.more {
			p.Add(NewOffer(c.burst, []string{fmt.Sprint("more", i)}, []int64{1, 2}, nil, nil))
		}
		now = now.Add(c.waited)
		if got := p.Gathers(); got != c.gathers {
			t.Errorf("%s: the slot is left: %t, want %t", c.what, got, c.gathers)
		}
		if p.Gathers() {
			t.Errorf("%s: the slot is left when no more came", c.what)
		}
		p.Done(first)
	}
}
