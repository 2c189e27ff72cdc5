// Package pairs is the geometry of removals: positions of users and roles, the rectangles that they make, and sets of
// their pairs, as Go values and as they lie in Redis.
//
// A pair is one user losing one role. Users come before roles everywhere, and a position is of a type that says which of
// the two it is in, so that a swap does not compile. Where pairs are numbered or listed, they go user by user.
package pairs

import (
	"iter"

	"github.com/unrole/unrole/tasks"
)

// User and Role are positions in lists of users and roles, such as those of a part, of a call or of a whole plan.
type (
	User int32
	Role int32
)

// Pair is one user and one role.
type Pair struct {
	User User
	Role Role
}

// Size is how many users and roles there are: of a batch, of a call, or what a call may have at most.
type Size struct{ Users, Roles int }

// SizeOf is the size of a part.
func SizeOf(p *tasks.Part) Size { return Size{Users: len(p.UserIDs), Roles: len(p.RoleIDs)} }

// MostOf is what one call of the action may have at most.
func MostOf(a tasks.Action) Size { return Size{Users: a.MaxUsers(), Roles: tasks.MaxRoles} }

// Pairs is how many pairs there are.
func (s Size) Pairs() int { return s.Users * s.Roles }

// Number numbers the pairs from 0, user by user.
func (s Size) Number(u User, r Role) int { return int(u)*s.Roles + int(r) }

// Whole is the rectangle of all users and roles.
func (s Size) Whole() Rectangle {
	return Rectangle{Users: upTo[User](s.Users), Roles: upTo[Role](s.Roles)}
}

func upTo[P User | Role](n int) []P {
	all := make([]P, n)
	for i := range all {
		all[i] = P(i)
	}
	return all
}

// Rectangle is every one of some users with every one of some roles. Positions ascend unless it is said otherwise.
type Rectangle struct {
	Users []User
	Roles []Role
}

// Size is that of the lists.
func (r Rectangle) Size() Size { return Size{Users: len(r.Users), Roles: len(r.Roles)} }

// All goes through the pairs.
func (r Rectangle) All() iter.Seq2[User, Role] {
	return func(yield func(User, Role) bool) {
		for _, u := range r.Users {
			for _, role := range r.Roles {
				if !yield(u, role) {
					return
				}
			}
		}
	}
}

// Own says, as tasks.Part.Own does, which pairs of the rectangle are owned by a part that is made of it: nil if all are.
// It asks once for each pair, in the order of All.
func (r Rectangle) Own(owns func(User, Role) bool) tasks.Own {
	all := true
	own := tasks.OwnOf(func(yield func(bool) bool) {
		for u, role := range r.All() {
			is := owns(u, role)
			all = all && is
			if !yield(is) {
				return
			}
		}
	})
	if all {
		return nil
	}
	return own
}
