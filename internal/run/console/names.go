package console

import (
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/record/deadletter"
	"github.com/unrole/unrole/internal/record/report"
)

const (
	// namesLast is how long names are remembered, and mostNames how many people's.
	namesLast = 10 * time.Minute
	mostNames = 20_000
	// namesWait is how long a page waits for names; its script asks for the others, which may take namesTake.
	namesWait = 300 * time.Millisecond
	namesTake = 20 * time.Second
	// namesRest is how long DingTalk is not asked after it could not be.
	namesRest = 30 * time.Second
	// namesAtOnce is how many people are asked for side by side.
	namesAtOnce = 8
)

// names are people and roles as DingTalk's directory calls them, asked for when a page shows them. They are in memory and
// nowhere else. Nobody who cannot be named keeps a page from being shown: it has the ids.
type names struct {
	// open is nil where DingTalk cannot be asked.
	open func() (*directory.Directory, error)
	// turn lets the questions of one page go at a time, so that many open pages take little of the pace of new removals.
	turn chan struct{}

	mu    sync.Mutex
	since time.Time
	rests time.Time // until when nobody is asked
	dir   *directory.Directory
	// people has those without a name, too: they are not in the directory, or not for this app to see.
	people map[string]string
	roles  map[int64]string
}

func newNames(open func() (*directory.Directory, error)) *names {
	return &names{open: open, turn: make(chan struct{}, 1), people: map[string]string{}}
}

// missing are those of the people who are not known yet; all says that roles and people are. Where nobody can be asked nobody is
// missing.
func (n *names) missing(users []string) (missing []string, all bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.open == nil || time.Now().Before(n.rests) {
		return nil, true
	}
	if time.Since(n.since) > namesLast || len(n.people) > mostNames {
		n.since, n.dir, n.people, n.roles = time.Now(), nil, map[string]string{}, nil
	}
	for _, user := range users {
		if _, known := n.people[user]; !known {
			missing = append(missing, user)
		}
	}
	return missing, len(missing) == 0 && n.roles != nil
}

// look asks for the people, and for the roles; the channel is closed when that is over.
func (n *names) look(users []string) <-chan struct{} {
	over := make(chan struct{})
	if _, all := n.missing(users); all {
		close(over)
		return over
	}
	go func() {
		defer close(over)
		ctx, cancel := context.WithTimeout(context.Background(), namesTake)
		defer cancel()
		select {
		case n.turn <- struct{}{}:
			defer func() { <-n.turn }()
		case <-ctx.Done():
			return
		}
		if err := n.ask(ctx, users); err != nil && ctx.Err() == nil {
			n.mu.Lock()
			n.rests = time.Now().Add(namesRest)
			n.mu.Unlock()
		}
	}()
	return over
}

func (n *names) ask(ctx context.Context, users []string) (err error) {
	missing, all := n.missing(users)
	if all {
		return nil
	}
	n.mu.Lock()
	dir := n.dir
	n.mu.Unlock()
	if dir == nil {
		if dir, err = n.open(); err != nil {
			return err
		}
	}
	roles, err := dir.Roles(ctx)
	if err != nil {
		return err
	}
	called := make(map[int64]string, len(roles))
	for _, role := range roles {
		called[role.ID] = strings.TrimPrefix(role.Group+"/"+role.Name, "/")
	}
	n.mu.Lock()
	n.dir, n.roles = dir, called
	n.mu.Unlock()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(namesAtOnce)
	for _, id := range missing {
		group.Go(func() error {
			user, presence, err := dir.Serving(ctx, id)
			if err != nil {
				return err
			}
			n.take(id, user.Name)
			if presence != directory.Absent {
				return nil
			}
			// Who left within a year has a name all the same, in a list that has to be read once.
			found, err := dir.Find(ctx, lists.Person{Text: id})
			if len(found.Left) == 1 {
				n.take(id, found.Left[0].Name)
			}
			return err
		})
	}
	return group.Wait()
}

func (n *names) take(id, name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.people[id] = name
}

// called has the names that are known, roles by their ids in digits.
type called struct {
	People map[string]string `json:"people"`
	Roles  map[string]string `json:"roles"`
}

// Person and Role are the names of one, empty where nobody knows.
func (c called) Person(id string) string { return c.People[id] }
func (c called) Role(id string) string   { return c.Roles[id] }

// Of is that of a role or of a person.
func (c called) Of(role bool, id string) string {
	if role {
		return c.Roles[id]
	}
	return c.People[id]
}

// of are the names that are known of people, and of all roles.
func (n *names) of(users []string) called {
	n.mu.Lock()
	defer n.mu.Unlock()
	is := called{map[string]string{}, map[string]string{}}
	for _, user := range users {
		if name := n.people[user]; name != "" {
			is.People[user] = name
		}
	}
	for id, name := range n.roles {
		is.Roles[strconv.FormatInt(id, 10)] = name
	}
	return is
}

// all are those who are known.
func (n *names) all() map[string]report.Name {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make(map[string]report.Name, len(n.people))
	for id, name := range n.people {
		if name != "" {
			all[id] = report.Name{Name: name}
		}
	}
	return all
}

// call writes the names that are known to the people of a page.
func (n *names) call(people []personLine) called {
	known, is := n.of(usersOf(people)), called{map[string]string{}, map[string]string{}}
	is.People = known.People
	for i := range people {
		p := &people[i]
		p.Name = known.People[p.User]
		for j := range p.Roles {
			role := &p.Roles[j]
			if role.Name = known.Roles[role.Role]; role.Name != "" {
				is.Roles[role.Role] = role.Name
			}
		}
	}
	return is
}

func usersOf(people []personLine) []string {
	users := make([]string, len(people))
	for i, p := range people {
		users[i] = p.User
	}
	return users
}

// know has the page know people and roles by name, as far as that takes no time that somebody would notice; all says that
// nothing more can be known.
func (c *Console) know(v *visit, users []string) (all bool) {
	wait := time.NewTimer(namesWait)
	defer wait.Stop()
	select {
	case <-c.names.look(users):
		all = true
	case <-wait.C:
	case <-v.r.Context().Done():
	}
	v.Known = c.names.of(users)
	return all
}

// nameThem names the people of a job's page. Names then has where to ask for those who are not known at once.
func (c *Console) nameThem(v *visit, page *jobView, from string) {
	if !c.know(v, append(usersOf(page.People), page.Letters.users()...)) {
		page.Names = v.Prefix + "/jobs/" + page.JobID + "/names?" + url.Values{"from": {from}}.Encode()
	}
	c.names.call(page.People)
}

// jobNames tells an open page what its people and roles are called.
func (c *Console) jobNames(v *visit) error {
	job, err := c.ledger.Get(v.r.Context(), v.r.PathValue("id"))
	if err != nil {
		return err
	}
	page := &jobView{jobLine: line(job)}
	if err := c.readPeople(v.r.Context(), page, v.r.URL.Query().Get("from")); err != nil {
		return err
	}
	if job.Pairs.Dead > 0 {
		if page.Letters, err = c.lettersOf(v.r.Context(), deadletter.Filter{JobIDs: []string{job.JobID}}); err != nil {
			return err
		}
	}
	refused := page.Letters.users()
	select {
	case <-c.names.look(append(usersOf(page.People), refused...)):
	case <-v.r.Context().Done():
	}
	is := c.names.call(page.People)
	maps.Copy(is.People, c.names.of(refused).People)
	v.w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(v.w).Encode(is)
}
