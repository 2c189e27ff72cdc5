package jsonwalk

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// value reads the next value as encoding/json does with UseNumber.
func (w *Walker) value() (any, error) {
	switch w.Next() {
	case '{':
		object := map[string]any{}
		err := w.Object(func(name []byte, _ int) error {
			v, err := w.value()
			object[string(name)] = v
			return err
		})
		return object, err
	case '[':
		list := []any{}
		err := w.List(func() error {
			v, err := w.value()
			list = append(list, v)
			return err
		})
		return list, err
	case '"':
		s, err := w.String()
		return string(s), err
	case '0':
		n, err := w.Number()
		return json.Number(n), err
	}
	begin := w.At()
	if err := w.Skip(); err != nil {
		return nil, err
	}
	return map[string]any{"true": true, "false": false, "null": nil}[string(w.text[begin:w.at])], nil
}

func read(text string) (any, error) {
	w := Over([]byte(text))
	v, err := w.value()
	if err == nil {
		err = w.End()
	}
	return v, err
}

// values are what JSON can say, six levels deep.
func values(depth int) *rapid.Generator[any] {
	simple := rapid.OneOf(rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.String().AsAny(), rapid.Int64().AsAny(), rapid.Float64Range(-1e300, 1e300).AsAny())
	if depth == 0 {
		return simple
	}
	return rapid.OneOf(simple, rapid.SliceOfN(values(depth-1), 0, 4).AsAny(), rapid.MapOfN(rapid.String(), values(depth-1), 0, 4).AsAny())
}

func TestWhatIsReadIsWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		marshal := json.Marshal
		if rapid.Bool().Draw(t, "indented") {
			marshal = func(v any) ([]byte, error) { return json.MarshalIndent(v, "\t", "\r\n ") }
		}
		text, err := marshal(values(6).Draw(t, "value"))
		if err != nil {
			t.Skip(err)
		}
		var want any
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.UseNumber()
		if err := d.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if got, err := read(string(text)); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s is read as %#v, %v, want %#v", text, got, err, want)
		}
	})
}

// Whatever was done to a text, it is understood exactly where encoding/json understands it, and a fault lies within it.
func TestAFaultIsFoundExactlyWhereThereIsOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, err := json.Marshal(values(3).Draw(t, "value"))
		if err != nil {
			t.Skip(err)
		}
		for range rapid.IntRange(0, 3).Draw(t, "times") {
			at := rapid.IntRange(0, len(text)).Draw(t, "at")
			switch piece := rapid.SampledFrom([]string{"", "{", "}", "[", "]", `"`, ",", ":", `\`, "1", "-", "e", ".", "t", "null", " ", "\n", "\x00", "\xff", "é"}).Draw(t, "piece"); piece {
			case "":
				text = append(text[:at:at], text[min(at+1, len(text)):]...)
			default:
				text = append(append(text[:at:at], piece...), text[at:]...)
			}
		}
		_, err = read(string(text))
		if valid := json.Valid(text); valid != (err == nil) {
			t.Fatalf("%q is valid: %v; it is read with %v", text, valid, err)
		}
		skipped := Over(text)
		if serr := errors.Join(skipped.Skip(), skipped.End()); (serr == nil) != (err == nil) {
			t.Fatalf("%q is passed over with %v, and read with %v", text, serr, err)
		}
		var f *Fault
		if err != nil && (!errors.As(err, &f) || f.At < 0 || f.At > len(text)) {
			t.Fatalf("%q: %#v lies outside", text, err)
		}
	})
}

func TestAFaultSaysWhatAndWhere(t *testing.T) {
	for _, c := range []struct {
		text   string
		at     int
		early  bool
		reason string
	}{
		{``, 0, true, "a value is missing here"},
		{`{"a":}`, 5, false, "a value is missing here"},
		{`{"a" 1}`, 5, false, "a colon is missing here"},
		{`{a:1}`, 1, false, "a field name in quotes is missing here"},
		{`{"a":1 "b":2}`, 7, false, "a comma or } is missing here"},
		{`[1 2]`, 3, false, "a comma or ] is missing here"},
		{`[1,`, 3, true, "a value is missing here"},
		{`{"a":1},`, 7, false, "a comma after the object"},
		{`{"a":1} {`, 8, false, "something follows the object"},
		{`{"a":"b`, 5, true, "a string begins here and does not end"},
		{`"a\`, 0, true, "a string begins here and does not end"},
		{"\"a\nb\"", 2, false, "a control character in a string: write it as an escape"},
		{`["\x"]`, 1, false, "a string with an escape that JSON does not know begins here"},
		{`[01]`, 1, false, "a number is missing here"},
		{`[-]`, 1, false, "a number is missing here"},
		{`nul`, 0, false, "a value is missing here"},
	} {
		_, err := read(c.text)
		var f *Fault
		if !errors.As(err, &f) || f.At != c.at || f.Early != c.early || f.Error() != c.reason {
			t.Errorf("%q: %+v, %v", c.text, f, err)
		}
	}
}

func TestValuesNestOnlySoDeep(t *testing.T) {
	for depth, good := range map[int]bool{maxDepth: true, maxDepth + 1: false, 1_000_000: false} {
		text := strings.Repeat("[", depth) + strings.Repeat("]", depth)
		w := Over([]byte(text))
		if err := errors.Join(w.Skip(), w.End()); (err == nil) != good {
			t.Errorf("%d levels: %v", depth, err)
		}
	}
	// Lists side by side are not deep.
	w := Over([]byte("[" + strings.Repeat("[],", maxDepth+1) + "[]]"))
	if err := errors.Join(w.Skip(), w.End()); err != nil {
		t.Error(err)
	}
}

func TestAKindOtherThanTheOneAskedForIsAFault(t *testing.T) {
	for _, text := range []string{`{}`, `[]`, `"a"`, `1`, `true`, `null`, ``} {
		w := Over([]byte(text))
		kind := w.Next()
		for name, got := range map[byte]error{
			'{': func() error { w := w; return w.Object(func([]byte, int) error { return nil }) }(),
			'[': func() error { w := w; return w.List(func() error { return nil }) }(),
			'"': func() error { w := w; _, err := w.String(); return err }(),
			'0': func() error { w := w; _, err := w.Number(); return err }(),
		} {
			if (got == nil) != (name == kind) {
				t.Errorf("%q read as %c: %v", text, name, got)
			}
		}
	}
}
