package worker

import (
	"slices"
	"sync"
	"time"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// hints are the ids that DingTalk refused lately, in whatever job. In another job they say where to look first, and nothing
// more: what is bad there is proven there.
type hints struct {
	mu    sync.Mutex
	until map[string]time.Time // by field of the ledger
}

const (
	// hintLasts is how long an id is suspect after it was found bad.
	hintLasts = time.Hour
	maxHints  = 20_000
)

func newHints() *hints { return &hints{until: map[string]time.Time{}} }

// found notes an id that was found bad.
func (h *hints) found(field string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.until) >= maxHints {
		clear(h.until)
	}
	h.until[field] = time.Now().Add(hintLasts)
}

// passed clears ids that DingTalk has taken since.
func (h *hints) passed(users []string, roles []int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.until) == 0 {
		return
	}
	for _, id := range users {
		delete(h.until, ledger.UserField(id))
	}
	for _, id := range roles {
		delete(h.until, ledger.RoleField(id))
	}
}

// of are the suspects among users and roles.
func (h *hints) of(users []string, roles []int64) (suspects pairs.Rectangle) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.until) == 0 {
		return suspects
	}
	now := time.Now()
	for u, id := range users {
		if now.Before(h.until[ledger.UserField(id)]) {
			suspects.Users = append(suspects.Users, pairs.User(u))
		}
	}
	for r, id := range roles {
		if now.Before(h.until[ledger.RoleField(id)]) {
			suspects.Roles = append(suspects.Roles, pairs.Role(r))
		}
	}
	return suspects
}

// likely is a rectangle of the part without suspects; on a side where there are no others, with all of them.
func (h *hints) likely(part *tasks.Part, of pairs.Rectangle) pairs.Rectangle {
	suspects := h.of(part.UserIDs, part.RoleIDs)
	return pairs.Rectangle{Users: without(of.Users, suspects.Users), Roles: without(of.Roles, suspects.Roles)}
}

// without are those of ids that are not among others, or all if all are.
func without[ID pairs.User | pairs.Role](ids, others []ID) []ID {
	rest := slices.DeleteFunc(slices.Clone(ids), func(id ID) bool { return slices.Contains(others, id) })
	if len(rest) == 0 {
		return ids
	}
	return rest
}
