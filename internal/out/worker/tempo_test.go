package worker

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/unrole/unrole/internal/record/ledger"
)

// How many busy answers chance explains follows from the share that passes; where all pass, or hardly any, it explains none.
func TestChanceExplainsAsManyBusyAnswersAsTheShareThatPassesSays(t *testing.T) {
	for _, c := range []struct {
		what   string
		passes func(call int) bool
		want   chance
	}{
		{"nothing was asked yet", nil, chance{}},
		{"every call passes", func(int) bool { return true }, chance{}},
		{"every other call passes", func(call int) bool { return call%2 == 0 }, chance{4, 12}},
		{"nine of ten pass", func(call int) bool { return call%10 > 0 }, chance{1, 4}},
		{"one of ten passes", func(call int) bool { return call%10 == 0 }, chance{}},
		{"an outage has begun", func(call int) bool { return call < 70 }, chance{}},
	} {
		var now tempo
		for call := 1; call <= 100 && c.passes != nil; call++ {
			now.answered(c.passes(call))
		}
		if got := now.chance(); got != c.want {
			t.Errorf("%s: chance explains %+v busy answers, want %+v", c.what, got, c.want)
		}
	}
}

// What may be chance comes back within a round: all together at first, then with half of those who were busy with it, a quarter, and
// so on, always at the same moment of the round.
func TestWhatMayBeChanceComesBackWithFewerAndFewer(t *testing.T) {
	c, round := chance{together: 4, soon: 12}, time.Second
	base := time.Now().Truncate(round)
	users := make([]string, 64)
	for i := range users {
		users[i] = fmt.Sprintf("u%03d", i)
	}
	share := func(busy int) int {
		at := map[time.Duration]int{}
		for _, user := range users {
			for _, late := range []time.Duration{0, time.Millisecond, 700 * time.Millisecond} {
				due := base.Add(late).Add(c.pause(base.Add(late), round, busy, user))
				if due.Sub(base) <= late || due.Sub(base) > late+round {
					t.Errorf("busy at %v: due after %v", late, due.Sub(base))
				}
				at[due.Sub(base)%round]++
			}
		}
		most := 0
		for _, n := range at {
			most = max(most, n/3)
		}
		return most
	}
	for busy, most := range map[int]int{1: 64, 4: 64, 5: 40, 6: 24, 8: 9, 12: 9} {
		if got := share(busy); got > most {
			t.Errorf("after %d busy answers %d of 64 share a moment, at most %d should", busy, got, most)
		}
	}
	if share(4) != 64 {
		t.Error("what is chance is divided")
	}
}

// However often something is tried: from one attempt that counts to the next the whole pause goes by, but for the half second that
// asynq rounds off. So a partial outage is given as long as the pauses last.
func TestAttemptsLastAsLongAsTheirPauses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &Worker{cfg: Config{RetryBase: time.Second, RetryCap: 5 * time.Minute, Random: func() float64 { return rapid.Float64Range(0, 0.999).Draw(t, "random") }}}
		var tries ledger.Tries
		now := time.Unix(1_700_000_000, 0)
		var counted, pause time.Duration
		for i := range rapid.IntRange(1, 60).Draw(t, "tries") {
			now = now.Add(time.Duration(rapid.IntRange(1, 20_000).Draw(t, "after")) * time.Millisecond)
			before := tries.Attempts
			left := w.putOff(&tries, now, int64(i), w.cfg.Random())
			if tries.Attempts > before {
				if at := time.Duration(now.UnixNano()); at-counted < pause-pause/4 {
					t.Fatalf("attempt %d counts %v after the one before, whose pause is %v", tries.Attempts, at-counted, pause)
				}
				counted, pause = time.Duration(now.UnixNano()), left
			} else if want := pause - pause/4 - (time.Duration(now.UnixNano()) - counted); left != want {
				t.Fatalf("of a pause of %v, %v are left, want %v", pause, left, want)
			}
			if tries.All != i+1 {
				t.Fatalf("%d tries, want %d", tries.All, i+1)
			}
		}
	})
}
