package pairs

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// drawn is a set with what it should have.
func drawn(t *rapid.T, size Size, label string) (Set, map[Pair]bool) {
	s, has := None(size), map[Pair]bool{}
	if rapid.IntRange(0, 9).Draw(t, label+" is all") == 0 {
		for u, r := range size.Whole().All() {
			has[Pair{u, r}] = true
		}
		return All(size), has
	}
	for _, i := range rapid.SliceOf(rapid.IntRange(0, size.Pairs()-1)).Draw(t, label) {
		p := Pair{User(i / size.Roles), Role(i % size.Roles)}
		s.Add(p.User, p.Role)
		has[p] = true
	}
	return s, has
}

func drawnRectangle(t *rapid.T, size Size) Rectangle {
	return Rectangle{Users: drawnSome[User](t, size.Users, "users of the rectangle"), Roles: drawnSome[Role](t, size.Roles, "roles of the rectangle")}
}

func drawnSome[P User | Role](t *rapid.T, n int, label string) []P {
	list := []P{}
	for _, i := range rapid.SliceOfDistinct(rapid.IntRange(0, n-1), rapid.ID).Draw(t, label) {
		list = append(list, P(i))
	}
	slices.Sort(list)
	return list
}

func drawnSize(t *rapid.T, roles ...int) Size {
	return Size{Users: rapid.IntRange(1, 12).Draw(t, "users"), Roles: rapid.SampledFrom(roles).Draw(t, "roles")}
}

// Whatever is put into a set, it answers as a plain map of pairs would.
func TestSetIsASetOfPairs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := drawnSize(t, 1, 3, 20, 63, 64, 65, 130)
		s, has := drawn(t, size, "s")
		other, hasOther := drawn(t, size, "other")
		rect := drawnRectangle(t, size)
		within := s.Within(rect)
		contains := true
		for u, r := range size.Whole().All() {
			p := Pair{u, r}
			if s.Has(u, r) != has[p] {
				t.Errorf("Has(%d, %d) = %t", u, r, s.Has(u, r))
			}
			if want := has[p] && slices.Contains(rect.Users, u) && slices.Contains(rect.Roles, r); within.Has(u, r) != want {
				t.Errorf("Within(%v).Has(%d, %d) = %t", rect, u, r, !want)
			}
			contains = contains && (has[p] || !hasOther[p])
		}
		if s.Len() != len(has) || s.Any() != (len(has) > 0) {
			t.Errorf("Len = %d, Any = %t, of %d pairs", s.Len(), s.Any(), len(has))
		}
		if s.Contains(other) != contains {
			t.Errorf("Contains = %t", !contains)
		}
	})
}

// The rectangles of a set have each of its pairs once and no other, and the hull is the smallest rectangle around them.
func TestRectanglesAreThePairsOfTheSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := drawnSize(t, 1, 3, 20, 65)
		s, has := drawn(t, size, "s")
		covered := map[Pair]bool{}
		for _, rect := range s.Rectangles() {
			for u, r := range rect.All() {
				if covered[Pair{u, r}] {
					t.Errorf("(%d, %d) is in two rectangles", u, r)
				}
				covered[Pair{u, r}] = true
			}
		}
		if diff := cmp.Diff(has, covered); diff != "" {
			t.Errorf("pairs of the rectangles (-want +got):\n%s", diff)
		}
		hull := Rectangle{Users: []User{}, Roles: []Role{}}
		for p := range has {
			hull.Users, hull.Roles = append(hull.Users, p.User), append(hull.Roles, p.Role)
		}
		slices.Sort(hull.Users)
		slices.Sort(hull.Roles)
		hull.Users, hull.Roles = slices.Compact(hull.Users), slices.Compact(hull.Roles)
		if diff := cmp.Diff(hull, s.Hull()); diff != "" {
			t.Errorf("hull (-want +got):\n%s", diff)
		}
	})
}

// A part that is cut out along a rectangle owns just what the set has of it.
func TestOwnedIsTheLayoutOfParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := drawnSize(t, 1, 3, 7, 8, 20)
		s, _ := drawn(t, size, "s")
		rect := drawnRectangle(t, size)
		own, n, all := s.Owned(rect), 0, true
		for u, r := range rect.All() {
			if own.Has(n) != s.Has(u, r) {
				t.Errorf("cut out along %v: pair %d is owned: %t", rect, n, own.Has(n))
			}
			all = all && s.Has(u, r)
			n++
		}
		if all != (own == nil) {
			t.Errorf("cut out along %v: own is %v", rect, own)
		}
	})
}

// Each pair has a number of its own, in the order of All.
func TestPairsAreNumberedUserByUser(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size, n := drawnSize(t, 1, 3, 20), 0
		for u, r := range size.Whole().All() {
			if size.Number(u, r) != n {
				t.Errorf("%+v: (%d, %d) is number %d, want %d", size, u, r, size.Number(u, r), n)
			}
			n++
		}
		if n != size.Pairs() {
			t.Errorf("%+v has %d pairs, it says %d", size, n, size.Pairs())
		}
	})
}

// A list comes back from its runs, of which no two neighbours are alike; other runs are an error and no larger list.
func TestRunsAreTheList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOf(rapid.IntRange(0, 2)).Draw(t, "list")
		last := -1
		for entry, n := range Runs(list) {
			if entry == last || n < 1 {
				t.Errorf("a run of %d × %d after %d", n, entry, last)
			}
			last = entry
		}
		back, err := Unrolled(Runs(list), len(list))
		if err != nil || !slices.Equal(back, list) {
			t.Errorf("%v came back as %v, %v", list, back, err)
		}
		if other := rapid.IntRange(0, 20).Draw(t, "pairs"); other != len(list) {
			if got, err := Unrolled(Runs(list), other); err == nil || cap(got) > other {
				t.Errorf("%d entries for %d pairs: %v, %v", len(list), other, got, err)
			}
		}
	})
}
