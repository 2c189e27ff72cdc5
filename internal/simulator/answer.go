package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// answer is what the API itself says. The grades of what it does are those of the facts about DingTalk: where those
// are unknown (?) there is an option, or the answer is the plainest one that was ever documented for its kind.
type answer struct {
	code    int
	message string
	gateway bool // refused by the gateway, which wraps its codes into 88
	fields  map[string]any
	effect  func()
}

func ok(fields map[string]any) answer { return answer{message: "ok", fields: fields} }

func itoa(n int) string { return strconv.Itoa(n) }

// answer decides what the API says to a call that reached it; s.mu is held.
func (s *Simulator) answer(call *Call, api string, r *http.Request, formErr error, now time.Time) answer {
	switch api {
	case apiToken:
		return s.getToken(r.Form, now)
	case apiNewToken:
		return s.accessToken(r.Form, now)
	}
	read, reads := readers[api]
	switch {
	case reads, api == apiRemove, api == apiAdd:
	case onNewHost(api):
		return answer{code: 404, message: "Specified api is not found"}
	default: // (B)
		return answer{code: 22, message: "Invalid method[submsg=不合法ApiName，ApiName = " + api + "]"}
	}
	if onNewHost(api) {
		r.Form["access_token"] = r.Header[http.CanonicalHeaderKey(tokenHeader)]
	}
	if a := s.gate(api, r.Form, now); a.code != 0 {
		return a
	}
	if s.failing(FaultBusy, now) || s.hits("busy", s.opt.Busy) || api == apiRemove && !s.withinCapacity(now) {
		return answer{code: -1, message: "系统繁忙"}
	}
	switch {
	case r.Method != http.MethodPost && !byGet[api]:
		return answer{code: 43002, message: "需要POST请求"}
	case formErr != nil, s.failing(FaultBadRequest, now):
		return answer{code: 400002, message: "无效的参数"}
	}
	switch api {
	case apiRemove:
		return s.change(call, r.Form, mostRemoved, func(u *employee, role int64) { delete(u.roles, role) })
	case apiAdd:
		return s.change(call, r.Form, mostGiven, func(u *employee, role int64) { u.roles[role] = nil })
	}
	return read(s, r.Form)
}

// gate is DingTalk's gateway: token, address, app, permission, limits.
func (s *Simulator) gate(api string, form url.Values, now time.Time) answer {
	refuse := func(code int, message string) answer { return answer{code: code, message: message, gateway: true} }
	sent := form.Get("access_token")
	switch {
	case !form.Has("access_token"):
		return refuse(41001, "缺少access_token")
	case sent == "":
		return refuse(40000, "access_token is blank")
	case s.failing(FaultToken, now), s.failing(FaultCredentials, now):
		return refuse(40014, "不合法的access_token")
	case sent != s.token || !now.Before(s.tokenEnds):
		if s.pastTokens[sent] || sent == s.token {
			return refuse(42001, "access_token超时")
		}
		return refuse(40014, "不合法的access_token")
	case s.failing(FaultIPNotAllowed, now):
		return refuse(60020, "访问ip不在白名单之中，request ip=192.0.2.7")
	case s.failing(FaultDisabled, now):
		return refuse(50003, "应用已停用")
	case s.failing(FaultPermission, now):
		return refuse(60011, "应用尚未开通所需的权限：[qyapi_manage_addresslist]，点击链接申请并开通即可")
	case s.failing(FaultQuota, now):
		return refuse(90020, "本月API调用量已用尽")
	case s.failing(FaultThrottled, now):
		return refuse(90002, "您的服务器调用钉钉开放平台所有接口的请求都被暂时禁用了")
	case !s.perSecond(api):
		return refuse(90018, "您的服务器调用钉钉开放平台当前接口的所有请求都被暂时禁用了")
	}
	return answer{}
}

// getToken refuses in its own words: never wrapped (B), 90002 and 90003 for an empty key and secret (A).
func (s *Simulator) getToken(form url.Values, now time.Time) answer {
	for now, before := range map[string]string{"appkey": "corpid", "appsecret": "corpsecret"} { // as older clients name them
		if form.Has(before) && !form.Has(now) {
			form.Set(now, form.Get(before))
		}
	}
	key, secret := form.Get("appkey"), form.Get("appsecret")
	switch {
	case s.failing(FaultBusy, now), s.hits("busy", s.opt.Busy):
		return answer{code: -1, message: "系统繁忙"}
	case !form.Has("appkey"), !form.Has("appsecret"):
		return answer{code: 40035, message: "缺少参数 corpid or appkey"}
	case key == "":
		return answer{code: 90002, message: "appkey不能为空"}
	case secret == "":
		return answer{code: 90003, message: "appsecret不能为空"}
	case !s.opt.AnyCredentials && key != s.opt.AppKey:
		return answer{code: 40096, message: "不合法的appKey或appSecret"}
	case !s.opt.AnyCredentials && secret != s.opt.AppSecret, s.failing(FaultCredentials, now):
		return answer{code: 40089, message: "不合法的corpid或corpsecret"}
	}
	if s.token == "" || !now.Before(s.tokenEnds) {
		s.retireToken(true)
		s.tokens++
		s.token = fmt.Sprintf("%016x%016x", s.hash("token", s.tokens), s.hash("token, second half", s.tokens))
	}
	s.tokenEnds = now.Add(s.opt.TokenTTL) // asking again extends it (A)
	s.stats.Tokens++
	return ok(map[string]any{"access_token": s.token, "expires_in": int(s.opt.TokenAnnounced.Seconds())})
}

// RevokeToken makes the present token invalid at once; gettoken gives another one.
func (s *Simulator) RevokeToken() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retireToken(false)
}

// Token is the present token, "" before the first. Tests look for it where it must not be.
func (s *Simulator) Token() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.token
}

func (s *Simulator) retireToken(expired bool) {
	if s.token != "" {
		s.pastTokens[s.token] = expired
		s.token = ""
	}
}

// change applies a matrix of roles and users, or refuses it.
func (s *Simulator) change(call *Call, form url.Values, mostUsers int, apply func(*employee, int64)) answer {
	if broken := brokenLimit(form, mostRoles, mostUsers); broken != "" {
		if !form.Has("roleIds") || !form.Has("userIds") {
			return answer{code: 40035, message: "缺少参数 " + broken}
		}
		return answer{code: 400002, message: "无效的参数 " + broken}
	}
	roles, users, _ := ids(form)
	refused, badRoles, badUsers := s.judge(roles, users)
	if refused.code != 0 && !s.appliesGood() {
		return answer{code: refused.code, message: refused.message}
	}
	effect := func() {
		for _, id := range users {
			if badUsers[id] {
				continue
			}
			u := s.user(id)
			for _, role := range roles {
				if badRoles[role] {
					continue
				}
				before := len(u.roles)
				apply(u, role)
				call.Applied++
				s.stats.RemovedPairs += max(0, before-len(u.roles))
			}
		}
	}
	if refused.code != 0 {
		return answer{code: refused.code, message: refused.message, effect: effect}
	}
	a := ok(nil)
	a.effect = effect
	return a
}

// judge finds the bad ids of a call and the one that it is refused for: the first of its kind, or any.
func (s *Simulator) judge(roles []int64, users []string) (refused refusal, badRoles map[int64]bool, badUsers map[string]bool) {
	badRoles, badUsers = make(map[int64]bool), make(map[string]bool)
	var forRole, forUser []refusal
	for _, id := range roles {
		if why, bad := s.judgeRole(id); bad {
			badRoles[id] = true
			forRole = append(forRole, why)
		}
	}
	for _, id := range users {
		if why, bad := s.judgeUser(id); bad {
			badUsers[id] = true
			forUser = append(forUser, why)
		}
	}
	first := slices.Concat(forRole, forUser)
	if s.opt.Blames == BlamesUser {
		first = slices.Concat(forUser, forRole)
	}
	switch {
	case len(first) == 0:
		return refusal{}, badRoles, badUsers
	case s.opt.Blames == BlamesRandom:
		return first[int(s.dice("blames")*float64(len(first)))], badRoles, badUsers
	}
	return first[0], badRoles, badUsers
}

func (s *Simulator) appliesGood() bool {
	return s.opt.ApplyGood == ApplyAlways || s.opt.ApplyGood == ApplyRandom && s.dice("apply good") < 0.5
}

// ids reads the comma-joined lists as far as they can be read.
func ids(form url.Values) (roles []int64, users []string, readable bool) {
	readable = true
	for text := range strings.SplitSeq(form.Get("roleIds"), ",") {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil || id <= 0 {
			readable = false
			continue
		}
		roles = append(roles, id)
	}
	for id := range strings.SplitSeq(form.Get("userIds"), ",") {
		if n := utf8.RuneCountInString(id); n < 1 || n > 64 {
			readable = false
			continue
		}
		users = append(users, id)
	}
	return roles, users, readable
}

// brokenLimit names the parameter that breaks a documented limit, or "". What DingTalk does then is unknown (?).
func brokenLimit(form url.Values, mostRoles, mostUsers int) string {
	roles, users, readable := ids(form)
	switch {
	case !form.Has("roleIds"), len(roles) == 0, len(roles) > mostRoles, twice(roles):
		return "roleIds"
	case !form.Has("userIds"), len(users) == 0, len(users) > mostUsers, twice(users):
		return "userIds"
	case !readable:
		return "roleIds or userIds"
	}
	return ""
}

func twice[T comparable](ids []T) bool {
	seen := make(map[T]struct{}, len(ids))
	for _, id := range ids {
		seen[id] = struct{}{}
	}
	return len(seen) != len(ids)
}

// encode writes an answer in one of the old host's shapes.
func (s *Simulator) encode(a answer) []byte {
	fields := map[string]any{"request_id": s.requestID()}
	for name, value := range a.fields {
		fields[name] = value
	}
	code, shape := a.code, s.opt.Shape
	if a.gateway && shape == ShapeMixed {
		shape = Shape(s.dice("shape") * float64(ShapeMixed))
	}
	fields["errmsg"] = a.message
	if a.gateway && shape != ShapePlain {
		code = 88
		fields["errmsg"] = fmt.Sprintf("ding talk error[subcode=%d,submsg=%s]", a.code, a.message)
		if shape == ShapeWrapped {
			fields["sub_code"], fields["sub_msg"] = itoa(a.code), a.message
			if s.opt.Shape == ShapeMixed && s.dice("number") < 0.3 {
				fields["sub_code"] = a.code
			}
		}
	}
	fields["errcode"] = code
	if s.opt.StringErrCode {
		fields["errcode"] = itoa(code)
	}
	body, err := json.Marshal(fields)
	if err != nil {
		panic("simulator: " + err.Error()) // only our own types are in it
	}
	return body
}

func (s *Simulator) requestID() string {
	return fmt.Sprintf("%012x", s.hash("request id", s.number)&(1<<48-1))
}

// proxyPage replaces the answer by what a proxy says when DingTalk does not answer it.
func (s *Simulator) proxyPage(o *outcome) {
	o.status = []int{http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}[int(s.dice("proxy status")*3)]
	o.contentType = "text/html"
	o.body = fmt.Appendf(nil, "<html>\r\n<head><title>%d %s</title></head>\r\n<body><center><h1>%[1]d %[2]s</h1></center></body>\r\n</html>\r\n",
		o.status, http.StatusText(o.status))
}

// banPage is the ban of an egress address: JSON without an errcode, or a page, both with status 200 (A, D).
func (s *Simulator) banPage(o *outcome) {
	if s.dice("ban page") < 0.5 {
		o.contentType = "text/html;charset=utf-8"
		o.body = []byte("<!doctype html><html><head><title>访问被拒绝</title></head><body>punish</body></html>")
		return
	}
	o.body = fmt.Appendf(nil, `{"status":1111,"wait":5,"source":"x5","punish":"deny","uuid":"%s"}`, s.requestID())
}
