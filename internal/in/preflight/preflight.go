// Package preflight reads DingTalk before anything is sent: who is meant, who holds what, and what must not be touched.
package preflight

import (
	"context"
	"iter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/in/resolve"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/record/snapshot"
)

// DefaultMaxShare is the share of a role's holders above which a removal needs somebody's word, and LeastHolders the fewest
// holders of which a share means anything.
const (
	DefaultMaxShare = 0.5
	LeastHolders    = 10
)

// Request is what a list asks for.
type Request struct {
	// Rows are gone through twice, and once more by Result.Asking.
	Rows iter.Seq[lists.Row]
	// AllRoles takes from everybody all that they hold, the default group's and Keep's excepted; the rows name no roles then.
	AllRoles bool
	Keep     []lists.Role
	// EvenAdmins lets administrators be touched.
	EvenAdmins bool
	// MaxShare is that of Result.Shares; 0 means DefaultMaxShare.
	MaxShare float64
	// Discreet has the problems say whom they are about by a hint, see lists.Person.Hint.
	Discreet bool
}

// Result is what was seen. Removals are exactly the pairs that were asked for by rows without a problem, and held.
type Result struct {
	Removals *enqueue.Removals
	Snapshot *enqueue.Snapshot
	// Problems are the rows that name nobody, or several, or what must not be touched: nothing of them is in Removals.
	Problems []Problem
	// Doubts are the people and roles that fit several, each once: somebody may say which is meant.
	Doubts []Doubt
	// Shares are roles that would lose more than MaxShare of their holders, who are LeastHolders or more.
	Shares []Share
	// Found, Ambiguous, Unknown, Departed and External count people.
	Found, Ambiguous, Unknown, Departed, External int
	// Spared are the roles that all roles does not take, in the order of their ids, as far as anybody holds them.
	Spared []Spared
	// Admins is how many administrators DingTalk names, all of whom are protected; 0 where nobody asked, see Request.EvenAdmins.
	Admins int
	// Asked is every pair asked for by rows without a problem, held or not.
	Asked *enqueue.Removals
	// Lookups counts the questions that were put, and LookupTime is what they take at the pace.
	Lookups    int
	LookupTime time.Duration

	run *run
}

// Spared is a role that is left to so many people: of the default group, or else one that is to be kept.
type Spared struct {
	Role    dingtalk.Role
	Users   int
	Default bool
}

// Problem is why a row removes nothing.
type Problem struct {
	Line int
	Why  texts.Text
	// Reason says the same in a word; Candidates are those who fit where several do.
	Reason     snapshot.Reason
	Candidates []resolve.Candidate
	// OfRole says that a role is to blame, not the person.
	OfRole bool
}

// Doubt is a person or a role of the list who may be one of several. Exactly one of Person and Role is set.
type Doubt struct {
	Person lists.Person
	Role   lists.Role
	// People are who the person may be, the first few of Fit, and Roles which the role may be.
	People []resolve.Candidate
	Roles  []dingtalk.Role
	Fit    int
}

// Share is a role that many of its holders would lose.
type Share struct {
	Role           dingtalk.Role
	Holders, Loses int
}

// run is a preflight at work.
type run struct {
	d   *directory.Directory
	req Request
	res *Result

	people   []lists.Person
	at       map[lists.Person]int
	detailed map[int]bool // people who have to be looked at one by one
	all      map[int]bool // people of whom all roles are asked for
	found    []resolve.Person

	roles  []dingtalk.Role
	named  map[lists.Role][]dingtalk.Role
	keep   map[int64]bool
	admins map[string]bool
	// held has, of each role that was looked at, its holders who are on the list, with their management scopes.
	held    map[int64]map[string][]int64
	holders map[int64]int
}

// Run reads what the request takes. An error means that nothing is known: nothing may be sent then.
func Run(ctx context.Context, d *directory.Directory, req Request) (*Result, error) {
	if req.MaxShare == 0 {
		req.MaxShare = DefaultMaxShare
	}
	r := &run{d: d, req: req, at: map[lists.Person]int{}, detailed: map[int]bool{}, all: map[int]bool{}, named: map[lists.Role][]dingtalk.Role{},
		keep: map[int64]bool{}, held: map[int64]map[string][]int64{}, holders: map[int64]int{},
		res: &Result{Removals: &enqueue.Removals{}, Asked: &enqueue.Removals{}, Snapshot: &enqueue.Snapshot{SeenAt: d.Since()}}}
	r.res.run = r
	for row := range req.Rows {
		r.meet(row)
	}
	for _, step := range []func(context.Context) error{r.readRoles, r.readPeopleAndHolders, r.findTheRest} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	r.count()
	for row := range req.Rows {
		r.take(row)
	}
	r.shares()
	r.doubts()
	r.res.Lookups, r.res.LookupTime = d.Lookups()
	return r.res, nil
}

// meet notes whom and what a row names.
func (r *run) meet(row lists.Row) {
	for _, p := range row.People {
		at, known := r.at[p]
		if !known {
			at = len(r.people)
			r.at[p] = at
			r.people = append(r.people, p)
		}
		if p.By != lists.UserID || len(row.Also) > 0 {
			r.detailed[at] = true
		}
		if r.asksAll(row) {
			r.all[at] = true
		}
	}
	for _, role := range row.Roles {
		r.named[role] = nil
	}
}

// asksAll reports whether a row asks for all that its people hold.
func (r *run) asksAll(row lists.Row) bool { return r.req.AllRoles || row.AllRoles }

func (r *run) readRoles(ctx context.Context) (err error) {
	if r.roles, err = r.d.Roles(ctx); err != nil {
		return err
	}
	for named := range r.named {
		r.named[named] = resolve.Roles(r.roles, named)
	}
	for _, keep := range r.req.Keep {
		roles := resolve.Roles(r.roles, keep)
		if len(roles) != 1 {
			return &RoleError{keep, roles}
		}
		r.keep[roles[0].ID] = true
	}
	if !r.req.EvenAdmins {
		r.admins, err = r.d.Admins(ctx)
		r.res.Admins = len(r.admins)
	}
	return err
}

// findPeople looks for those who are named otherwise than by a user id, and tells holds what each of them holds of whom all roles are
// asked for. What all of somebody's roles are is asked of each of the others, too, unless reading who holds each role takes fewer questions.
func (r *run) findPeople(ctx context.Context, holds func([]dingtalk.Role)) error {
	r.found = make([]resolve.Person, len(r.people))
	unknown := 0
	for i := range r.all {
		if !r.detailed[i] {
			unknown++
		}
	}
	return r.look(ctx, func(i int) bool { return r.detailed[i] || r.all[i] && unknown <= len(r.roles) }, holds)
}

// look looks for some of the people; holds may be nil.
func (r *run) look(ctx context.Context, which func(i int) bool, holds func([]dingtalk.Role)) error {
	var at []int
	var people []lists.Person
	for i, p := range r.people {
		if which(i) {
			at, people = append(at, i), append(people, p)
		} else if !r.detailed[i] {
			r.found[i].Status, r.found[i].User.UserID = resolve.Found, p.Text
		}
	}
	err := resolve.People(ctx, r.d, people, func(i int, p resolve.Person) {
		r.found[at[i]] = p
		if holds != nil && r.all[at[i]] && p.Status == resolve.Found {
			holds(p.User.Roles)
		}
	})
	for _, i := range at {
		r.detailed[i] = true
	}
	return err
}

// concerned are the roles whose holders have to be read, once people are found.
func (r *run) concerned() []dingtalk.Role {
	found, shown := 0, false
	for i := range r.all {
		switch {
		case !r.detailed[i]:
			return r.roles
		case r.found[i].Status == resolve.Found:
			found++
			shown = shown || len(r.found[i].User.Roles) > 0
		}
	}
	if found > 0 && !shown {
		// Whoever holds no role has no list of them, and so has everybody whose list the app may not read: only the roles can tell.
		return r.roles
	}
	return nil
}

// takes reports whether all of somebody's roles include the role.
func (r *run) takes(role dingtalk.Role) bool { return !directory.IsDefault(role) && !r.keep[role.ID] }

// readPeopleAndHolders looks for the people and reads meanwhile who holds the roles, as soon as it is known that they are concerned: each of
// the two has a pace of its own.
func (r *run) readPeopleAndHolders(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	h := &holders{run: r, ctx: ctx, group: group, places: make(chan struct{}, rolesAtOnce), begun: map[int64]bool{}, waiting: map[int64][]dingtalk.Person{}, names: map[string]string{}}
	group.Go(func() error {
		for _, roles := range r.named {
			if len(roles) == 1 && !directory.IsDefault(roles[0]) {
				h.read(roles[0].ID)
			}
		}
		if err := r.findPeople(ctx, h.readAll); err != nil {
			return err
		}
		h.peopleFound()
		h.readAll(r.concerned())
		return nil
	})
	err := group.Wait()
	for i := range r.found {
		if u := &r.found[i].User; u.Name == "" {
			u.Name = h.names[u.UserID]
		}
	}
	return err
}

// findTheRest looks at those who hold none of the roles and may not exist at all.
func (r *run) findTheRest(ctx context.Context) error {
	holds := map[string]bool{}
	for _, holders := range r.held {
		for id := range holders {
			holds[id] = true
		}
	}
	return r.look(ctx, func(i int) bool { return !r.detailed[i] && !holds[r.found[i].User.UserID] }, nil)
}
