package worker

import (
	"context"
	"fmt"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/record/producer"
	"github.com/unrole/unrole/tasks"
)

// maxChildren bounds how many tasks one split makes; the children of a huge part are larger than a batch and split
// again.
const maxChildren = 500

// split divides a part that is larger than one call into children, each a task of its own. The ledger takes the
// children over first; a crash anywhere leaves the parent, whose next run makes the same children.
func (v *visit) split(ctx context.Context) error {
	c := v.claim // nobody else has it: a part of that size is in no call
	if c.Cancelled {
		return v.settleKnown()
	}
	children := childrenOf(v.part)
	if c.State.Children == 0 {
		if err := v.w.cfg.Ledger.Split(ctx, c, children); err != nil {
			return err
		}
	}
	if err := producer.Enqueue(ctx, v.w.client, children, v.laneName(), c.At); err != nil {
		return fmt.Errorf("enqueue the children of part %s: %w", v.id, err)
	}
	v.log.Info().Int("children", len(children)).Int("roles", len(v.part.RoleIDs)).Int("users", len(v.part.UserIDs)).Msg("part was split")
	return nil
}

// childrenOf divides a part into at most maxChildren rectangles, each a whole number of batches but at the edges;
// always the same for the same part. A child that owns no pair is left out, its number is not.
func childrenOf(p *tasks.Part) []tasks.Part {
	perRoles, perUsers := tasks.MaxRoles, p.Action.MaxUsers()
	count := func() int {
		return ((len(p.RoleIDs) + perRoles - 1) / perRoles) * ((len(p.UserIDs) + perUsers - 1) / perUsers)
	}
	for count() > maxChildren {
		if len(p.UserIDs) > perUsers {
			perUsers *= 2
		} else {
			perRoles *= 2
		}
	}
	var children []tasks.Part
	n := 0
	for r := 0; r < len(p.RoleIDs); r += perRoles {
		for u := 0; u < len(p.UserIDs); u += perUsers {
			c := sub(p, u, min(u+perUsers, len(p.UserIDs)), r, min(r+perRoles, len(p.RoleIDs)))
			c.Part = tasks.ChildName(p.Part, n)
			n++
			if c.Owned() > 0 {
				children = append(children, c)
			}
		}
	}
	return children
}

// sub is the part of p's users [u0, u1) and roles [r0, r1).
func sub(p *tasks.Part, u0, u1, r0, r1 int) tasks.Part {
	c := tasks.Part{JobID: p.JobID, Action: p.Action, UserIDs: p.UserIDs[u0:u1], RoleIDs: p.RoleIDs[r0:r1]}
	c.Scopes = p.ScopesOf(&c)
	if p.Own != nil {
		// Never nil, though all may be owned: the children of a part are the same in every version.
		c.Own = tasks.OwnOf(func(yield func(bool) bool) {
			for u, r := range pairs.SizeOf(&c).Whole().All() {
				if !yield(p.Own.Has(pairs.SizeOf(p).Number(u+pairs.User(u0), r+pairs.Role(r0)))) {
					return
				}
			}
		})
	}
	return c
}
