package pace

import (
	"testing"
	"testing/synctest"
	"time"
)

// missed is what Missed says of calls that go out so many milliseconds after their slots.
func missed(l *Lag, lags ...int) (said []bool) {
	for _, ms := range lags {
		g := Grant{At: time.Now()}
		time.Sleep(time.Duration(ms) * time.Millisecond)
		said = append(said, l.Missed(g))
	}
	return said
}

func TestACallThatLagsBehindTheOthersGivesItsSlotUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Lag
		for i, m := range missed(&l, 1, 2, 1, 20, 1, 3) {
			if m {
				t.Errorf("call %d is within the margin, and missed its slot", i)
			}
		}
		if !missed(&l, 150)[0] {
			t.Error("a call 150 ms behind keeps its slot")
		}
		if missed(&l, 150)[0] {
			t.Error("two slots in a row are given up")
		}
		if l.Missed(Grant{At: time.Now().Add(-time.Second), Probe: true}) {
			t.Error("a probe is given up, although nobody else calls")
		}
	})
}

func TestASlowRedisCostsSlotsForAWhileOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Lag
		slow := make([]int, 40)
		for i := range slow {
			slow[i] = 120
		}
		lost := 0
		said := missed(&l, slow...)
		for _, m := range said {
			if m {
				lost++
			}
		}
		if lost == 0 || lost > 8 {
			t.Errorf("%d of %d slots are given up, want some of the first", lost, len(said))
		}
		for i, m := range said[20:] {
			if m {
				t.Errorf("call %d still gives its slot up", 20+i)
			}
		}
	})
}
