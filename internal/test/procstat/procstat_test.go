package procstat

import (
	"os"
	"testing"
	"time"
)

func TestNamesMayHoldAnything(t *testing.T) {
	const rest = " S 1 2 3 4 -1 4194560 5 6 7 8 120 30 0 0 20 0 9 0 1234 99999 77 18446744073709551615 1 1 0"
	for _, name := range []string{"unrole", "a b", "x) R 1 (y", ")"} {
		got, err := parse("42 (" + name + ")" + rest)
		if want := (Usage{CPU: 1500 * time.Millisecond, Resident: 77 * int64(os.Getpagesize())}); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", name, got, err, want)
		}
	}
	for _, broken := range []string{"", "42 (x) S 1 2", "42 (x) S 1 2 3 4 -1 4194560 5 6 7 8 many 30 0 0 20 0 9 0 1234 99999 77"} {
		if got, err := parse(broken); err == nil {
			t.Errorf("%q: %+v", broken, got)
		}
	}
}
