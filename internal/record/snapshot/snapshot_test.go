package snapshot

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestASnapshotIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pair := rapid.Custom(func(t *rapid.T) Pair {
			return Pair{UserID: rapid.SampledFrom([]string{"a", "b", "王", "007"}).Draw(t, "user"), RoleID: rapid.Int64Range(1, 5).Draw(t, "role")}
		})
		s := &Snapshot{SeenAt: time.UnixMicro(rapid.Int64Range(0, 1<<50).Draw(t, "at")).UTC(),
			NotHeld:    rapid.SliceOfDistinct(pair, rapid.ID[Pair]).Draw(t, "not held"),
			Unresolved: rapid.IntRange(0, 3).Draw(t, "unresolved")}
		for _, p := range rapid.SliceOfDistinct(pair, rapid.ID[Pair]).Draw(t, "scoped") {
			s.Scopes = append(s.Scopes, Scope{Pair: p, Departments: rapid.SliceOfN(rapid.Int64Min(1), 1, 60).Draw(t, "departments")})
		}
		data, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.NotHeld) == 0 {
			s.NotHeld = nil
		}
		if diff := cmp.Diff(s, back); diff != "" {
			t.Errorf("it came back otherwise (-want +got):\n%s", diff)
		}
	})
}

func TestAMillionPairsTakeSomeMegabytes(t *testing.T) {
	s := &Snapshot{SeenAt: time.Now()}
	for u := range 100_000 {
		id := fmt.Sprintf("%018d", u*7919)
		for r := range int64(10) {
			s.NotHeld = append(s.NotHeld, Pair{id, 1507113578 + (int64(u)*31+r*97)%400})
		}
		if u%10 == 0 {
			s.Scopes = append(s.Scopes, Scope{Pair{id, 1}, []int64{int64(u), 7, 8}})
		}
	}
	data, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", len(data))
	if len(data) > 5_000_000 {
		t.Errorf("%d pairs and %d scopes take %d bytes", len(s.NotHeld), len(s.Scopes), len(data))
	}
}

func TestWhatIsNoSnapshotIsAnError(t *testing.T) {
	good, err := (&Snapshot{NotHeld: []Pair{{"a", 1}}}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"nothing": nil, "text": []byte("{}"), "cut off": good[:len(good)/2]} {
		if s, err := Decode(data); err == nil {
			t.Errorf("%s was read as %+v", name, s)
		}
	}
	if _, err := (&Snapshot{Scopes: []Scope{{Pair: Pair{"a", 1}}}}).Encode(); err == nil {
		t.Error("a scope of no department was taken for one")
	}
}
