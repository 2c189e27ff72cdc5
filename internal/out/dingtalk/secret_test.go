package dingtalk_test

import (
	"context"
	"encoding/json"
	"errors"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/unrole/unrole/internal/out/dingtalk"
)

// Every way a call can fail, with a token and a secret that need escaping, before a counterpart that repeats them.
func TestNoErrorShowsATokenOrASecret(t *testing.T) {
	const token, secret = "T0k+en/of=this;app", "S3cr&t+of/this=app"
	var escaped []string
	for _, s := range []string{token, secret} {
		inJSON, _ := json.Marshal(s)
		escaped = append(escaped, s, url.QueryEscape(s), url.PathEscape(s), html.EscapeString(s), strings.Trim(string(inJSON), `"`))
	}

	echo := func(status int, format string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/again?"+r.URL.RawQuery)
			w.WriteHeader(status)
			sent := r.URL.Query()
			shown := sent.Get("access_token") + sent.Get("appsecret")
			inJSON, _ := json.Marshal(shown)
			text := strings.Join([]string{r.URL.RawQuery, shown, url.PathEscape(shown), html.EscapeString(shown), strings.Trim(string(inJSON), `"`)}, " ")
			_, _ = io.WriteString(w, strings.ReplaceAll(format, "ECHO", text))
		})
	}
	broken := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, token+secret)
		panic(http.ErrAbortHandler)
	})
	servers := map[string]http.Handler{
		"plain refusal":   echo(200, `{"errcode":33012,"errmsg":"ECHO","request_id":"ECHO","sub_code":"ECHO"}`),
		"wrapped refusal": echo(200, `{"errcode":88,"sub_code":"ECHO","sub_msg":"ECHO","errmsg":"ECHO"}`),
		"wrapped in text": echo(200, `{"errcode":88,"errmsg":"ding talk error[subcode=60011,submsg=ECHO]"}`),
		"refused token":   echo(200, `{"errcode":40014,"errmsg":"ECHO"}`),
		"permission":      echo(200, `{"errcode":60011,"errmsg":"[ECHO]"}`),
		"white list":      echo(200, `{"errcode":60020,"errmsg":"ECHO"}`),
		"foreign text":    echo(404, `The requested URL /x?ECHO was not found`),
		"foreign JSON":    echo(200, `{"error":"ECHO"}`),
		"page":            echo(502, `<html><body>ECHO</body></html>`),
		"ban page":        echo(200, `<html><body>ECHO</body></html>`),
		"redirect":        echo(302, `ECHO`),
		"truncated":       echo(200, `{"errcode":0,"errmsg":"ECHO`),
		"broken off":      broken,
	}
	urls := map[string]string{
		"unknown host": "http://dingtalk.invalid",
		"closed port":  "http://" + closedPort(t),
		"odd port":     "http://127.0.0.1:99999",
	}
	for name, h := range servers {
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		urls[name] = server.URL
	}
	secure := httptest.NewUnstartedServer(servers["plain refusal"])
	secure.Config.ErrorLog = nil
	secure.StartTLS()
	t.Cleanup(secure.Close)
	urls["http for https"] = strings.Replace(secure.URL, "https:", "http:", 1)

	var all sync.WaitGroup
	defer all.Wait()
	for name, base := range urls {
		for how, cfg := range map[string]dingtalk.Config{
			"given token": {BaseURL: base, AccessToken: token},
			"app secret":  {BaseURL: base, AppKey: "key", AppSecret: secret},
		} {
			c := connectTo(t, cfg)
			all.Go(func() { // at once, because a busy gettoken is asked again after a pause
				for call, make := range map[string]func() error{
					"remove": func() error { _, err := c.RemoveRoles(t.Context(), []int64{1}, []string{"u"}); return err },
					"user":   func() error { _, err := c.User(t.Context(), "u"); return err },
					"cancelled": func() error {
						ctx, cancel := context.WithCancel(t.Context())
						cancel()
						_, err := c.ListRoles(ctx, 0, 10)
						return err
					},
				} {
					err := make()
					if err == nil {
						t.Errorf("%s, %s, %s: no error", name, how, call)
						continue
					}
					noSecret(t, err, escaped...)
					var withURL *url.Error
					if errors.As(err, &withURL) {
						t.Errorf("%s, %s, %s: the error still holds a URL", name, how, call)
					}
					if strings.ContainsAny(err.Error(), "\n\r") {
						t.Errorf("%s, %s, %s: more than one line: %q", name, how, call, err)
					}
				}
			})
		}
	}
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestTheCauseOnTheWayCanBeAskedFor(t *testing.T) {
	c := connectTo(t, dingtalk.Config{BaseURL: "http://" + closedPort(t), AccessToken: "given"})
	_, err := c.RemoveRoles(t.Context(), []int64{1}, []string{"u"})
	if e := refusal(t, err, "given"); e.Class != dingtalk.ClassBusy || e.Code() != "no answer" || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("have %v", err)
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	var followed bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			followed = true
		}
		http.Redirect(w, r, "/elsewhere?"+r.URL.RawQuery, http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	own := &http.Client{}
	c := connectTo(t, dingtalk.Config{BaseURL: server.URL, AccessToken: "token", HTTP: own})
	defer own.CloseIdleConnections()
	_, err := c.RemoveRoles(t.Context(), []int64{1}, []string{"u"})
	if e := refusal(t, err); e.Class != dingtalk.ClassBusy || e.HTTPStatus != 307 || followed {
		t.Errorf("%v, followed: %v", e, followed)
	}
	if own.CheckRedirect != nil {
		t.Error("the given client was changed")
	}
}

func TestAWrongConfigurationIsNamedWithoutItsSecrets(t *testing.T) {
	const secret = "hush-hush"
	full := dingtalk.Config{AppKey: "key", AppSecret: secret}
	with := func(change func(*dingtalk.Config)) dingtalk.Config {
		cfg := full
		change(&cfg)
		return cfg
	}
	for want, cfg := range map[string]dingtalk.Config{
		"no http or https scheme": with(func(c *dingtalk.Config) { c.BaseURL = "oapi.dingtalk.io" }),
		"names no host":           with(func(c *dingtalk.Config) { c.BaseURL = "https://" }),
		"cannot be read":          with(func(c *dingtalk.Config) { c.BaseURL = "https://u:" + secret + "@h:x/%zz" }),
		"user name or password":   with(func(c *dingtalk.Config) { c.BaseURL = "https://u:" + secret + "@host" }),
		"end with the host":       with(func(c *dingtalk.Config) { c.BaseURL = "https://host/?access_token=" + secret }),
		"no credentials":          {},
		"secret is missing":       {AppKey: "key"},
		"key is missing":          {AppSecret: secret},
		"only one of the two":     with(func(c *dingtalk.Config) { c.AccessToken = secret }),
		"line end":                with(func(c *dingtalk.Config) { c.AppSecret = secret + "\n" }),
		"Timeout is negative":     with(func(c *dingtalk.Config) { c.Timeout = -1 }),
		"user agent":              with(func(c *dingtalk.Config) { c.UserAgent = "a\r\nb" }),
	} {
		_, err := dingtalk.New(cfg)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, have %v", want, err)
			continue
		}
		noSecret(t, err, secret)
	}
	for _, base := range []string{"", "http://127.0.0.1:8787", "https://host/prefix/", "HTTPS://host"} {
		if _, err := dingtalk.New(with(func(c *dingtalk.Config) { c.BaseURL = base })); err != nil {
			t.Errorf("%q: %v", base, err)
		}
	}
}
