package directory

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/isolate"
	"github.com/unrole/unrole/internal/out/outcome"
	"github.com/unrole/unrole/internal/record/index"
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

// Find looks for a person by any way of naming them. A staff number or an e-mail address has no call of its own: the index
// tells, and where there is none the whole directory is read for the first of them. The search by name is the one question that counts towards the monthly quota.
func (d *Directory) Find(ctx context.Context, p lists.Person) (Found, error) {
	switch p.By {
	case lists.UserID:
		return d.byID(ctx, p.Text)
	case lists.Mobile:
		return d.byMobile(ctx, p.Text)
	case lists.UnionID:
		return d.byUnion(ctx, p.Text)
	case lists.Name:
		return d.byName(ctx, p.Text)
	case lists.JobNumber:
		return d.bySign(ctx, index.Sign{Kind: index.JobNumber, Text: p.Text})
	}
	return d.bySign(ctx, index.Sign{Kind: index.Email, Text: strings.ToLower(p.Text)})
}

// Mobile is a mobile number as DingTalk has it: eleven digits in the mainland, elsewhere +49-1511234567. Signs that people
// put between the digits are left out, and so is the mainland's country code.
func Mobile(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == ' ' || r == '(' || r == ')' || r == '\u00a0' {
			return -1
		}
		return r
	}, text)
	digits := strings.ReplaceAll(text, "-", "")
	for _, code := range []string{"+86", "0086", "86", ""} {
		if rest, found := strings.CutPrefix(digits, code); found && len(rest) == 11 && rest[0] == '1' {
			return rest
		}
	}
	return text
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
	mobile = Mobile(mobile)
	id, err := ask(ctx, d, "v2/user/getbymobile", func() (string, error) { return d.source.UserByMobile(ctx, mobile) })
	if nobody(err) {
		return d.amongLeavers(ctx, func(l dingtalk.Leaver) bool { return Mobile(l.Mobile) == mobile })
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
		if one.Users == nil {
			// Somebody whom the app may not see has the name, too: then it does not name the other one alone.
			one.Users = []dingtalk.User{{UserID: id, Name: name}}
		}
		found.Users = append(found.Users, one.Users...)
	}
	if page.HasMore || page.Total > len(page.UserIDs) {
		found.Users = append(found.Users, dingtalk.User{Name: name}) // there are more of that name than could be looked at
	}
	return found, nil
}

// Admins are the user ids of the organisation's administrators, main and sub. They are read once.
func (d *Directory) Admins(ctx context.Context) (map[string]bool, error) {
	return d.admins.get(func() (map[string]bool, error) {
		ids, err := ask(ctx, d, "user/listadmin", func() ([]string, error) { return d.source.Admins(ctx) })
		set := make(map[string]bool, len(ids))
		for _, id := range ids {
			set[id] = true
		}
		return set, err
	})
}

// Department is the name of the first of a user's departments, for people to tell one from another; empty for the root, and
// where the app may not read it.
func (d *Directory) Department(ctx context.Context, u dingtalk.User) string {
	if len(u.Departments) == 0 || u.Departments[0] == dingtalk.RootDepartment {
		return ""
	}
	found, err := d.department(ctx, u.Departments[0])
	if err != nil {
		return ""
	}
	return found.Name
}

func (d *Directory) department(ctx context.Context, id int64) (dingtalk.Department, error) {
	d.mu.Lock()
	known, found := d.names[id]
	d.mu.Unlock()
	if found {
		return known, nil
	}
	asked, err := ask(ctx, d, "v2/department/get", func() (dingtalk.Department, error) { return d.source.Department(ctx, id) })
	if err == nil {
		d.named(asked)
	}
	return asked, err
}

func (d *Directory) named(department dingtalk.Department) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names[department.ID] = department
}

// amongLeavers looks through those who left within a year. An app that may not read them finds nobody there.
func (d *Directory) amongLeavers(ctx context.Context, is func(dingtalk.Leaver) bool) (Found, error) {
	all, err := d.leavers.get(func() ([]dingtalk.Leaver, error) {
		to := d.now().Add(time.Second) // the question has whole seconds: whoever left within this one is among them
		all, err := d.Left(ctx, to.Add(-dingtalk.MaxLeaversSpan), to)
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
