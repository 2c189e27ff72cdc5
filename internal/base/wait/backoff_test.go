package wait

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestABackoffDoublesUpToItsMost(t *testing.T) {
	b := Backoff{First: time.Second, Most: 5 * time.Second}
	for tries, want := range []time.Duration{time.Second, time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second} {
		if got := b.After(tries); got != want {
			t.Errorf("after %d tries %s, want %s", tries, got, want)
		}
	}
}

func TestABackoffIsBoundedAndNeverShrinks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := Backoff{Most: time.Duration(rapid.Int64Min(1).Draw(t, "most"))}
		b.First = time.Duration(rapid.Int64Range(1, int64(b.Most)).Draw(t, "first"))
		tries := rapid.IntRange(0, 1<<40).Draw(t, "tries")
		d, next := b.After(tries), b.After(tries+1)
		if d < b.First || d > b.Most || next < d {
			t.Fatalf("%+v waits %s after %d tries and %s after the next", b, d, tries, next)
		}
		if s := b.Spread(tries, rapid.Float64Range(0, 0.999).Draw(t, "random")); s < 0 || s > d {
			t.Fatalf("spread over %s, of at most %s", s, d)
		}
	})
}
