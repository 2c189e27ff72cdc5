package dingtalk

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// every lists each code of the facts about DingTalk with what it must mean, by hand and apart from the table.
var every = map[int]Class{
	0:  ClassOK,
	-1: ClassBusy, 1002: ClassBusy, 400001: ClassBusy, 15: ClassBusy, 10: ClassBusy,
	90018: ClassThrottled, 90002: ClassThrottled, 90005: ClassThrottled, 90006: ClassThrottled,
	90001: ClassThrottled, 90003: ClassThrottled, 90004: ClassThrottled, 90007: ClassThrottled, 90008: ClassThrottled,
	90009: ClassThrottled, 90010: ClassThrottled, 90011: ClassThrottled, 90012: ClassThrottled, 90013: ClassThrottled,
	90014: ClassThrottled, 90019: ClassThrottled, 45009: ClassThrottled, 7: ClassThrottled, 90020: ClassThrottled,
	40014: ClassToken, 42001: ClassToken,
	40001: ClassToken, 33001: ClassToken, 400043: ClassToken, 12012: ClassToken, 43007: ClassToken, 88: ClassToken,
	40089: ClassCredentials, 40096: ClassCredentials,
	60011: ClassPermission, 60020: ClassIPNotAllowed,
	50003: ClassDisabled, 50005: ClassDisabled, 48002: ClassDisabled, 48004: ClassDisabled, 70001: ClassDisabled,
	90017: ClassDisabled,
	33011: ClassInvalidRole, 60301: ClassInvalidRole, 23004: ClassSystemRole,
	33012: ClassInvalidUser, 40104: ClassInvalidUser,
	60121: ClassUserGone, 46004: ClassUserGone, 60111: ClassUserGone, 40003: ClassUserGone, 40031: ClassUserGone,
	50002:  ClassUserOutOfScope,
	41001:  ClassTokenNotSent,
	400002: ClassBadRequest, 40035: ClassBadRequest, 40032: ClassBadRequest, 41102: ClassBadRequest, 34018: ClassBadRequest,
	40: ClassBadRequest, 41: ClassBadRequest, 43001: ClassBadRequest, 43002: ClassBadRequest, 43003: ClassBadRequest,
	43004: ClassBadRequest, 43005: ClassBadRequest, 43006: ClassBadRequest, 43008: ClassBadRequest, 43009: ClassBadRequest,
	44002: ClassBadRequest, 60003: ClassBadRequest, 22: ClassBadRequest, 404: ClassBadRequest,
	// Neighbours of known codes, and codes that the facts do not list.
	1: ClassUnknown, -2: ClassUnknown, 89: ClassUnknown, 33010: ClassUnknown, 33013: ClassUnknown, 40000: ClassUnknown,
	43010: ClassUnknown, 43000: ClassUnknown, 90015: ClassUnknown, 90016: ClassUnknown, 90021: ClassUnknown,
	60021: ClassUnknown, 999999: ClassUnknown,
}

var limitsOf = map[int]Limit{
	90018: LimitAPI, 90002: LimitGlobal, 90005: LimitOrg, 90006: LimitOrg, 90020: LimitQuota,
}

var noon = time.Date(2026, 3, 2, 12, 0, 0, 250e6, time.UTC)

func answered(status int, body string, headers ...string) reply {
	h := make(http.Header)
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return reply{status: status, header: h, body: []byte(body)}
}

func classOf(op string, r reply) (Class, Limit) {
	_, e := decode(op, r, noon)
	if e == nil {
		return ClassOK, LimitNone
	}
	return e.Class, e.Limit
}

func TestEveryCodeHasItsClassInEveryShape(t *testing.T) {
	for code, want := range every {
		wantLimit := limitsOf[code]
		if want == ClassThrottled && wantLimit == LimitNone {
			wantLimit = LimitWide
		}
		shapes := map[string]string{
			"plain":           fmt.Sprintf(`{"errcode":%d,"errmsg":"m","request_id":"r"}`, code),
			"string":          fmt.Sprintf(`{"errcode":"%d","errmsg":"m"}`, code),
			"wrapped":         fmt.Sprintf(`{"errcode":88,"sub_code":"%d","sub_msg":"m","errmsg":"ding talk error[subcode=%[1]d,submsg=m]"}`, code),
			"wrapped, number": fmt.Sprintf(`{"errcode":88,"sub_code":%d,"errmsg":"m"}`, code),
			"wrapped, text":   fmt.Sprintf(`{"errcode":88,"errmsg":"ding talk error[subcode=%d,submsg=m]"}`, code),
			"wrapped, null":   fmt.Sprintf(`{"errcode":88,"sub_code":null,"errmsg":"ding talk error[subcode=%d,submsg=m]"}`, code),
			"wrapped, string": fmt.Sprintf(`{"errcode":"88","sub_code":"%d"}`, code),
		}
		for name, body := range shapes {
			want, wantLimit := want, wantLimit
			if code == 0 && name != "plain" && name != "string" {
				want, wantLimit = ClassToken, LimitNone // a sub-code of 0 is no success
			}
			for _, op := range []string{opRemove, opRoles, opHolder, opUser} {
				if class, scope := classOf(op, answered(200, body)); class != want || scope != wantLimit {
					t.Errorf("%s: %d %s is %v %v, want %v %v", op, code, name, class, scope, want, wantLimit)
				}
			}
		}
	}
	for code := range byCode {
		if _, listed := every[code]; !listed {
			t.Errorf("the table decides %d, which this test does not list", code)
		}
	}
}

func TestGettokenBlamesNoBatch(t *testing.T) {
	for code, elsewhere := range every {
		want := ClassCredentials
		switch elsewhere {
		case ClassOK, ClassBusy, ClassThrottled, ClassPermission, ClassIPNotAllowed, ClassDisabled:
			want = elsewhere
		}
		if code == 90002 || code == 90003 {
			want = ClassCredentials
		}
		if class, _ := classOf(OpToken, answered(200, fmt.Sprintf(`{"errcode":%d,"errmsg":"m"}`, code))); class != want {
			t.Errorf("gettoken: %d is %v, want %v", code, class, want)
		}
	}
}

func TestEveryHTTPStatusOfAForeignAnswer(t *testing.T) {
	bodies := map[string]reply{
		"empty":         answered(0, ""),
		"text":          answered(0, "Bad Gateway", "Content-Type", "text/plain"),
		"html":          answered(0, "<html><head></head></html>", "Content-Type", "text/html"),
		"json":          answered(0, `{"code":"InvalidParameter","message":"m"}`, "Content-Type", "application/json"),
		"truncated":     answered(0, `{"errcode":0,"errmsg":"o`, "Content-Type", "text/html"),
		"json, not it":  answered(0, `["errcode",0]`),
		"two objects":   answered(0, `{"errcode":0}{"errcode":0}`),
		"other case":    answered(0, `{"ErrCode":0,"ERRCODE":0}`),
		"null errcode":  answered(0, `{"errcode":null}`),
		"empty errcode": answered(0, `{"errcode":""}`),
		"false errcode": answered(0, `{"errcode":false}`),
		"float errcode": answered(0, `{"errcode":0.0}`),
		"padded":        answered(0, `{"errcode":"00"}`),
		"huge":          answered(0, `{"errcode":99999999999999999999}`),
	}
	for name, r := range bodies {
		for status := 200; status <= 599; status++ {
			r.status = status
			class, scope := classOf(opRemove, r)
			want, wantLimit := ClassBusy, LimitNone
			switch {
			case status == 200 && name == "html":
				want, wantLimit = ClassThrottled, LimitIPBan
			case status == 429:
				want, wantLimit = ClassThrottled, LimitGlobal
			}
			if class != want || scope != wantLimit {
				t.Errorf("%s with status %d is %v %v, want %v %v", name, status, class, scope, want, wantLimit)
			}
		}
	}
}

func TestDingTalksOwnAnswerCountsWhateverTheStatus(t *testing.T) {
	for status := 200; status <= 599; status++ {
		if class, _ := classOf(opRemove, answered(status, `{"errcode":33012,"errmsg":"m"}`)); class != ClassInvalidUser {
			t.Errorf("33012 with status %d is %v", status, class)
		}
		want := ClassBusy
		if status < 300 {
			want = ClassOK
		}
		if class, _ := classOf(opRemove, answered(status, `{"errcode":0}`)); class != want {
			t.Errorf("0 with status %d is %v, want %v", status, class, want)
		}
	}
}

func TestShapesThatFoolClients(t *testing.T) {
	for _, tc := range []struct {
		name  string
		body  string
		class Class
		limit Limit
		wait  time.Duration
		named string
	}{
		{name: "success without errmsg", body: `{"errcode":0,"request_id":"r"}`},
		{name: "ban", body: `{"status":1111,"wait":5,"source":"x5","punish":"deny","uuid":"u"}`, class: ClassThrottled, limit: LimitIPBan, wait: 5 * time.Minute},
		{name: "longer ban", body: `{"status":1111,"wait":12,"punish":"deny"}`, class: ClassThrottled, limit: LimitIPBan, wait: 12 * time.Minute},
		{name: "ban, text wait", body: `{"status":1111,"wait":"2","punish":"deny"}`, class: ClassThrottled, limit: LimitIPBan, wait: 2 * time.Minute},
		{name: "ban without wait", body: `{"status":1111,"punish":"deny"}`, class: ClassThrottled, limit: LimitIPBan, wait: 5 * time.Minute},
		{name: "ban with a wait of nothing", body: `{"wait":-1,"punish":"deny"}`, class: ClassThrottled, limit: LimitIPBan, wait: 5 * time.Minute},
		{name: "ban for ever", body: `{"wait":1e300,"punish":"deny"}`, class: ClassThrottled, limit: LimitIPBan, wait: 24 * time.Hour},
		{name: "ban that says 0", body: `{"errcode":0,"punish":"deny"}`, class: ClassThrottled, limit: LimitIPBan, wait: 5 * time.Minute},
		{name: "no punishment", body: `{"status":1111,"punish":"allow"}`, class: ClassBusy},
		{name: "ban page of Alibaba's", body: "<html><head><title>405</title></head><script src=//g.alicdn.com/x5sec></script></html>", class: ClassThrottled, limit: LimitIPBan, wait: 5 * time.Minute},
		{name: "a portal's login", body: "<!doctype html><html><head><TITLE>Campus &amp; Office Login</TITLE></head></html>", class: ClassThrottled, limit: LimitWide, wait: 15 * time.Second},
		{name: "ban page", body: "\n <!DOCTYPE html><html></html>", class: ClassThrottled, limit: LimitIPBan, wait: 5 * time.Minute},
		{name: "throttled within 88", body: `{"errcode":88,"sub_code":"90018","sub_msg":"m","errmsg":"ding talk error[subcode=90018,submsg=m]"}`, class: ClassThrottled, limit: LimitAPI, wait: 750 * time.Millisecond},
		{name: "isp within 88", body: `{"errcode":88,"sub_code":"isp.top-remote-connection-timeout"}`, class: ClassBusy},
		{name: "isp in the text", body: `{"errcode":88,"errmsg":"ding talk error[subcode=isp.service-unavailable,submsg=m]"}`, class: ClassBusy},
		{name: "isp beside another code", body: `{"errcode":50,"sub_code":"isp.remote-service-error"}`, class: ClassBusy},
		{name: "isp beside a known code", body: `{"errcode":33012,"sub_code":"isp.whatever"}`, class: ClassInvalidUser},
		{name: "another word within 88", body: `{"errcode":88,"sub_code":"isv.something"}`, class: ClassUnknown},
		{name: "88 alone", body: `{"errcode":88,"errmsg":"ding talk error"}`, class: ClassToken},
		{name: "88 within 88", body: `{"errcode":88,"sub_code":"88","errmsg":"m"}`, class: ClassToken},
		{name: "a sub-code that is an object", body: `{"errcode":88,"sub_code":{},"errmsg":"ding talk error[subcode=60020,submsg=m]"}`, class: ClassIPNotAllowed},
		{name: "blank token", body: `{"errcode":40000,"errmsg":"access_token is blank"}`, class: ClassTokenNotSent},
		{name: "blank token within 88", body: `{"errcode":88,"sub_code":"40000","sub_msg":"access_token is blank","errmsg":"m"}`, class: ClassTokenNotSent},
		{name: "40000 for another reason", body: `{"errcode":40000,"errmsg":"invalid"}`, class: ClassUnknown},
		{name: "permission", body: `{"errcode":88,"sub_code":"60011","sub_msg":"应用尚未开通所需的权限：[qyapi_get_member]，点击链接","errmsg":"m"}`, class: ClassPermission, named: "qyapi_get_member"},
		{name: "permission of another style", body: `{"errcode":60011,"errmsg":"requires [Contact.User.Read]"}`, class: ClassPermission, named: "Contact.User.Read"},
		{name: "permission without a name", body: `{"errcode":60011,"errmsg":"没有调用该接口的权限，参考：https://developers.dingtalk.com/document/app/add-api-permission"}`, class: ClassPermission},
		{name: "white list", body: `{"errcode":88,"sub_code":"60020","sub_msg":"访问ip不在白名单之中,request ip=203.0.113.9","errmsg":"m"}`, class: ClassIPNotAllowed, named: "203.0.113.9"},
		{name: "white list, colon", body: `{"errcode":60020,"errmsg":"访问ip不在白名单之中,请求ip:203.0.113.9。"}`, class: ClassIPNotAllowed, named: "203.0.113.9"},
		{name: "white list, IPv6", body: `{"errcode":60020,"errmsg":"request ip=2001:db8::17, denied"}`, class: ClassIPNotAllowed, named: "2001:db8::17"},
		{name: "white list without a name", body: `{"errcode":60020,"errmsg":"12:30 v1.2"}`, class: ClassIPNotAllowed},
		{name: "byte order mark", body: "\xef\xbb\xbf" + `{"errcode":33012}`, class: ClassInvalidUser},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, e := decode(opRemove, answered(200, tc.body), noon)
			if tc.class == ClassUnknown && tc.name == "success without errmsg" {
				if e != nil {
					t.Errorf("have %v", e)
				}
				return
			}
			if e == nil {
				t.Fatal("taken for a success")
			}
			if e.Class != tc.class || e.Limit != tc.limit || e.Wait != tc.wait || e.Named != tc.named {
				t.Errorf("have %v %v %v %q, want %v %v %v %q", e.Class, e.Limit, e.Wait, e.Named, tc.class, tc.limit, tc.wait, tc.named)
			}
		})
	}
}

func TestTooLongAnAnswerIsBusy(t *testing.T) {
	body := make([]byte, mostBody+1)
	for i := range body {
		body[i] = ' '
	}
	copy(body, `{"errcode":0}`)
	if class, _ := classOf(opRemove, reply{status: 200, header: http.Header{}, body: body}); class != ClassBusy {
		t.Errorf("have %v", class)
	}
}

func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-3": 0, "soon": 0, "999999999": time.Hour,
		noon.Add(90 * time.Second).Format(http.TimeFormat): 90*time.Second - 250*time.Millisecond,
		noon.Add(-time.Hour).Format(http.TimeFormat):       0,
	} {
		_, e := decode(opRemove, answered(503, "later", "Retry-After", value), noon)
		if e.Class != ClassBusy || e.Wait != want {
			t.Errorf("%q: %v %v, want busy %v", value, e.Class, e.Wait, want)
		}
	}
}

func TestEveryClassAndScopeHasAName(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Classes() {
		if c.String() == "" || seen[c.String()] || c.words() == "" {
			t.Errorf("class %d is called %q", c, c)
		}
		seen[c.String()] = true
	}
	for s := LimitNone; s < limits; s++ {
		if (s.String() == "") != (s == LimitNone) || (s.Pause(noon) == 0) != (s == LimitNone || s == LimitQuota) {
			t.Errorf("scope %d is called %q and pauses %v", s, s, s.Pause(noon))
		}
	}
}

// Whatever comes, only an errcode of 0 in a whole object is a success, and the error is one clean line without the token.
func FuzzDecodeAnswer(f *testing.F) {
	for _, body := range []string{
		`{"errcode":0,"errmsg":"ok","request_id":"r"}`, `{"errcode":"0"}`, `{"errcode":88,"sub_code":"90018"}`,
		`{"errcode":88,"errmsg":"ding talk error[subcode=60011,submsg=m]"}`, `{"status":1111,"wait":5,"punish":"deny"}`,
		`<html></html>`, `{"errcode":0`, ``, `null`, `{"errcode":1,"errmsg":"access_token=s3cret-token\n\u0000"}`,
	} {
		f.Add(200, "application/json", []byte(body))
		f.Add(502, "text/html", []byte(body))
	}
	const token = "s3cret-token"
	f.Fuzz(func(t *testing.T, status int, contentType string, body []byte) {
		checkDecoded(t, answered(status, string(body), "Content-Type", contentType), token)
	})
}

// docs/dingtalk.md has a row per class with just the codes that the table gives it.
func TestThePageHasTheCodesOfEveryClass(t *testing.T) {
	page, err := os.ReadFile("../../../docs/dingtalk.md")
	if err != nil {
		t.Fatal(err)
	}
	codes := regexp.MustCompile(`-?\b[0-9]+\b(–[0-9]+)?`)
	for _, class := range Classes() {
		want := map[int]bool{}
		for code, v := range byCode {
			if v.class == class {
				want[code] = true
			}
		}
		_, row, _ := strings.Cut(string(page), "\n| `"+class.String()+"` | ")
		row, _, found := strings.Cut(row, " |")
		if !found {
			t.Errorf("the page has no row for %v", class)
			continue
		}
		if class == ClassTokenNotSent {
			want[40000] = true // by its words
		}
		got := map[int]bool{}
		for _, text := range codes.FindAllString(row, -1) {
			first, last, isSpan := strings.Cut(text, "–")
			if !isSpan {
				last = first
			}
			from, _ := strconv.Atoi(first)
			to, _ := strconv.Atoi(last)
			for _, code := range span(from, to) {
				got[code] = true
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("codes of %v (-code +page):\n%s", class, diff)
		}
	}
}
