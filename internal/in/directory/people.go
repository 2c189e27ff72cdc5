package directory

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/isolate"
	"github.com/unrole/unrole/internal/out/outcome"
)

// Found is what the directory has under a name. Exactly one of Users, and nothing else, is the person that was meant; any
// other number has to be decided by somebody.
type Found struct {
	Users []dingtalk.User
	// Left are people of that mobile number or user id who left within a year.
	Left []dingtalk.Leaver
	// External is set where the union id is that of a contact who is no employee.
	External bool
}

// mostCandidates bounds how many people of one name are looked at.
const mostCandidates = 50

// Find looks for a person by any way of naming them. A staff number or an e-mail address has no call of its own: the whole
// directory is read for the first of them. The search by name is the one question that counts towards the monthly quota.
func (d *Directory) Find(ctx context.Context, p lists.Person) (Found, error) {
	switch p.Kind {
	case lists.UserID:
		return d.byID(ctx, p.Text)
	case lists.Mobile:
		return d.byMobile(ctx, p.Text)
	case lists.UnionID:
		return d.byUnion(ctx, p.Text)
	case lists.Name:
		return d.byName(ctx, p.Text)
	case lists.JobNumber:
		return d.where(ctx, func(u dingtalk.User) bool { return u.JobNumber == p.Text })
	}
	return d.where(ctx, func(u dingtalk.User) bool {
		return strings.EqualFold(u.Email, p.Text) || strings.EqualFold(u.OrgEmail, p.Text)
	})
}

// nobody reports whether an error says that there is no such person.
func nobody(err error) bool {
	var failed *dingtalk.Error
	return errors.As(err, &failed) && outcome.Of(failed.Class).Blame == isolate.BlameUser
}

func (d *Directory) byID(ctx context.Context, id string) (Found, error) {
	user, err := ask(ctx, d, "v2/user/get", func() (dingtalk.User, error) { return d.source.User(ctx, id) })
	if nobody(err) {
		return d.amongLeavers(ctx, func(l dingtalk.Leaver) bool { return l.UserID == id })
	}
	if err != nil {
		return Found{}, err
	}
	return Found{Users: []dingtalk.User{user}}, nil
}

func (d *Directory) byMobile(ctx context.Context, mobile string) (Found, error) {
	id, err := ask(ctx, d, "v2/user/getbymobile", func() (string, error) { return d.source.UserByMobile(ctx, mobile) })
	if nobody(err) {
		return d.amongLeavers(ctx, func(l dingtalk.Leaver) bool { return l.Mobile == mobile })
	}
	if err != nil {
		return Found{}, err
	}
	return d.byID(ctx, id)
}

func (d *Directory) byUnion(ctx context.Context, union string) (Found, error) {
	external := false
	id, err := ask(ctx, d, "user/getbyunionid", func() (id string, err error) {
		id, external, err = d.source.UserByUnionID(ctx, union)
		return id, err
	})
	switch {
	case nobody(err):
		return Found{}, nil
	case err != nil:
		return Found{}, err
	case external:
		return Found{External: true}, nil
	}
	return d.byID(ctx, id)
}

func (d *Directory) byName(ctx context.Context, name string) (Found, error) {
	page, err := ask(ctx, d, "contact/users/search", func() (dingtalk.SearchPage, error) { return d.source.Search(ctx, name, 0, mostCandidates) })
	if err != nil {
		return Found{}, err
	}
	var found Found
	for _, id := range page.UserIDs {
		one, err := d.byID(ctx, id)
		if err != nil {
			return Found{}, err
		}
		found.Users = append(found.Users, one.Users...)
	}
	return found, nil
}

// where looks through the whole directory. The people found there come with what the list of members has: their roles are
// asked for one by one.
func (d *Directory) where(ctx context.Context, is func(dingtalk.User) bool) (Found, error) {
	all, err := d.everybody(ctx)
	if err != nil {
		return Found{}, err
	}
	var found Found
	for _, user := range all {
		if !is(user) {
			continue
		}
		one, err := d.byID(ctx, user.UserID)
		if err != nil {
			return Found{}, err
		}
		found.Users = append(found.Users, one.Users...)
	}
	return found, nil
}

// everybody reads the whole directory, once: every department and its direct members.
func (d *Directory) everybody(ctx context.Context) ([]dingtalk.User, error) {
	return d.people.get(func() ([]dingtalk.User, error) {
		var all []dingtalk.User
		seen := map[string]bool{} // somebody in two departments comes twice
		visited := map[int64]bool{}
		for below := []int64{dingtalk.RootDepartment}; len(below) > 0; {
			id := below[0]
			if below = below[1:]; visited[id] {
				continue
			}
			visited[id] = true
			departments, err := ask(ctx, d, "v2/department/listsub", func() ([]dingtalk.Department, error) { return d.source.Departments(ctx, id) })
			if err != nil {
				return nil, err
			}
			for _, sub := range departments {
				below = append(below, sub.ID)
			}
			cursor := int64(0)
			err = pages(func() (bool, error) {
				page, err := ask(ctx, d, "v2/user/list", func() (dingtalk.MembersPage, error) {
					return d.source.Members(ctx, id, cursor, dingtalk.MaxMembersPage)
				})
				for _, user := range page.Users {
					if !seen[user.UserID] {
						seen[user.UserID] = true
						all = append(all, user)
					}
				}
				cursor = page.Next
				return page.HasMore, err
			})
			if err != nil {
				return nil, err
			}
		}
		return all, nil
	})
}

// amongLeavers looks through those who left within a year. An app that may not read them finds nobody there.
func (d *Directory) amongLeavers(ctx context.Context, is func(dingtalk.Leaver) bool) (Found, error) {
	all, err := d.leavers.get(func() ([]dingtalk.Leaver, error) {
		var all []dingtalk.Leaver
		to := d.now()
		next := ""
		err := pages(func() (bool, error) {
			page, err := ask(ctx, d, "contact/empLeaveRecords", func() (dingtalk.LeaversPage, error) {
				return d.source.Leavers(ctx, to.Add(-dingtalk.MaxLeaversSpan), to, next, dingtalk.MaxLeaversPage)
			})
			all = append(all, page.Leavers...)
			next = page.Next
			return next != "", err
		})
		var failed *dingtalk.Error
		if errors.As(err, &failed) && failed.Class == dingtalk.ClassPermission {
			return nil, nil
		}
		return all, err
	})
	if err != nil {
		return Found{}, err
	}
	left := slices.DeleteFunc(slices.Clone(all), func(l dingtalk.Leaver) bool { return !is(l) })
	return Found{Left: left}, nil
}
