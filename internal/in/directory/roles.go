package directory

import (
	"context"
	"strings"

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

// Holders lists who holds a role, in DingTalk's order.
func (d *Directory) Holders(ctx context.Context, roleID int64) ([]dingtalk.Person, error) {
	var all []dingtalk.Person
	offset := 0
	err := pages(func() (bool, error) {
		page, err := ask(ctx, d, "role/simplelist", func() (dingtalk.HoldersPage, error) {
			return d.source.RoleHolders(ctx, roleID, offset, dingtalk.MaxHoldersPage)
		})
		all = append(all, page.Holders...)
		offset = page.NextOffset
		return page.HasMore && len(page.Holders) > 0, err
	})
	return all, err
}
