package pairs

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/unrole/unrole/tasks"
)

type pair struct{ u, r int }

// drawn is a set with what it should have.
func drawn(t *rapid.T, users, roles int, label string) (Set, map[pair]bool) {
	s, has := None(users, roles), map[pair]bool{}
	if rapid.IntRange(0, 9).Draw(t, label+" is all") == 0 {
		s = All(users, roles)
		for u := range users {
			for r := range roles {
				has[pair{u, r}] = true
			}
		}
		return s, has
	}
	for _, i := range rapid.SliceOf(rapid.IntRange(0, users*roles-1)).Draw(t, label) {
		s.Add(i/roles, i%roles)
		has[pair{i / roles, i % roles}] = true
	}
	return s, has
}

func drawnRectangle(t *rapid.T, users, roles int) Rectangle {
	some := func(n int, label string) []int {
		list := rapid.SliceOfDistinct(rapid.IntRange(0, n-1), rapid.ID).Draw(t, label)
		slices.Sort(list)
		return list
	}
	return Rectangle{Users: some(users, "users of the rectangle"), Roles: some(roles, "roles of the rectangle")}
}

// Whatever is put into a set, it answers as a plain map of pairs would.
func TestSetIsASetOfPairs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		users, roles := rapid.IntRange(1, 12).Draw(t, "users"), rapid.SampledFrom([]int{1, 3, 20, 63, 64, 65, 130}).Draw(t, "roles")
		s, has := drawn(t, users, roles, "s")
		other, hasOther := drawn(t, users, roles, "other")
		rect := drawnRectangle(t, users, roles)
		within := s.Within(rect)
		contains := true
		for u := range users {
			for r := range roles {
				p := pair{u, r}
				if s.Has(u, r) != has[p] {
					t.Errorf("Has(%d, %d) = %t", u, r, s.Has(u, r))
				}
				if want := has[p] && slices.Contains(rect.Users, u) && slices.Contains(rect.Roles, r); within.Has(u, r) != want {
					t.Errorf("Within(%v).Has(%d, %d) = %t", rect, u, r, !want)
				}
				contains = contains && (has[p] || !hasOther[p])
			}
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
		users, roles := rapid.IntRange(1, 12).Draw(t, "users"), rapid.SampledFrom([]int{1, 3, 20, 65}).Draw(t, "roles")
		s, has := drawn(t, users, roles, "s")
		covered := map[pair]bool{}
		for _, rect := range s.Rectangles() {
			for _, u := range rect.Users {
				for _, r := range rect.Roles {
					if covered[pair{u, r}] {
						t.Errorf("(%d, %d) is in two rectangles", u, r)
					}
					covered[pair{u, r}] = true
				}
			}
		}
		if diff := cmp.Diff(has, covered, cmp.AllowUnexported(pair{})); diff != "" {
			t.Errorf("pairs of the rectangles (-want +got):\n%s", diff)
		}
		hull := Rectangle{Users: []int{}, Roles: []int{}}
		for p := range has {
			hull.Users, hull.Roles = append(hull.Users, p.u), append(hull.Roles, p.r)
		}
		for _, list := range []*[]int{&hull.Users, &hull.Roles} {
			slices.Sort(*list)
			*list = slices.Compact(*list)
		}
		if diff := cmp.Diff(hull, s.Hull()); diff != "" {
			t.Errorf("hull (-want +got):\n%s", diff)
		}
	})
}

// A part that is cut out along a rectangle owns just what the set has of it.
func TestOwnedIsTheLayoutOfParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		users, roles := rapid.IntRange(1, 12).Draw(t, "users"), rapid.IntRange(1, 20).Draw(t, "roles")
		s, _ := drawn(t, users, roles, "s")
		rect := drawnRectangle(t, users, roles)
		cut := tasks.Part{Own: s.Owned(rect), UserIDs: make([]string, len(rect.Users)), RoleIDs: make([]int64, len(rect.Roles))}
		for i, u := range rect.Users {
			for j, r := range rect.Roles {
				if cut.Owns(i, j) != s.Has(u, r) {
					t.Errorf("cut out along %v: Owns(%d, %d) = %t", rect, i, j, cut.Owns(i, j))
				}
			}
		}
	})
}
