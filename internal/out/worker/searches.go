package worker

import (
	"slices"
	"sync"
	"time"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/out/isolate"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// searches are the searches for bad ids under way. One search at a time looks for an id: what shares its suspects within
// their job waits for what it finds, and is not called with them meanwhile.
type searches struct {
	mu    sync.Mutex
	byJob map[string][]*hunt
	// proven are the ids that searches found, by job and field of the ledger, for the dead letters that are tried again.
	proven map[string]map[string]proof

	underWay int
}

// proof is why DingTalk refused an id, and when it was asked about it.
type proof struct {
	why   tasks.Failure
	asked time.Time
}

// maxProven is of how many jobs proofs are kept. Whoever misses one asks again.
const maxProven = 256

// hunt is one search under way, with the ids that it suspects: job by job, as the fields of the ledger.
type hunt struct {
	suspects map[string]map[string]bool
	over     chan struct{}
	// bad are the suspects that were proven bad; to be read when the hunt is over.
	bad map[string]tasks.Failure
}

func newSearches() *searches {
	return &searches{byJob: map[string][]*hunt{}, proven: map[string]map[string]proof{}}
}

// begin opens the search of a refused group, which suspects its users or its roles. It is nil if another search looks for
// one of them. A refusal that names neither suspects nobody: nobody waits for a search that may have to ask for each pair.
func (s *searches) begin(g *group, blame isolate.Blame) *hunt {
	h := &hunt{suspects: map[string]map[string]bool{}, over: make(chan struct{}), bad: map[string]tasks.Failure{}}
	for _, m := range g.members {
		ids := h.suspects[m.part.JobID]
		if ids == nil {
			ids = map[string]bool{}
			h.suspects[m.part.JobID] = ids
		}
		of := m.share(g.whole)
		for _, u := range of.Users {
			if blame == isolate.BlameUser {
				ids[ledger.UserField(m.part.UserIDs[u])] = true
			}
		}
		for _, r := range of.Roles {
			if blame == isolate.BlameRole {
				ids[ledger.RoleField(m.part.RoleIDs[r])] = true
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(g.members, func(m *member) bool { return s.about(m.part, m.share(g.whole)) != nil }) {
		return nil
	}
	s.underWay++
	for job := range h.suspects {
		s.byJob[job] = append(s.byJob[job], h)
	}
	return h
}

// found notes an id that was proven bad by what was asked then: for those who wait, and for dead letters of the same id.
func (s *searches) found(h *hunt, field string, why tasks.Failure, asked time.Time) {
	h.bad[field] = why
	s.mu.Lock()
	defer s.mu.Unlock()
	for job := range h.suspects {
		if s.proven[job] == nil {
			if len(s.proven) >= maxProven {
				clear(s.proven)
			}
			s.proven[job] = map[string]proof{}
		}
		s.proven[job][field] = proof{why, asked}
	}
}

// settles says what of a dead letter an answer settles that DingTalk gave about its one id, having been asked since. Letters
// of an id that are tried again together are one question. What is about a share of the letter settles nothing: refused
// again, it is one letter again.
func (s *searches) settles(part *tasks.Part, since time.Time) (pairs.Rectangle, tasks.Failure, bool) {
	if part.Failure == nil {
		return pairs.Rectangle{}, tasks.Failure{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.proven[part.JobID]
	if len(part.UserIDs) == 1 {
		if p, ok := all[ledger.UserField(part.UserIDs[0])]; ok && p.asked.After(since) {
			return pairs.Rectangle{Users: []pairs.User{0}}, p.why, true
		}
	}
	if len(part.RoleIDs) == 1 {
		if p, ok := all[ledger.RoleField(part.RoleIDs[0])]; ok && p.asked.After(since) {
			return pairs.Rectangle{Roles: []pairs.Role{0}}, p.why, true
		}
	}
	return pairs.Rectangle{}, tasks.Failure{}, false
}

// count is how many searches are under way.
func (s *searches) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.underWay
}

// end lets those go on who waited.
func (s *searches) end(h *hunt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.underWay--
	for job := range h.suspects {
		if s.byJob[job] = slices.DeleteFunc(s.byJob[job], func(x *hunt) bool { return x == h }); len(s.byJob[job]) == 0 {
			delete(s.byJob, job)
		}
	}
	close(h.over)
}

// of is a search that looks for an id of the part, nil if there is none.
func (s *searches) of(part *tasks.Part) *hunt {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.about(part, pairs.SizeOf(part).Whole())
}

// about is a search that looks for an id in a rectangle of the part. mu is held.
func (s *searches) about(part *tasks.Part, of pairs.Rectangle) *hunt {
	if part.Failure != nil {
		// A letter waits for what may settle it whole only.
		if len(part.UserIDs) > 1 {
			of.Users = nil
		}
		if len(part.RoleIDs) > 1 {
			of.Roles = nil
		}
	}
	for _, h := range s.byJob[part.JobID] {
		ids := h.suspects[part.JobID]
		if slices.ContainsFunc(of.Users, func(u pairs.User) bool { return ids[ledger.UserField(part.UserIDs[u])] }) ||
			slices.ContainsFunc(of.Roles, func(r pairs.Role) bool { return ids[ledger.RoleField(part.RoleIDs[r])] }) {
			return h
		}
	}
	return nil
}

// standAside has those tasks of a group leave whose ids another search looks for, and reports whether there are any.
func (s *searches) standAside(g *group) bool {
	any := false
	for _, m := range g.members {
		s.mu.Lock()
		h := s.about(m.part, m.share(g.whole))
		s.mu.Unlock()
		if h != nil {
			m.leave(again("a search looks for one of its ids"))
			any = true
		}
	}
	return any
}
