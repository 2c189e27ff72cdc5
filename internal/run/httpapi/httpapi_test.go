package httpapi

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/producer"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

func TestASubmittedRemovalIsStoredWhole(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		w := newWorld(t, rdb, nil)
		body := `{"job_id":"leavers","source":"hr","reason":"left in December","priority":"urgent","removals":[
			{"user_ids":["manager4220","00117"],"role_ids":[1507113578,"1507113579"]},{"user_ids":["王芳"],"role_ids":[9007199254740993]}]}`
		first := w.post(body)
		if first.status != http.StatusAccepted || first.header.Get("Location") != "/v1/removals/leavers" {
			t.Fatalf("%d %v %s", first.status, first.header, first.body)
		}
		job := first.job(t)
		if job.State != ledger.StateRunning || job.Pairs.Total != 5 || job.SubmittedBy != "api:hr" || job.Source != "hr" || job.Priority != "urgent" {
			t.Errorf("%+v", job)
		}
		pending, err := asynq.NewInspectorFromRedisClient(rdb).ListPendingTasks("urgent")
		if err != nil || len(pending) != int(job.PlannedCalls) {
			t.Errorf("%d tasks, %v, want %d: 202 promises that the queue has them", len(pending), err, job.PlannedCalls)
		}
		if again := w.post(body); again.status != http.StatusOK || again.job(t).JobID != "leavers" {
			t.Errorf("the same again: %d %s", again.status, again.body)
		}
		other := w.post(removal("leavers", "x"))
		if other.status != http.StatusConflict || !strings.HasSuffix(other.problem(t).Type, "#conflict") {
			t.Errorf("other content: %d %s", other.status, other.body)
		}
		if got := w.get("/v1/removals/leavers"); got.status != 200 || got.job(t).Pairs.Total != 5 {
			t.Errorf("GET: %d %s", got.status, got.body)
		}
	})
}

func TestTheReportHasEveryPair(t *testing.T) {
	w := memoryWorld(t, nil)
	w.post(removal("r", "a", "b", "=c"))
	lines := w.get("/v1/removals/r/report")
	if lines.header.Get("Content-Type") != "application/jsonl" {
		t.Errorf("type %s", lines.header.Get("Content-Type"))
	}
	n := 0
	for line := range strings.Lines(lines.body) {
		var row struct {
			UserID  string `json:"user_id"`
			Outcome string `json:"outcome"`
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil || row.Outcome != "pending" || row.UserID == "" {
			t.Errorf("%s: %v", line, err)
		}
		n++
	}
	if n != 3 {
		t.Errorf("%d rows, want 3", n)
	}
	for _, table := range []answer{w.get("/v1/removals/r/report?format=csv"), w.get("/v1/removals/r/report", "Accept", "text/csv")} {
		rows, err := csv.NewReader(strings.NewReader(table.body)).ReadAll()
		if err != nil || len(rows) != 4 || rows[0][0] != "user_id" {
			t.Errorf("%q: %v", table.body, err)
		}
		if strings.Contains(table.body, "\n=c") {
			t.Error("a cell could be taken for a formula")
		}
	}
	if got := w.get("/v1/removals/r/report?format=xml"); got.status != http.StatusBadRequest {
		t.Errorf("xml: %d", got.status)
	}
}

func TestEveryBadFieldIsNamedAtOnce(t *testing.T) {
	w := memoryWorld(t, nil)
	for _, c := range []struct {
		name, body string
		want       []string
	}{
		{"nothing", `{}`, []string{"/reason", "/removals", "/source"}},
		{"wrong kinds", `{"source":1,"reason":null,"removals":{"a":[1,{"b":[]}]},"priority":["x"],"at":{"y":{}}}`,
			[]string{"/at", "/priority", "/reason", "/removals", "/source"}},
		{"wrong values", `{"job_id":"a b","source":" ","reason":"x\ny","priority":"high","at":"tomorrow","removals":[]}`,
			[]string{"/at", "/job_id", "/priority", "/reason", "/removals", "/source"}},
		{"ids", `{"source":"s","reason":"r","removals":[{"user_ids":["ok","a,b",""," x",7,"\ud800"],"role_ids":[1,0,-1,1.5,1e3,"007","9223372036854775808",true,null]},{"user_ids":[],"role_ids":{}},{},3]}`,
			[]string{"/removals/0/role_ids/1", "/removals/0/role_ids/2", "/removals/0/role_ids/3", "/removals/0/role_ids/4", "/removals/0/role_ids/5",
				"/removals/0/role_ids/6", "/removals/0/role_ids/7", "/removals/0/role_ids/8", "/removals/0/user_ids/1", "/removals/0/user_ids/2",
				"/removals/0/user_ids/3", "/removals/0/user_ids/4", "/removals/0/user_ids/5", "/removals/1/role_ids", "/removals/1/user_ids",
				"/removals/2/role_ids", "/removals/2/user_ids", "/removals/3"}},
		{"unknown and repeated", `{"source":"s","source":"t","reason":"r","prority":"bulk","a/b~c":{"x":[[]]},"removals":[{"user_ids":["a"],"user_ids":["b"],"role_ids":[1]}]}`,
			[]string{"/a~1b~0c", "/prority", "/removals/0/user_ids", "/source"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := w.post(c.body)
			if got.status != http.StatusUnprocessableEntity {
				t.Fatalf("%d %s", got.status, got.body)
			}
			if diff := cmp.Diff(c.want, pointers(got.problem(t))); diff != "" {
				t.Error(diff, got.body)
			}
		})
	}
	many := w.post(`{"source":"s","reason":"r","removals":[{"user_ids":["a"],"role_ids":[` + strings.Repeat("0,", 249) + `0]}]}`).problem(t)
	if len(many.Errors) != maxFaults || many.MoreErrors != 250-maxFaults || !strings.HasPrefix(many.Detail, "250 fields") {
		t.Errorf("%d errors and %d more: %s", len(many.Errors), many.MoreErrors, many.Detail)
	}
	if keys := redistest.Keys(t, w.rdb); len(keys) > 0 {
		t.Errorf("bad requests left %v", keys)
	}
}

func TestWhatIsNoJSONIsRefusedWithItsPlace(t *testing.T) {
	w := memoryWorld(t, nil)
	for body, want := range map[string]string{
		``:                       "at byte 1: it ends too early",
		`{"source":"s",`:         "it ends too early",
		`{"source" "s"}`:         "at byte 1",
		`{} {}`:                  "something follows the object",
		"{\"source\":\"\xff\"}":  "not valid UTF-8",
		`{"removals":[`:          "it ends too early",
		`{"reason":"a`:           "at byte 11: it ends too early",
		strings.Repeat("[", 1e5): "nested deeper than 200 levels",
	} {
		got := w.post(body)
		if p := got.problem(t); got.status != http.StatusBadRequest || !strings.Contains(p.Detail, want) {
			t.Errorf("%.40q: %d %s, want %q", body, got.status, p.Detail, want)
		}
	}
	if got := w.post("{}", "Content-Type", "text/plain"); got.status != http.StatusUnsupportedMediaType {
		t.Errorf("text/plain: %d", got.status)
	}
}

func TestAJobIsNamedByItsIdempotencyKey(t *testing.T) {
	w := memoryWorld(t, nil)
	body := `{"source":"s","reason":"r","removals":[{"user_ids":["a"],"role_ids":[1]}]}`
	for _, key := range []string{"leaver-117", `"leaver-117"`} {
		if got := w.post(body, "Idempotency-Key", key).job(t).JobID; got != "leaver-117" {
			t.Errorf("%s: job %s", key, got)
		}
	}
	one := w.post(body, "Idempotency-Key", "員工 117/離職")
	two := w.post(body, "Idempotency-Key", "員工 117/離職")
	if one.status != 202 || two.status != 200 || one.job(t).JobID != two.job(t).JobID {
		t.Errorf("%d %s, %d %s", one.status, one.body, two.status, two.body)
	}
	if got := w.post(strings.Replace(body, "{", `{"job_id":"mine",`, 1), "Idempotency-Key", "other").job(t).JobID; got != "mine" {
		t.Errorf("the body's job id lost to the key: %s", got)
	}
	if a, b := w.post(body).job(t).JobID, w.post(body).job(t).JobID; a == b {
		t.Error("two requests without any name are one job")
	}
	if got := w.post(body, "Idempotency-Key", strings.Repeat("k", 256)); got.status != 400 {
		t.Errorf("long key: %d", got.status)
	}
}

func TestGuardAndProtectedIDsRefuseWhole(t *testing.T) {
	w := memoryWorld(t, func(c *Config) { c.MaxUsers = 3; c.MaxUsersPerDay = 100 })
	if got := w.post(removal("g", "a", "b", "c", "d")); got.status != 422 || !strings.HasSuffix(got.problem(t).Type, "#guard") || !strings.Contains(got.body, "split") {
		t.Errorf("%d %s", got.status, got.body)
	}
	got := w.post(`{"source":"s","reason":"r","removals":[{"user_ids":["a","boss"],"role_ids":[1]},{"user_ids":["b"],"role_ids":[2,666]}]}`)
	if diff := cmp.Diff([]string{"/removals/0/user_ids/1", "/removals/1/role_ids/1"}, pointers(got.problem(t))); got.status != 422 || diff != "" {
		t.Errorf("%d %s", got.status, diff)
	}
	if keys := redistest.Keys(t, w.rdb); len(keys) > 0 {
		t.Errorf("refused requests left %v", keys)
	}
}

func TestBodiesAreBounded(t *testing.T) {
	w := memoryWorld(t, func(c *Config) { c.MaxBody = 1000 })
	if got := w.post(strings.Repeat(" ", 1001)); got.status != http.StatusRequestEntityTooLarge || !strings.Contains(got.body, "1000 bytes") {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestPairsAreBoundedBeforeTheyAreMultiplied(t *testing.T) {
	w := memoryWorld(t, nil)
	list := func(n int, format string) string {
		s := make([]string, n)
		for i := range s {
			s[i] = fmt.Sprintf(format, i+1)
		}
		return strings.Join(s, ",")
	}
	got := w.post(`{"source":"s","reason":"r","removals":[{"user_ids":[` + list(2000, `"u%d"`) + `],"role_ids":[` + list(2000, `%d`) + `]}]}`)
	if got.status != 422 || !strings.HasSuffix(got.problem(t).Type, "#guard") {
		t.Errorf("%d %.200s", got.status, got.body)
	}
}

func TestUnknownJobsAddressesAndMethods(t *testing.T) {
	w := memoryWorld(t, nil)
	for _, path := range []string{"/v1/removals/none", "/v1/removals/none/report", "/v1/removals/a%20b", "/", "/v1", "/v2/removals"} {
		if got := w.get(path); got.status != 404 || got.problem(t).Status != 404 {
			t.Errorf("%s: %d", path, got.status)
		}
	}
	if got := w.do(http.MethodPut, "/v1/removals/x", ""); got.status != 405 || got.header.Get("Allow") != "DELETE, GET, HEAD" {
		t.Errorf("PUT: %d %v", got.status, got.header)
	}
	if got := w.get("/v1/cancellations"); got.status != 405 || got.header.Get("Allow") != "POST" {
		t.Errorf("GET of cancellations: %d %v", got.status, got.header)
	}
}

func TestRedisAwayIsSaidWithRetryAfterAndNothingIsLost(t *testing.T) {
	server := redistest.Start(t, "--appendfsync", "always") // with everysec, a Redis that is killed may lose what it acknowledged
	w := newWorld(t, server.Client(), func(c *Config) { c.StoreTimeout = 300 * time.Millisecond })
	server.Freeze()
	got := w.post(removal("away", "a"))
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("frozen: %d %v %s", got.status, got.header, got.body)
	}
	server.Thaw()
	again := w.post(removal("away", "a"))
	if again.status != 202 && again.status != 200 {
		t.Errorf("after the outage: %d %s", again.status, again.body)
	}
	server.Kill()
	if got := w.get("/v1/removals/away"); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("killed: %d %s", got.status, got.body)
	}
	// What was answered with success survives a kill -9 of Redis.
	server.Resume()
	if got := w.get("/v1/removals/away"); got.status != 200 || got.job(t).Pairs.Total != 1 {
		t.Errorf("resumed: %d %s", got.status, got.body)
	}
}

func TestAboveTheDaysLimitJobsWaitForApproval(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		w := newWorld(t, rdb, func(c *Config) { c.MaxUsersPerDay = 3 })
		for i := range 3 {
			if job := w.post(removal(fmt.Sprint("in", i), fmt.Sprint("u", i))).job(t); job.Awaiting != "" {
				t.Fatalf("user %d of 3 waits: %+v", i+1, job)
			}
		}
		if job := w.post(removal("same-users", "u0", "u1")).job(t); job.Awaiting != "" {
			t.Errorf("users counted before are counted again: %+v", job)
		}
		above := w.post(removal("above", "u3"))
		job := above.job(t)
		if above.status != 202 || job.Awaiting != ledger.AwaitingApproval || job.State != ledger.StateScheduled {
			t.Fatalf("%d %+v, want accepted, waiting for approval", above.status, job)
		}
		if again := w.post(removal("above", "u3")); again.status != 200 || again.job(t).Awaiting == "" {
			t.Errorf("the same again: %d %s, want it to wait still", again.status, again.body)
		}
		other := strings.Replace(removal("other-source", "u9"), `"source":"hr"`, `"source":"it"`, 1)
		if job := w.post(other).job(t); job.Awaiting != "" {
			t.Error("another source suffers from it")
		}

		tasksOf := func(id string) int {
			pending, err := asynq.NewInspectorFromRedisClient(rdb).ListPendingTasks("default", asynq.PageSize(100))
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, p := range pending {
				if jobID, _, _ := tasks.SplitTaskID(p.ID); jobID == id {
					n++
				}
			}
			return n
		}
		client := asynq.NewClientFromRedisClient(rdb)
		repair := func(j ledger.Job) {
			if _, err := producer.Repair(context.Background(), w.ledger, rdb, client, j); err != nil {
				t.Fatal(err)
			}
		}
		repair(job)
		if n := tasksOf("above"); n != 0 {
			t.Fatalf("%d tasks of a job that waits", n)
		}
		approved, err := w.ledger.Approve(t.Context(), "above", "ann@host", "checked")
		if err != nil || approved.ApprovedBy != "ann@host" || approved.Awaiting != "" {
			t.Fatalf("%+v %v", approved, err)
		}
		repair(approved)
		if n := tasksOf("above"); n != 1 {
			t.Errorf("%d tasks after the approval, want 1", n)
		}
		if job := w.get("/v1/removals/above").job(t); job.State != ledger.StateRunning {
			t.Errorf("%+v", job)
		}
		// The reply to the first may have been lost: whoever gave it may give it again, and has the parts enqueued then.
		if again, err := w.ledger.Approve(t.Context(), "above", "ann@host", ""); err != nil || again.ApprovedBy != "ann@host" {
			t.Errorf("approved again: %+v %v", again, err)
		}
		if _, err := w.ledger.Approve(t.Context(), "above", "bob@host", ""); err == nil || !strings.Contains(err.Error(), "does not wait for approval") {
			t.Errorf("approved by somebody else: %v", err)
		}
		w.post(removal("wrong", "u5"))
		cancelled, err := w.ledger.Cancel(t.Context(), "wrong", "ann@host", "wrong feed")
		if err != nil || cancelled.State != ledger.StateCancelled || cancelled.Awaiting != "" {
			t.Errorf("a waiting job could not be cancelled: %+v %v", cancelled, err)
		}
	})
}

func TestAScheduledRemovalWaitsAndAPastOneDoesNot(t *testing.T) {
	w := memoryWorld(t, nil)
	at := func(id string, when time.Time) string {
		return strings.Replace(removal(id, "a"), "{", `{"at":"`+when.Format(time.RFC3339)+`",`, 1)
	}
	if job := w.post(at("later", time.Now().Add(time.Hour))).job(t); job.State != ledger.StateScheduled || job.At == nil {
		t.Errorf("%+v", job)
	}
	past := at("past", time.Now().Add(-time.Hour))
	if job := w.post(past).job(t); job.State != ledger.StateRunning {
		t.Errorf("%+v", job)
	}
	if got := w.post(past); got.status != 200 {
		t.Errorf("the same again: %d", got.status)
	}
	if job, err := w.ledger.Cancel(t.Context(), "later", "ann", "stays"); err != nil || job.State != ledger.StateCancelled {
		t.Errorf("%+v %v", job, err)
	}
}

// A path that is not written as its address is written reaches nothing, with a key or without.
func TestPathTricksReachNothing(t *testing.T) {
	w := memoryWorld(t, nil)
	if got := w.post(removal("secret", "u1")); got.status != http.StatusAccepted {
		t.Fatalf("submitted: %d", got.status)
	}
	client := *w.server.Client()
	asIs := func(path, token string) (*http.Response, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.URL.Opaque = strings.TrimPrefix(w.server.URL, "http:") + path
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(body)
	}
	if _, body := asIs("/v1/removals/secret", w.token); !strings.Contains(body, `"pairs"`) {
		t.Fatalf("the job's own address gives %s", body)
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, path := range []string{"//v1/removals/secret", "/v1//removals/secret", "/v1/removals//secret", "/openapi.yaml/../v1/removals/secret",
		"/openapi.yaml%2f..%2fv1/removals/secret", "/v1/removals/%2e%2e/removals/secret", "/v1/removals%2fsecret", "/v1/removals/secret%2freport",
		"/v1/removals/secret%00", "/v1/removals/secret/", "/v1/removals/secret/../../../etc/passwd", "/v1/removals/..%5c..%5csecret",
		"/V1/removals/secret", "/v1/removals/secret;x", "/v1/removals/" + strings.Repeat("a", 8<<10)} {
		for _, token := range []string{"", w.token} {
			resp, body := asIs(path, token)
			if resp.StatusCode < 300 || resp.StatusCode >= 500 || strings.Contains(body, `"pairs"`) {
				t.Errorf("%.60s, token %t: %d %.200s", path, token != "", resp.StatusCode, body)
			}
			if to := resp.Header.Get("Location"); strings.HasPrefix(to, "//") || strings.Contains(to, "://") {
				t.Errorf("%.60s is sent elsewhere: %s", path, to)
			}
		}
	}
}
