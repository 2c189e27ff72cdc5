package webui

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/unrole/unrole/internal/record/producer"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

func letter() *tasks.Part {
	return &tasks.Part{JobID: "j", Part: "0-u3", UserIDs: []string{"gone"}, RoleIDs: []int64{9007199254740993},
		Failure: &tasks.Failure{Reason: tasks.ReasonUserGone, ErrCode: 60121, ErrMsg: "找不到该用户 <b>", Attempts: 1, FailedAt: time.Unix(0, 0), Queue: "default"}}
}

// serve starts a UI over a queue with one dead letter.
func serve(t *testing.T, c Config) *httptest.Server {
	t.Helper()
	_, rdb := redistest.Memory(t)
	c.Redis = rdb
	if _, err := producer.EnqueueLetter(t.Context(), asynq.NewClientFromRedisClient(rdb), letter(), "j:0-u3"); err != nil {
		t.Fatal(err)
	}
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

const run = "/api/queues/dead-letter/scheduled_tasks/j:0-u3:run"

func TestReadOnlyUnlessActionsAreAllowed(t *testing.T) {
	for _, c := range []struct {
		allowed bool
		want    int
	}{{false, http.StatusMethodNotAllowed}, {true, http.StatusNoContent}} {
		s := serve(t, Config{AllowActions: c.allowed})
		if code, body := ask(t, "POST", s.URL+run, nil); code != c.want {
			t.Errorf("actions allowed %v: %d %s, want %d", c.allowed, code, body, c.want)
		}
	}
}

func TestOtherSitesCannotAct(t *testing.T) {
	s := serve(t, Config{AllowActions: true, Password: "p"})
	for name, header := range map[string][2]string{"fetch metadata": {"Sec-Fetch-Site", "cross-site"}, "origin": {"Origin", "https://evil.example"}} {
		code, _ := ask(t, "POST", s.URL+run, func(r *http.Request) {
			r.SetBasicAuth(User, "p")
			r.Header.Set(header[0], header[1])
		})
		if code != http.StatusForbidden {
			t.Errorf("%s: %d", name, code)
		}
	}
	code, _ := ask(t, "POST", s.URL+run, func(r *http.Request) {
		r.SetBasicAuth(User, "p")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	})
	if code != http.StatusNoContent {
		t.Errorf("the UI's own page: %d", code)
	}
}

func TestPasswordGuardsEverythingButHealth(t *testing.T) {
	s := serve(t, Config{Password: "right", Prefix: "/unrole/"})
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
		if code, _ := ask(t, "GET", s.URL+"/api/queues", func(r *http.Request) { r.Host = host }); code != want {
			t.Errorf("host %s: %d, want %d", host, code, want)
		}
	}
}

func TestHealthTellsWhetherRedisAnswers(t *testing.T) {
	m, rdb := redistest.Memory(t)
	h, err := New(Config{Redis: rdb, Password: "p"})
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
	h, _ := New(Config{Redis: rdb})
	r := httptest.NewRequest("GET", "/", nil)
	r.Host = "localhost"
	h.ServeHTTP(w, r)
	if w.Code != 200 || w.Header().Get("X-Frame-Options") != "DENY" || !strings.Contains(w.Header().Get("Content-Security-Policy"), "frame-ancestors 'none'") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestPrefixIsChecked(t *testing.T) {
	_, rdb := redistest.Memory(t)
	for prefix, ok := range map[string]bool{"": true, "/": true, "/a": true, "/a/b/": true, "a": false, "//a": false, "/a b": false, "/{x}": false, "/a?b": false, "/healthz": false} {
		if _, err := New(Config{Redis: rdb, Prefix: prefix}); (err == nil) != ok {
			t.Errorf("%q: %v", prefix, err)
		}
	}
}

func TestDeadLettersShowReasonAndCodesFirst(t *testing.T) {
	s := serve(t, Config{})
	_, body := ask(t, "GET", s.URL+"/api/queues/dead-letter/scheduled_tasks", nil)
	var list struct {
		Tasks []struct{ Payload string } `json:"tasks"`
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Tasks) != 1 {
		t.Fatalf("%v: %s", err, body)
	}
	want := `{"reason":"user_gone","errcode":60121,"errmsg":"找不到该用户 <b>","users":"gone","roles":"9007199254740993","pairs":1,` +
		`"job_id":"j","part":"0-u3","attempts":1,"failed_at":"1970-01-01T00:00:00Z","lane":"default"}`
	if got := list.Tasks[0].Payload; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestPayloadsAreAlwaysReadableAndShort(t *testing.T) {
	big := &tasks.Part{JobID: "j", Part: "0"}
	for i := range 100 {
		big.UserIDs = append(big.UserIDs, strings.Repeat("使", 60)+string(rune('a'+i%26))+string(rune('a'+i/26)))
	}
	big.RoleIDs = []int64{1}
	bigPayload, err := big.Encode()
	if err != nil {
		t.Fatal(err)
	}
	unreadable := letter()
	unreadable.Failure.Reason, unreadable.Failure.Payload = tasks.ReasonBadPayload, []byte("\x00\xff "+strings.Repeat("z", 5000))
	unreadable.UserIDs, unreadable.RoleIDs = nil, nil
	badPayload, err := unreadable.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, payload := range map[string][]byte{
		"big": bigPayload, "unreadable": badPayload, "empty": nil, "binary": {0, 1, 0xff}, "spaced": []byte("{\n  \"v\": 9\n}"),
		"long text": []byte(strings.Repeat("字", 100_000)), "long json": []byte("[" + strings.Repeat("1,", 50_000) + "1]"),
	} {
		for _, got := range []string{FormatPayload(tasks.TypeRemove, payload), FormatPayload("other", payload), FormatResult(tasks.TypeRemove, payload)} {
			if len(got) > 8000 || strings.ContainsAny(got, "\n\x00") || got != "" && !json.Valid([]byte(got)) {
				t.Errorf("%s: %d bytes: %.200s", name, len(got), got)
			}
		}
	}
	if got := FormatPayload(tasks.TypeRemove, bigPayload); !strings.Contains(got, `"users":"100: `) || !strings.Contains(got, "…") {
		t.Errorf("the length of a cut list is not said: %.200s", got)
	}
}
