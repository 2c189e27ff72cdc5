package dingtalk

import (
	"fmt"
	"strings"
	"time"
)

// Class is what an answer means to whoever has to act on it. The set is closed; its zero value is ClassUnknown, so that
// nothing is a success by accident.
type Class uint8

const (
	// ClassUnknown is a code that nobody has documented: few attempts, then isolate.
	ClassUnknown Class = iota
	// ClassOK is an errcode that is there and is 0.
	ClassOK
	// ClassBusy passes by itself: "system busy", a proxy's page, a timeout, a reset, a truncated or foreign body. The
	// call may or may not have been applied.
	ClassBusy
	// ClassThrottled asks everybody to pause; Error.Limit and Error.Wait say how far and how long.
	ClassThrottled
	// ClassToken is a token that stayed refused after one refresh and one repeat, or that cannot be refreshed.
	ClassToken
	// ClassCredentials is an app key or secret that gettoken refuses.
	ClassCredentials
	// ClassPermission is a permission that the app lacks; Error.Named is the scope.
	ClassPermission
	// ClassIPNotAllowed is a caller outside the app's IP white list; Error.Named is the address.
	ClassIPNotAllowed
	// ClassDisabled is an app or organisation that is switched off.
	ClassDisabled
	// ClassInvalidRole is a call with at least one role that does not exist.
	ClassInvalidRole
	// ClassSystemRole is a call with at least one default or system role, which cannot be removed.
	ClassSystemRole
	// ClassInvalidUser is a call with at least one user that does not exist.
	ClassInvalidUser
	// ClassUserGone is a call with at least one user who left or belongs to another organisation.
	ClassUserGone
	// ClassUserOutOfScope is a call with at least one user outside the app's contact scope.
	ClassUserOutOfScope
	// ClassBadRequest is a call that DingTalk will not take as it is.
	ClassBadRequest
	// ClassTokenNotSent says that the call carried no token: a fault of this client or of what stands between.
	ClassTokenNotSent

	classes = iota
)

var classNames = [classes]string{
	ClassUnknown:        "unknown",
	ClassOK:             "ok",
	ClassBusy:           "busy",
	ClassThrottled:      "throttled",
	ClassToken:          "token",
	ClassCredentials:    "credentials",
	ClassPermission:     "permission",
	ClassIPNotAllowed:   "ip_not_allowed",
	ClassDisabled:       "disabled",
	ClassInvalidRole:    "invalid_role",
	ClassSystemRole:     "system_role",
	ClassInvalidUser:    "invalid_user",
	ClassUserGone:       "user_gone",
	ClassUserOutOfScope: "user_out_of_scope",
	ClassBadRequest:     "bad_request",
	ClassTokenNotSent:   "token_not_sent",
}

// String is the class as it stands in logs, metrics and dead letters, such as "invalid_user".
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return fmt.Sprintf("class(%d)", uint8(c))
}

// Classes lists every Class, for instance to register a metric label before it first happens.
func Classes() []Class {
	all := make([]Class, classes)
	for i := range all {
		all[i] = Class(i)
	}
	return all
}

// refusesIDs reports whether DingTalk looked at the ids of the call, and thus took the token.
func (c Class) refusesIDs() bool { return ClassInvalidRole <= c && c <= ClassUserOutOfScope }

// Limit says whom a throttle concerns. The set is closed; LimitNone is for everything that is no throttle.
type Limit uint8

const (
	LimitNone Limit = iota
	// LimitAPI is this app's calls to this API within a second (90018).
	LimitAPI
	// LimitGlobal is this app's calls to all APIs (90002).
	LimitGlobal
	// LimitOrg is the organisation or the credential (90005, 90006).
	LimitOrg
	// LimitWide is everything else that DingTalk limits for minutes.
	LimitWide
	// LimitIPBan is every call from this egress address.
	LimitIPBan
	// LimitQuota is the organisation's monthly quota: nothing but an operator ends it.
	LimitQuota

	limits = iota
)

var limitNames = [limits]string{"", "api", "global", "org", "wide", "ip_ban", "quota"}

// String is the limit as it stands in logs and metrics; "" for LimitNone.
func (s Limit) String() string {
	if int(s) < len(limitNames) {
		return limitNames[s]
	}
	return fmt.Sprintf("limit(%d)", uint8(s))
}

// Pause is the first pause to make after a throttle of this limit at the given time; repeated throttles should grow
// it. It is 0 for LimitNone and for LimitQuota, which no pause helps. The second of LimitAPI is the documented window
// (A), the five minutes of LimitIPBan are the documented ban (A), the others are our choice (D).
func (s Limit) Pause(now time.Time) time.Duration {
	switch s {
	case LimitAPI:
		return now.Truncate(time.Second).Add(time.Second).Sub(now)
	case LimitGlobal:
		return time.Second
	case LimitOrg:
		return 5 * time.Second
	case LimitWide:
		return 2 * time.Minute
	case LimitIPBan:
		return 5 * time.Minute
	}
	return 0
}

type verdict struct {
	class Class
	limit Limit
}

// Effective code → class. The grades are those of docs/dingtalk.md.
var decisions = []struct {
	codes []int
	verdict
}{
	{[]int{0}, verdict{class: ClassOK}},                                                         // A
	{[]int{-1, 1002, 400001}, verdict{class: ClassBusy}},                                        // A
	{[]int{15, 10}, verdict{class: ClassBusy}},                                                  // C, D
	{[]int{90018}, verdict{ClassThrottled, LimitAPI}},                                           // A, B
	{[]int{90002}, verdict{ClassThrottled, LimitGlobal}},                                        // A, B; not on gettoken
	{[]int{90005, 90006}, verdict{ClassThrottled, LimitOrg}},                                    // A
	{[]int{90001, 90003, 90004, 90019, 45009, 7}, verdict{ClassThrottled, LimitWide}},           // A, D; 90003 not on gettoken
	{span(90007, 90014), verdict{ClassThrottled, LimitWide}},                                    // A, D
	{[]int{90020}, verdict{ClassThrottled, LimitQuota}},                                         // A
	{[]int{40014, 42001}, verdict{class: ClassToken}},                                           // A, B
	{[]int{40001, 33001, 400043, 12012, 43007}, verdict{class: ClassToken}},                     // A, ambiguous
	{[]int{88}, verdict{class: ClassToken}},                                                     // D, ambiguous: no readable sub-code
	{[]int{40089, 40096}, verdict{class: ClassCredentials}},                                     // A, B
	{[]int{60011}, verdict{class: ClassPermission}},                                             // A, B
	{[]int{60020}, verdict{class: ClassIPNotAllowed}},                                           // A, B
	{[]int{50003, 50005, 48002, 48004, 70001, 90017}, verdict{class: ClassDisabled}},            // A
	{[]int{33011, 60301}, verdict{class: ClassInvalidRole}},                                     // A
	{[]int{23004}, verdict{class: ClassSystemRole}},                                             // A, D
	{[]int{33012, 40104}, verdict{class: ClassInvalidUser}},                                     // A
	{[]int{60121, 46004, 60111, 40003, 40031}, verdict{class: ClassUserGone}},                   // A, D
	{[]int{50002}, verdict{class: ClassUserOutOfScope}},                                         // A
	{[]int{41001}, verdict{class: ClassTokenNotSent}},                                           // A, B
	{[]int{400002, 40035, 40032, 41102, 34018, 60003, 40, 41}, verdict{class: ClassBadRequest}}, // A, B, D
	{[]int{43008, 43009, 44002, 22, 404}, verdict{class: ClassBadRequest}},                      // A, B, D
	{span(43001, 43006), verdict{class: ClassBadRequest}},                                       // A, B, D
}

var byCode = func() map[int]verdict {
	index := make(map[int]verdict)
	for _, d := range decisions {
		for _, code := range d.codes {
			if _, twice := index[code]; twice {
				panic(fmt.Sprintf("dingtalk: code %d is decided twice", code))
			}
			index[code] = d.verdict
		}
	}
	return index
}()

func span(first, last int) []int {
	var codes []int
	for code := first; code <= last; code++ {
		codes = append(codes, code)
	}
	return codes
}

// decide looks up what DingTalk answered. The sub-code counts under errcode 88 only; subMsg is what it said in words.
func decide(op string, errCode int, subCode, message string) verdict {
	v, known := byCode[errCode]
	if errCode == wrapped && subCode != "" {
		code, numeric := parseCode(subCode)
		if numeric {
			errCode = code
			v, known = byCode[code]
		} else {
			v, known = verdict{}, false
		}
	}
	if !known && strings.HasPrefix(subCode, "isp.") { // C, D: the gateway could not reach the service behind it
		v = verdict{class: ClassBusy}
	}
	if errCode == 40000 && blankToken(message) { // B: the one code whose words decide, since it says nothing else
		v = verdict{class: ClassTokenNotSent}
	}
	if op == OpToken {
		return decideToken(errCode, v)
	}
	return v
}

// decideToken is the table's variant for gettoken. There 90002 and 90003 mean an empty key or secret (A, B). And what
// is no fault of the moment and no missing right can only be the credentials: no batch may be blamed for it (D).
func decideToken(code int, v verdict) verdict {
	if code == 90002 || code == 90003 {
		return verdict{class: ClassCredentials}
	}
	switch v.class {
	case ClassOK, ClassBusy, ClassThrottled, ClassPermission, ClassIPNotAllowed, ClassDisabled:
		return v
	}
	return verdict{class: ClassCredentials}
}

func blankToken(message string) bool {
	m := strings.ToLower(message)
	return strings.Contains(m, "access_token") && strings.Contains(m, "blank")
}
