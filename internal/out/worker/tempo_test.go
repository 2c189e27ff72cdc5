package worker

import (
	"testing"
	"time"
)

// How many busy answers chance explains follows from the share that passes; where all pass, or hardly any, it explains none.
func TestChanceExplainsAsManyBusyAnswersAsTheShareThatPassesSays(t *testing.T) {
	for _, c := range []struct {
		what   string
		passes func(call int) bool
		chance int
	}{
		{"nothing was asked yet", nil, 0},
		{"every call passes", func(int) bool { return true }, 0},
		{"every other call passes", func(call int) bool { return call%2 == 0 }, 4},
		{"nine of ten pass", func(call int) bool { return call%10 > 0 }, 1},
		{"one of ten passes", func(call int) bool { return call%10 == 0 }, 0},
		{"an outage has begun", func(call int) bool { return call < 70 }, 0},
	} {
		var now tempo
		for call := 1; call <= 100 && c.passes != nil; call++ {
			now.answered(c.passes(call))
		}
		if got := now.chance(); got != c.chance {
			t.Errorf("%s: chance explains %d busy answers, want %d", c.what, got, c.chance)
		}
	}
}

// What chance explains comes back at the same moments, within a second; what is more waits twice as long each time.
func TestWhatChanceExplainsComesBackTogether(t *testing.T) {
	w := &Worker{cfg: Config{RetryBase: time.Second, RetryCap: time.Minute}}
	base := time.Now().Truncate(time.Second)
	for _, at := range []time.Duration{0, time.Millisecond, 700 * time.Millisecond} {
		if due := base.Add(at).Add(w.pauseAfter(base.Add(at), 3, 4, 0.9)); !due.Equal(base.Add(time.Second)) {
			t.Errorf("busy at %v: due %v later", at, due.Sub(base))
		}
	}
	for tries, want := range map[int]time.Duration{5: 500 * time.Millisecond, 6: time.Second, 8: 4 * time.Second} {
		if got := w.pauseAfter(base, tries, 4, 0.5); got != want {
			t.Errorf("after %d tries: %v, want %v", tries, got, want)
		}
	}
}
