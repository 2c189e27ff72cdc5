package cover_test

import (
	"fmt"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/in/cover"
)

// Four people of two departments lose their roles; the last one has roles of both.
func ExamplePlan() {
	m := cover.Matrix{NumRoles: 4, Roles: [][]pairs.Role{
		{0, 1},
		{0, 1},
		{2, 3},
		{0, 1, 2, 3},
	}}
	lim := pairs.Size{Users: 100, Roles: 20}
	fmt.Println("a call per user:", cover.OnePerUser(m, lim), "per role set:", cover.OnePerRoleSet(m, lim), "per role:", cover.OnePerRole(m, lim))
	for _, r := range cover.Plan(m, lim) {
		fmt.Println("roles", r.Roles, "of users", r.Users)
	}
	// Output:
	// a call per user: 4 per role set: 3 per role: 4
	// roles [0 1] of users [0 1 3]
	// roles [2 3] of users [2 3]
}
