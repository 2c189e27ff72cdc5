package preflight

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/unrole/unrole/internal/in/resolve"
	"github.com/unrole/unrole/internal/out/dingtalk"
)

// rolesAtOnce is how many roles are read side by side.
const rolesAtOnce = 32

// holders reads who holds roles, each role once, and keeps those on the list. Until it is known who these are it keeps all.
type holders struct {
	run    *run
	ctx    context.Context
	group  *errgroup.Group
	places chan struct{}

	mu      sync.Mutex
	begun   map[int64]bool
	listed  map[string]bool // nil until people are found
	waiting map[int64][]dingtalk.Person
	names   map[string]string
}

// readAll reads who holds those of the roles that all of somebody's roles include.
func (h *holders) readAll(roles []dingtalk.Role) {
	for _, role := range roles {
		if h.run.takes(role) {
			h.read(role.ID)
		}
	}
}

// read begins to read who holds a role, unless that was begun before.
func (h *holders) read(role int64) {
	h.mu.Lock()
	begun := h.begun[role]
	h.begun[role] = true
	h.mu.Unlock()
	if begun {
		return
	}
	h.group.Go(func() error {
		select {
		case h.places <- struct{}{}:
		case <-h.ctx.Done():
			return h.ctx.Err()
		}
		defer func() { <-h.places }()
		all, err := h.run.d.Holders(h.ctx, role)
		if err != nil {
			return fmt.Errorf("role %d: %w", role, err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.listed == nil {
			h.waiting[role] = all
		} else {
			h.keep(role, all)
		}
		return nil
	})
}

// peopleFound says that it is known who is on the list.
func (h *holders) peopleFound() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listed = make(map[string]bool, len(h.run.found))
	for _, p := range h.run.found {
		if p.Status == resolve.Found {
			h.listed[p.User.UserID] = true
		}
	}
	for role, all := range h.waiting {
		h.keep(role, all)
	}
	h.waiting = nil
}

// keep keeps the holders of a role who are on the list; mu is held.
func (h *holders) keep(role int64, all []dingtalk.Person) {
	mine := map[string][]int64{}
	for _, p := range all {
		if h.listed[p.UserID] {
			mine[p.UserID], h.names[p.UserID] = p.Scope, p.Name
		}
	}
	h.run.held[role], h.run.holders[role] = mine, len(all)
}
