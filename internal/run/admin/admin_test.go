package admin

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/pace"
)

func get(c Config, path string) (int, string) {
	w := httptest.NewRecorder()
	Handler(c).ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w.Code, w.Body.String()
}

func up(context.Context) error { return nil }

func paceIs(s pace.Status) func(context.Context) (pace.Status, error) {
	return func(context.Context) (pace.Status, error) { return s, nil }
}

func TestReadySaysInWordsWhyNot(t *testing.T) {
	since := time.Unix(1e9, 0)
	held := pace.Status{Hold: &pace.Hold{HoldReason: pace.HoldReason{Kind: pace.HoldPermission, Named: "qyapi_manage_addresslist", Message: "没有权限"}, Since: since}}
	refused := &Token{}
	refused.Observe(dingtalk.Call{Op: "gettoken", Class: dingtalk.ClassCredentials, Code: "40089"})
	taken := &Token{}
	taken.Observe(dingtalk.Call{Op: "topapi/role/removerolesforemps", Class: dingtalk.ClassUserGone, Code: "60121"})
	taken.Observe(dingtalk.Call{Op: "topapi/role/removerolesforemps", Class: dingtalk.ClassBusy, Code: "-1"})
	for _, c := range []struct {
		name   string
		config Config
		want   int
		says   []string
	}{
		{"all well", Config{Redis: up, Pace: paceIs(pace.Status{}), Token: taken}, 200, []string{"redis: ok", "token: ok", "hold: none", "pause: none"}},
		{"a bad line among the keys", Config{Redis: up, Keys: func() error { return errors.New("tokens:2: no hash") }}, 200, []string{"keys: tokens:2: no hash"}},
		{"no call yet", Config{Redis: up, Pace: paceIs(pace.Status{}), Token: &Token{}}, 200, []string{"token: not asked for yet"}},
		{"redis away", Config{Redis: func(context.Context) error { return errors.New("connection refused") }}, 503, []string{"redis: connection refused"}},
		{"pace not readable", Config{Redis: up, Pace: func(context.Context) (pace.Status, error) { return pace.Status{}, errors.New("no") }}, 503, []string{"hold: not known"}},
		{"token refused", Config{Redis: up, Pace: paceIs(pace.Status{}), Token: refused}, 503, []string{"token: refused as credentials (code 40089)"}},
		{"hold", Config{Redis: up, Pace: paceIs(held)}, 503, []string{"hold: permission (qyapi_manage_addresslist), DingTalk says: 没有权限; since 2001-09-09T01:46:40Z; grant the permission"}},
		{"hold of our own", Config{Redis: up, Pace: paceIs(pace.Status{Hold: &pace.Hold{HoldReason: pace.HoldReason{Kind: pace.HoldAudit, Message: "audit file: no space left"}, Since: since}})},
			503, []string{"hold: audit: audit file: no space left; since 2001-09-09T01:46:40Z; make the audit file writable"}},
		{"hold, at the intake", Config{Redis: up, Pace: paceIs(held), HoldIsReady: true}, 200, []string{"hold: permission"}},
		{"pause", Config{Redis: up, Pace: paceIs(pace.Status{Pause: &pace.Pause{Until: since, Limit: pace.LimitAPI, Why: "90018"}})}, 200, []string{"pause: throttled (api 90018) until 2001-09-09"}},
		{"outage", Config{Redis: up, Pace: paceIs(pace.Status{Outage: &pace.Outage{Since: since}})}, 200, []string{"pause: DingTalk has not answered since"}},
	} {
		code, body := get(c.config, "/readyz")
		if code != c.want {
			t.Errorf("%s: %d, want %d: %s", c.name, code, c.want, body)
		}
		for _, s := range c.says {
			if !strings.Contains(body, s) {
				t.Errorf("%s: %q is not said in %q", c.name, s, body)
			}
		}
	}
}

func TestLiveAsksNobody(t *testing.T) {
	code, body := get(Config{Redis: func(context.Context) error { t.Error("asked"); return nil }}, "/livez")
	if code != 200 || body != "alive\n" {
		t.Errorf("%d %q", code, body)
	}
}

func TestTokenIsFineAgainAfterASuccess(t *testing.T) {
	var token Token
	token.Observe(dingtalk.Call{Op: "topapi/role/list", Class: dingtalk.ClassToken, Code: "40014"})
	if ok, _ := token.Words(); ok {
		t.Error("a refused token counts as fine")
	}
	token.Observe(dingtalk.Call{Op: "gettoken", Class: dingtalk.ClassOK, Code: "0"})
	if ok, words := token.Words(); !ok {
		t.Error(words)
	}
}

func TestProfilesAreServed(t *testing.T) {
	if code, body := get(Config{Redis: up}, "/debug/pprof/goroutine?debug=1"); code != 200 || !strings.Contains(body, "goroutine profile") {
		t.Errorf("%d %.100s", code, body)
	}
	if code, _ := get(Config{Redis: up}, "/metrics"); code != 404 {
		t.Errorf("metrics without any: %d", code)
	}
}
