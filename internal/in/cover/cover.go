package cover

import (
	"cmp"
	"fmt"
	"slices"
)

// Matrix is the set of requested pairs, by position. Roles[u] lists the positions of the roles that user u is to lose,
// ascending and without duplicates, each below NumRoles. Several users may have the same roles; a user may have none.
type Matrix struct {
	NumRoles int
	Roles    [][]int32
}

// Limits of one call: at most so many roles and so many users (20 and 100 at DingTalk). Both are positive.
type Limits struct{ Roles, Users int }

// Rect is one call: every role of Roles for every user of Users, all of them requested. Both list positions in the
// Matrix, ascending.
type Rect struct {
	Roles, Users []int32
	// Own says which pairs this rectangle owns where rectangles overlap; nil means all of them. The pair of Users[u]
	// and Roles[r] is bit u*len(Roles)+r, least significant bit of each byte first.
	Own []byte
}

// Plan covers every pair of m with rectangles, close to the fewest possible. No rectangle covers a pair that m does not
// have, none exceeds lim, and each pair is owned by exactly one of them; a rectangle owns at least one. There are never
// more of them than any of OnePerUser, OnePerRoleSet and OnePerRole would take. The same m and lim always give the same
// plan, whatever the machine; rectangles that own many pairs come first.
//
// Plan panics when m or lim break what their comments ask for. It does not keep or change m.
func Plan(m Matrix, lim Limits) []Rect {
	m.check(lim)
	spans := construct(m, lim)
	spans = improve(m, lim, spans)
	return own(m, spans)
}

// OnePerUser is the number of calls it takes to remove each user's roles apart from everybody else's: several for a
// user of more roles than one call may have.
func OnePerUser(m Matrix, lim Limits) int {
	calls := 0
	for _, roles := range m.Roles {
		calls += ceilDiv(len(roles), lim.Roles)
	}
	return calls
}

// OnePerRoleSet is the number of calls it takes when users who lose exactly the same roles share calls.
func OnePerRoleSet(m Matrix, lim Limits) int {
	calls := 0
	for _, c := range group(m) {
		calls += ceilDiv(len(c.roles), lim.Roles) * ceilDiv(len(c.users), lim.Users)
	}
	return calls
}

// OnePerRole is the number of calls it takes to empty each role apart from all others.
func OnePerRole(m Matrix, lim Limits) int {
	calls := 0
	for _, users := range m.byRole() {
		calls += ceilDiv(len(users), lim.Users)
	}
	return calls
}

func (m Matrix) check(lim Limits) {
	if lim.Roles <= 0 || lim.Users <= 0 {
		panic(fmt.Sprintf("cover: limits of %d roles × %d users: both must be positive", lim.Roles, lim.Users))
	}
	for u, roles := range m.Roles {
		last := int32(-1)
		for _, r := range roles {
			if r <= last || int(r) >= m.NumRoles {
				panic(fmt.Sprintf("cover: user %d: role %d after %d, want ascending positions from 0 to %d", u, r, last, m.NumRoles-1))
			}
			last = r
		}
	}
}

// byRole lists the users of each role, ascending.
func (m Matrix) byRole() [][]int32 {
	count := make([]int32, m.NumRoles)
	pairs := 0
	for _, roles := range m.Roles {
		pairs += len(roles)
		for _, r := range roles {
			count[r]++
		}
	}
	all := make([]int32, 0, pairs)
	lists := make([][]int32, m.NumRoles)
	for r, n := range count {
		lists[r] = all[len(all) : len(all) : len(all)+int(n)]
		all = all[:len(all)+int(n)]
	}
	for u, roles := range m.Roles {
		for _, r := range roles {
			lists[r] = append(lists[r], int32(u))
		}
	}
	return lists
}

// class is the users who lose exactly the same roles; users ascend.
type class struct{ roles, users []int32 }

// group finds the classes of m, ordered by roles. Users without roles belong to none.
func group(m Matrix) []class {
	order := make([]int32, 0, len(m.Roles))
	for u, roles := range m.Roles {
		if len(roles) > 0 {
			order = append(order, int32(u))
		}
	}
	slices.SortFunc(order, func(a, b int32) int {
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
		classes = append(classes, class{roles: roles, users: order[i:j:j]})
		i = j
	}
	return classes
}

func ceilDiv(n, d int) int { return (n + d - 1) / d }
