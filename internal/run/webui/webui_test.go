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
	"github.com/unrole/unrole/internal/run/signin"
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
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, signin.With(r, signin.Person{Name: "ann", Role: signin.Operator}))
	}))
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

func TestWhoOnlyLooksChangesNothing(t *testing.T) {
	_, rdb := redistest.Memory(t)
	h, err := New(Config{Redis: rdb, AllowActions: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, by := range []signin.Person{{}, {Name: "eve", Role: signin.Viewer}} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, signin.With(httptest.NewRequest("POST", run, nil), by))
		if w.Code != http.StatusForbidden {
			t.Errorf("%+v: %d", by, w.Code)
		}
	}
}

// Its fonts came from fonts.googleapis.com, and the page stayed blank where that does not answer.
func TestThePageLoadsNothingFromElsewhere(t *testing.T) {
	s := serve(t, Config{Prefix: "/queues"})
	resp, err := http.Get(s.URL + "/queues/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	page, policy := string(body), resp.Header.Get("Content-Security-Policy")
	if strings.Contains(page, "googleapis") || strings.Contains(page, "https://") || !strings.Contains(page, "/queues/static/js/main") {
		t.Errorf("the page: %.2000s", page)
	}
	_, nonce, found := strings.Cut(policy, "'nonce-")
	nonce, _, _ = strings.Cut(nonce, "'")
	if !found || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "default-src 'none'") || strings.Contains(page, "<script>") ||
		strings.Count(page, `<script nonce="`+nonce+`">`) != 2 || !strings.Contains(page, `<meta property="csp-nonce" content="`+nonce+`"/>`) {
		t.Errorf("policy %q of the page %.2000s", policy, page)
	}
	if code, script := ask(t, "GET", s.URL+"/queues/favicon.ico", nil); code != 200 || len(script) == 0 {
		t.Errorf("its icon: %d", code)
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
