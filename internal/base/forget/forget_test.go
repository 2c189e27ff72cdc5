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
		"offboard-user1.2026":             "offboard-erased:x.2026",
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
