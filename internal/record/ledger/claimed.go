package ledger

import (
	"fmt"
	"slices"
	"time"

	"github.com/unrole/unrole/internal/base/lease"
	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/tasks"
)

// Claim is what the ledger says about one part at the moment it was looked at: what is still to do, and what its job
// learned. It belongs to one goroutine at a time.
type Claim struct {
	// Part is the task's payload. For a dead letter that is tried again it is the letter.
	Part *tasks.Part
	// Cancelled says that the job was cancelled, with the reason. Nothing of it may be called any more.
	Cancelled    bool
	CancelReason string
	// At is the time before which nothing of the job may be called; zero means at once.
	At time.Time
	// Crashes is how many calls in a row have served the part and taken their worker along, the one that this look found
	// included.
	Crashes int
	// StaysBegun keeps that mark through the next change, because another call of the part is in flight.
	StaysBegun bool
	// State is what is known of the part.
	State PartState

	lead  lease.Fence  // in whose name it is worked on
	def   *tasks.Part  // the part in the record: Part itself, or the batch that the letter was set apart from
	users []pairs.User // positions of Part's users in def, nil when they are the same
	roles []pairs.Role
	bad   map[string]tasks.Failure
	write string // names the write under way, the same until it got through
	calls int64  // calls made for the part and not yet counted in the record
}

// locate finds the letter's users and roles in the batch it was set apart from.
func (c *Claim) locate() error {
	at := make(map[string]int, len(c.def.UserIDs)+len(c.def.RoleIDs))
	for i, u := range c.def.UserIDs {
		at[UserField(u)] = i
	}
	for i, r := range c.def.RoleIDs {
		at[RoleField(r)] = i
	}
	find := func(field string) (int, error) {
		i, ok := at[field]
		if !ok {
			return 0, fmt.Errorf("the dead letter's id %s is not in part %s", field[2:], c.def.Part)
		}
		return i, nil
	}
	for _, u := range c.Part.UserIDs {
		i, err := find(UserField(u))
		if err != nil {
			return err
		}
		c.users = append(c.users, pairs.User(i))
	}
	for _, r := range c.Part.RoleIDs {
		i, err := find(RoleField(r))
		if err != nil {
			return err
		}
		c.roles = append(c.roles, pairs.Role(i))
	}
	return nil
}

// InBatch is the position, in the batch that a letter was set apart from, of Part's user u and role r. For a part that
// is no letter it is the same position.
func (c *Claim) InBatch(u pairs.User, r pairs.Role) (pairs.User, pairs.Role) {
	if c.users == nil {
		return u, r
	}
	return c.users[u], c.roles[r]
}

// Open is the set of the task's own pairs that still wait for an outcome. What a dead letter opened belongs to that letter
// alone.
func (c *Claim) Open() pairs.Set {
	return c.where(func(o *Outcome, own bool) bool { return own && c.opens(o) })
}

// opens reports whether a pair of the outcome is this task's to end.
func (c *Claim) opens(o *Outcome) bool { return o.Kind == Pending && o.Letter == c.Letter() }

// Letter is the name of the dead letter that is tried again; empty where the task is none.
func (c *Claim) Letter() string {
	if c.Part.Failure == nil {
		return ""
	}
	return c.Part.Part
}

// Dead is the set of the pairs that wait in this dead letter.
func (c *Claim) Dead() pairs.Set { return c.DeadIn(c.Part.Part) }

// DeadIn is the set of Part's pairs that wait in the dead letter of that name.
func (c *Claim) DeadIn(letter string) pairs.Set {
	return c.where(func(o *Outcome, own bool) bool { return own && o.Kind == Dead && o.Letter == letter })
}

// Given is the set of the open pairs whose role was given back and whose management scope was not yet.
func (c *Claim) Given() pairs.Set {
	return c.where(func(o *Outcome, own bool) bool { return own && c.opens(o) && o.Given })
}

// ToCall is the set of the open pairs that are not given.
func (c *Claim) ToCall() pairs.Set {
	return c.where(func(o *Outcome, own bool) bool { return own && c.opens(o) && !o.Given })
}

// Taken is the set of the part's own pairs that DingTalk has taken, their management scopes left aside.
func (c *Claim) Taken() pairs.Set {
	return c.where(func(o *Outcome, own bool) bool { return own && (o.Kind == Removed || o.Given) })
}

// Callable is the set of the pairs that may be part of a call: the job asked for them, and they are open, or removed
// already, or another part's to count. Cancelled and dead pairs count as not asked for, and so do all of somebody who stays,
// whichever part owns them.
func (c *Claim) Callable() pairs.Set {
	s := c.where(func(o *Outcome, own bool) bool {
		if own {
			return c.opens(o) || o.Kind == Removed
		}
		return c.Part.Failure == nil
	})
	whole := pairs.SizeOf(c.Part).Whole()
	leave := slices.DeleteFunc(slices.Clone(whole.Users), func(u pairs.User) bool {
		_, stays := c.Stays(u)
		return stays
	})
	if len(leave) == len(whole.Users) {
		return s
	}
	return s.Within(pairs.Rectangle{Users: leave, Roles: whole.Roles})
}

// Stays says why user u of Part is to keep what was not called yet, if somebody cancelled that (see CancelUsers).
func (c *Claim) Stays(u pairs.User) (why string, stays bool) {
	if len(c.bad) == 0 {
		return "", false
	}
	f, ok := c.bad[staysField(c.Part.UserIDs[u])]
	return f.ErrMsg, ok
}

// where is the set of Part's pairs that the condition holds for, by what became of them and whether they are the task's
// own.
func (c *Claim) where(holds func(o *Outcome, own bool) bool) pairs.Set {
	size, batch := pairs.SizeOf(c.Part), pairs.SizeOf(c.def)
	if o, same := c.State.same(); same && c.users == nil && c.def.Own == nil {
		if holds(o, true) {
			return pairs.All(size)
		}
		return pairs.None(size)
	}
	s := pairs.None(size)
	for u := range pairs.User(size.Users) {
		for r := range pairs.Role(size.Roles) {
			inBatch := batch.Number(c.InBatch(u, r))
			own := c.Part.Own.Has(size.Number(u, r)) && c.def.Own.Has(inBatch)
			if holds(c.State.of(inBatch), own) {
				s.Add(u, r)
			}
		}
	}
	return s
}

// Refresh takes over what a newer claim of the same part says. The part itself, and calls counted and not yet recorded,
// stay; so does the state where it was read before something was settled here: its reply came later.
func (c *Claim) Refresh(newer *Claim) {
	c.Cancelled, c.CancelReason, c.At, c.bad = newer.Cancelled, newer.CancelReason, newer.At, newer.bad
	if newer.State.version >= c.State.version {
		c.State = newer.State
	}
}

// Summary counts what became of the task's own pairs.
type Summary struct {
	Removed   int `json:"removed"`
	Dead      int `json:"dead"`
	Cancelled int `json:"cancelled"`
}

// Summary counts what became of the task's own pairs.
func (c *Claim) Summary() Summary {
	count := func(kind Kind) int {
		return c.where(func(o *Outcome, own bool) bool { return own && o.Kind == kind }).Len()
	}
	return Summary{Removed: count(Removed), Dead: count(Dead), Cancelled: count(Cancelled)}
}

// BadUser says why DingTalk refuses user u of Part, if the job has learned that.
func (c *Claim) BadUser(u pairs.User) (tasks.Failure, bool) {
	if len(c.bad) == 0 {
		return tasks.Failure{}, false
	}
	f, ok := c.bad[UserField(c.Part.UserIDs[u])]
	return f, ok
}

// BadRole says why DingTalk refuses role r of Part, if the job has learned that.
func (c *Claim) BadRole(r pairs.Role) (tasks.Failure, bool) {
	if len(c.bad) == 0 {
		return tasks.Failure{}, false
	}
	f, ok := c.bad[RoleField(c.Part.RoleIDs[r])]
	return f, ok
}

// CountCall counts a call that was made for the part; it reaches the record with the next Settle or Note.
func (c *Claim) CountCall() { c.calls++ }
