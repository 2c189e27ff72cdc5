package sheet

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNoCellIsAFormulaAndItsValueComesBack(t *testing.T) {
	begin := rapid.SampledFrom([]string{"", "'", "''", "=", "+", "-", "@", "＝", "＋", "－", "＠", "=cmd|' /C calc'!A0", "'=", "\xff", "用"})
	rapid.Check(t, func(t *rapid.T) {
		text := begin.Draw(t, "begin") + rapid.StringMatching(`[a-z0-9'=+@-]{0,6}`).Draw(t, "rest")
		cell := Cell(text)
		if strings.IndexAny(cell, "=+-@＝＋－＠") == 0 {
			t.Errorf("%q is written as %q", text, cell)
		}
		if got := string(Value([]byte(cell))); got != text {
			t.Errorf("%q is written as %q and read as %q", text, cell, got)
		}
	})
}

func TestValueOfWhatSpreadsheetsWrite(t *testing.T) {
	for cell, want := range map[string]string{" u1\t": "u1", `="007"`: "007", "'=x": "=x", "'x": "'x", "'": "'", "": "", "'＝x": "＝x", `="`: `="`} {
		if got := string(Value([]byte(cell))); got != want {
			t.Errorf("%q is read as %q, want %q", cell, got, want)
		}
	}
}
