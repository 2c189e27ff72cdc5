package preflight

import (
	"context"
	"iter"

	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/in/resolve"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/record/report"
)

// Compare looks only whether what rows say beside user ids is true of these people, one lookup each: a list that is shifted by a row
// would take from everybody what was another's. Of whom the directory does not know nothing can be untrue. Rows are gone through twice.
func Compare(ctx context.Context, d *directory.Directory, rows iter.Seq[lists.Row]) ([]Problem, error) {
	r := newRun(d)
	for row := range rows {
		if len(row.Also) > 0 {
			r.meet(row)
		}
	}
	r.found = make([]resolve.Person, len(r.people))
	if err := r.look(ctx, func(i int) bool { return true }, nil); err != nil {
		return nil, err
	}
	var problems []Problem
	for row := range rows {
		if len(row.Also) == 0 {
			continue
		}
		for _, said := range row.People {
			if p := r.found[r.at[said]]; p.Status == resolve.Found {
				for _, why := range r.contradictions(row, said, p) {
					why.Line = row.Line
					problems = append(problems, why)
				}
			}
		}
	}
	return problems, nil
}

// newRun is one that looks for people alone.
func newRun(d *directory.Directory) *run {
	r := &run{d: d, req: Request{EvenAdmins: true}, at: map[lists.Person]int{}, detailed: map[int]bool{}, named: map[lists.Role][]dingtalk.Role{}, res: &Result{}}
	r.res.run = r
	return r
}

// Whom looks up whom rows mean, and no more: for the report of what was done before. Rows are gone through once.
func Whom(ctx context.Context, d *directory.Directory, rows iter.Seq[lists.Row]) (*Result, error) {
	r := newRun(d)
	for row := range rows {
		r.meet(row)
	}
	if err := r.readRoles(ctx); err != nil {
		return nil, err
	}
	return r.res, r.findPeople(ctx, nil)
}

// Meant is whom and what a row means that was submitted before: whoever has left meanwhile counts, too. A role that nobody
// knows by its name any more is left out.
func (res *Result) Meant(row lists.Row) (users []string, roles []int64) {
	r := res.run
	for _, said := range row.People {
		if p := r.found[r.at[said]]; p.Status == resolve.Found || p.Status == resolve.Departed {
			users = append(users, p.User.UserID)
		} else if said.By == lists.UserID {
			users = append(users, said.Text)
		}
	}
	for _, said := range row.Roles {
		if said.ID != 0 {
			roles = append(roles, said.ID)
		} else if fit := r.named[said]; len(fit) == 1 {
			roles = append(roles, fit[0].ID)
		}
	}
	return users, roles
}

// Known are the people and roles that were seen, by name. Departments that nobody asked for yet are read, one question each;
// those that cannot be read are empty.
func (res *Result) Known(ctx context.Context) *report.Known {
	r := res.run
	known := &report.Known{People: make(map[string]report.Name, len(r.found)), Roles: make(map[int64]string, len(r.roles))}
	for _, p := range r.found {
		if p.User.Name != "" {
			known.People[p.User.UserID] = report.Name{Name: p.User.Name, Department: r.d.Department(ctx, p.User)}
		}
	}
	for _, role := range r.roles {
		known.Roles[role.ID] = nameOf(role)
	}
	return known
}
