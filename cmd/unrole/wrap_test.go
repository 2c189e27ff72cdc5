package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/jedib0t/go-pretty/v6/text"
	"pgregory.net/rapid"
)

func TestNothingOfACellIsLostOrCutOff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := strings.Join(rapid.SliceOf(rapid.StringMatching(`[a-z0-9]{0,30}|[一-龥，。（）]{0,30}| {1,3}|[a-z]{1,5}[,.:]|é+`)).Draw(t, "pieces"), "")
		width := rapid.IntRange(2, 60).Draw(t, "width")
		lines := wrapped(s, width)
		for i, line := range lines {
			if w := text.StringWidth(line); w > width {
				t.Fatalf("line %d of %q has %d columns, not %d: %q", i, s, w, width, lines)
			}
		}
		bare := func(s string) string { return strings.ReplaceAll(s, " ", "") }
		if bare(strings.Join(lines, "")) != bare(s) {
			t.Fatalf("%q became %q", s, lines)
		}
	})
}

func TestLinesEndWhereAReaderExpects(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  []string
	}{
		{"left in December", 10, []string{"left in", "December"}},
		{"hr: 2026年12月离职人员，人事部提交，请尽快处理", 20, []string{"hr: 2026年12月离职人", "员，人事部提交，请尽", "快处理"}},
		{"核对角色，改正角色", 8, []string{"核对角", "色，改正", "角色"}},
		{"a-very-long-id-without-blanks", 10, []string{"a-very-lon", "g-id-witho", "ut-blanks"}},
		{"one two", 7, []string{"one two"}},
		{"", 7, nil},
	} {
		if got := wrapped(c.text, c.width); !slices.Equal(got, c.want) {
			t.Errorf("%q in %d: %q", c.text, c.width, got)
		}
	}
}
