package promises

import (
	"slices"
	"time"

	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/snapshot"
	"github.com/unrole/unrole/internal/simulator"
)

// Named is what a job asks for by names.
type Named struct {
	Wishes []Wish
	// Keep are the roles that AllRoles of a wish leaves. Skip says that what is not certain is left out; otherwise it refuses the whole.
	Keep []int64
	Skip bool
	// From is when it was first submitted, To when it was certain what it means.
	From, To time.Time
	// Unresolved are the wishes that the record calls so, by their positions, NotHeld the pairs that it leaves out as not held.
	Unresolved map[int]snapshot.Reason
	NotHeld    map[Pair]bool
}

// Wish is somebody, by what is said of them, and what they are to lose.
type Wish struct {
	Who lists.Person
	// Also is said of the same person; its text is empty where nothing is.
	Also lists.Person
	// Roles are those that are named, Doubtful says that one of the names is that of none, or of several, or of the default group.
	Roles    []int64
	Doubtful bool
	AllRoles bool
}

// Directory is who was in DingTalk's directory, and held what, from one change to the next.
type Directory struct {
	// Default are the roles of the default group. TTL is how old may be what is known of staff numbers and addresses.
	Default map[int64]bool
	TTL     time.Duration
	states  []State
}

// State is what the directory was from a moment on.
type State struct {
	At     time.Time
	People []simulator.Person
	Held   map[Pair]bool
	// Hidden is set while DingTalk answers that it knows no user, though it still lists who holds a role.
	Hidden bool
}

// Changed notes what the directory is from now on.
func (d *Directory) Changed(s State) { d.states = append(d.states, s) }

// Changes counts the states within a time, besides that at its beginning.
func (d *Directory) Changes(from, to time.Time) int { return len(d.within(from, to)) - 1 }

// within are the states of a time, that at its beginning the first.
func (d *Directory) within(from, to time.Time) []State {
	first := 0
	for i, s := range d.states {
		if s.At.Before(from) {
			first = i
		}
	}
	last := first
	for last < len(d.states) && !d.states[last].At.After(to) {
		last++
	}
	return d.states[first:max(last, first+1)]
}

// is reports whether something said of somebody is true.
func is(p simulator.Person, said lists.Person) bool {
	return map[lists.NamedBy]string{lists.UserID: p.UserID, lists.UnionID: p.UnionID, lists.Mobile: p.Mobile, lists.JobNumber: p.JobNumber,
		lists.Email: p.Email, lists.Name: p.Name}[said.By] == said.Text
}

// means is the one person whom a wish means, empty where it is nobody for certain, or an administrator.
func (s State) means(w Wish) string {
	var fit []simulator.Person
	for _, p := range s.People {
		if is(p, w.Who) {
			fit = append(fit, p)
		}
	}
	if len(fit) != 1 || fit[0].Admin != 0 || w.Doubtful || w.Also.Text != "" && !is(fit[0], w.Also) {
		return ""
	}
	return fit[0].UserID
}

// asksFor reports whether a wish is for the role.
func (n *Named) asksFor(w Wish, role int64, d *Directory) bool {
	return slices.Contains(w.Roles, role) || w.AllRoles && !d.Default[role] && !slices.Contains(n.Keep, role)
}

// nobodyByGuess: what a job that was asked for by names takes was meant at some moment in which it was looked up, and held; whoever was
// certain all the time is not left out, and nobody is in who never was.
func (h *History) nobodyByGuess(j *Job, fail Fail) {
	n, d := j.Named, h.Directory
	if n == nil {
		return
	}
	states := d.within(n.From, n.To)
	certain := make([]string, len(n.Wishes))       // who a wish meant all the time
	ever := make([]map[string]bool, len(n.Wishes)) // who it meant at some moment
	for i, w := range n.Wishes {
		since := states
		if w.Who.By == lists.JobNumber || w.Who.By == lists.Email {
			since = d.within(n.From.Add(-d.TTL), n.To)
		}
		ever[i] = map[string]bool{}
		for _, s := range since {
			if who := s.means(w); who != "" { // also while they are hidden: whoever walks through the departments finds them
				ever[i][who] = true
			}
		}
		certain[i] = states[0].means(w)
		for _, s := range states {
			if s.Hidden || s.means(w) != certain[i] {
				certain[i] = ""
			}
		}
	}
	sometimes := func(p Pair, held bool) bool {
		return slices.ContainsFunc(states, func(s State) bool { return s.Held[p] == held })
	}
	meant := func(p Pair, byName bool) bool {
		for i, w := range n.Wishes {
			if ever[i][p.User] && (byName && slices.Contains(w.Roles, p.Role) || !byName && n.asksFor(w, p.Role, d)) {
				return true
			}
		}
		return false
	}
	for p := range j.Ends {
		if !meant(p, false) {
			fail("nobody by guess: %s takes %v, which it did not mean at any moment from %s to %s", j.ID, p, clock(n.From), clock(n.To))
		}
		// What other jobs are about is held too, and the states do not say until when.
		other := slices.ContainsFunc(h.Jobs, func(o *Job) bool { return o != j && o.Pairs[p] })
		if !sometimes(p, true) && !other {
			fail("nobody by guess: %s takes %v, which nobody held from %s to %s", j.ID, p, clock(n.From), clock(n.To))
		}
	}
	for p := range n.NotHeld {
		if !meant(p, true) || !sometimes(p, false) || j.Pairs[p] {
			fail("nothing lost: %s leaves %v out as not held: it was meant: %t, not held: %t, taken all the same: %t", j.ID, p, meant(p, true), sometimes(p, false), j.Pairs[p])
		}
	}
	if j.Record.State == ledger.StateRefused {
		h.rightlyRefused(j, ever, fail)
	}
	if j.Record.Snapshot == nil { // it was cancelled before it was looked up
		if len(j.Ends) > 0 || j.Cancelled.IsZero() {
			fail("nothing lost: %s was never looked up and is %s", j.ID, j.Record.State)
		}
		return
	}
	if !n.Skip && len(n.Unresolved) > 0 && j.Record.State != ledger.StateRefused {
		fail("nobody by guess: %s takes the others, though %v are unresolved", j.ID, n.Unresolved)
	}
	for i, w := range n.Wishes {
		reason, unresolved := n.Unresolved[i]
		switch {
		case certain[i] != "" && unresolved:
			fail("nothing lost: %s calls %v %s, and %s was meant all the time", j.ID, w, reason, certain[i])
		case len(ever[i]) == 0 && !unresolved && j.Record.State != ledger.StateRefused:
			fail("nobody by guess: %s does not say that %v, who never was certain, is unresolved", j.ID, w)
		case certain[i] == "" || j.Record.State == ledger.StateRefused:
		default:
			for p := range states[0].Held {
				if p.User == certain[i] && n.asksFor(w, p.Role, d) && !sometimes(p, false) && !j.Pairs[p] {
					fail("nothing lost: %s leaves out %v, which %v meant and which was held all the time", j.ID, p, w)
				}
			}
		}
	}
}

// rightlyRefused: a job is refused for somebody who was not certain at some moment, or who is protected.
func (h *History) rightlyRefused(j *Job, ever []map[string]bool, fail Fail) {
	n := j.Named
	protected := slices.ContainsFunc(ever, func(who map[string]bool) bool { return who[h.Protected] })
	if n.Skip && len(n.Unresolved) > 0 && !protected || len(n.Unresolved) == 0 && !protected || len(j.Ends) > 0 {
		fail("nothing lost: %s is refused: %s; unresolved are %v, of %d pairs", j.ID, j.Record.Refusal, n.Unresolved, len(j.Ends))
	}
}

func clock(t time.Time) string { return t.Format("15:04:05.000") }
