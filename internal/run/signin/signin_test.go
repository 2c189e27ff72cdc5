package signin

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/unrole/unrole/internal/test/redistest"
)

// serve starts a guard before pages that say who asks.
func serve(t *testing.T, c Config) *httptest.Server {
	t.Helper()
	_, rdb := redistest.Memory(t)
	c.Redis = rdb
	c.Pages = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		by := Of(r)
		if r.Method == http.MethodPost && !by.Operates() {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, by.Name)
	})
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func ask(t *testing.T, method, url string, change func(*http.Request)) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(req)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestWhoHasNoNameOnlyLooksUnlessActionsAreAllowed(t *testing.T) {
	for allowed, want := range map[bool]int{false: http.StatusForbidden, true: http.StatusOK} {
		s := serve(t, Config{AllowActions: allowed, Local: "ann@host"})
		if code, _ := ask(t, "POST", s.URL+"/", nil); code != want {
			t.Errorf("actions allowed %v: %d, want %d", allowed, code, want)
		}
		if _, name := ask(t, "GET", s.URL+"/", nil); name != "ann@host" {
			t.Errorf("the audit calls whoever sits here %q", name)
		}
	}
}

func TestOtherSitesCannotAct(t *testing.T) {
	s := serve(t, Config{AllowActions: true, Password: "p"})
	for name, header := range map[string][2]string{"fetch metadata": {"Sec-Fetch-Site", "cross-site"}, "origin": {"Origin", "https://evil.example"}} {
		code, _ := ask(t, "POST", s.URL+"/act", func(r *http.Request) {
			r.SetBasicAuth(User, "p")
			r.Header.Set(header[0], header[1])
		})
		if code != http.StatusForbidden {
			t.Errorf("%s: %d", name, code)
		}
	}
	code, _ := ask(t, "POST", s.URL+"/act", func(r *http.Request) {
		r.SetBasicAuth(User, "p")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	})
	if code != http.StatusOK {
		t.Errorf("the own page: %d", code)
	}
}

func TestPasswordGuardsEverythingButHealth(t *testing.T) {
	s := serve(t, Config{Password: "right", Prefix: "/unrole"})
	for _, c := range []struct {
		path, user, password string
		want                 int
	}{
		{"/unrole/", "", "", 401},
		{"/unrole/api/queues", "", "", 401},
		{"/", "", "", 401},
		{"/unrole/", User, "wrong", 401},
		{"/unrole/", "admin", "right", 401},
		{"/unrole/", User, "right", 200},
		{"/unrole/api/queues", User, "right", 200},
		{"/", User, "right", 303},
		{"/healthz", "", "", 200},
	} {
		code, _ := ask(t, "GET", s.URL+c.path, func(r *http.Request) {
			if c.user != "" {
				r.SetBasicAuth(c.user, c.password)
			}
		})
		if code != c.want {
			t.Errorf("%s as %s/%s: %d, want %d", c.path, c.user, c.password, code, c.want)
		}
	}
}

func TestWithoutPasswordOnlyLoopbackNamesAreAnswered(t *testing.T) {
	s := serve(t, Config{})
	for host, want := range map[string]int{"127.0.0.1:1": 200, "localhost": 200, "[::1]:80": 200, "evil.example": 403, "127.0.0.1.evil.example:80": 403, "10.0.0.1": 403} {
		if code, _ := ask(t, "GET", s.URL+"/", func(r *http.Request) { r.Host = host }); code != want {
			t.Errorf("host %s: %d, want %d", host, code, want)
		}
	}
}

func TestHealthTellsWhetherRedisAnswers(t *testing.T) {
	m, rdb := redistest.Memory(t)
	h, err := New(Config{Redis: rdb, Pages: http.NotFoundHandler(), Password: "p"})
	if err != nil {
		t.Fatal(err)
	}
	addr := m.Addr()
	m.Close()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/healthz", nil))
	if w.Code != 503 || strings.Contains(w.Body.String(), addr) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestNoPageCanBeFramed(t *testing.T) {
	w := httptest.NewRecorder()
	_, rdb := redistest.Memory(t)
	h, _ := New(Config{Redis: rdb, Pages: http.NotFoundHandler()})
	r := httptest.NewRequest("GET", "/", nil)
	r.Host = "localhost"
	h.ServeHTTP(w, r)
	if w.Code != 404 || w.Header().Get("X-Frame-Options") != "DENY" || !strings.Contains(w.Header().Get("Content-Security-Policy"), "frame-ancestors 'none'") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestPrefixIsChecked(t *testing.T) {
	for prefix, ok := range map[string]bool{"": true, "/": true, "/a": true, "/a/b/": true, "a": false, "//a": false, "/a b": false, "/{x}": false, "/a?b": false, "/healthz": false} {
		if _, err := CleanPrefix(prefix); (err == nil) != ok {
			t.Errorf("%q: %v", prefix, err)
		}
	}
}
