package enqueue

import (
	"fmt"
	"strings"

	"github.com/unrole/unrole/internal/base/words"
)

// GuardError says that a removal concerns more users than may go through without somebody's confirmation.
type GuardError struct {
	Users, Max int
}

func (e *GuardError) Error() string {
	return fmt.Sprintf("%d distinct users are more than the guard of %d lets through unconfirmed", e.Users, e.Max)
}

// Guard returns a *GuardError when r has more than max distinct users.
func Guard(r *Removals, max int) error {
	if len(r.users) > max {
		return &GuardError{Users: len(r.users), Max: max}
	}
	return nil
}

// ProtectedIDs knows the users and roles that must never be touched.
type ProtectedIDs interface {
	User(id string) bool
	Role(id int64) bool
}

// ProtectedError says that the input asks for protected users or roles, and so is refused whole.
type ProtectedError struct {
	// Users and Roles are the first ones found, in order of appearance, ten of each at most.
	Users []string
	Roles []int64
	// UserCount and RoleCount count all of them.
	UserCount, RoleCount int
}

func (e *ProtectedError) Error() string {
	var parts []string
	if e.UserCount > 0 {
		parts = append(parts, naming(e.UserCount, "user", e.Users))
	}
	if e.RoleCount > 0 {
		parts = append(parts, naming(e.RoleCount, "role", words.RoleIDs(e.Roles)))
	}
	return strings.Join(parts, " and ") + " would be touched: take them out of the input"
}

func naming(n int, kind string, first []string) string {
	if n > 1 {
		kind += "s"
	}
	more := ""
	if n > len(first) {
		more = ", …"
	}
	return fmt.Sprintf("%d protected %s (%s%s)", n, kind, strings.Join(first, ", "), more)
}

// CheckProtected returns a *ProtectedError when r asks for anything that is protected.
func (r *Removals) CheckProtected(ids ProtectedIDs) error {
	const named = 10
	var e ProtectedError
	for _, id := range r.users {
		if !ids.User(id) {
			continue
		}
		if e.UserCount++; e.UserCount <= named {
			e.Users = append(e.Users, id)
		}
	}
	for _, id := range r.roles {
		if !ids.Role(id) {
			continue
		}
		if e.RoleCount++; e.RoleCount <= named {
			e.Roles = append(e.Roles, id)
		}
	}
	if e.UserCount+e.RoleCount == 0 {
		return nil
	}
	return &e
}
