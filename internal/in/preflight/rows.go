package preflight

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/asked"
	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/in/resolve"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/record/snapshot"
)

// RoleError says that a role to be kept names none, or several.
type RoleError struct {
	Role lists.Role
	Fit  []dingtalk.Role
}

func (e *RoleError) Error() string { return e.Unwrap().Error() }

// Unwrap is its text, which can be said in other languages.
func (e *RoleError) Unwrap() error { return whyNoRole(e.Role, e.Fit) }

// take adds what a row asks for, or says why it asks for nothing.
func (r *run) take(row lists.Row) {
	users, roles, why := r.meaning(row)
	if len(why) > 0 {
		for _, w := range why {
			w.Line = row.Line
			r.res.Problems = append(r.res.Problems, w)
		}
		r.res.Snapshot.Unresolved++
		return
	}
	for _, p := range users {
		if r.asksAll(row) {
			r.takeAll(p)
		}
		for _, role := range roles {
			r.takePair(p.User.UserID, role.ID)
		}
	}
}

// meaning is whom and what a row means; why says what keeps it from meaning that.
func (r *run) meaning(row lists.Row) (users []resolve.Person, roles []dingtalk.Role, why []Problem) {
	for _, said := range row.People {
		p := r.found[r.at[said]]
		if w, bad := r.whyNot(said, p); bad {
			why = append(why, w)
			continue
		}
		why = append(why, r.contradictions(row, said, p)...)
		users = append(users, p)
	}
	for _, said := range row.Roles {
		fit := r.named[said]
		switch {
		case len(fit) != 1:
			reason := snapshot.AmbiguousRole
			if len(fit) == 0 {
				reason = snapshot.UnknownRole
			}
			why = append(why, Problem{OfRole: true, Reason: reason, Why: whyNoRole(said, fit)})
		case directory.IsDefault(fit[0]):
			why = append(why, Problem{OfRole: true, Reason: snapshot.DefaultGroup,
				Why: texts.T("role %s is of the default group, which follows the organisation's structure: it is taken away in DingTalk's administration console", nameOf(fit[0]))})
		default:
			roles = append(roles, fit[0])
		}
	}
	return users, roles, why
}

// contradictions is what a row says of its person besides, and is not true of who was found.
func (r *run) contradictions(row lists.Row, said lists.Person, p resolve.Person) (why []Problem) {
	for _, also := range row.Also {
		if resolve.Contradicts(p.User, also) {
			why = append(why, Problem{Reason: snapshot.Contradiction,
				Why: texts.T("%s is %s, not %s: the list may be shifted by a row, or the name has changed; correct the row, or take what is wrong out of it",
					r.say(said), describe(p.User), r.say(also))})
		}
	}
	return why
}

// whyNot says why nobody is meant, or somebody who must not be touched.
func (r *run) whyNot(said lists.Person, p resolve.Person) (Problem, bool) {
	name := r.say(said)
	switch p.Status {
	case resolve.Unknown:
		return Problem{Reason: snapshot.Unknown, Why: texts.T("%s: nobody whom this app may see in DingTalk is known by that", name)}, true
	case resolve.Departed:
		return Problem{Reason: snapshot.Departed, Why: texts.T("%s: %s has left the organisation and holds no role any more; take the row out", name, describe(p.User))}, true
	case resolve.External:
		return Problem{Reason: snapshot.External, Why: texts.T("%s: a contact from outside, who holds no role", name)}, true
	case resolve.Ambiguous:
		if p.Fit == 1 && len(p.Candidates) == 1 {
			return Problem{Reason: snapshot.Ambiguous, Candidates: p.Candidates,
				Why: texts.T("%s: DingTalk knows %s, who is not called exactly so; say who is meant by the user id", name, p.Candidates[0].String())}, true
		}
		var fit []string
		for _, c := range p.Candidates {
			fit = append(fit, c.String())
		}
		if more := p.Fit - len(p.Candidates); more > 0 {
			fit = append(fit, fmt.Sprintf("… (%d)", more))
		}
		return Problem{Reason: snapshot.Ambiguous, Candidates: p.Candidates,
			Why: texts.T("%s fits several people: %s; say which by the user id", name, strings.Join(fit, ", "))}, true
	}
	if r.admins[p.User.UserID] || p.User.Admin && !r.req.EvenAdmins {
		return Problem{Reason: snapshot.Administrator,
			Why: texts.T("%s: %s is an administrator of the organisation, who is protected", name, describe(p.User))}, true
	}
	return Problem{}, false
}

// say names somebody as the list does, or by a hint.
func (r *run) say(p lists.Person) string {
	if r.req.Discreet {
		return p.Hint()
	}
	return p.String()
}

func whyNoRole(said lists.Role, fit []dingtalk.Role) texts.Text {
	switch {
	case said.ID != 0:
		return texts.T("no role has the id %s", fmt.Sprint(said.ID))
	case len(fit) == 0:
		return texts.T("no role is called %q", said.Name)
	}
	var names []string
	for _, role := range fit {
		names = append(names, fmt.Sprintf("%s (%d)", nameOf(role), role.ID))
	}
	return texts.T("%q is the name of several roles: %s; write GROUP/NAME, or the id", said.Name, strings.Join(names, ", "))
}

func nameOf(r dingtalk.Role) string { return strings.TrimPrefix(r.Group+"/"+r.Name, "/") }

// describe is somebody as a person can tell who that is.
func describe(u dingtalk.User) string {
	if u.Name == "" {
		return u.UserID
	}
	return u.Name + " (" + u.UserID + ")"
}

// takeAll takes all that somebody holds.
func (r *run) takeAll(p resolve.Person) {
	for _, role := range r.roles {
		if _, holds := r.held[role.ID][p.User.UserID]; holds && r.takes(role) {
			r.takePair(p.User.UserID, role.ID)
		}
	}
	for _, role := range p.User.Roles {
		if !r.takes(role) {
			r.spare(role)
		}
	}
}

// spare notes that somebody keeps a role.
func (r *run) spare(role dingtalk.Role) {
	at, found := slices.BinarySearchFunc(r.res.Spared, role.ID, func(s Spared, id int64) int { return cmp.Compare(s.Role.ID, id) })
	if !found {
		r.res.Spared = slices.Insert(r.res.Spared, at, Spared{Role: role, Default: directory.IsDefault(role)})
	}
	r.res.Spared[at].Users++
}

// takePair takes a pair that is held, and notes one that is not.
func (r *run) takePair(user string, role int64) {
	if !r.res.Asked.Add(user, role) {
		return
	}
	scope, holds := r.held[role][user]
	if !holds {
		r.res.Snapshot.NotHeld = append(r.res.Snapshot.NotHeld, enqueue.SnapshotPair{UserID: user, RoleID: role})
		return
	}
	r.res.Removals.Add(user, role)
	if len(scope) > 0 {
		r.res.Snapshot.Scopes = append(r.res.Snapshot.Scopes,
			enqueue.SnapshotScope{Pair: enqueue.SnapshotPair{UserID: user, RoleID: role}, Departments: scope})
	}
}

// count counts what became of the people, and lists those who were found.
func (r *run) count() {
	seen := map[string]bool{}
	for _, p := range r.found {
		switch p.Status {
		case resolve.Unknown:
			r.res.Unknown++
		case resolve.Ambiguous:
			r.res.Ambiguous++
		case resolve.Departed:
			r.res.Departed++
		case resolve.External:
			r.res.External++
		case resolve.Found:
			if !seen[p.User.UserID] {
				seen[p.User.UserID] = true
				r.res.Found++
			}
		}
	}
}

// shares finds the roles that many of their holders would lose.
func (r *run) shares() {
	loses := map[int64]int{}
	for u := range r.res.Removals.Users() {
		for role := range r.res.Removals.RolesOf(u) {
			loses[role]++
		}
	}
	for _, role := range r.roles {
		if n := r.holders[role.ID]; n >= LeastHolders && float64(loses[role.ID]) > r.req.MaxShare*float64(n) {
			r.res.Shares = append(r.res.Shares, Share{Role: role, Holders: n, Loses: loses[role.ID]})
		}
	}
}

// doubts lists who and what fits several, in the order of the list.
func (r *run) doubts() {
	for i, p := range r.found {
		if p.Status == resolve.Ambiguous {
			r.res.Doubts = append(r.res.Doubts, Doubt{Person: r.people[i], People: p.Candidates, Fit: p.Fit})
		}
	}
	var roles []Doubt
	for said, fit := range r.named {
		if len(fit) > 1 {
			roles = append(roles, Doubt{Role: said, Roles: fit, Fit: len(fit)})
		}
	}
	slices.SortFunc(roles, func(a, b Doubt) int { return cmp.Compare(a.Role.Name, b.Role.Name) })
	r.res.Doubts = append(r.res.Doubts, roles...)
}

// Asking names what was asked for, whatever it came to; without the key it does not tell what that is.
func (res *Result) Asking(key []byte) string {
	req := res.run.req
	return asked.ListDigest(key, req.Rows, req.AllRoles, req.Keep, req.EvenAdmins)
}

// People are those who were found, by user id, as far as they were looked at: of somebody who was listed by the user id and
// holds one of the roles only the name is known.
func (res *Result) People() map[string]dingtalk.User {
	people := make(map[string]dingtalk.User, res.Found)
	for _, p := range res.run.found {
		if p.Status == resolve.Found {
			people[p.User.UserID] = p.User
		}
	}
	return people
}

// RoleName is what a role is called, GROUP/NAME; empty where there is none of that id.
func (res *Result) RoleName(id int64) string {
	for _, role := range res.run.roles {
		if role.ID == id {
			return nameOf(role)
		}
	}
	return ""
}

// Row is whom and what a row of the list meant: nobody, where it has problems.
func (res *Result) Row(row lists.Row) (users []string, roles []int64, why []Problem) {
	people, of, why := res.run.meaning(row)
	if len(why) > 0 {
		return nil, nil, why
	}
	for _, p := range people {
		users = append(users, p.User.UserID)
	}
	for _, role := range of {
		roles = append(roles, role.ID)
	}
	if res.run.asksAll(row) {
		// What each of them holds differs; whoever joins the rows with the pairs of the job passes those over that are none.
		roles = res.Removals.Roles()
	}
	return users, roles, nil
}

// NoneHeld are those of a row without a problem of whom all roles were asked for, and who hold none of those that are taken.
func (res *Result) NoneHeld(row lists.Row) (users []string) {
	if !res.run.asksAll(row) {
		return nil
	}
	for _, said := range row.People {
		id := res.run.found[res.run.at[said]].User.UserID
		if !slices.ContainsFunc(res.run.roles, func(role dingtalk.Role) bool {
			_, holds := res.run.held[role.ID][id]
			return holds && res.run.takes(role)
		}) {
			users = append(users, id)
		}
	}
	return users
}
