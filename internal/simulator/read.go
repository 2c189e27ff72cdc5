package simulator

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
)

// The calls that read the directory, in the documented shapes (A).

func badParameter(name string) answer {
	return answer{code: 40035, message: "不合法的参数 " + name}
}

// page reads offset and size, which must be from 1 to most.
func page(form url.Values, most int) (offset, size int, valid bool) {
	offset, err := strconv.Atoi(form.Get("offset"))
	if form.Get("offset") == "" {
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
	id, err := strconv.ParseInt(form.Get("role_id"), 10, 64)
	if err != nil {
		return badParameter("role_id")
	}
	if why, bad := s.judgeRole(id); bad && s.roleStanding[id] != System {
		return answer{code: why.code, message: why.message}
	}
	holders, more := cut(s.holders(id), offset, size)
	list := make([]any, 0, len(holders))
	for _, user := range holders {
		list = append(list, map[string]any{"userid": user, "name": s.users[user].name})
	}
	result := map[string]any{"hasMore": more, "list": list}
	if more {
		result["nextCursor"] = offset + size
	}
	return ok(map[string]any{"result": result})
}

func (s *Simulator) getUser(form url.Values) answer {
	id := form.Get("userid")
	if id == "" {
		return badParameter("userid")
	}
	if why, bad := s.judgeUser(id); bad {
		return answer{code: why.code, message: why.message}
	}
	result := map[string]any{"userid": id, "active": true}
	if u := s.users[id]; u != nil {
		result["name"] = u.name
		list := []any{}
		for _, role := range slices.Sorted(maps.Keys(u.roles)) {
			r := s.roles[role]
			list = append(list, map[string]any{"id": role, "name": r.name, "group_name": r.group})
		}
		result["role_list"] = list
	}
	return ok(map[string]any{"result": result})
}
