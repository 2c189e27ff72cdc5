// Package asked is a removal that names people and roles as somebody has them: submitting it, and its form while it waits to be looked up.
package asked

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/unrole/unrole/internal/in/lists"
)

// Request is what is asked: of each element, each person loses each role.
type Request struct {
	Elements []Element `json:"elements"`
	// Keep are roles that AllRoles leaves.
	Keep []lists.Role `json:"keep,omitempty"`
	// SkipUnresolved leaves out who or what is not resolved; otherwise it refuses the whole.
	SkipUnresolved bool `json:"skip,omitempty"`
	// MaxUsersPerDay is how many distinct users the source may submit in 24 hours before its jobs wait for approval, 0 for any
	// number: that of whoever took the request in.
	MaxUsersPerDay int `json:"max_users_per_day,omitempty"`
	// Trace is the trace that the request belongs to, see trace.Parent; it is no part of what is asked.
	Trace string `json:"trace,omitempty"`
}

// Element is some people and what each of them loses.
type Element struct {
	// UserIDs are people by their user ids, Users by anything else.
	UserIDs []string     `json:"user_ids,omitempty"`
	Users   []Person     `json:"users,omitempty"`
	Roles   []lists.Role `json:"roles,omitempty"`
	// AllRoles takes all roles that each of them holds, those of the default group and Request.Keep excepted.
	AllRoles bool `json:"all_roles,omitempty"`
}

// Person is somebody by the most exact way in which they are named; Also has to be true of the same person.
type Person struct {
	lists.Person
	Also []lists.Person `json:"also,omitempty"`
}

// PersonOf is somebody by all that is said of them, which is one thing at least.
func PersonOf(said ...lists.Person) Person {
	said = slices.SortedStableFunc(slices.Values(said), func(a, b lists.Person) int { return cmp.Compare(a.By, b.By) })
	return Person{Person: said[0], Also: said[1:]}
}

// Encode is the form in which a request waits.
func (r *Request) Encode() ([]byte, error) { return json.Marshal(r) }

// Decode reads what Encode wrote.
func Decode(data []byte) (*Request, error) {
	r := &Request{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("what was asked: %w", err)
	}
	return r, nil
}

// Rows are the people of the request in their order, a row each, numbered from 1. A row's slices hold until the next one.
func (r *Request) Rows() iter.Seq[lists.Row] {
	return func(yield func(lists.Row) bool) {
		row := lists.Row{People: make([]lists.Person, 1)}
		for _, e := range r.Elements {
			row.Roles, row.AllRoles, row.Also = e.Roles, e.AllRoles, nil
			for _, id := range e.UserIDs {
				row.Line++
				row.People[0] = lists.Person{By: lists.UserID, Text: id}
				if !yield(row) {
					return
				}
			}
			for _, p := range e.Users {
				row.Line++
				row.People[0], row.Also = p.Person, p.Also
				if !yield(row) {
					return
				}
			}
		}
	}
}

// Places returns where the person of a row stands: the number of the element, and a JSON pointer into the body of a request. It is to
// be asked of rows in their order.
func (r *Request) Places() func(row int) (element int, pointer string) {
	element, before := 0, 0
	return func(row int) (int, string) {
		for element < len(r.Elements) {
			e := r.Elements[element]
			at, ids := row-1-before, len(e.UserIDs)
			switch {
			case at < ids:
				return element, fmt.Sprintf("/removals/%d/user_ids/%d", element, at)
			case at < ids+len(e.Users):
				return element, fmt.Sprintf("/removals/%d/users/%d", element, at-ids)
			}
			before += ids + len(e.Users)
			element++
		}
		return element, ""
	}
}

// People counts the people as they are named: two names of one person count twice.
func (r *Request) People() int {
	distinct := map[lists.Person]struct{}{}
	for row := range r.Rows() {
		distinct[row.People[0]] = struct{}{}
	}
	return len(distinct)
}

// Pairs counts the pairs of people and roles that are named, the roles of AllRoles left out.
func (r *Request) Pairs() int {
	n := 0
	for _, e := range r.Elements {
		n += (len(e.UserIDs) + len(e.Users)) * max(1, len(e.Roles))
	}
	return n
}

// Digest names what is asked, whatever the order of its elements, and of the people and roles of each. The same asked for in
// other elements has another digest. Without the key it tells nothing of what that is.
func (r *Request) Digest(key []byte) string {
	return digest(key, fmt.Sprintf("unrole asked 1\n%t %s\n", r.SkipUnresolved, rolesDigest(r.Keep, false)), r.Rows())
}

// ListDigest names what a list asks for whose rows are looked up where they were read: who all loses all roles but those of keep, and
// whether administrators may be touched.
func ListDigest(key []byte, rows iter.Seq[lists.Row], allRoles bool, keep []lists.Role, evenAdmins bool) string {
	return digest(key, fmt.Sprintf("unrole list 1\n%t %t %s\n", allRoles, evenAdmins, rolesDigest(keep, false)), rows)
}

func digest(key []byte, head string, rows iter.Seq[lists.Row]) string {
	var lines []string
	for row := range rows {
		roles := rolesDigest(row.Roles, row.AllRoles)
		for _, p := range row.People {
			lines = append(lines, line(p, row.Also)+roles)
		}
	}
	slices.Sort(lines)
	sum := hmac.New(sha256.New, key)
	sum.Write([]byte(head))
	for _, l := range slices.Compact(lines) {
		sum.Write([]byte(l))
		sum.Write([]byte{'\n'})
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// line is a person in a form that no other person has.
func line(p lists.Person, also []lists.Person) string {
	var b strings.Builder
	for _, said := range append([]lists.Person{p}, also...) {
		fmt.Fprintf(&b, "%d%q ", said.By, said.Text)
	}
	return b.String()
}

func rolesDigest(roles []lists.Role, all bool) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = strconv.FormatInt(r.ID, 10) + strconv.Quote(r.Name)
	}
	slices.Sort(names)
	sum := sha256.New()
	fmt.Fprintf(sum, "%t", all)
	for _, name := range slices.Compact(names) {
		fmt.Fprintf(sum, " %s", name)
	}
	return hex.EncodeToString(sum.Sum(nil))
}
