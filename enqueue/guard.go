package enqueue

import (
	"slices"
	"strings"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/base/words"
)

// GuardError says that a removal concerns more users than may go through without somebody's confirmation.
type GuardError struct {
	Users, Max int
}

func (e *GuardError) Error() string { return e.Unwrap().Error() }

// Unwrap is its text, which can be said in other languages.
func (e *GuardError) Unwrap() error {
	return texts.T("%d distinct users are more than the guard of %d lets through unconfirmed", e.Users, e.Max)
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

func (e *ProtectedError) Error() string { return e.Unwrap().Error() }

// Unwrap is its text, which can be said in other languages.
func (e *ProtectedError) Unwrap() error {
	users := texts.T("%s (%s)", texts.Count(e.UserCount, "%d protected user", "%d protected users"), first(e.UserCount, e.Users))
	roles := texts.T("%s (%s)", texts.Count(e.RoleCount, "%d protected role", "%d protected roles"), first(e.RoleCount, words.RoleIDs(e.Roles)))
	touched := texts.T("%s and %s would be touched: take them out of the input", users, roles)
	switch {
	case e.RoleCount == 0:
		touched = texts.T("%s would be touched: take them out of the input", users)
	case e.UserCount == 0:
		touched = texts.T("%s would be touched: take them out of the input", roles)
	}
	return touched
}

// first names the first of n ids.
func first(n int, ids []string) string {
	if n > len(ids) {
		ids = append(slices.Clone(ids), "…")
	}
	return strings.Join(ids, ", ")
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
