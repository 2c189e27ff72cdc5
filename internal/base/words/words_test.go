package words

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 7: "7", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -99: "-99",
		math.MinInt64: "-9,223,372,036,854,775,808"} {
		if got := Thousands(n); got != want {
			t.Errorf("%d is written %s, want %s", n, got, want)
		}
	}
}

// A text is cut between characters, and only where it is too long.
func TestClip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, most := rapid.String().Draw(t, "text"), rapid.IntRange(0, 12).Draw(t, "most")
		got := Clip(text, most)
		kept, cut := strings.CutSuffix(got, "…")
		switch n := utf8.RuneCountInString(text); {
		case n <= most && got != text:
			t.Errorf("%q became %q", text, got)
		case n > most && (!cut || utf8.RuneCountInString(kept) != most || !strings.HasPrefix(text, kept)):
			t.Errorf("%q became %q, want %d characters of it", text, got, most)
		}
	})
}

func TestATimeNamesItsZone(t *testing.T) {
	at := time.Date(2026, 12, 31, 10, 0, 0, 0, time.UTC)
	for east, want := range map[int]string{0: "2026-12-31 10:00:00 UTC", 8 * 3600: "2026-12-31 18:00:00 UTC+8",
		-3*3600 - 1800: "2026-12-31 06:30:00 UTC-3:30", 5*3600 + 2700: "2026-12-31 15:45:00 UTC+5:45"} {
		if got := Moment(at.In(time.FixedZone("CST", east))); got != want {
			t.Errorf("%d: %s, want %s", east, got, want)
		}
	}
}
