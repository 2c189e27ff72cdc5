package worker

import (
	"slices"

	"github.com/unrole/unrole/tasks"
)

// rectangle is some users × some roles, as positions in a part.
type rectangle struct{ users, roles []int }

// rectangles covers the pairs of a part for which which holds with rectangles that share no pair: users with the same
// roles together.
func rectangles(p *tasks.Part, which func(u, r int) bool) []rectangle {
	var out []rectangle
	at := map[string]int{}
	roles, key := make([]int, 0, len(p.RoleIDs)), make([]byte, (len(p.RoleIDs)+7)/8)
	for u := range p.UserIDs {
		roles = roles[:0]
		clear(key)
		for r := range p.RoleIDs {
			if which(u, r) {
				roles = append(roles, r)
				key[r/8] |= 1 << (r % 8)
			}
		}
		if len(roles) == 0 {
			continue
		}
		i, known := at[string(key)]
		if !known {
			i = len(out)
			at[string(key)] = i
			out = append(out, rectangle{roles: slices.Clone(roles)})
		}
		out[i].users = append(out[i].users, u)
	}
	return out
}

// within narrows a condition on pairs to some users and some roles; nil means all.
func within(users, roles []int, which func(u, r int) bool) func(u, r int) bool {
	isUser, isRole := among(users), among(roles)
	return func(u, r int) bool { return isUser(u) && isRole(r) && which(u, r) }
}

// among reports whether a position is in a list; nil has them all.
func among(list []int) func(int) bool {
	if list == nil {
		return func(int) bool { return true }
	}
	in := make([]bool, 1+slices.Max(append(list[:len(list):len(list)], 0)))
	for _, i := range list {
		in[i] = true
	}
	return func(i int) bool { return i < len(in) && in[i] }
}

// hull is the smallest rectangle around rectangles, and which of its pairs they hold (nil: all), in the layout of
// tasks.Part.Own.
func hull(parts []rectangle) (rectangle, []byte) {
	var h rectangle
	for _, p := range parts {
		h.users = append(h.users, p.users...)
		h.roles = append(h.roles, p.roles...)
	}
	for _, list := range []*[]int{&h.users, &h.roles} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	if len(parts) == 1 {
		return h, nil
	}
	own := make([]byte, (len(h.users)*len(h.roles)+7)/8)
	for _, p := range parts {
		for _, u := range p.users {
			i, _ := slices.BinarySearch(h.users, u)
			for _, r := range p.roles {
				j, _ := slices.BinarySearch(h.roles, r)
				bit := i*len(h.roles) + j
				own[bit/8] |= 1 << (bit % 8)
			}
		}
	}
	return h, own
}
