package dingtalk

import (
	"bytes"
	"encoding/json"
	"html"
	"math"
	"net/http"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/base/words"
)

// wrapped is the errcode under which DingTalk's gateway hides the real code (B).
const wrapped = 88

// mostBody is the largest answer that is read, in bytes.
const mostBody = 1 << 20

const (
	longestBan   = 24 * time.Hour
	longestRetry = time.Hour
)

// reply is one HTTP answer, read to its end.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// decode reads an answer of any of the four shapes: plain, wrapped by the gateway, without an errcode, or not
// DingTalk's at all. It returns the object's fields and an error for everything but an errcode that is there and is 0.
// The HTTP status says nothing about DingTalk's own answers, which come with 200 (B); it counts for the others.
func decode(op string, r reply, now time.Time, secrets ...string) (map[string]json.RawMessage, *Error) {
	e := &Error{Op: op, HTTPStatus: r.status}
	fields := object(r.body)
	code, hasCode := readCode(fields["errcode"])
	if !hasCode || code == 0 {
		if banned(fields) {
			e.Class, e.Limit = ClassThrottled, LimitIPBan
			e.ErrCode, e.HasErrCode = code, hasCode
			e.Wait = banLength(fields, now)
			e.Message = "DingTalk denies every call from this address"
			return nil, e
		}
	}
	if !hasCode {
		foreign(e, r, fields, now, secrets...)
		return nil, e
	}
	e.ErrCode, e.HasErrCode = code, true
	e.RequestID = tidy(readString(fields["request_id"]), secrets...)
	message := readString(fields["errmsg"])
	if code == wrapped {
		e.SubCode = tidy(subCode(fields["sub_code"], message), secrets...)
		if m := readString(fields["sub_msg"]); m != "" {
			message = m
		}
	} else if code != 0 {
		e.SubCode = tidy(readText(fields["sub_code"]), secrets...)
	}
	e.Message = tidy(message, secrets...)
	v := decide(op, code, e.SubCode, message)
	e.Class, e.Limit = v.class, v.limit
	if v.class == ClassOK {
		if r.status < 200 || r.status > 299 {
			// Somebody on the way contradicts the body. Repeating a removal is harmless, believing it may not be.
			e.Class, e.Message = ClassBusy, "errcode 0 with an http status of failure"
			return nil, e
		}
		return fields, nil
	}
	e.Wait = max(v.limit.Pause(now), retryAfter(r.header, now))
	switch v.class {
	case ClassPermission:
		e.Named = namedScope(e.Message)
	case ClassIPNotAllowed:
		e.Named = namedAddress(e.Message)
	}
	return nil, e
}

// portalWait is the first pause after somebody else's page with status 200; it grows while the page comes again.
const portalWait = 15 * time.Second

var (
	// banPage is what the page of DingTalk's own protection has in it (D): it is Alibaba's.
	banPage = regexp.MustCompile(`(?i)punish|x5sec|aliyun|alicdn|dingtalk|访问被拒绝|访问被阻断`)
	title   = regexp.MustCompile(`(?is)<title[^>]*>\s*(.*?)\s*</title>`)
)

// titleOf is the title of a page.
func titleOf(body []byte) string {
	if m := title.FindSubmatch(body); m != nil {
		return html.UnescapeString(string(m[1]))
	}
	return ""
}

// foreign classifies what DingTalk did not write, or not whole. An HTML page with status 200 is its ban page (A, D), unless
// its title and text say that it is somebody else's.
// Everything else is busy, a redirect or a 404 too: such pages come from a proxy or a wrong base URL, and no batch may
// be given up for those.
func foreign(e *Error, r reply, fields map[string]json.RawMessage, now time.Time, secrets ...string) {
	e.Class = ClassBusy
	e.Wait = retryAfter(r.header, now)
	page := looksHTML(r)
	switch {
	case r.status == http.StatusOK && page && titleOf(r.body) != "" && !banPage.Match(r.body):
		// A portal that wants a login, most likely: what ends it is somebody in front of it, at any moment.
		e.Class, e.Limit = ClassThrottled, LimitWide
		e.Wait = portalWait
		e.Message = "a page that is not DingTalk's (" + strconv.Quote(words.Clip(tidy(titleOf(r.body), secrets...), 100)) + "): a proxy or a portal stands between; log in there, or let the calls past it"
	case r.status == http.StatusOK && page:
		e.Class, e.Limit = ClassThrottled, LimitIPBan
		e.Wait = e.Limit.Pause(now)
		e.Message = "an HTML page instead of an answer: this address is banned, or a proxy stands between"
	case r.status == http.StatusTooManyRequests:
		e.Class, e.Limit = ClassThrottled, LimitGlobal
		e.Wait = max(e.Wait, e.Limit.Pause(now))
		e.Message = "too many requests"
	case r.status >= 300 && r.status <= 399:
		e.Message = "a redirect, which is not followed: check the base URL"
	case len(bytes.TrimSpace(r.body)) == 0:
		e.Message = "an empty answer"
	case len(r.body) > mostBody:
		e.Message = "an answer of more than " + strconv.Itoa(mostBody) + " bytes"
	case page:
		e.Message = "an HTML page instead of an answer: a proxy, or a wrong base URL"
	case fields == nil:
		e.Message = "an answer that is not a whole JSON object" + quote(e.Op, r.body, secrets...)
	default:
		e.Message = "an answer without a readable errcode" + quote(e.Op, r.body, secrets...)
	}
}

// quote is how a foreign body begins, except where it may be a token that is not known yet.
func quote(op string, body []byte, secrets ...string) string {
	if op == OpToken {
		return ""
	}
	return ": " + strconv.Quote(words.Clip(tidy(string(body), secrets...), 100))
}

// object returns the fields of a JSON object, by their exact names, or nil for anything else.
func object(body []byte) map[string]json.RawMessage {
	if len(body) > mostBody {
		return nil
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")), &fields) != nil {
		return nil
	}
	return fields
}

// readCode accepts an integer or a string that holds one: some pages of the documentation show "0" (A).
func readCode(raw json.RawMessage) (int, bool) { return parseCode(readText(raw)) }

func parseCode(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	if err != nil || strconv.Itoa(n) != s { // no blanks, plus signs or leading zeros: those are not DingTalk's
		return 0, false
	}
	return n, true
}

// readText is the text of a JSON string or the literal of a number; "" for anything else.
func readText(raw json.RawMessage) string {
	if len(raw) == 0 {
		return ""
	}
	if raw[0] == '"' {
		return readString(raw)
	}
	if raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9' {
		return string(raw)
	}
	return ""
}

func readString(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

var subCodeInText = regexp.MustCompile(`(?i)sub_?code\s*=\s*([A-Za-z0-9._-]+)`)

// subCode finds what the gateway wrapped: sub_code, or else "subcode=" inside errmsg (B). A sub-code of 0 or 88 says
// nothing, least of all success.
func subCode(raw json.RawMessage, errmsg string) string {
	if s := strings.TrimSpace(readText(raw)); telling(s) {
		return s
	}
	if m := subCodeInText.FindStringSubmatch(errmsg); m != nil && telling(m[1]) {
		return m[1]
	}
	return ""
}

func telling(sub string) bool {
	code, numeric := parseCode(sub)
	return sub != "" && !(numeric && (code == 0 || code == wrapped))
}

// banned recognises the one answer that has no errcode at all: {"status":1111,"wait":5,"punish":"deny",…} (A).
func banned(fields map[string]json.RawMessage) bool {
	return strings.EqualFold(readString(fields["punish"]), "deny")
}

// banLength is "wait" in minutes, or the documented five.
func banLength(fields map[string]json.RawMessage, now time.Time) time.Duration {
	minutes, err := strconv.ParseFloat(readText(fields["wait"]), 64)
	if err != nil || math.IsNaN(minutes) || minutes <= 0 {
		return LimitIPBan.Pause(now)
	}
	if minutes >= longestBan.Minutes() {
		return longestBan
	}
	return time.Duration(minutes * float64(time.Minute))
}

func looksHTML(r reply) bool {
	body := bytes.TrimSpace(bytes.TrimPrefix(r.body, []byte("\xef\xbb\xbf")))
	if strings.HasPrefix(http.DetectContentType(body), "text/html") {
		return true
	}
	return strings.Contains(strings.ToLower(r.header.Get("Content-Type")), "html") && bytes.HasPrefix(body, []byte("<"))
}

// retryAfter reads the header's seconds or date; 0 when it is not there, is in the past, or makes no sense.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if value == "" {
		return 0
	}
	wait := time.Duration(0)
	if seconds, err := strconv.Atoi(value); err == nil {
		wait = time.Duration(min(max(seconds, 0), int(longestRetry.Seconds()))) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), longestRetry)
}

var (
	scopeInText   = regexp.MustCompile(`qyapi_[A-Za-z0-9_]+|\[([A-Za-z][A-Za-z0-9]*(?:[._][A-Za-z0-9]+)+)\]`)
	addressInText = regexp.MustCompile(`[0-9a-fA-F]*[.:][0-9a-fA-F.:]*[0-9a-fA-F]`)
)

// namedScope finds the permission that errmsg names, such as qyapi_manage_addresslist (B).
func namedScope(message string) string {
	m := scopeInText.FindStringSubmatch(message)
	if m == nil {
		return ""
	}
	if m[1] != "" {
		return m[1]
	}
	return m[0]
}

// namedAddress finds the caller's address as DingTalk saw it (B).
func namedAddress(message string) string {
	for _, candidate := range addressInText.FindAllString(message, -1) {
		if a, err := netip.ParseAddr(strings.Trim(candidate, ":.")); err == nil {
			return a.String()
		}
	}
	return ""
}
