// Package resolve turns people and roles as a list writes them into user ids and role ids: exactly one each, or why not.
package resolve

import (
	"context"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/sync/errgroup"
	"golang.org/x/text/width"

	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/out/dingtalk"
)

// Status is what looking for somebody came to. Only Found names a person.
type Status uint8

const (
	// Unknown is nobody. The zero value, since it assumes the least.
	Unknown Status = iota
	Found
	Ambiguous
	Departed
	External
)

// Person is what looking for somebody came to.
type Person struct {
	Status Status
	// User is who was found, or who left.
	User dingtalk.User
	// Candidates are those who fit where several do, mostCandidates at most.
	Candidates []Candidate
	// Fit is how many fit.
	Fit int
}

// Candidate is one of several people who fit, as somebody can tell them apart.
type Candidate struct{ UserID, Name, Department string }

// String is the candidate as a sentence names them.
func (c Candidate) String() string {
	switch {
	case c.Name == "":
		return c.UserID
	case c.Department == "":
		return c.Name + " (" + c.UserID + ")"
	}
	return c.Name + " (" + c.UserID + ", " + c.Department + ")"
}

const (
	mostCandidates = 5
	// atOnce is how many people are looked for at the same time: enough for the pace of an API whose answers take 3 s.
	atOnce = 64
)

// People looks for each of them, side by side at the directory's pace, and hands take what that came to with their positions, in no
// promised order and several at once. An error ends it: nothing is known then.
func People(ctx context.Context, d *directory.Directory, people []lists.Person, take func(at int, found Person)) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, p := range people {
		group.Go(func() error {
			found, err := one(ctx, d, p)
			if err == nil {
				take(i, found)
			}
			return err
		})
	}
	return group.Wait()
}

func one(ctx context.Context, d *directory.Directory, p lists.Person) (Person, error) {
	f, err := d.Find(ctx, p)
	if err != nil {
		return Person{}, err
	}
	switch status := Judge(f, p); status {
	case Departed:
		return Person{Status: Departed, User: dingtalk.User{UserID: f.Left[0].UserID, Name: f.Left[0].Name}}, nil
	case Found:
		return Person{Status: Found, User: f.Users[0]}, nil
	case External, Unknown:
		return Person{Status: status}, nil
	}
	several := Person{Status: Ambiguous, Fit: len(f.Users) + len(f.Left)}
	for _, u := range f.Users[:min(mostCandidates, len(f.Users))] {
		several.Candidates = append(several.Candidates, Candidate{UserID: u.UserID, Name: u.Name, Department: d.Department(ctx, u)})
	}
	for _, l := range f.Left[:min(mostCandidates-len(several.Candidates), len(f.Left))] {
		several.Candidates = append(several.Candidates, Candidate{UserID: l.UserID, Name: l.Name})
	}
	return several, nil
}

// Judge is whether what the directory has under a name is one person, and nobody else.
func Judge(f directory.Found, p lists.Person) Status {
	switch n := len(f.Users); {
	case f.External:
		return External
	case n == 0 && len(f.Left) == 1:
		return Departed
	case n == 1 && len(f.Left) == 0 && !Contradicts(f.Users[0], p):
		return Found
	case n+len(f.Left) == 0:
		return Unknown
	}
	return Ambiguous
}

// Contradicts reports whether what a list says of somebody is not true of the user. What the app may not read contradicts
// nothing.
func Contradicts(u dingtalk.User, said lists.Person) bool {
	differs := func(has, text string) bool { return has != "" && has != text }
	switch said.By {
	case lists.UserID:
		return u.UserID != said.Text
	case lists.UnionID:
		return differs(u.UnionID, said.Text)
	case lists.Mobile:
		return differs(directory.Mobile(u.Mobile), directory.Mobile(said.Text))
	case lists.JobNumber:
		return differs(u.JobNumber, said.Text)
	case lists.Email:
		seen := u.Email != "" || u.OrgEmail != ""
		return seen && !strings.EqualFold(u.Email, said.Text) && !strings.EqualFold(u.OrgEmail, said.Text)
	}
	return differs(plain(u.Name), plain(said.Text))
}

// plain is a name without what differs between programs: width, case and blanks.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, width.Fold.String(name))
}

// Roles are those that a list means by an id, a name or group/name: exactly one is a role that was named. What stands as a
// name may be an id all the same; where one role is called so and another has it for its id, both fit.
func Roles(all []dingtalk.Role, named lists.Role) []dingtalk.Role {
	var fit []dingtalk.Role
	id := named.ID
	if id == 0 {
		fit = directory.RolesCalled(all, named.Name)
		if id, _ = lists.ParseRoleID(named.Name); id == 0 {
			return fit
		}
	}
	for _, r := range all {
		if r.ID == id && !slices.Contains(fit, r) {
			fit = append(fit, r)
		}
	}
	return fit
}
