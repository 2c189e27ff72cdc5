package words

import (
	"math"
	"strings"
	"testing"
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
