package doctor

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/isolate"
	"github.com/unrole/unrole/internal/out/outcome"
	"github.com/unrole/unrole/internal/out/pace"
)

func (c Config) baseURL() string {
	if c.DingTalk.BaseURL == "" {
		return dingtalk.DefaultBaseURL
	}
	return strings.TrimRight(c.DingTalk.BaseURL, "/")
}

// examineProxy tells which proxy calls go through: a forgotten variable is a frequent cause of answers that are none.
func (c Config) examineProxy(report func(Finding)) {
	req, err := http.NewRequest(http.MethodGet, c.baseURL(), nil)
	if err != nil {
		report(Finding{Check: "proxy", Level: Failure, Says: "DINGTALK_BASE_URL cannot be read", Remedy: "correct it"})
		return
	}
	proxy, err := c.Proxy(req)
	switch {
	case err != nil:
		report(Finding{Check: "proxy", Level: Failure, Says: "the proxy in HTTPS_PROXY or HTTP_PROXY cannot be read", Remedy: "correct or unset it"})
	case proxy == nil:
		report(Finding{Check: "proxy", Level: OK, Says: "none: DingTalk is called directly"})
	default:
		report(Finding{Check: "proxy", Level: OK, Says: fmt.Sprintf("DingTalk is called through %s (HTTPS_PROXY, HTTP_PROXY)", proxy.Redacted())})
	}
}

func (c Config) examineDingTalk(ctx context.Context, fleet *pace.Status, report func(Finding)) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if !c.reach(ctx, report) {
		return
	}
	if c.MissingCredentials != nil {
		report(Finding{Check: "credentials", Level: Failure, Says: c.MissingCredentials.Error(), Remedy: "unrole plan, run --simulate, enqueue and status work without; worker and run do not", Credentials: true})
		return
	}
	client, err := dingtalk.New(c.DingTalk)
	if err != nil {
		report(Finding{Check: "credentials", Level: Failure, Says: err.Error(), Remedy: "correct the DINGTALK_ variables", Credentials: true})
		return
	}
	defer client.Close()
	roles, ok := c.listRoles(ctx, client, report)
	if ok {
		report(sees(ctx, client))
	}
	if ok && c.readHolders(ctx, client, roles, report) {
		report(mayRemove(fleet))
	}
}

// reach asks gettoken without credentials, which DingTalk refuses in its own words; whatever else answers is not DingTalk.
func (c Config) reach(ctx context.Context, report func(Finding)) bool {
	const check = "dingtalk"
	base := c.baseURL()
	began := c.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/gettoken", nil)
	if err != nil {
		report(Finding{Check: check, Level: Failure, Says: "DINGTALK_BASE_URL cannot be read", Remedy: "write it like " + dingtalk.DefaultBaseURL})
		return false
	}
	transport := c.transport()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		report(Finding{Check: check, Level: Failure, Says: fmt.Sprintf("%s cannot be reached: %v", base, plain(err)),
			Remedy: "check DINGTALK_BASE_URL, the firewall, DNS and the proxy"})
		return false
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	took := c.Now().Sub(began)
	if !strings.Contains(string(body), `"errcode"`) {
		report(Finding{Check: check, Level: Failure, Says: fmt.Sprintf("%s answers (HTTP %d), but not as DingTalk does", base, resp.StatusCode),
			Remedy: "check DINGTALK_BASE_URL (" + dingtalk.DefaultBaseURL + ", in China https://oapi.dingtalk.com) and what stands between"})
		return false
	}
	report(Finding{Check: check, Level: OK, Says: fmt.Sprintf("%s answers after %s", base, took.Round(time.Millisecond))})
	if strings.HasPrefix(base, "http://") {
		report(Finding{Check: "encryption", Level: Warning, Says: base + " is not encrypted", Remedy: "use https, unless it is a simulator"})
	}
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		report(drift("clock of dingtalk", at.Sub(middle(began, c.Now()).Truncate(time.Second))))
	}
	return true
}

func (c Config) transport() http.RoundTripper {
	if c.DingTalk.HTTP != nil && c.DingTalk.HTTP.Transport != nil {
		return c.DingTalk.HTTP.Transport
	}
	return http.DefaultTransport
}

// plain is an error without the URL that net/http puts before it.
func plain(err error) error {
	if u, ok := err.(*url.Error); ok {
		return u.Err
	}
	return err
}

// listRoles gets a token and reads a page of the roles, which takes the same permission group as removing.
func (c Config) listRoles(ctx context.Context, client *dingtalk.Client, report func(Finding)) ([]dingtalk.Role, bool) {
	page, err := client.ListRoles(ctx, 0, dingtalk.MaxRolesPage)
	if err == nil {
		what := "the app key and secret are accepted"
		if c.DingTalk.AccessToken != "" {
			report(Finding{Check: "credentials", Level: Warning, Says: "the access token is accepted; it ends within two hours and is not renewed",
				Remedy: "for anything that lasts set DINGTALK_APP_KEY and DINGTALK_APP_SECRET instead"})
		} else {
			report(Finding{Check: "credentials", Level: OK, Says: what})
		}
		some := "at least "
		if !page.HasMore {
			some = ""
		}
		report(Finding{Check: "permission to read", Level: OK, Says: fmt.Sprintf("the organisation's roles can be read: %s%d", some, len(page.Roles))})
		return page.Roles, true
	}
	report(refusal("credentials", "permission to read", err))
	return nil, false
}

// sees says how much of the organisation the app sees: whoever is outside is neither found by a name nor removed from.
func sees(ctx context.Context, client *dingtalk.Client) Finding {
	f := Finding{Check: "contact scope", Level: OK}
	scope, err := client.Scope(ctx)
	switch {
	case err != nil:
		f.Level, f.Says, f.Remedy = Warning, "how much the app sees is not known: "+err.Error(), "widen nothing before you know; try again"
	case slices.Contains(scope.Departments, dingtalk.RootDepartment):
		f.Says = "the app sees the whole organisation"
	default:
		f.Level = Warning
		f.Says = fmt.Sprintf("the app sees a part of the organisation only: %d departments and %d people", len(scope.Departments), len(scope.Users))
		f.Remedy = "widen the app's contact scope in DingTalk's developer console, or expect that people outside are not found"
	}
	return f
}

// readHolders reads the holders of one role.
func (c Config) readHolders(ctx context.Context, client *dingtalk.Client, roles []dingtalk.Role, report func(Finding)) bool {
	const check = "permission to read"
	if len(roles) == 0 {
		report(Finding{Check: check, Level: Warning, Says: "the app sees no role at all",
			Remedy: "check the app's contact scope in DingTalk's developer console, and that it is the right organisation's app"})
		return true
	}
	_, err := client.RoleHolders(ctx, roles[0].ID, 0, 1)
	// A role that is gone since it was listed was looked up, so reading is allowed.
	if e := errorOf(err); err != nil && (e == nil || outcome.Of(e.Class).Blame != isolate.BlameRole) {
		report(refusal(check, check, err))
		return false
	}
	report(Finding{Check: check, Level: OK, Says: "the holders of a role can be read"})
	return true
}

// mayRemove says whether the app may remove roles, as far as that is known without removing: DingTalk has no call that
// tells, and the permission for removing is another than that for reading. What remains is what the fleet went through.
func mayRemove(fleet *pace.Status) Finding {
	f := Finding{Check: "permission to remove"}
	switch {
	case fleet != nil && fleet.Hold != nil && fleet.Hold.Kind == pace.HoldPermission:
		f.Level, f.Credentials = Failure, true
		f.Says = "the workers hold because DingTalk refused a removal: " + fleet.Hold.Named + " " + fleet.Hold.Message
		f.Remedy = outcome.RemedyOf(pace.HoldPermission).String()
	case fleet != nil && fleet.Accepted > 0:
		f.Level, f.Says = OK, fmt.Sprintf("DingTalk has accepted %d removal calls of this app", fleet.Accepted)
	default:
		f.Level, f.Says = Warning, "not known before the first removal"
		f.Remedy = "make sure that the app has qyapi_manage_addresslist; without it the workers hold, and lose nothing"
	}
	return f
}

// refusal is what DingTalk's answer means to whoever set unrole up.
func refusal(credentials, permission string, err error) Finding {
	var class dingtalk.Class
	if e := errorOf(err); e != nil {
		class = e.Class
	}
	means := outcome.Of(class)
	f := Finding{Check: permission, Level: Failure, Says: err.Error(), Remedy: means.Remedy.Do.String(), Credentials: means.Hold != ""}
	switch means.Hold {
	case pace.HoldCredentials, pace.HoldToken, pace.HoldTokenNotSent:
		f.Check = credentials
	case pace.HoldPermission:
		f.Remedy += "; removing takes qyapi_manage_addresslist"
	case pace.HoldIPNotAllowed:
		f.Check = "ip white list"
	case pace.HoldDisabled:
		f.Check = "app"
	}
	if means.Kind == pace.Throttled {
		f.Level = Warning
	}
	return f
}
