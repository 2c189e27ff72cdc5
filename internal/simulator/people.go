package simulator

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// The calls that find people, in the documented shapes (A).

// getUser is everything about one person. What is not known is left out, and by the option Quirks numbers, booleans and
// lists come as the documented sample has them.
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
		maps.Copy(result, describe(u.person))
		list := []any{}
		for _, role := range slices.Sorted(maps.Keys(u.roles)) {
			r := s.roles[role]
			list = append(list, map[string]any{"id": role, "name": r.name, "group_name": r.group})
		}
		result["role_list"] = list
	}
	if s.opt.Quirks {
		result = quirky(result).(map[string]any)
	}
	return ok(map[string]any{"result": result})
}

// describe is what the calls about people have in common.
func describe(p Person) map[string]any {
	of := map[string]any{"userid": p.UserID, "name": p.Name, "active": true, "admin": p.Admin != 0, "boss": p.Admin == 1,
		"exclusive_account": false}
	for field, value := range map[string]string{"mobile": p.Mobile, "job_number": p.JobNumber, "unionid": p.UnionID, "email": p.Email,
		"org_email": p.OrgEmail, "title": p.Title} {
		if value != "" {
			of[field] = value
		}
	}
	of["dept_id_list"] = p.Departments
	if len(p.Departments) == 0 {
		of["dept_id_list"] = []int64{rootDepartment}
	}
	return of
}

// quirky is a value as the documented samples of v2/user/get have it: numbers and booleans as strings, and an object
// where a list of objects has one entry.
func quirky(v any) any {
	switch v := v.(type) {
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case map[string]any:
		for key, value := range v {
			v[key] = quirky(value)
		}
	case []any:
		for i := range v {
			v[i] = quirky(v[i])
		}
		if len(v) == 1 {
			return v[0]
		}
	}
	return v
}

// byMobile finds serving staff only (A).
func (s *Simulator) byMobile(form url.Values) answer {
	mobile := form.Get("mobile")
	if len(strings.Trim(mobile, "+-0123456789")) > 0 || len(mobile) < 5 {
		return answer{code: 40104, message: "不合法的手机号"}
	}
	return s.theOne(s.employees(func(u *employee) bool { return sameMobile(u.person.Mobile, mobile) }), 0)
}

func (s *Simulator) byUnionID(form url.Values) answer {
	union := form.Get("unionid")
	if union == "" {
		return badParameter("unionid")
	}
	for id, u := range s.users {
		if u.person.UnionID == union && u.person.External {
			return s.theOne([]string{id}, 1)
		}
	}
	return s.theOne(s.employees(func(u *employee) bool { return u.person.UnionID == union }), 0)
}

func (s *Simulator) theOne(ids []string, contactType int) answer {
	if len(ids) == 0 {
		return answer{code: 60121, message: "找不到该用户"}
	}
	return ok(map[string]any{"result": map[string]any{"userid": ids[0], "contact_type": contactType}})
}

// department reads a department's id.
func (s *Simulator) department(form url.Values) (int64, answer) {
	id, err := strconv.ParseInt(form.Get("dept_id"), 10, 64)
	if form.Get("dept_id") == "" {
		id, err = rootDepartment, nil
	}
	switch {
	case err != nil:
		return 0, answer{code: 400002, message: "无效的参数 dept_id"}
	case !s.knowsDepartment(id):
		return 0, answer{code: 60003, message: "部门不存在"}
	}
	return id, answer{}
}

func (s *Simulator) listDepartments(form url.Values) answer {
	id, refused := s.department(form)
	if refused.code != 0 {
		return refused
	}
	list := []any{}
	for _, d := range s.below(id) {
		list = append(list, map[string]any{"dept_id": d.ID, "name": d.Name, "parent_id": d.Parent})
	}
	return ok(map[string]any{"result": list})
}

func (s *Simulator) getDepartment(form url.Values) answer {
	id, refused := s.department(form)
	if refused.code != 0 {
		return refused
	}
	d := s.departments[id]
	return ok(map[string]any{"result": map[string]any{"dept_id": id, "name": d.Name, "parent_id": d.Parent}})
}

func (s *Simulator) listDepartmentIDs(form url.Values) answer {
	id, refused := s.department(form)
	if refused.code != 0 {
		return refused
	}
	list := []int64{}
	for _, d := range s.below(id) {
		list = append(list, d.ID)
	}
	return ok(map[string]any{"result": map[string]any{"dept_id_list": list}})
}

func (s *Simulator) listUserIDs(form url.Values) answer {
	id, refused := s.department(form)
	if refused.code != 0 {
		return refused
	}
	list := append([]string{}, s.employees(func(u *employee) bool { return u.inDepartment(id) })...)
	return ok(map[string]any{"result": map[string]any{"userid_list": list}})
}

// listUsers pages through the direct members of a department, at most 100 at a time.
func (s *Simulator) listUsers(form url.Values) answer {
	id, refused := s.department(form)
	if refused.code != 0 {
		return refused
	}
	cursor, size, valid := pageFrom(form, "cursor", 100)
	if !valid {
		return badParameter("size")
	}
	members, more := cut(s.employees(func(u *employee) bool { return u.inDepartment(id) }), cursor, size)
	list := make([]any, 0, len(members))
	for _, user := range members {
		list = append(list, describe(s.users[user].person))
	}
	result := map[string]any{"has_more": more, "list": list}
	if more {
		result["next_cursor"] = cursor + size
	}
	return ok(map[string]any{"result": result})
}

func (s *Simulator) listAdmins(url.Values) answer {
	list := []any{}
	for _, id := range s.employees(func(u *employee) bool { return u.person.Admin != 0 }) {
		list = append(list, map[string]any{"userid": id, "sys_level": s.users[id].person.Admin})
	}
	return ok(map[string]any{"result": list})
}

// scopes tells what the app may see: the whole organisation.
func (s *Simulator) scopes(url.Values) answer {
	return ok(map[string]any{
		"auth_org_scopes": map[string]any{"authed_user": []string{}, "authed_dept": []int64{rootDepartment}},
		"auth_user_field": []string{"name", "mobile", "email", "jobnumber"}, "condition_field": []string{},
	})
}

// onTheJob lists serving staff by their status: 5 is leaving, 3 everybody else, 2 and -1 nobody.
func (s *Simulator) onTheJob(form url.Values) answer {
	offset, size, valid := page(form, 50)
	if !valid {
		return badParameter("size")
	}
	wanted := strings.Split(form.Get("status_list"), ",")
	staff, more := cut(s.employees(func(u *employee) bool {
		status := "3"
		if !u.person.LastDay.IsZero() {
			status = "5"
		}
		return slices.Contains(wanted, status)
	}), offset, size)
	result := map[string]any{"data_list": append([]string{}, staff...)}
	if more {
		result["next_cursor"] = offset + size
	}
	return ok(map[string]any{"success": true, "result": result})
}
