package worker

import (
	"maps"
	"slices"
	"sync"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// neighbours are the tasks in the hands of this worker, by job. The rectangles of a plan may overlap: what a call of one of
// them has taken may be another one's to count.
type neighbours struct {
	mu  sync.Mutex
	job map[string]map[*visit]bool
}

// add notes a task until leave is called.
func (n *neighbours) add(v *visit) (leave func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.job[v.part.JobID] == nil {
		n.job[v.part.JobID] = map[*visit]bool{}
	}
	n.job[v.part.JobID][v] = true
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if delete(n.job[v.part.JobID], v); len(n.job[v.part.JobID]) == 0 {
			delete(n.job, v.part.JobID)
		}
	}
}

// of lists the other tasks of the job of v.
func (n *neighbours) of(v *visit) []*visit {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.DeleteFunc(slices.Collect(maps.Keys(n.job[v.part.JobID])), func(o *visit) bool { return o == v })
}

// tellOwners settles pairs that a call has removed, and that are another task's to count: a cancel that comes before that one's
// own turn must not call them cancelled.
func (v *visit) tellOwners(share pairs.Rectangle, request string) {
	for o, theirs := range v.owners(share) {
		if err := o.taken(theirs, request); err != nil {
			o.log.Warn().Err(err).Msg("what another call has removed is called once more")
		}
	}
}

// owners are the other tasks in hand that own pairs of a rectangle of this one, each with the smallest rectangle of its own that
// has them.
func (v *visit) owners(share pairs.Rectangle) map[*visit]pairs.Rectangle {
	if v.part.Own == nil || v.part.Failure != nil || v.part.Action != tasks.Remove {
		return nil
	}
	owners := map[*visit]pairs.Rectangle{}
	users, roles := make(map[string]bool, len(share.Users)), make(map[int64]bool, len(share.Roles))
	for _, u := range share.Users {
		users[v.part.UserIDs[u]] = true
	}
	for _, r := range share.Roles {
		roles[v.part.RoleIDs[r]] = true
	}
	for _, o := range v.w.neighbours.of(v) {
		var theirs pairs.Rectangle
		for u, id := range o.part.UserIDs {
			if users[id] {
				theirs.Users = append(theirs.Users, pairs.User(u))
			}
		}
		for r, id := range o.part.RoleIDs {
			if roles[id] {
				theirs.Roles = append(theirs.Roles, pairs.Role(r))
			}
		}
		if len(theirs.Users) == 0 || len(theirs.Roles) == 0 || o.part.Failure != nil || !o.part.Fits() {
			continue
		}
		owners[o] = theirs
	}
	return owners
}

// beginToo announces a call of another task that removes pairs of this one, if this one has been looked up.
func (v *visit) beginToo() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.claim != nil {
		v.calls++
	}
	return v.claim != nil
}

// taken settles what is open of a rectangle as removed.
func (v *visit) taken(share pairs.Rectangle, request string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.claim == nil {
		return nil
	}
	return v.settle(v.claim.Open().Within(share), ledger.Outcome{Kind: ledger.Removed, RequestID: request, Attempts: v.claim.State.Tries.Attempts + 1})
}
