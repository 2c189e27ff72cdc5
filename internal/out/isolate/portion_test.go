package isolate_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/out/isolate"
)

// Whoever keeps calls busy, everybody else passes in a number of tries that grows with the logarithm of the batch.
func TestPortionsGetEverybodyPastAPoison(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := drawSize(t, full)
		poison := pairs.Pair{User: pairs.User(rapid.IntRange(0, size.Users-1).Draw(t, "user")), Role: pairs.Role(rapid.IntRange(0, size.Roles-1).Draw(t, "role"))}
		ofUser := rapid.Bool().Draw(t, "the user, and not the role, is poison")
		isBad := func(u pairs.User, r pairs.Role) bool {
			if ofUser {
				return u == poison.User
			}
			return r == poison.Role
		}
		rolesFirst, bothSides := rapid.Bool().Draw(t, "roles first"), rapid.Bool().Draw(t, "both sides")
		open := pairs.All(size)
		calls, busy := 0, 0
		for good := true; good; {
			good = false
			for u, r := range open.Hull().All() {
				good = good || open.Has(u, r) && !isBad(u, r)
			}
			if !good {
				break
			}
			try := isolate.Portion(open.Hull(), busy, rolesFirst, bothSides)
			if calls++; calls > 120 {
				t.Fatalf("after %d calls %d pairs are left", calls, open.Len())
			}
			if len(try.Users) == 0 || len(try.Roles) == 0 {
				t.Fatalf("portion %d is empty", busy)
			}
			passes := true
			for u, r := range try.All() {
				passes = passes && !isBad(u, r)
			}
			if busy++; passes {
				busy = 0
				left := pairs.None(size)
				for u, r := range open.Hull().All() {
					if open.Has(u, r) && !open.Within(try).Has(u, r) {
						left.Add(u, r)
					}
				}
				open = left
			}
		}
	})
}

// A user and a role that are poison leave a quarter of each batch alone, which one of the first eight portions is.
func TestAPortionPassesAUserAndARoleThatArePoison(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := pairs.Size{Users: rapid.IntRange(2, full.Users).Draw(t, "users"), Roles: rapid.IntRange(2, full.Roles).Draw(t, "roles")}
		user, role := pairs.User(rapid.IntRange(0, size.Users-1).Draw(t, "user")), pairs.Role(rapid.IntRange(0, size.Roles-1).Draw(t, "role"))
		for busy := range 8 {
			p := isolate.Portion(size.Whole(), busy, rapid.Bool().Draw(t, "roles first"), true)
			if len(p.Users) > 0 && len(p.Roles) > 0 && !slices.Contains(p.Users, user) && !slices.Contains(p.Roles, role) {
				return
			}
		}
		t.Fatal("none of them passes")
	})
}
