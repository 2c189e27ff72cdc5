package dingtalk

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/unrole/unrole/internal/base/words"
)

// ErrNotSent is wrapped by the errors of calls that were refused here, before anything was sent.
var ErrNotSent = errors.New("not sent")

// Error is a call that DingTalk, or something on the way to it, did not take. No field holds a token or a secret.
type Error struct {
	Class Class
	// Limit says whom a throttle concerns; LimitNone for other classes.
	Limit Limit
	// Op is the API's path without the leading slash.
	Op string
	// ErrCode is the answer's errcode as it stood there; it means something only where HasErrCode is set.
	ErrCode    int
	HasErrCode bool
	// SubCode is what DingTalk's gateway wrapped into errcode 88, from sub_code or else from errmsg.
	SubCode string
	// Message is DingTalk's text in Chinese or English, for people only: decide by Class.
	Message string
	// RequestID is DingTalk's name for the call, for its support; empty where something else answered.
	RequestID string
	// HTTPStatus is 0 where no answer came.
	HTTPStatus int
	// Wait is how long to stay away: the suggested first pause of a throttle, or what Retry-After asked for.
	Wait time.Duration
	// Named is what DingTalk named: the missing scope of ClassPermission, the address of ClassIPNotAllowed.
	Named string
	// Err is what went wrong on the way, or nil.
	Err error
}

// Error is one line that says which call failed, how, and what DingTalk said.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op + ": " + e.Class.words())
	if e.Limit != LimitNone {
		b.WriteString(" (" + strings.ReplaceAll(e.Limit.String(), "_", " ") + ")")
	}
	if e.Named != "" {
		b.WriteString(" " + e.Named)
	}
	var facts []string
	if e.HasErrCode {
		facts = append(facts, fmt.Sprintf("errcode %d", e.ErrCode))
	}
	if e.SubCode != "" {
		facts = append(facts, "sub_code "+e.SubCode)
	}
	if e.HTTPStatus != 0 && e.HTTPStatus != http.StatusOK {
		facts = append(facts, fmt.Sprintf("http %d", e.HTTPStatus))
	}
	if e.RequestID != "" {
		facts = append(facts, "request id "+e.RequestID)
	}
	if e.Wait > 0 {
		facts = append(facts, "wait "+e.Wait.Round(time.Millisecond).String())
	}
	if len(facts) > 0 {
		b.WriteString(" [" + strings.Join(facts, ", ") + "]")
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns what went wrong on the way, so that errors.Is finds a refused connection, say.
func (e *Error) Unwrap() error { return e.Err }

// Code is the code that decided: the sub-code under errcode 88, else the errcode, else "http 502" or "no answer".
func (e *Error) Code() string {
	switch {
	case e.SubCode != "" && e.ErrCode == wrapped:
		return e.SubCode
	case e.HasErrCode:
		return fmt.Sprint(e.ErrCode)
	case e.HTTPStatus != 0:
		return fmt.Sprintf("http %d", e.HTTPStatus)
	}
	return "no answer"
}

// Said is what DingTalk said, or where it said nothing, the whole error.
func (e *Error) Said() string {
	if e.Message == "" {
		return e.Error()
	}
	return e.Message
}

// words is the class for a sentence.
func (c Class) words() string {
	switch c {
	case ClassToken:
		return "the access token is refused"
	case ClassCredentials:
		return "the app key or secret is refused"
	case ClassPermission:
		return "the app lacks a permission"
	case ClassIPNotAllowed:
		return "this address is not on the app's ip white list"
	case ClassDisabled:
		return "the app or the organisation is disabled"
	case ClassTokenNotSent:
		return "the access token did not arrive"
	}
	return strings.ReplaceAll(c.String(), "_", " ")
}

var (
	secretParam = regexp.MustCompile(`(?i)((?:access_?token|app_?secret)["']?\s*(?:=|:|%3d)\s*["']?)[^\s"'&,;<>\]})]+`)
	urlPassword = regexp.MustCompile(`(://)[^/\s@"]+@`)
)

// scrub takes out of foreign text the given secrets, however they are escaped, whatever stands as the value of a token or
// secret parameter, and passwords in URLs.
func scrub(text string, secrets ...string) string {
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		inJSON, _ := json.Marshal(secret)
		for _, written := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), html.EscapeString(secret),
			strings.Trim(string(inJSON), `"`)} {
			text = strings.ReplaceAll(text, written, "***")
		}
	}
	text = secretParam.ReplaceAllString(text, "${1}***")
	return urlPassword.ReplaceAllString(text, "${1}***@")
}

const mostText = 400

// tidy makes foreign text fit for one line of a log: scrubbed, without controls, of bounded length.
func tidy(text string, secrets ...string) string {
	text = scrub(strings.ToValidUTF8(text, "\uFFFD"), secrets...)
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
	}), " ")
	return words.Clip(text, mostText)
}

// onTheWay strips the request's URL, and with it the token, from an error of net/http.
func onTheWay(err error, secrets ...string) error {
	var withURL *url.Error
	for errors.As(err, &withURL) {
		err = withURL.Err
	}
	if err == nil {
		return nil
	}
	text := err.Error()
	if clean := scrub(text, secrets...); clean != text {
		return errors.New(clean)
	}
	return err
}
