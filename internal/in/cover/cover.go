package cover

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/tasks"
)

// Matrix is the set of requested pairs, by position. Roles[u] lists the positions of the roles that user u is to lose,
// ascending and without duplicates, each below NumRoles. Several users may have the same roles; a user may have none.
type Matrix struct {
	NumRoles int
	Roles    [][]pairs.Role
}

// Call is a rectangle of requested pairs.
type Call struct {
	pairs.Rectangle
	// Own says which of its pairs this call owns where calls overlap.
	Own tasks.Own
}

// Plan covers every pair of m with calls, close to the fewest possible. No call covers a pair that m does not have, none
// exceeds lim, which is positive, and each pair is owned by exactly one of them; a call owns at least one. There are never
// more of them than any of OnePerUser, OnePerRoleSet and OnePerRole would take. The same m and lim always give the same
// plan, whatever the machine; calls that own many pairs come first.
//
// Plan panics when m breaks what its comment asks for, or if lim is not positive. It does not keep or change m.
func Plan(m Matrix, lim pairs.Size) []Call {
	m.check(lim)
	spans := construct(m, lim)
	spans = improve(m, lim, spans)
	return own(m, spans)
}

// OnePerUser is the number of calls it takes to remove each user's roles apart from everybody else's: several for a
// user of more roles than one call may have.
func OnePerUser(m Matrix, lim pairs.Size) int {
	calls := 0
	for _, roles := range m.Roles {
		calls += ceilDiv(len(roles), lim.Roles)
	}
	return calls
}

// OnePerRoleSet is the number of calls it takes when users who lose exactly the same roles share calls.
func OnePerRoleSet(m Matrix, lim pairs.Size) int {
	calls := 0
	for _, c := range group(m) {
		calls += ceilDiv(len(c.Users), lim.Users) * ceilDiv(len(c.Roles), lim.Roles)
	}
	return calls
}

// OnePerRole is the number of calls it takes to empty each role apart from all others.
func OnePerRole(m Matrix, lim pairs.Size) int {
	calls := 0
	for _, users := range m.byRole() {
		calls += ceilDiv(len(users), lim.Users)
	}
	return calls
}

func (m Matrix) check(lim pairs.Size) {
	if lim.Users <= 0 || lim.Roles <= 0 {
		panic(fmt.Sprintf("cover: limits of %d users × %d roles: both must be positive", lim.Users, lim.Roles))
	}
	for u, roles := range m.Roles {
		last := pairs.Role(-1)
		for _, r := range roles {
			if r <= last || int(r) >= m.NumRoles {
				panic(fmt.Sprintf("cover: user %d: role %d after %d, want ascending positions from 0 to %d", u, r, last, m.NumRoles-1))
			}
			last = r
		}
	}
}

// byRole lists the users of each role, ascending.
func (m Matrix) byRole() [][]pairs.User {
	count := make([]int32, m.NumRoles)
	total := 0
	for _, roles := range m.Roles {
		total += len(roles)
		for _, r := range roles {
			count[r]++
		}
	}
	all := make([]pairs.User, 0, total)
	lists := make([][]pairs.User, m.NumRoles)
	for r, n := range count {
		lists[r] = all[len(all) : len(all) : len(all)+int(n)]
		all = all[:len(all)+int(n)]
	}
	for u, roles := range m.Roles {
		for _, r := range roles {
			lists[r] = append(lists[r], pairs.User(u))
		}
	}
	return lists
}

// class is the users who lose exactly the same roles; users ascend.
type class = pairs.Rectangle

// group finds the classes of m, ordered by roles. Users without roles belong to none.
func group(m Matrix) []class {
	order := make([]pairs.User, 0, len(m.Roles))
	for u, roles := range m.Roles {
		if len(roles) > 0 {
			order = append(order, pairs.User(u))
		}
	}
	slices.SortFunc(order, func(a, b pairs.User) int {
		if c := slices.Compare(m.Roles[a], m.Roles[b]); c != 0 {
			return c
		}
		return cmp.Compare(a, b)
	})
	var classes []class
	for i := 0; i < len(order); {
		roles := m.Roles[order[i]]
		j := i + 1
		for j < len(order) && slices.Equal(m.Roles[order[j]], roles) {
			j++
		}
		classes = append(classes, class{Users: order[i:j:j], Roles: roles})
		i = j
	}
	return classes
}

func ceilDiv(n, d int) int { return (n + d - 1) / d }
