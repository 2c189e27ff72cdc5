package isolate

import "github.com/unrole/unrole/internal/base/pairs"

// Portion is the part of a rectangle to try next, once it, and then so many portions of it one after the other, were
// answered busy: both halves of its users, then both halves of its roles, then the quarters, and so on down to a single
// user or role, and round again. So nothing that keeps a call busy keeps for long what is not with it.
func Portion(of pairs.Rectangle, busy int) pairs.Rectangle {
	for parts := 2; ; parts *= 2 {
		if busy < parts {
			return pairs.Rectangle{Users: piece(of.Users, busy, parts), Roles: of.Roles}
		}
		if busy -= parts; busy < parts {
			return pairs.Rectangle{Users: of.Users, Roles: piece(of.Roles, busy, parts)}
		}
		if busy -= parts; parts >= max(len(of.Users), len(of.Roles)) {
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
