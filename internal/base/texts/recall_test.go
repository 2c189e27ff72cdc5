package texts

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What an English record says is said in Chinese as if it had never been written down.
func TestWhatARecordSaysIsRecalled(t *testing.T) {
	for _, said := range []Text{
		T("no role is called %q", `fin"ance`),
		T("%v\n%d of %s done; the same command again goes on with the others", "it failed", 12345, "x"),
		T("people and roles are being looked up"),
		T("%s: nobody whom this app may see in DingTalk is known by that", "139…00"),
		T("protected users: %v", T("@ is not followed by the name of a file")),
	} {
		if inChinese[said.format] == "" {
			t.Fatalf("the catalogue has no %q", said.format)
		}
		if got, want := Recall(said.In(English)).In(Chinese), said.In(Chinese); got != want {
			t.Errorf("%q is recalled as %q, not %q", said, got, want)
		}
		if got := Recall(said.In(English)).In(English); got != said.In(English) {
			t.Errorf("in English %q", got)
		}
	}
	for _, name := range []string{"removed", "urgent", "user 王芳", "张三", "", "%", "100 %", "left in December"} {
		if got := Recall(name).In(Chinese); got != name {
			t.Errorf("%q became %q", name, got)
		}
	}
	if got, want := Say(Chinese, fmt.Errorf("%w", errors.New("people and roles are being looked up"))), inChinese["people and roles are being looked up"]; got != want {
		t.Errorf("an error without a catalogue says %q, not %q", got, want)
	}
}

func TestEverySentenceOfTheCatalogueIsRecalled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom(patterns()).Draw(t, "sentence")
		if p.words < 4 {
			t.Skip("as good as several others")
		}
		said := Text{format: p.format}
		for _, verb := range p.verbs {
			switch verb {
			case 'd':
				said.args = append(said.args, rapid.Int64Range(0, 1e9).Draw(t, "number"))
			case 'f':
				said.args = append(said.args, rapid.Float64Range(0, 1e6).Draw(t, "number"))
			case 'v', 's', 'q':
				said.args = append(said.args, rapid.StringMatching(`[a-z0-9]{1,8}|[\p{Han}]{1,4}`).Draw(t, "id"))
			default:
				t.Skip("no record has that")
			}
		}
		english := said.In(English)
		if !strings.ContainsAny(english, "abcdefghijklmnopqrstuvwxyz") {
			t.Skip()
		}
		if got, want := Recall(english).In(Chinese), said.In(Chinese); got != want {
			t.Fatalf("%q is recalled as %q, not %q", english, got, want)
		}
	})
}
