package worker

import (
	"slices"
	"sync"

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

	underWay int
}

// hunt is one search under way, with the ids that it suspects: job by job, as the fields of the ledger.
type hunt struct {
	suspects map[string]map[string]bool
	over     chan struct{}
	// bad are the suspects that were proven bad; to be read when the hunt is over.
	bad map[string]tasks.Failure
}

func newSearches() *searches { return &searches{byJob: map[string][]*hunt{}} }

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

// found notes an id that was proven bad, for those who wait.
func (h *hunt) found(g *group, f isolate.Finding, why tasks.Failure) {
	switch f.Kind {
	case isolate.BadUser:
		h.bad[ledger.UserField(g.users[f.User])] = why
	case isolate.BadRole:
		h.bad[ledger.RoleField(g.roles[f.Role])] = why
	}
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
		return nil // a letter is called, whatever others learn: refused again, it is one letter again
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
