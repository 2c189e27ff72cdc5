package simulator

import (
	"net/url"
	"slices"
)

// The calls that find people as older clients make them: by GET, and without a result around the fields.

// unwrapped is an answer with the fields of its result beside its code.
func unwrapped(a answer) answer {
	if result, is := a.fields["result"].(map[string]any); is {
		a.fields = result
	}
	return a
}

func (s *Simulator) byMobileV1(form url.Values) answer { return unwrapped(s.byMobile(form)) }

func (s *Simulator) byUnionIDV1(form url.Values) answer {
	a := unwrapped(s.byUnionID(form))
	if kind, is := a.fields["contact_type"]; is {
		delete(a.fields, "contact_type")
		a.fields["contactType"] = kind
	}
	return a
}

func (s *Simulator) getUserV1(form url.Values) answer {
	id := form.Get("userid")
	if id == "" {
		return badParameter("userid")
	}
	if why, bad := s.judgeUser(id); bad {
		return answer{code: why.code, message: why.message}
	}
	fields := map[string]any{"userid": id, "active": true}
	if u := s.users[id]; u != nil {
		v2 := describe(u.person)
		for now, before := range map[string]string{"name": "name", "mobile": "mobile", "job_number": "jobnumber", "unionid": "unionid", "email": "email",
			"org_email": "orgEmail", "title": "position", "admin": "isAdmin", "boss": "isBoss", "dept_id_list": "department"} {
			if value, known := v2[now]; known {
				fields[before] = value
			}
		}
		roles := []any{}
		for id := range u.roles {
			roles = append(roles, map[string]any{"id": id, "name": s.roles[id].name, "groupName": s.roles[id].group})
		}
		slices.SortFunc(roles, func(a, b any) int { return int(a.(map[string]any)["id"].(int64) - b.(map[string]any)["id"].(int64)) })
		fields["roles"] = roles
	}
	return ok(fields)
}
