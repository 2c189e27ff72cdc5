package adapter

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// No body, whatever it is, makes a panic, or a removal of somebody who is not named in it.
func FuzzOpen(f *testing.F) {
	for _, name := range []string{"xinrenxinshi", "feishu", "feilian", "2haohr"} {
		f.Add([]byte(fixture(f, name)))
	}
	for _, seed := range []string{`{"people":[{"m":"1"},{"m":2,"j":[3]}],"id":"x","day":"2026-12-31"}`, `[[[[`, `{"people":{"":"x"}}`, "\ufeffnull", `{"people":"1","people":["2"]}`} {
		f.Add([]byte(seed))
	}
	adapters := load(f, f.TempDir(), "map.yaml", map[string]string{"s": key, "map.yaml": `
a:
  token: {query: key, secret_file: s}
  id: /id
  people: /people
  person: {mobile: /m, job_number: /j}
  at: {value: /day, format: date}
  all_roles: true
  source: hr
  reason: left
b:
  token: {query: key, secret_file: s}
  people: /data/events
  person: {mobile: /old_object/mobile}
  all_roles: true
  source: hr
  reason: left
c:
  token: {query: key, secret_file: s}
  person: {name: ""}
  roles: [x]
  source: hr
  reason: left
`})
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, a := range adapters {
			checkNamed(t, a, string(body))
			if e, err := a.Open(message(string(body), "key", "another one")); err == nil {
				t.Fatalf("taken without the token: %+v", e)
			}
		}
	})
}

type failing interface {
	Helper()
	Fatalf(string, ...any)
}

// checkNamed opens a message and compares whom its removal names with all that stands in it.
func checkNamed(t failing, a *Adapter, body string) {
	t.Helper()
	e, err := a.Open(message(body, "key", key))
	if err != nil {
		if e.Removal != nil || err.Error() == "" {
			t.Fatalf("%s: %v, and %s", body, err, e.Removal)
		}
		return
	}
	var r removal
	if err := json.Unmarshal(e.Removal, &r); err != nil || len(r.Removals) != 1 || len(r.Removals[0].Users) == 0 {
		t.Fatalf("%s: %s %v", body, e.Removal, err)
	}
	doc, err := parse([]byte(strings.TrimPrefix(body, "\ufeff")))
	if err != nil {
		t.Fatalf("taken, and no JSON: %v", err)
	}
	said := scalars(nil, doc)
	for _, user := range r.Removals[0].Users {
		if len(user) == 0 {
			t.Fatalf("%s: somebody without a name: %s", body, e.Removal)
		}
		for _, text := range user {
			if text == "" || !slices.Contains(said, text) {
				t.Fatalf("%s: %q is not named in it", body, text)
			}
		}
	}
}

func scalars(all []string, value any) []string {
	switch v := value.(type) {
	case map[string]any:
		for _, inner := range v {
			all = scalars(all, inner)
		}
	case []any:
		for _, inner := range v {
			all = scalars(all, inner)
		}
	default:
		if text, ok := textOf(v); ok {
			all = append(all, text)
		}
	}
	return all
}

func TestWhateverTheMappingNobodyIsMeantWhoIsNotNamed(t *testing.T) {
	keys := rapid.SampledFrom([]string{"a", "b", "0", "1", "", "~", "/"})
	anyPointer := rapid.Custom(func(t *rapid.T) pointer { return rapid.SliceOfN(keys, 0, 3).Draw(t, "keys") })
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		return rapid.Custom(func(t *rapid.T) any {
			switch kind := rapid.IntRange(0, 7).Draw(t, "kind"); {
			case kind < 2 && depth > 0:
				return rapid.MapOfN(keys, value(depth-1), 0, 4).Draw(t, "object")
			case kind < 4 && depth > 0:
				return rapid.SliceOfN(value(depth-1), 0, 4).Draw(t, "list")
			case kind == 4:
				return rapid.IntRange(-9, 1<<60).Draw(t, "number")
			case kind == 5:
				return nil
			}
			return rapid.StringN(0, 6, -1).Draw(t, "text")
		})
	}
	base := one(t, "a:\n  token: {query: key, secret_file: s}\n  "+minimal)
	rapid.Check(t, func(t *rapid.T) {
		a := *base
		a.people = anyPointer.Draw(t, "people")
		a.person = nil
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(personFields), 1, 3, func(s string) string { return s }).Draw(t, "fields") {
			a.person = append(a.person, field{name, anyPointer.Draw(t, name)})
		}
		body, err := json.Marshal(value(4).Draw(t, "body"))
		if err != nil {
			t.Fatal(err)
		}
		checkNamed(t, &a, string(body))
		if p, err := parsePointer(a.people.String()); err != nil || !slices.Equal(p, a.people) {
			t.Fatalf("%q is read as %q (%v)", a.people.String(), p, err)
		}
	})
}
