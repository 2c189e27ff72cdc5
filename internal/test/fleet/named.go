package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/in/preflight"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/record/snapshot"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/promises"
	"github.com/unrole/unrole/tasks"
)

// deskRoles are the roles of the people who are asked for by names; two have one name, the last two are of the default group.
var deskRoles = []dingtalk.Role{{ID: 1507113600, Name: "cashier", Group: "desk"}, {ID: 1507113601, Name: "clerk", Group: "desk"}, {ID: 1507113602, Name: "cashier", Group: "shop"},
	{ID: 1507113603, Name: "keeper", Group: "shop"}, {ID: 1507113604, Name: "everybody", Group: "all"}, {ID: 1507113605, Name: "主管", Group: "默认"}}

const defaultDesk = 1507113605

// everybodysRole is held by all of them: who takes it from most of them has to wait for somebody's yes.
const everybodysRole = 1507113604

// wish is what a job says of one person.
type wish struct {
	promises.Wish
	roleNames []string
}

// names has people in the history who have numbers and names, jobs that ask for them by those, and what changes in the directory
// meanwhile.
func (p *plan) names(rng *rand.Rand) {
	for i := range 3 + rng.IntN(10) {
		c := colleague(i, fmt.Sprintf("colleague%02d", i))
		if rng.IntN(8) == 0 {
			c.Admin = 2
		}
		p.people = append(p.people, c)
	}
	if _, bad := p.bad[p.protected]; !bad && rng.IntN(4) == 0 {
		p.people = append(p.people, colleague(len(p.people), p.protected))
	}
	p.desks = map[promises.Pair]bool{}
	for _, c := range p.people {
		for _, role := range deskRoles {
			if role.ID == everybodysRole || rng.IntN(2) == 0 {
				p.desks[promises.Pair{User: c.UserID, Role: role.ID}] = true
			}
		}
	}
	if rng.IntN(2) == 0 { // otherwise nothing is known of staff numbers from before
		ttl := []time.Duration{4 * time.Second, time.Hour}[rng.IntN(2)]
		p.directoryTTL = ttl
	}
	p.jobs = p.jobs[:1] // a history is not to take longer for them
	for i := range 1 + rng.IntN(3) {
		p.jobs = append(p.jobs, p.namedJob(rng, i))
	}
	for range rng.IntN(6) {
		p.changes = append(p.changes, event{at: time.Duration(rng.Int64N(int64(6 * time.Second))), kind: changeNames[rng.IntN(len(changeNames))], pick: rng.Uint64()})
	}
	if rng.IntN(3) == 0 {
		p.changes = append(p.changes, event{at: time.Duration(rng.Int64N(int64(4 * time.Second))), kind: lookupsFail, pick: rng.Uint64(),
			lasts: 300*time.Millisecond + time.Duration(rng.Int64N(int64(3*time.Second)))})
	}
}

// colleague is somebody with every number there is; some have one name.
func colleague(i int, id string) simulator.Person {
	return simulator.Person{UserID: id, Name: fmt.Sprint("name ", i/2*2+min(i%4, 1)), Mobile: fmt.Sprintf("138000000%02d", i), JobNumber: fmt.Sprintf("%04d", i),
		UnionID: "union " + id, Email: id + "@example.com"}
}

func (p *plan) namedJob(rng *rand.Rand, i int) *job {
	j := &job{lane: tasks.Lanes()[rng.IntN(3)], at: time.Duration(rng.Int64N(int64(active / 2)))}
	j.ID, j.Pairs, j.Discarded = fmt.Sprint("named-", i), map[promises.Pair]bool{}, map[promises.Pair]bool{}
	j.by = []way{byIntake, byIntake, byCommand}[rng.IntN(3)]
	j.Named = &promises.Named{Skip: rng.IntN(2) == 0}
	if rng.IntN(5) == 0 {
		j.Named.Keep = []int64{deskRoles[rng.IntN(3)].ID}
	}
	most := 1 + rng.IntN(6)
	if rng.IntN(6) == 0 {
		most = len(p.people) // most of them lose what everybody has
	}
	for range most {
		j.wishes = append(j.wishes, p.wish(rng, len(j.Named.Keep) > 0))
	}
	if !slices.ContainsFunc(j.wishes, func(w wish) bool { return w.AllRoles }) {
		j.Named.Keep = nil // it goes with all roles
	}
	if rng.IntN(8) == 0 {
		j.starts = time.Duration(1+rng.IntN(5)) * time.Second
	}
	for _, w := range j.wishes {
		j.Named.Wishes = append(j.Named.Wishes, w.Wish)
	}
	return j
}

// wish is one for somebody, or nobody, by something that is said of them.
func (p *plan) wish(rng *rand.Rand, all bool) wish {
	who := p.people[rng.IntN(len(p.people))]
	said := func() lists.Person {
		kind := []lists.NamedBy{lists.UserID, lists.UnionID, lists.Mobile, lists.Mobile, lists.Mobile, lists.JobNumber, lists.JobNumber, lists.Email, lists.Name}[rng.IntN(9)]
		return saidOf(who, kind)
	}
	var w wish
	w.Who = said()
	switch rng.IntN(12) {
	case 0:
		w.Who = lists.Person{By: lists.Mobile, Text: "13900000000"} // nobody's
	case 1: // true of the same person, or not: the list is shifted by a row
		of := who
		if rng.IntN(2) == 0 {
			of = p.people[rng.IntN(len(p.people))]
		}
		if w.Who.By < lists.Name {
			w.Also = saidOf(of, lists.Name)
		}
	}
	if w.AllRoles = (all || rng.IntN(2) == 0) && who.UserID != p.protected; w.AllRoles {
		return w
	}
	for range 1 + rng.IntN(2) {
		role := deskRoles[rng.IntN(len(deskRoles)-1)]
		if rng.IntN(20) == 0 {
			role = deskRoles[len(deskRoles)-1]
		}
		w.Roles = append(w.Roles, role.ID)
		switch n := rng.IntN(10); {
		case n < 5:
			w.roleNames = append(w.roleNames, role.Group+"/"+role.Name)
		case n < 8:
			w.roleNames = append(w.roleNames, strconv.FormatInt(role.ID, 10))
		default:
			w.roleNames = append(w.roleNames, role.Name)
		}
		w.Doubtful = w.Doubtful || role.ID == defaultDesk || w.roleNames[len(w.roleNames)-1] == "cashier"
	}
	return w
}

func saidOf(p simulator.Person, kind lists.NamedBy) lists.Person {
	return lists.Person{By: kind, Text: map[lists.NamedBy]string{lists.UserID: p.UserID, lists.UnionID: p.UnionID, lists.Mobile: p.Mobile,
		lists.JobNumber: p.JobNumber, lists.Email: p.Email, lists.Name: p.Name}[kind]}
}

var kindFields = map[lists.NamedBy]string{lists.UserID: "user_id", lists.UnionID: "union_id", lists.Mobile: "mobile", lists.JobNumber: "job_number",
	lists.Email: "email", lists.Name: "name"}

// submitNamed submits a job in which people are named otherwise than by their ids.
func (w *world) submitNamed(p *process, j *job) error {
	w.mu.Lock()
	if j.Named.From.IsZero() {
		j.Named.From = time.Now()
	}
	w.mu.Unlock()
	if j.by == byIntake {
		return w.postNamed(j)
	}
	return w.lookUpAndSubmit(p, j)
}

// postNamed posts a job to the intake, each wish as an element of its own.
func (w *world) postNamed(j *job) error {
	var removals []map[string]any
	for _, wish := range j.wishes {
		user := map[string]string{kindFields[wish.Who.By]: wish.Who.Text}
		if wish.Also.Text != "" {
			user[kindFields[wish.Also.By]] = wish.Also.Text
		}
		of := map[string]any{"users": []any{user}}
		if wish.AllRoles {
			of["all_roles"] = true
		} else {
			of["roles"] = wish.roleNames
		}
		removals = append(removals, of)
	}
	body := map[string]any{"job_id": j.ID, "source": "hr", "reason": "left", "priority": j.lane, "removals": removals}
	if j.Named.Skip {
		body["unresolved"] = "skip"
	}
	if len(j.Named.Keep) > 0 {
		body["keep_roles"] = j.Named.Keep
	}
	if !j.due().IsZero() {
		body["at"] = j.due()
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	status, err := w.post(text)
	if status == http.StatusBadRequest || status == http.StatusConflict || status == http.StatusUnprocessableEntity {
		w.broken("%s: %v", j.ID, err)
		return nil
	}
	return err
}

// rows are the wishes as a list has them, a row each.
func (j *job) rows() iter.Seq[lists.Row] {
	return func(yield func(lists.Row) bool) {
		for i, w := range j.wishes {
			row := lists.Row{Line: i + 1, People: []lists.Person{w.Who}, AllRoles: w.AllRoles}
			if w.Also.Text != "" {
				row.Also = []lists.Person{w.Also}
			}
			for _, name := range w.roleNames {
				role := lists.Role{Name: name}
				if id, err := lists.ParseRoleID(name); err == nil {
					role = lists.Role{ID: id}
				}
				row.Roles = append(row.Roles, role)
			}
			if !yield(row) {
				return
			}
		}
	}
}

// lookUpAndSubmit is what unrole enqueue does with a list of names.
func (w *world) lookUpAndSubmit(p *process, j *job) error {
	with := w.parts(p)
	client, err := dingtalk.New(app.Credentials(w.conf(), with))
	if err != nil {
		return err
	}
	defer client.Close()
	d, err := app.NewDirectory(w.conf(), with, client)
	if err != nil {
		return err
	}
	req := preflight.Request{Rows: j.rows()}
	for _, id := range j.Named.Keep {
		req.Keep = append(req.Keep, lists.Role{ID: id})
	}
	seen, err := preflight.Run(p.alive, d, req)
	if err != nil {
		return err
	}
	unresolved := map[int]snapshot.Reason{}
	for _, problem := range seen.Problems {
		unresolved[problem.Line-1] = problem.Reason
	}
	w.mu.Lock()
	j.tries = append(j.tries, try{seen.Snapshot.SeenAt, unresolved})
	w.mu.Unlock()
	if len(unresolved) > 0 && !j.Named.Skip || seen.Removals.Pairs() == 0 {
		_, err := w.ledger.Get(w.ctx, j.ID) // an earlier try may have got further
		j.nothing = err != nil
		return nil
	}
	producer, err := enqueue.NewClient(enqueue.Config{Redis: p.rdb})
	if err != nil {
		return err
	}
	_, err = producer.Submit(p.alive, enqueue.Submission{JobID: j.ID, Removals: seen.Removals, Priority: j.lane, Source: "fleet", MaxUsers: -1, At: j.due(), Snapshot: seen.Snapshot})
	var conflict *enqueue.ConflictError
	if errors.As(err, &conflict) {
		return nil // an earlier try saw it otherwise, and that is the job
	}
	return err
}

// try is what a submission saw that looks up whom it means itself.
type try struct {
	seenAt     time.Time
	unresolved map[int]snapshot.Reason
}

// readNamed completes what is known of a job that was asked for by names from its record.
func (w *world) readNamed(j *job) {
	n := j.Named
	if n == nil {
		return
	}
	n.Unresolved, n.NotHeld = map[int]snapshot.Reason{}, map[promises.Pair]bool{}
	seen, err := w.ledger.Snapshot(w.ctx, j.ID)
	if err != nil {
		w.broken("%s: %v", j.ID, err)
		return
	}
	if seen == nil {
		return
	}
	for _, pair := range seen.NotHeld {
		n.NotHeld[promises.Pair{User: pair.UserID, Role: pair.RoleID}] = true
	}
	for _, row := range seen.Rows {
		at := strings.Split(row.Pointer, "/")
		i, err := strconv.Atoi(at[min(2, len(at)-1)])
		if err != nil || i >= len(n.Wishes) {
			w.broken("%s: unresolved is %q", j.ID, row.Pointer)
			continue
		}
		n.Unresolved[i] = row.Reason
	}
	if i := slices.IndexFunc(j.tries, func(t try) bool { return t.seenAt.Equal(seen.SeenAt) }); i >= 0 {
		n.Unresolved = j.tries[i].unresolved
	}
	for pr := range j.Ends {
		j.Pairs[pr] = true
	}
}
