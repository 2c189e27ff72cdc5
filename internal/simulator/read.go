package simulator

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// The calls that read the directory, in the documented shapes (A).

func badParameter(name string) answer {
	return answer{code: 40035, message: "不合法的参数 " + name}
}

// page reads offset and size, which must be from 1 to most.
func page(form url.Values, most int) (offset, size int, valid bool) {
	return pageFrom(form, "offset", most)
}

func pageFrom(form url.Values, cursor string, most int) (offset, size int, valid bool) {
	offset, err := strconv.Atoi(form.Get(cursor))
	if form.Get(cursor) == "" {
		offset, err = 0, nil
	}
	if err != nil || offset < 0 {
		return 0, 0, false
	}
	size, err = strconv.Atoi(form.Get("size"))
	if form.Get("size") == "" {
		size, err = 20, nil
	}
	return offset, size, err == nil && size >= 1 && size <= most
}

func cut[T any](all []T, offset, size int) (part []T, more bool) {
	from := min(offset, len(all))
	to := min(from+size, len(all))
	return all[from:to], to < len(all)
}

func (s *Simulator) listRoles(form url.Values) answer {
	offset, size, valid := page(form, 200)
	if !valid {
		return badParameter("size")
	}
	groups, more := cut(s.groups(), offset, size)
	list := make([]any, 0, len(groups))
	for i, group := range groups {
		roles := make([]any, 0, len(group.roles))
		for _, id := range group.roles {
			roles = append(roles, map[string]any{"id": id, "name": s.roles[id].name})
		}
		list = append(list, map[string]any{"groupId": 1 + offset + i, "name": group.name, "roles": roles})
	}
	return ok(map[string]any{"result": map[string]any{"hasMore": more, "list": list}})
}

func (s *Simulator) listHolders(form url.Values) answer {
	offset, size, valid := page(form, 100)
	if !valid {
		return badParameter("size")
	}
	id, refused := s.existingRole(form.Get("role_id"))
	if refused.code != 0 {
		return refused
	}
	holders, more := cut(s.holders(id), offset, size)
	list := make([]any, 0, len(holders))
	for _, user := range holders {
		holder := map[string]any{"userid": user, "name": s.users[user].name}
		if scope := s.users[user].roles[id]; len(scope) > 0 {
			departments := []any{}
			for _, d := range scope {
				departments = append(departments, map[string]any{"dept_id": d, "name": s.departments[d].Name})
			}
			holder["manageScopes"] = departments
		}
		list = append(list, holder)
	}
	result := map[string]any{"hasMore": more, "list": list}
	if more {
		result["nextCursor"] = offset + size
	}
	return ok(map[string]any{"result": result})
}

func (s *Simulator) getRole(form url.Values) answer {
	id, refused := s.existingRole(form.Get("roleId"))
	if refused.code != 0 {
		return refused
	}
	r := s.roles[id]
	return ok(map[string]any{"role": map[string]any{"groupId": s.groupID(r.group), "name": r.name}})
}

func (s *Simulator) getRoleGroup(form url.Values) answer {
	for i, group := range s.groups() {
		if form.Get("group_id") == itoa(1+i) {
			roles := []any{}
			for _, id := range group.roles {
				roles = append(roles, map[string]any{"role_id": id, "role_name": s.roles[id].name})
			}
			return ok(map[string]any{"role_group": map[string]any{"group_name": group.name, "roles": roles}})
		}
	}
	return answer{code: 400002, message: "无效的参数 group_id"}
}

// existingRole reads the id of a role that is there; system roles are.
func (s *Simulator) existingRole(text string) (int64, answer) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, badParameter("role_id")
	}
	if why, bad := s.judgeRole(id); bad && s.roleStanding[id] != System {
		return 0, answer{code: why.code, message: why.message}
	}
	return id, answer{}
}

func (s *Simulator) groupID(name string) int {
	return 1 + slices.IndexFunc(s.groups(), func(g roleGroup) bool { return g.name == name })
}

// updateScope sets the departments that a user manages by a role; without dept_ids that is everybody.
func (s *Simulator) updateScope(form url.Values) answer {
	role, refused := s.existingRole(form.Get("role_id"))
	if refused.code != 0 {
		return refused
	}
	user := form.Get("userid")
	if why, bad := s.judgeUser(user); bad {
		return answer{code: why.code, message: why.message}
	}
	if _, held := s.user(user).roles[role]; !held {
		return answer{code: 34018, message: "员工没有此角色"}
	}
	var departments []int64
	for text := range strings.SplitSeq(form.Get("dept_ids"), ",") {
		id, err := strconv.ParseInt(text, 10, 64)
		if form.Get("dept_ids") == "" {
			break
		}
		if err != nil || !s.knowsDepartment(id) {
			return answer{code: 60003, message: "部门不存在"}
		}
		departments = append(departments, id)
	}
	if len(departments) > 50 {
		return answer{code: 400002, message: "无效的参数 dept_ids"}
	}
	a := ok(nil)
	a.effect = func() { s.user(user).roles[role] = departments }
	return a
}
