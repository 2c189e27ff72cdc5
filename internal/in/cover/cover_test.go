package cover

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/unrole/unrole/internal/base/pairs"
	"pgregory.net/rapid"
)

var dingtalk = pairs.Size{Roles: 20, Users: 100}

// checkPlan fails the test unless plan keeps every promise of Plan but the number of calls.
func checkPlan(t rapid.TB, m Matrix, lim pairs.Size, plan []Call) {
	has := make([]map[pairs.Role]int, len(m.Roles))
	requested := 0
	for u, roles := range m.Roles {
		has[u] = map[pairs.Role]int{}
		for _, r := range roles {
			has[u][r] = 0
		}
		requested += len(roles)
	}
	ownedPairs := 0
	for i, rect := range plan {
		if n := len(rect.Roles); n == 0 || n > lim.Roles {
			t.Fatalf("rect %d has %d roles, limit %d", i, n, lim.Roles)
		}
		if n := len(rect.Users); n == 0 || n > lim.Users {
			t.Fatalf("rect %d has %d users, limit %d", i, n, lim.Users)
		}
		if !slices.IsSorted(rect.Users) || len(slices.Compact(slices.Clone(rect.Users))) < len(rect.Users) ||
			!slices.IsSorted(rect.Roles) || len(slices.Compact(slices.Clone(rect.Roles))) < len(rect.Roles) {
			t.Fatalf("rect %d: %v does not ascend", i, rect.Rectangle)
		}
		if rect.Own != nil && len(rect.Own) != (len(rect.Roles)*len(rect.Users)+7)/8 {
			t.Fatalf("rect %d: %d bytes of ownership for %d × %d", i, len(rect.Own), len(rect.Roles), len(rect.Users))
		}
		owned, n := 0, 0
		for u, r := range rect.All() {
			if _, ok := has[u][r]; !ok {
				t.Fatalf("rect %d covers user %d, role %d, which nobody requested", i, u, r)
			}
			if rect.Own.Has(n) {
				has[u][r]++
				owned++
			}
			n++
		}
		if owned == 0 {
			t.Fatalf("rect %d owns nothing", i)
		}
		if full := owned == len(rect.Roles)*len(rect.Users); full != (rect.Own == nil) {
			t.Fatalf("rect %d owns %d of %d × %d, Own nil: %t", i, owned, len(rect.Roles), len(rect.Users), rect.Own == nil)
		}
		ownedPairs += owned
	}
	for u, roles := range has {
		for r, n := range roles {
			if n != 1 {
				t.Fatalf("user %d, role %d is owned by %d rects", u, r, n)
			}
		}
	}
	if ownedPairs != requested {
		t.Fatalf("%d pairs owned, want %d", ownedPairs, requested)
	}
	if best := bestSimple(m, lim); len(plan) > best {
		t.Fatalf("%d calls, a simple way takes %d", len(plan), best)
	}
}

func bestSimple(m Matrix, lim pairs.Size) int {
	return min(OnePerUser(m, lim), OnePerRoleSet(m, lim), OnePerRole(m, lim))
}

func TestPlanKeepsItsPromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := Matrix{NumRoles: rapid.IntRange(1, 20).Draw(t, "roles")}
		lim := pairs.Size{Roles: rapid.IntRange(1, 6).Draw(t, "role limit"), Users: rapid.IntRange(1, 12).Draw(t, "user limit")}
		role := rapid.Map(rapid.Int32Range(0, int32(m.NumRoles)-1), func(r int32) pairs.Role { return pairs.Role(r) })
		templates := rapid.SliceOfN(rapid.SliceOfNDistinct(role, 0, min(8, m.NumRoles), rapid.ID), 1, 6).Draw(t, "templates")
		for range rapid.IntRange(0, 18).Draw(t, "users") {
			roles := slices.Concat(rapid.SampledFrom(templates).Draw(t, "a"), rapid.SampledFrom(templates).Draw(t, "b"),
				rapid.SliceOfN(role, 0, 2).Draw(t, "extras"))
			slices.Sort(roles)
			m.Roles = append(m.Roles, slices.Compact(roles))
		}
		plan := Plan(m, lim)
		checkPlan(t, m, lim, plan)
		if again := Plan(m, lim); fmt.Sprint(again) != fmt.Sprint(plan) {
			t.Fatalf("two plans of the same input differ")
		}
	})
}

func TestPlanOfNothing(t *testing.T) {
	t.Parallel()
	for _, m := range []Matrix{{}, {NumRoles: 3}, {NumRoles: 3, Roles: [][]pairs.Role{nil, {}}}} {
		if plan := Plan(m, dingtalk); len(plan) != 0 {
			t.Errorf("%d calls for no pairs", len(plan))
		}
	}
}

func TestUserOfMoreRolesThanACall(t *testing.T) {
	t.Parallel()
	var roles []pairs.Role
	for r := range pairs.Role(41) {
		roles = append(roles, r)
	}
	m := Matrix{NumRoles: 41, Roles: [][]pairs.Role{roles, roles, {3}}}
	plan := Plan(m, dingtalk)
	checkPlan(t, m, dingtalk, plan)
	if len(plan) != 3 {
		t.Errorf("%d calls, want 3", len(plan))
	}
	if n := OnePerUser(m, dingtalk); n != 7 {
		t.Errorf("OnePerUser is %d, want 7", n)
	}
	if n := OnePerRoleSet(m, dingtalk); n != 4 {
		t.Errorf("OnePerRoleSet is %d, want 4", n)
	}
	if n := OnePerRole(m, dingtalk); n != 41 {
		t.Errorf("OnePerRole is %d, want 41", n)
	}
}

func TestPlanOfManyWindowsKeepsItsPromises(t *testing.T) {
	t.Parallel()
	// Few users per call and many roles, so that hundreds of calls stay below the limit and are improved in windows.
	rng := rand.New(rand.NewPCG(7, 7))
	m := Matrix{NumRoles: 300}
	for range 1500 {
		base := rng.IntN(30) * 10
		roles := []pairs.Role{pairs.Role(base), pairs.Role(base + 1 + rng.IntN(4)), pairs.Role(base + 5 + rng.IntN(5)), pairs.Role(rng.IntN(300))}
		slices.Sort(roles)
		m.Roles = append(m.Roles, slices.Compact(roles))
	}
	lim := pairs.Size{Users: 7, Roles: 3}
	plan := Plan(m, lim)
	checkPlan(t, m, lim, plan)
	if again := Plan(m, lim); fmt.Sprint(again) != fmt.Sprint(plan) {
		t.Error("two plans of the same input differ")
	}
}

func TestPlanRefusesWhatIsNoMatrix(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]Matrix{
		"role beyond NumRoles": {NumRoles: 2, Roles: [][]pairs.Role{{2}}},
		"negative role":        {NumRoles: 2, Roles: [][]pairs.Role{{-1}}},
		"duplicate":            {NumRoles: 2, Roles: [][]pairs.Role{{1, 1}}},
		"descending":           {NumRoles: 2, Roles: [][]pairs.Role{{1, 0}}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: accepted", name)
				}
			}()
			Plan(m, dingtalk)
		}()
	}
}
