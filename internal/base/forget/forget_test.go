package forget

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestAnIdGoesWhereItStandsForItself(t *testing.T) {
	n := Names{"user1": "erased:x"}
	for text, want := range map[string]string{
		"user1":                           "erased:x",
		"user1 left":                      "erased:x left",
		"user10 left":                     "user10 left",
		"user10, user1, xuser1":           "user10, erased:x, xuser1",
		"员工user1离职":                       "员工erased:x离职",
		"user1user1":                      "user1user1",
		"user1,user1;user1":               "erased:x,erased:x;erased:x",
		"user1.":                          "erased:x.",
		"because of user1. And":           "because of erased:x. And",
		"user1.li, li-user1, user1@a":     "user1.li, li-user1, user1@a",
		"user1_-2 (user1)":                "user1_-2 (erased:x)",
		"":                                "",
		"userid user1 is invalid (user1)": "userid erased:x is invalid (erased:x)",
	} {
		if got := n.Text(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	if got := n.JobID("offboard-user1.2026"); got != "offboard-erased-x.2026" {
		t.Errorf("job id %q", got)
	}
}

func TestOnlyTheNamedFieldsOfJSONAreReadForIds(t *testing.T) {
	n := Names{`a"b`: "erased:x", "settled": "erased:y"}
	const text = `{"event":"settled", "why":"a\"b left","n":1,"list":[{"why":"settled"}],"settled":"settled"}`
	const want = `{"event":"settled", "why":"erased:x left","n":1,"list":[{"why":"erased:y"}],"settled":"settled"}`
	if got := n.JSON(text, "why"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := n.JSON("not JSON: settled", "why"); got != "not JSON: erased:y" {
		t.Errorf("got %s", got)
	}
}

func TestAPieceOfALongerIdIsInDoubt(t *testing.T) {
	n := Names{"user1": "erased:x"}
	for text, want := range map[string]bool{"user1.li left": true, "li-user1": true, "user10": false, "user1 left.": false, "": false} {
		if n.Doubts(text) != want {
			t.Errorf("%q: %v, want %v", text, !want, want)
		}
	}
	if !n.DoubtsJSON(`{"why":"user1-2"}`, "why") || n.DoubtsJSON(`{"by":"user1-2"}`, "why") {
		t.Error("the doubts of JSON are not those of its keys")
	}
}

func TestAJobIdNamesWhomItEndsWith(t *testing.T) {
	n := Names{"zhang": "erased:x"}
	for id, want := range map[string]Fit{
		"zhang": FitSure, "offboard-zhang": FitSure, "leaver-20261231-zhang": FitSure, "leaver-20261231-zhang.v2": FitSure,
		"2026-12-31-zhang": FitSure, "leaver-20261231-." + Hash("zhang"): FitSure, "leaver-20261231-." + Hash("zhang") + ".v2": FitSure,
		"offboard-zhang-2": FitMaybe, "zhang.li": FitMaybe, "hr-li-zhang": FitMaybe,
		"offboard-zhang2": FitNot, "offboard-li": FitNot, "20261231-180000-k3x9q2ab": FitNot, "x-" + Hash("li"): FitNot,
	} {
		if got := n.Fits(id); got != want {
			t.Errorf("%s: %v, want %v", id, got, want)
		}
	}
	for _, c := range []struct {
		about []string
		id    string
		want  Fit
	}{
		{[]string{"zhang"}, "offboard-zhang-2", FitSure}, {[]string{"zhang-2"}, "offboard-zhang-2", FitNot},
		{[]string{"zhang", "zhang-2"}, "offboard-zhang-2", FitNot}, {[]string{"li-zhang"}, "li-zhang", FitNot},
		{[]string{"li"}, "offboard-zhang", FitMaybe}, {[]string{"erased:y"}, "x-" + Hash("zhang"), FitSure}, {nil, "offboard-zhang", FitSure},
	} {
		if got := n.FitsAmong(c.id, c.about); got != c.want {
			t.Errorf("%s about %v: %v, want %v", c.id, c.about, got, c.want)
		}
	}
	two := Names{"zhang-2": "erased:x"}
	if got := two.FitsAmong("offboard-zhang-2", []string{"zhang", "zhang-2"}); got != FitSure {
		t.Errorf("the longer id: %v", got)
	}
	if got := n.JobID("leaver-20261231-." + Hash("zhang") + ".v2"); got != "leaver-20261231-.erased-x.v2" {
		t.Errorf("job id %q", got)
	}
}

// Whatever a text is made of, no id is left in it as a word of its own, and what has none stays as it is.
func TestNoIdIsLeft(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`[a-c0-1._-]{1,3}`).Draw(t, "id")
		words := rapid.SliceOf(rapid.OneOf(rapid.Just(id), rapid.StringMatching(`[d-f]{1,3}|离职|"`))).Draw(t, "words")
		n := New([]string{id})
		text := strings.Join(words, " ")
		if got := " " + n.Text(text) + " "; strings.Contains(got, " "+id+" ") {
			t.Errorf("%q is in %q", id, got)
		}
		quoted, _ := json.Marshal(map[string]string{"k": text})
		var back map[string]string
		if err := json.Unmarshal([]byte(n.JSON(string(quoted), "k")), &back); err != nil || back["k"] != n.Text(text) {
			t.Errorf("%s: %q, %v", quoted, back["k"], err)
		}
	})
}
