package directory

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/unrole/unrole/internal/out/dingtalk"
)

// Roles lists the roles of the organisation, group by group, in DingTalk's order. They are read once.
func (d *Directory) Roles(ctx context.Context) ([]dingtalk.Role, error) {
	return d.roles.get(func() ([]dingtalk.Role, error) {
		var all []dingtalk.Role
		offset := 0
		seen := map[int64]bool{} // a group that comes on two pages may bring its roles twice
		err := pages(func() (bool, error) {
			page, err := ask(ctx, d, "role/list", func() (dingtalk.RolesPage, error) { return d.source.ListRoles(ctx, offset, dingtalk.MaxRolesPage) })
			if err != nil {
				return false, err
			}
			for _, role := range page.Roles {
				if !seen[role.ID] {
					seen[role.ID] = true
					all = append(all, role)
				}
			}
			// What the size counts, groups or roles, is not documented: an empty page ends the list in any case (D).
			offset += dingtalk.MaxRolesPage
			return page.HasMore && page.Groups > 0, nil
		})
		return all, err
	})
}

// RolesCalled are the roles that a text names exactly: by group/name, or by the name alone.
func RolesCalled(roles []dingtalk.Role, text string) []dingtalk.Role {
	var found []dingtalk.Role
	for _, role := range roles {
		if role.Name == text || role.Group+"/"+role.Name == text {
			found = append(found, role)
		}
	}
	return found
}

// RolesNamed are the roles that a text means: group/name, else the name, else those whose name contains it.
func RolesNamed(roles []dingtalk.Role, text string) []dingtalk.Role {
	for _, means := range []func(dingtalk.Role) bool{
		func(r dingtalk.Role) bool { return r.Group+"/"+r.Name == text },
		func(r dingtalk.Role) bool { return r.Name == text },
		func(r dingtalk.Role) bool { return strings.Contains(r.Name, text) },
	} {
		var found []dingtalk.Role
		for _, role := range roles {
			if means(role) {
				found = append(found, role)
			}
		}
		if found != nil {
			return found
		}
	}
	return nil
}

// defaultRoles are the names of the default group's roles, which no API may add or rename (A).
var defaultRoles = map[string]bool{"负责人": true, "主管": true, "主管理员": true, "子管理员": true}

// IsDefault reports whether a role is one of the default group's: those follow the organisation's structure and are taken
// away in DingTalk's administration console, not by a removal. The group is called 默认 or, internationally, Default (A).
func IsDefault(role dingtalk.Role) bool {
	return role.Group == "默认" || role.Group == "Default" || role.Group == "" && defaultRoles[role.Name]
}

// rolesAtOnce is how many roles are read side by side.
const rolesAtOnce = 32

// EachHolders reads who holds each of the roles, side by side at the pace, and hands take one role after the other, in no
// promised order.
func (d *Directory) EachHolders(ctx context.Context, roleIDs []int64, take func(roleID int64, holders []dingtalk.Person)) error {
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(rolesAtOnce)
	for _, id := range roleIDs {
		group.Go(func() error {
			holders, err := d.Holders(ctx, id)
			if err != nil {
				return fmt.Errorf("who holds role %d: %w", id, err)
			}
			mu.Lock()
			defer mu.Unlock()
			take(id, holders)
			return nil
		})
	}
	return group.Wait()
}

// Holders lists who holds a role, in DingTalk's order.
func (d *Directory) Holders(ctx context.Context, roleID int64) ([]dingtalk.Person, error) {
	if d.holders == nil {
		return d.readHolders(ctx, roleID)
	}
	d.mu.Lock()
	shared := d.holders[roleID]
	if shared == nil {
		shared = newOnce[[]dingtalk.Person]()
		d.holders[roleID] = shared
	}
	d.mu.Unlock()
	return shared.get(func() ([]dingtalk.Person, error) { return d.readHolders(ctx, roleID) })
}

func (d *Directory) readHolders(ctx context.Context, roleID int64) ([]dingtalk.Person, error) {
	var all []dingtalk.Person
	offset := 0
	err := pages(func() (bool, error) {
		page, err := ask(ctx, d, "role/simplelist", func() (dingtalk.HoldersPage, error) {
			return d.source.RoleHolders(ctx, roleID, offset, dingtalk.MaxHoldersPage)
		})
		if err == nil && page.HasMore && len(page.Holders) == 0 {
			err = fmt.Errorf("DingTalk says that more people hold role %d, and names none: who holds it is not known", roleID)
		}
		all = append(all, page.Holders...)
		offset = page.NextOffset
		return page.HasMore, err
	})
	return all, err
}
