package simulator

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The new host's calls (https://api.dingtalk.com/v1.0/…): the token in a header, JSON bodies, no errcode, and failures as
// an HTTP status with a code in words (A). One simulator is both hosts.

const (
	newHost     = "v1.0/"
	tokenHeader = "x-acs-dingtalk-access-token"
)

// onNewHost reports whether a call is one of the new host's.
func onNewHost(api string) bool { return strings.HasPrefix(api, newHost) }

// refusals of the new host, by the old host's codes.
var newHostCodes = map[int]struct {
	status int
	code   string
}{
	40014: {http.StatusBadRequest, "InvalidAuthentication"},
	42001: {http.StatusBadRequest, "InvalidAuthentication"},
	41001: {http.StatusBadRequest, "MissingAccessToken"},
	40000: {http.StatusBadRequest, "InvalidAuthentication"},
	40089: {http.StatusBadRequest, "invalidClientIdOrSecret"},
	60020: {http.StatusForbidden, "Forbidden.AccessDenied.IpNotInWhiteList"},
	60011: {http.StatusForbidden, "Forbidden.AccessDenied.AccessTokenPermissionDenied"},
	90018: {http.StatusForbidden, "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi"},
	90002: {http.StatusForbidden, "Forbidden.AccessDenied.QpsLimitForApi"},
	90020: {http.StatusForbidden, "Forbidden.AccessDenied.ApiCountLimitForOrg"},
	50003: {http.StatusForbidden, "Forbidden.AccessDenied"},
	-1:    {http.StatusServiceUnavailable, "system.busy"},
	404:   {http.StatusNotFound, "InvalidAction.NotFound"},
}

// encodeNewHost writes an answer as the new host does.
func (s *Simulator) encodeNewHost(a answer) (status int, body []byte) {
	fields := a.fields
	status = http.StatusOK
	if a.code != 0 {
		as, known := newHostCodes[a.code]
		if !known {
			as.status, as.code = http.StatusBadRequest, "invalidParameter.param.invalid"
		}
		status = as.status
		fields = map[string]any{"requestid": s.requestID(), "code": as.code, "message": a.message}
		if a.code == 60011 {
			fields["accessdenieddetail"] = map[string]any{"requiredScopes": []string{"Contact.Common.Read"}}
		}
	}
	body, err := json.Marshal(fields)
	if err != nil {
		panic("simulator: " + err.Error()) // only our own types are in it
	}
	return status, body
}

// accessToken is gettoken as the new host has it.
func (s *Simulator) accessToken(form url.Values, now time.Time) answer {
	old := s.getToken(url.Values{"appkey": form["appKey"], "appsecret": form["appSecret"]}, now)
	if old.code == 0 {
		old.fields = map[string]any{"accessToken": old.fields["access_token"], "expireIn": old.fields["expires_in"]}
	} else if old.code != -1 {
		old.code = 40089
	}
	return old
}

// searchPeople finds names that contain the word, or are it with fullMatchField 1.
func (s *Simulator) searchPeople(form url.Values) answer {
	offset, size, valid := page(form, 50)
	word := form.Get("queryWord")
	if !valid || word == "" {
		return badParameter("queryWord")
	}
	found := s.employees(func(u *employee) bool {
		return u.name == word || form.Get("fullMatchField") != "1" && strings.Contains(u.name, word)
	})
	list, more := cut(found, offset, size)
	return ok(map[string]any{"hasMore": more, "totalCount": len(found), "list": append([]string{}, list...)})
}

const longestSpan = 365 * 24 * time.Hour

// leaveRecords lists who left within a time of at most a year.
func (s *Simulator) leaveRecords(form url.Values) answer {
	from, err := time.Parse(time.RFC3339, form.Get("startTime"))
	to, err2 := time.Parse(time.RFC3339, form.Get("endTime"))
	if form.Get("endTime") == "" {
		to, err2 = s.now(), nil
	}
	offset, size, valid := token(form, 50)
	if err != nil || err2 != nil || !valid || to.Before(from) || to.Sub(from) > longestSpan {
		return badParameter("startTime")
	}
	var within []leaver
	for _, l := range s.leavers {
		if !l.at.Before(from) && !l.at.After(to) {
			within = append(within, l)
		}
	}
	page, more := cut(within, offset, size)
	records := make([]any, 0, len(page))
	for _, l := range page {
		records = append(records, map[string]any{"userId": l.UserID, "name": l.Name, "stateCode": "86", "mobile": l.Mobile,
			"leaveTime": l.at.UTC().Format(time.RFC3339), "leaveReason": l.reason})
	}
	fields := map[string]any{"records": records}
	if more {
		fields["nextToken"] = strconv.Itoa(offset + size)
	}
	return ok(fields)
}

// token reads nextToken and maxResults, which must be there.
func token(form url.Values, most int) (offset, size int, valid bool) {
	if form.Get("maxResults") == "" {
		return 0, 0, false
	}
	return pageFrom(url.Values{"nextToken": form["nextToken"], "size": form["maxResults"]}, "nextToken", most)
}

// dismissions lists everybody who ever left, those who came back as well (C).
func (s *Simulator) dismissions(form url.Values) answer {
	offset, size, valid := token(form, 50)
	if !valid {
		return badParameter("maxResults")
	}
	page, more := cut(s.leavers, offset, size)
	ids := make([]string, 0, len(page))
	for _, l := range page {
		ids = append(ids, l.UserID)
	}
	return ok(map[string]any{"hasMore": more, "nextToken": offset + len(page), "userIdList": ids})
}

// dismissionInfos tells of up to 50 people whether they are leaving (1), have left (2), or neither (3).
func (s *Simulator) dismissionInfos(form url.Values) answer {
	var ids []string
	if json.Unmarshal([]byte(form.Get("userIdList")), &ids) != nil || len(ids) < 1 || len(ids) > 50 {
		return badParameter("userIdList [1,50]")
	}
	var result []any
	for _, id := range ids {
		info := map[string]any{"userId": id, "status": 3, "preStatus": 3}
		person := Person{}
		if u := s.users[id]; u != nil {
			person = u.person
			if last := u.person.LastDay; !last.IsZero() {
				info["status"], info["lastWorkDay"] = 1, last.UnixMilli()
			}
		} else if l, left := s.lastLeft(id); left {
			person = l.Person
			info["status"], info["lastWorkDay"] = 2, l.at.UnixMilli()
			if !person.LastDay.IsZero() {
				info["lastWorkDay"] = person.LastDay.UnixMilli()
			}
		} else {
			continue
		}
		departments := []any{}
		for _, dept := range person.Departments {
			departments = append(departments, map[string]any{"dept_id": dept, "dept_path": s.departments[dept].Name})
		}
		info["deptList"] = departments
		result = append(result, info)
	}
	return ok(map[string]any{"result": result})
}

// lastLeft is how somebody left the last time; s.mu is held.
func (s *Simulator) lastLeft(id string) (leaver, bool) {
	for _, l := range slices.Backward(s.leavers) {
		if l.UserID == id {
			return l, true
		}
	}
	return leaver{}, false
}
