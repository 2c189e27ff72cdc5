package ledger

import (
	"reflect"
	"testing"
	"time"
)

// fuzzPairs is how many pairs the part of FuzzDecodeState has.
const fuzzPairs = 4

// FuzzDecodeState: a stored state is refused, or is of the part's pairs and the same when it is stored again.
func FuzzDecodeState(f *testing.F) {
	s := PartState{write: "w", Children: 2, Tries: Tries{Attempts: 1, Accepted: 7, All: 3, BusySince: time.Unix(1_700_000_000, 0).UTC()},
		pairs: []uint16{0, 1, 1, 2}, outcomes: []Outcome{{Kind: Removed}, {Kind: Dead, Letter: "3.1-u17"}}}
	text, err := s.encode(4, fuzzPairs)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{text, "", "1|", "1|{}", "x|{}", `1|{"runs":[[1,1]]}`, `1|{"runs":[[0,-1]]}`, `1|{"runs":[[0,1000000000000]]}`, `1|{"runs":[[1,4]],"outcomes":[{"k":"removed"}]}`,
		`9223372036854775808|{}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := decodeState(text, fuzzPairs)
		if err != nil {
			return
		}
		if len(s.pairs) != 0 && len(s.pairs) != fuzzPairs {
			t.Errorf("%d pairs", len(s.pairs))
		}
		again, err := s.encode(s.version, fuzzPairs)
		if err != nil {
			t.Fatal(err)
		}
		second, err := decodeState(again, fuzzPairs)
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		for i := range fuzzPairs {
			if !reflect.DeepEqual(s.of(i), second.of(i)) {
				t.Errorf("pair %d: %+v, then %+v", i, s.of(i), second.of(i))
			}
		}
		if third, _ := second.encode(second.version, fuzzPairs); third != again {
			t.Errorf("%s, then %s", again, third)
		}
	})
}
