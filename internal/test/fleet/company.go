package fleet

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/promises"
)

// company is the directory of the people who are asked for by names, as it changes; world.mu guards it.
type company struct {
	people  []simulator.Person
	history *promises.Directory
	left    map[string]bool
	given   map[promises.Pair]bool
	lookups map[string][]simulator.Call
	// refuses is how lookups are answered until then.
	refuses lookupRefusal
	until   time.Time
	// strangers is set while DingTalk knows none of them, as another organisation's would.
	strangers bool
}

// changeNames are the changes of the directory.
var changeNames = []string{"somebody leaves", "a mobile number moves", "a staff number moves", "a staff number is given twice", "a namesake comes", "a role is given", "a role is taken"}

const lookupsFail = "lookups fail"

// lookupRefusal is an answer to every lookup, by the manners of both hosts.
type lookupRefusal struct{ name, old, new string }

var lookupRefusals = []lookupRefusal{
	{"lookups were held", `{"errcode":60011,"errmsg":"no permission"}`, `{"code":"Forbidden.AccessDenied.AccessTokenPermissionDenied","message":"no permission","requestid":"1"}`},
	{"lookups were throttled", `{"errcode":88,"sub_code":"90018","sub_msg":"too many","errmsg":"ding talk error"}`, `{"code":"Forbidden.AccessDenied.QpsLimitForAppkeyAndApi","message":"too many","requestid":"1"}`},
	{"lookups were busy", `{"errcode":-1,"errmsg":"system busy"}`, `{"code":"system.busy","message":"busy","requestid":"1"}`},
}

// openCompany puts the people of the plan into the directory.
func (w *world) openCompany() {
	w.company = company{people: slices.Clone(w.plan.people), left: map[string]bool{}, given: map[promises.Pair]bool{}, lookups: map[string][]simulator.Call{},
		history: &promises.Directory{TTL: w.plan.directoryTTL, Default: map[int64]bool{defaultDesk: true}}}
	if len(w.plan.people) == 0 {
		return
	}
	for _, role := range deskRoles {
		w.sim.AddRole(role.ID, role.Name, role.Group)
	}
	for _, p := range w.plan.people {
		w.sim.AddPerson(p)
	}
	for pair := range w.plan.desks {
		w.sim.Grant(pair.User, pair.Role)
	}
	w.noteCompany()
}

// noteCompany notes what the directory is now.
func (w *world) noteCompany() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.plan.people) == 0 {
		return
	}
	s := promises.State{At: time.Now(), People: slices.Clone(w.company.people), Held: map[promises.Pair]bool{}, Hidden: w.company.strangers}
	for _, p := range s.People {
		for _, role := range deskRoles {
			if w.sim.Holds(p.UserID, role.ID) {
				s.Held[promises.Pair{User: p.UserID, Role: role.ID}] = true
			}
		}
	}
	w.company.history.Changed(s)
}

// estrange has DingTalk know nobody from now on, or everybody again.
func (w *world) estrange(strangers bool) {
	w.mu.Lock()
	w.company.strangers = strangers
	w.mu.Unlock()
	w.noteCompany()
}

// change changes the directory as its administrators do.
func (w *world) change(e event) {
	if e.kind == lookupsFail {
		w.mu.Lock()
		w.company.refuses, w.company.until = lookupRefusals[e.pick%uint64(len(lookupRefusals))], time.Now().Add(e.lasts)
		w.mu.Unlock()
		return
	}
	w.mu.Lock()
	people := w.company.people
	w.mu.Unlock()
	if len(people) < 2 {
		return
	}
	n := uint64(len(people))
	a, b := int(e.pick%n), int((e.pick+1+e.pick/n%(n-1))%n)
	role := deskRoles[e.pick/97%5].ID
	one, other := people[a], people[b]
	switch e.kind {
	case "somebody leaves":
		w.sim.Leave(one.UserID)
		w.mu.Lock()
		w.company.people = slices.Delete(slices.Clone(people), a, a+1)
		w.company.left[one.UserID] = true
		w.mu.Unlock()
	case "a mobile number moves":
		number := one.Mobile
		one.Mobile = ""
		w.put(a, one)
		other.Mobile = number
		w.put(b, other)
	case "a staff number moves":
		number := one.JobNumber
		one.JobNumber = ""
		w.put(a, one)
		other.JobNumber = number
		w.put(b, other)
	case "a staff number is given twice":
		other.JobNumber = one.JobNumber
		w.put(b, other)
	case "a namesake comes":
		other.Name = one.Name
		w.put(b, other)
	case "a role is given":
		w.mu.Lock()
		w.company.given[promises.Pair{User: one.UserID, Role: role}] = true
		w.mu.Unlock()
		w.sim.Grant(one.UserID, role)
	case "a role is taken":
		w.sim.Revoke(one.UserID, role)
	}
	w.noteCompany()
}

// put changes what the directory has of somebody.
func (w *world) put(at int, p simulator.Person) {
	w.sim.AddPerson(p)
	w.mu.Lock()
	w.company.people = slices.Clone(w.company.people)
	w.company.people[at] = p
	w.mu.Unlock()
	w.noteCompany()
}

// lookup is the answer to a lookup that meets with trouble, nil for one that goes through; other calls are none.
func (w *world) lookup(r *http.Request) *http.Response {
	path := r.URL.Path
	for _, other := range []string{"gettoken", "oauth2/accessToken", "removerolesforemps", "addrolesforemps", "scope/update"} {
		if strings.HasSuffix(path, other) {
			return nil
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.company.lookups[path] = append(w.company.lookups[path], simulator.Call{Arrived: time.Now()})
	if !time.Now().Before(w.company.until) {
		return nil
	}
	w.sawUnder(w.company.refuses.name, true)
	status, body := http.StatusOK, w.company.refuses.old
	if strings.HasPrefix(path, "/v1.0/") {
		status, body = http.StatusForbidden, w.company.refuses.new
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}
}

// lookAtNamed notes when it is certain what jobs mean that were asked for by names.
func (w *world) lookAtNamed() {
	for _, j := range w.plan.jobs {
		if j.Named == nil || !j.Named.To.IsZero() {
			continue
		}
		key := "unrole:job:{" + j.ID + "}"
		phase := w.redis.memory.HGet(key, "phase")
		if phase == "" || phase == "resolving" || phase == "planning" {
			continue
		}
		w.mu.Lock()
		j.Named.To = time.Now()
		w.mu.Unlock()
	}
}

// namedSituations are those of jobs that are asked for by names.
var namedSituations = []string{
	"a job of names removed something",
	"a job of staff numbers removed something",
	"a job of names was refused",
	"a job of names was refused for somebody who is protected",
	"what is not certain was left out",
	"unresolved: unknown",
	"unresolved: ambiguous",
	"unresolved: departed",
	"unresolved: contradiction",
	"unresolved: administrator",
	"unresolved: ambiguous_role",
	"unresolved: default_group",
	"a pair was not held when it was looked at",
	"nothing of a job of names was held",
	"the directory changed while a job was looked up",
	"the lead changed while a job was looked up",
	"a worker ended while a job was looked up",
	"a job was cancelled before it was looked up",
	"a job of names waited for its approval",
	"somebody left who had been looked up",
	"staff numbers were in the index",
	"lookups were held",
	"lookups were throttled",
	"lookups were busy",
}

// lookBackAtNames names what came up with the jobs that were asked for by names.
func (w *world) lookBackAtNames() {
	for _, j := range w.plan.jobs {
		n := j.Named
		if n == nil || j.nothing {
			continue
		}
		w.saw("a worker ended while a job was looked up", within(w.ends, n.From, n.To))
		at := func(kind lists.NamedBy) bool {
			return slices.ContainsFunc(n.Wishes, func(w promises.Wish) bool { return w.Who.By == kind })
		}
		w.saw("a job of names removed something", j.Counts.Removed > 0)
		w.saw("a job of staff numbers removed something", j.Counts.Removed > 0 && at(lists.JobNumber))
		w.saw("a job of names was refused", j.Record.State == "refused")
		w.saw("a job of names was refused for somebody who is protected", j.Record.State == "refused" && len(n.Unresolved) == 0)
		w.saw("what is not certain was left out", j.Record.State != "refused" && len(n.Unresolved) > 0)
		for _, reason := range n.Unresolved {
			w.saw("unresolved: "+string(reason), true)
		}
		w.saw("a pair was not held when it was looked at", len(n.NotHeld) > 0)
		w.saw("staff numbers were in the index", at(lists.JobNumber) && slices.ContainsFunc(w.redis.memory.Keys(), func(key string) bool {
			return strings.HasPrefix(key, "unrole:{directory:") && strings.HasSuffix(key, ":people")
		}))
		w.saw("nothing of a job of names was held", j.Record.State == "completed" && j.Counts.Total == 0)
		w.saw("the directory changed while a job was looked up", w.company.history.Changes(n.From, n.To) > 0)
		w.saw("a job was cancelled before it was looked up", !j.Cancelled.IsZero() && j.Record.Snapshot == nil)
		w.saw("a job of names waited for its approval", j.Record.ApprovedAt != nil)
		w.saw("the lead changed while a job was looked up", within(w.leads, n.From, n.To))
		for p, end := range j.Ends {
			w.saw("somebody left who had been looked up", w.company.left[p.User] && end.Outcome == "dead_letter")
		}
	}
}

func within(moments []time.Time, from, to time.Time) bool {
	return slices.ContainsFunc(moments, func(t time.Time) bool { return from.Before(t) && t.Before(to) })
}
