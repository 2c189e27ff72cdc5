package dingtalk

import (
	"encoding/json"
	"strings"
	"time"
)

// The new host (https://api.dingtalk.com/v1.0/…) has manners of its own: the token in a header, a JSON body, no errcode in
// a success, and a failure as an HTTP status with a code in words (A). The old host's token is good for both (C).

// tokenHeader carries the token on the new host (A).
const tokenHeader = "x-acs-dingtalk-access-token"

// newHostOf is the new host beside an old one: api. for oapi. of both sites (A), else the same, as of a simulator.
func newHostOf(base string) string {
	for _, site := range []string{"dingtalk.com", "dingtalk.io"} {
		if base == "https://oapi."+site {
			return "https://api." + site
		}
	}
	return base
}

// onNewHost reports whether a path is one of the new host's.
func onNewHost(op string) bool { return strings.HasPrefix(op, "v1.0/") }

// newHostDecisions is the table of the new host's codes (A, B); a code counts that is one of these, or begins with one.
var newHostDecisions = []struct {
	code string
	verdict
}{
	{"InvalidAuthentication", verdict{class: ClassToken}},
	{"invalidAccessToken", verdict{class: ClassToken}},
	{"MissingAccessToken", verdict{class: ClassTokenNotSent}},
	{"Forbidden.AccessDenied.AccessTokenPermissionDenied", verdict{class: ClassPermission}},
	{"Forbidden.AccessDenied.IpNotInWhiteList", verdict{class: ClassIPNotAllowed}},
	{"Forbidden.AccessDenied.QpsLimitForApi", verdict{ClassThrottled, LimitGlobal}},
	{"Forbidden.AccessDenied.QpsLimit", verdict{ClassThrottled, LimitAPI}},
	{"Forbidden.AccessDenied.QpmLimit", verdict{ClassThrottled, LimitWide}},
	{"Forbidden.AccessDenied.ApiCountLimitForOrg", verdict{ClassThrottled, LimitQuota}},
	{"Forbidden.AccessDenied", verdict{class: ClassDisabled}}, // D
	{"corpNotOpenHrm", verdict{class: ClassDisabled}},
	{"invalidParameter", verdict{class: ClassBadRequest}},
	{"parameter.error", verdict{class: ClassBadRequest}},
	{"InvalidAction.NotFound", verdict{class: ClassBadRequest}},
	{"system", verdict{class: ClassBusy}}, // systemError, system.error, system.busy
}

// decodeNewHost reads an answer of the new host. It returns the object's fields and an error for everything but a success.
func decodeNewHost(op string, r reply, now time.Time, secrets ...string) (map[string]json.RawMessage, *Error) {
	e := &Error{Op: op, HTTPStatus: r.status}
	fields := object(r.body)
	code := readString(fields["code"])
	switch {
	case banned(fields), fields == nil, code == "" && (r.status < 200 || r.status > 299):
		// Nobody of DingTalk's API wrote that.
		return decode(op, r, now, secrets...)
	case code == "":
		return fields, nil
	}
	e.SubCode = tidy(code, secrets...)
	e.Message = tidy(readString(fields["message"]), secrets...)
	e.RequestID = tidy(readString(fields["requestid"]), secrets...)
	for _, d := range newHostDecisions {
		if strings.HasPrefix(code, d.code) {
			e.Class, e.Limit = d.class, d.limit
			break
		}
	}
	if e.Class == ClassUnknown && r.status >= 500 {
		e.Class = ClassBusy
	}
	e.Wait = max(e.Limit.Pause(now), retryAfter(r.header, now))
	switch e.Class {
	case ClassPermission:
		var detail struct {
			RequiredScopes []string `json:"requiredScopes"`
		}
		if json.Unmarshal(fields["accessdenieddetail"], &detail) == nil {
			e.Named = tidy(strings.Join(detail.RequiredScopes, ", "), secrets...)
		}
	case ClassIPNotAllowed:
		e.Named = namedAddress(e.Message)
	}
	return nil, e
}
