package isolate

import "github.com/unrole/unrole/internal/base/pairs"

// Portion is the part of a rectangle to try next, once it, and then so many portions of it one after the other, were
// answered busy: both halves of its users, then both halves of its roles, or with rolesFirst the other way round, then the
// quarters, and so on down to a single user or role, and round again. So nothing that keeps a call busy keeps for long what is
// not with it. What has a single user or role is divided on the other side only.
//
// With bothSides the halves are followed by each half of the users with each half of the roles: what keeps the rectangle busy may
// be a user and a role.
func Portion(of pairs.Rectangle, busy int, rolesFirst, bothSides bool) pairs.Rectangle {
	if halves, quarters := 4, 4; bothSides && len(of.Users) > 1 && len(of.Roles) > 1 && busy >= halves {
		if busy < halves+quarters {
			at := busy - halves
			return pairs.Rectangle{Users: piece(of.Users, at/2, 2), Roles: piece(of.Roles, at%2, 2)}
		}
		busy -= quarters
	}
	for parts := 2; ; parts *= 2 {
		for _, ofRoles := range []bool{rolesFirst, !rolesFirst} {
			if ofRoles && len(of.Roles) < 2 || !ofRoles && len(of.Users) < 2 && len(of.Roles) > 1 {
				continue
			}
			switch {
			case busy >= parts:
				busy -= parts
			case ofRoles:
				return pairs.Rectangle{Users: of.Users, Roles: piece(of.Roles, busy, parts)}
			default:
				return pairs.Rectangle{Users: piece(of.Users, busy, parts), Roles: of.Roles}
			}
		}
		if parts >= max(len(of.Users), len(of.Roles)) {
			parts = 1
		}
	}
}

// piece is one of so many even pieces of the list; of a shorter list, one of its elements.
func piece[ID pairs.User | pairs.Role](list []ID, at, parts int) []ID {
	if parts = min(parts, len(list)); parts == 0 {
		return nil
	}
	at %= parts
	return list[at*len(list)/parts : (at+1)*len(list)/parts]
}
