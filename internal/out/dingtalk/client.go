// Package dingtalk calls DingTalk's role API: it keeps the token, makes one call at a time of what it is asked, and
// turns every answer into a class. What a class means to whoever has to act on it is decided in package outcome.
//
// The letters (A) to (D) in comments say how well a fact about DingTalk is known: documented, captured, done by public clients,
// or inferred. docs/dingtalk.md has them all, with their sources.
package dingtalk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/unrole/unrole/internal/base/defaults"
	"github.com/unrole/unrole/internal/base/words"
	"github.com/unrole/unrole/tasks"
)

// DefaultBaseURL is the international site; https://oapi.dingtalk.com is the same in China (A).
const DefaultBaseURL = "https://oapi.dingtalk.io"

// OpToken is the path of the call for a token, as Error.Op and Call.Op have it.
const OpToken = "gettoken"

// The other paths of the API.
const (
	opRemove      = "topapi/role/removerolesforemps"
	opAdd         = "topapi/role/addrolesforemps"
	opScope       = "topapi/role/scope/update"
	opRoles       = "topapi/role/list"
	opHolder      = "topapi/role/simplelist"
	opUser        = "topapi/v2/user/get"
	opMobile      = "topapi/v2/user/getbymobile"
	opUnion       = "topapi/user/getbyunionid"
	opDepartments = "topapi/v2/department/listsub"
	opDepartment  = "topapi/v2/department/get"
	opMembers     = "topapi/v2/user/list"
	opAdmins      = "topapi/user/listadmin"
	opScopes      = "auth/scopes"
	opSearch      = "v1.0/contact/users/search"
	opLeavers     = "v1.0/contact/empLeaveRecords"
	opOnJob       = "topapi/smartwork/hrm/employee/queryonjob"
	opDismissals  = "v1.0/hrm/employees/dimissionInfos"
)

// Ops lists every path that is called.
func Ops() []string {
	return []string{OpToken, opRemove, opAdd, opScope, opRoles, opHolder, opUser, opMobile, opUnion, opDepartments, opDepartment, opMembers, opAdmins, opScopes, opSearch, opLeavers}
}

// Config says where DingTalk is and who calls. Either AppKey and AppSecret or AccessToken must be given.
type Config struct {
	// BaseURL is where the API is, with scheme; empty means DefaultBaseURL. http is accepted, for a simulator.
	BaseURL string
	// AppKey and AppSecret are the app's credentials, with which the client gets and renews its token.
	AppKey    string
	AppSecret string
	// AccessToken is a token that somebody else keeps alive; once it is refused, every call fails with ClassToken.
	AccessToken string
	// HTTP sends the calls; nil means an own client that keeps 128 connections alive. Its redirect policy is not used:
	// a redirect is never followed, because the token would go with it.
	HTTP *http.Client
	// Timeout ends one HTTP exchange, and the getting of a token with its retries; 0 means 10 s. A call makes one exchange
	// as a rule, and four at most: token, call, another token, repeat.
	Timeout time.Duration
	// FailureMemory is how long the first refusal of the credentials is answered from memory instead of asking gettoken
	// again; it grows to five times that. 0 means 5 s.
	FailureMemory time.Duration
	// UserAgent is sent with each call; empty means "unrole".
	UserAgent string
	// BeforeRepeat is waited for before the one repeat of a call that removes or gives back and whose token was refused, so that
	// the limit on such calls can count it; its error ends the call, as busy (ClassBusy) where that is a deadline of its own. nil
	// means no wait. Calls that read do not wait: their limits are no limits of these.
	BeforeRepeat func(context.Context, tasks.Action) error
	// Observe is told of each HTTP exchange after it ended, gettoken's included. It must not block.
	Observe func(Call)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Call is one HTTP exchange, for metrics. It holds no secret.
type Call struct {
	// Op is the API's path without the leading slash, a closed set.
	Op    string
	Class Class
	Limit Limit
	// Code is the deciding code as Error.Code says it, "0" for a success.
	Code string
	// Cancelled is set when the caller gave up; Class is then ClassUnknown.
	Cancelled bool
	Duration  time.Duration
}

// Client calls DingTalk for one app. It is safe for concurrent use and keeps connections and token between calls.
type Client struct {
	base         string
	appKey       string
	appSecret    string
	http         *http.Client
	ownTransport *http.Transport
	timeout      time.Duration
	userAgent    string
	beforeRepeat func(context.Context, tasks.Action) error
	observe      func(Call)
	now          func() time.Time
	tokens       *tokenSource
}

// New checks the configuration and returns a client. It makes no call. Close releases what it holds.
func New(cfg Config) (*Client, error) {
	base, err := checkBaseURL(cfg.BaseURL)
	if err != nil {
		return nil, err
	}
	if err := checkCredentials(cfg); err != nil {
		return nil, err
	}
	d := defaults.Of("dingtalk")
	defaults.Fill(d, "Timeout", &cfg.Timeout, 10*time.Second)
	defaults.Fill(d, "FailureMemory", &cfg.FailureMemory, 5*time.Second)
	if err := d.Err(); err != nil {
		return nil, err
	}
	if strings.ContainsFunc(cfg.UserAgent, unicode.IsControl) {
		return nil, errors.New("dingtalk: the user agent has a control character")
	}
	c := &Client{
		base:         base,
		appKey:       cfg.AppKey,
		appSecret:    cfg.AppSecret,
		timeout:      cfg.Timeout,
		userAgent:    cfg.UserAgent,
		beforeRepeat: cfg.BeforeRepeat,
		observe:      cfg.Observe,
		now:          cfg.Now,
	}
	if c.userAgent == "" {
		c.userAgent = "unrole"
	}
	if c.now == nil {
		c.now = time.Now
	}
	c.http = &http.Client{}
	if cfg.HTTP != nil {
		*c.http = *cfg.HTTP
	} else {
		c.ownTransport = newTransport()
		c.http.Transport = c.ownTransport
	}
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.tokens = &tokenSource{
		fetch:   c.fetchToken,
		now:     c.now,
		timeout: c.timeout,
		memory:  cfg.FailureMemory,
		static:  cfg.AccessToken,
	}
	return c, nil
}

// Close ends a token request under way and closes idle connections of the client's own. Calls after it may fail.
func (c *Client) Close() {
	c.tokens.close()
	if c.ownTransport != nil {
		c.ownTransport.CloseIdleConnections()
	}
}

func checkBaseURL(raw string) (string, error) {
	if raw == "" {
		raw = DefaultBaseURL
	}
	const hint = "write it as " + DefaultBaseURL
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return "", fmt.Errorf("dingtalk base URL cannot be read: %s", hint) // the parser's error would quote a password
	case u.User != nil:
		return "", errors.New("dingtalk base URL holds a user name or password: " + hint)
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("dingtalk base URL %q has no http or https scheme: %s", scrub(raw), hint)
	case u.Hostname() == "":
		return "", fmt.Errorf("dingtalk base URL %q names no host: %s", scrub(raw), hint)
	case u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("dingtalk base URL %q must end with the host or a path: %s", scrub(raw), hint)
	}
	return strings.TrimRight(u.String(), "/"), nil
}

func checkCredentials(cfg Config) error {
	for _, c := range []struct{ name, value string }{
		{"app key", cfg.AppKey}, {"app secret", cfg.AppSecret}, {"access token", cfg.AccessToken},
	} {
		if strings.ContainsFunc(c.value, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
			return fmt.Errorf("dingtalk: the %s has a blank or a control character in it: was it copied with a line end?", c.name)
		}
	}
	switch {
	case cfg.AccessToken != "" && (cfg.AppKey != "" || cfg.AppSecret != ""):
		return errors.New("dingtalk: both an access token and an app key or secret are given: give only one of the two")
	case cfg.AccessToken != "":
		return nil
	case cfg.AppKey == "" && cfg.AppSecret == "":
		return errors.New("dingtalk: no credentials: give an app key and app secret, or an access token")
	case cfg.AppKey == "":
		return errors.New("dingtalk: the app secret is given but the app key is missing")
	case cfg.AppSecret == "":
		return errors.New("dingtalk: the app key is given but the app secret is missing")
	}
	return nil
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   5 * time.Second,
		ExpectContinueTimeout: time.Second,
		MaxIdleConns:          128,
		MaxIdleConnsPerHost:   128,
		IdleConnTimeout:       90 * time.Second,
		ForceAttemptHTTP2:     true,
	}
}

// Reply is what DingTalk says about a call that it took.
type Reply struct {
	// RequestID is DingTalk's name for the call; it may be empty.
	RequestID string
}

// Prepare gets or renews the token, if need be, so that the next call has no wait for it after its slot in a paced
// fleet has come. The next call meets an error again, if it lasts.
func (c *Client) Prepare(ctx context.Context) {
	_, _ = c.tokens.get(ctx)
}

// RemoveRoles takes each of the roles away from each of the users, in one call: at most 20 roles and 100 users, none
// empty, none twice. A user who does not hold a role is no error (D), so repeating is harmless. It returns an error that
// wraps ErrNotSent for a call outside these limits, ctx's error when ctx ended it, and an *Error for everything else.
// After any error but ErrNotSent some, all or none of the pairs may have been removed.
func (c *Client) RemoveRoles(ctx context.Context, roleIDs []int64, userIDs []string) (Reply, error) {
	return c.change(ctx, tasks.Remove, opRemove, roleIDs, userIDs)
}

// AddRoles gives each of the roles to each of the users, in one call: at most 20 roles and 20 users (A). A user who holds a
// role already is no error (D), so repeating is harmless. Who had a management scope gets it back by SetScope. Errors are as
// RemoveRoles has them.
func (c *Client) AddRoles(ctx context.Context, roleIDs []int64, userIDs []string) (Reply, error) {
	return c.change(ctx, tasks.Add, opAdd, roleIDs, userIDs)
}

func (c *Client) change(ctx context.Context, action tasks.Action, op string, roleIDs []int64, userIDs []string) (Reply, error) {
	if err := tasks.ValidateBatch(action, roleIDs, userIDs); err != nil {
		return Reply{}, fmt.Errorf("%s: %w: %w", op, ErrNotSent, err)
	}
	return c.tell(ctx, op, url.Values{
		"roleIds": {strings.Join(words.RoleIDs(roleIDs), ",")},
		"userIds": {strings.Join(userIDs, ",")},
	})
}

// SetScope sets the departments over which a user has a role, at least one and at most 50 (A). Errors are as RemoveRoles
// has them; a department that does not exist is one of ClassBadRequest.
func (c *Client) SetScope(ctx context.Context, roleID int64, userID string, departments []int64) (Reply, error) {
	err := tasks.ValidateBatch(tasks.Add, []int64{roleID}, []string{userID})
	if n := len(departments); err == nil && (n == 0 || n > tasks.MaxDepartments) {
		err = fmt.Errorf("%d departments, 1 to %d fit one call", n, tasks.MaxDepartments)
	}
	if err != nil {
		return Reply{}, fmt.Errorf("%s: %w: %w", opScope, ErrNotSent, err)
	}
	return c.tell(ctx, opScope, url.Values{
		"role_id":  {strconv.FormatInt(roleID, 10)},
		"userid":   {userID},
		"dept_ids": {strings.Join(words.RoleIDs(departments), ",")},
	})
}

// tell makes a call whose answer is that it was done.
func (c *Client) tell(ctx context.Context, op string, form url.Values) (Reply, error) {
	fields, err := c.call(ctx, question{op: op, form: form})
	if err != nil {
		return Reply{}, err
	}
	return Reply{RequestID: tidy(readString(fields["request_id"]))}, nil
}

// call makes one call and, when the token was refused and can be renewed, repeats it once with another token.
func (c *Client) call(ctx context.Context, q question) (map[string]json.RawMessage, error) {
	for repeated := false; ; repeated = true {
		t, err := c.tokens.get(ctx)
		if err != nil {
			return nil, c.whileWaiting(q.op, err)
		}
		q.token = t.text
		fields, err := c.exchange(ctx, q)
		var e *Error
		if !errors.As(err, &e) || e.Class != ClassToken {
			if err == nil || e != nil && e.Class.refusesIDs() {
				c.tokens.worked(t)
			}
			return fields, err
		}
		hadWorked := c.tokens.refused(t)
		if repeated && hadWorked {
			e.Class = ClassBusy // it ran out while this call waited, which is no fault of the credentials
		}
		if repeated || !c.tokens.renewable() {
			return nil, err
		}
		if action, changes := q.changes(); changes && c.beforeRepeat != nil {
			if err := c.beforeRepeat(ctx, action); errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
				e.Class = ClassBusy // the next try has another token
				return nil, e
			} else if err != nil {
				return nil, fmt.Errorf("%s: %w", q.op, err)
			}
		}
	}
}

// changes says which action a call is of; one that reads is of none.
func (q question) changes() (action tasks.Action, changes bool) {
	switch q.op {
	case opRemove:
		return tasks.Remove, true
	case opAdd, opScope:
		return tasks.Add, true
	}
	return "", false
}

// whileWaiting gives each caller an own copy of a failure that several share.
func (c *Client) whileWaiting(op string, err error) error {
	var e *Error
	if errors.As(err, &e) {
		own := *e
		return &own
	}
	return fmt.Errorf("%s: %w", op, err)
}

// fetchToken asks gettoken. Its answer is the only place where a token comes from.
func (c *Client) fetchToken(ctx context.Context) (string, time.Duration, error) {
	fields, err := c.exchange(ctx, question{op: OpToken, query: url.Values{"appkey": {c.appKey}, "appsecret": {c.appSecret}}})
	if err != nil {
		var e *Error
		if !errors.As(err, &e) { // the flight's own time ran out: to the callers DingTalk is busy
			err = &Error{Class: ClassBusy, Op: OpToken, Err: fmt.Errorf("no token within %v: %w", c.timeout, err)}
		}
		return "", 0, err
	}
	text := readString(fields["access_token"])
	if text == "" {
		return "", 0, &Error{Class: ClassBusy, Op: OpToken, HasErrCode: true, HTTPStatus: http.StatusOK,
			Message: "an answer without an access token"}
	}
	seconds, _ := strconv.ParseInt(readText(fields["expires_in"]), 10, 32)
	return text, time.Duration(seconds) * time.Second, nil
}
