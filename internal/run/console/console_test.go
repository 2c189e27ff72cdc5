package console

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/producer"
	"github.com/unrole/unrole/internal/run/signin"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// desk is a console over an in-memory Redis, looked at by somebody.
type desk struct {
	testing.TB
	rdb    *redis.Client
	ledger *ledger.Ledger
	pacer  *pace.Pacer
	client *enqueue.Client
	pages  http.Handler
	by     signin.Person
	lang   string
}

func newDesk(t testing.TB, rdb *redis.Client) *desk {
	t.Helper()
	d := &desk{TB: t, rdb: rdb, ledger: ledger.New(rdb, 0), by: signin.Person{Name: "ann", Role: signin.Approver}}
	var err error
	if d.client, err = enqueue.NewClient(enqueue.Config{Redis: rdb}); err != nil {
		t.Fatal(err)
	}
	if d.pacer, err = pace.New(rdb, pace.Config{App: "app", QPS: 20, Log: zerolog.Nop()}); err != nil {
		t.Fatal(err)
	}
	if d.pages, err = New(Config{Redis: rdb, Ledger: d.ledger, Pacer: d.pacer, Prefix: "/unrole", Log: zerolog.Nop()}); err != nil {
		t.Fatal(err)
	}
	return d
}

func memoryDesk(t testing.TB) *desk {
	_, rdb := redistest.Memory(t)
	return newDesk(t, rdb)
}

// ask makes a request, in the language of the desk.
func (d *desk) ask(r *http.Request) *httptest.ResponseRecorder {
	d.Helper()
	r.Header.Set("Accept-Language", d.lang)
	w := httptest.NewRecorder()
	d.pages.ServeHTTP(w, signin.With(r.WithContext(d.Context()), d.by))
	return w
}

// see is the text of a page that has to be there.
func (d *desk) see(path string) string {
	d.Helper()
	w := d.ask(httptest.NewRequest("GET", "/unrole"+path, nil))
	if w.Code != http.StatusOK {
		d.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

// submit hands a removal in, of every user and every role.
func (d *desk) submit(s enqueue.Submission, users []string, roles ...int64) ledger.Job {
	d.Helper()
	var err error
	if s.Removals, err = enqueue.FromLists(users, roles); err != nil {
		d.Fatal(err)
	}
	s.MaxUsers = -1
	done, err := d.client.Submit(d.Context(), s)
	if err != nil {
		d.Fatal(err)
	}
	return done.Job
}

// refuse sets a pair of a job apart, as a worker does.
func (d *desk) refuse(jobID, user string, why tasks.Reason) {
	d.Helper()
	failure := &tasks.Failure{Reason: why, ErrCode: 60121, ErrMsg: "找不到该用户", Attempts: 1, FailedAt: time.Now(), Queue: tasks.QueueDefault}
	err := d.ledger.Each(d.Context(), jobID, func(rec ledger.PartRecord) error {
		claims, err := d.ledger.Claim(d.Context(), ledger.Request{Part: rec.Part, Lane: tasks.QueueDefault})
		if err != nil {
			return err
		}
		for i, u := range rec.Part.UserIDs {
			if u != user {
				continue
			}
			l := &tasks.Part{JobID: jobID, Part: tasks.UserLetter(rec.Part.Part, i), UserIDs: []string{u}, RoleIDs: rec.Part.RoleIDs, Failure: failure}
			if _, err := producer.EnqueueLetter(d.Context(), asynq.NewClientFromRedisClient(d.rdb), l, l.TaskID()); err != nil {
				return err
			}
			settlement := ledger.Settlement{Outcome: ledger.Outcome{Kind: ledger.Dead, Reason: why, ErrCode: 60121, ErrMsg: failure.ErrMsg, At: time.Now(), Letter: l.Part}}
			settlement.Pairs.Users = []pairs.User{pairs.User(i)}
			if _, err := d.ledger.Settle(d.Context(), claims[0], settlement); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		d.Fatal(err)
	}
}

func TestThePageOfRemovalsSaysWhatNeedsSomebody(t *testing.T) {
	d := memoryDesk(t)
	d.submit(enqueue.Submission{JobID: "waits", Reason: "department <closed>", SubmittedBy: "bob", AwaitApproval: true}, []string{"u1", "u2"}, 7)
	d.submit(enqueue.Submission{JobID: "runs", Reason: "left", Source: "hr"}, []string{"u3"}, 7)
	d.refuse("runs", "u3", tasks.ReasonUserGone)
	if err := d.pacer.SetHold(t.Context(), pace.HoldReason{Kind: pace.HoldPermission, Message: "no permission"}); err != nil {
		t.Fatal(err)
	}
	page := d.see("/")
	for _, want := range []string{"Needs somebody", "department &lt;closed&gt;", "waits for approval", "1 entry that DingTalk refuses",
		"the app lacks a permission", "grant the permission in DingTalk&#39;s developer console", `href="/unrole/jobs/runs"`, "2 removals", "1 not removed"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	d.lang = "zh-CN,zh;q=0.9"
	if page := d.see("/"); !strings.Contains(page, `<html lang="zh-CN">`) || !strings.Contains(page, "等待审批") || strings.Contains(page, "Needs somebody") {
		t.Errorf("in Chinese:\n%s", page)
	}
}

func TestAPersonARoleASourceAndADayAreFound(t *testing.T) {
	d := memoryDesk(t)
	d.submit(enqueue.Submission{JobID: "one", Source: "hr"}, []string{"ann", "bob"}, 1, 2)
	d.submit(enqueue.Submission{JobID: "two", Source: "it", SubmittedBy: "carol"}, []string{"bob"}, 2, 3)
	wholly(d.pages.(*Console).catalog)
	today := time.Now().UTC().Format(time.DateOnly)
	find := func(query string) string {
		var found []string
		for _, m := range regexp.MustCompile(`<small class="id">(\w+)</small>`).FindAllStringSubmatch(d.see("/?"+query), -1) {
			found = append(found, m[1])
		}
		return strings.Join(found, " ")
	}
	look := func(when string, want map[string]string) {
		t.Helper()
		for query, want := range want {
			if got := find(query); got != want {
				t.Errorf("%s, %s: found %q, want %q", when, query, got, want)
			}
		}
	}
	look("at first", map[string]string{"": "two one", "person=ann": "one", "person=bob": "two one", "person=+bob+": "two one", "person=nobody": "",
		"role=2": "two one", "role=3": "two", "person=ann&role=3": "", "source=HR": "one", "source=carol": "two",
		"from=" + today: "two one", "to=2020-01-01": "", "from=2020-01-01&to=" + today: "two one"})
	d.submit(enqueue.Submission{JobID: "three"}, []string{"ann"}, 3)
	look("after another one came", map[string]string{"person=ann": "three one", "role=3": "three two"})
	if page := d.see("/?role=cashier&from=yesterday"); !strings.Contains(page, `role="alert"`) {
		t.Error("a search that makes no sense is not told")
	}
	if w := d.ask(httptest.NewRequest("GET", "/unrole/?person=two", nil)); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/unrole/jobs/two" {
		t.Errorf("the id of a removal leads to %d %s", w.Code, w.Header().Get("Location"))
	}
}

func TestAJobsPageSaysWhatBecameOfItAndWhatToDo(t *testing.T) {
	d := memoryDesk(t)
	d.submit(enqueue.Submission{JobID: "job", Reason: "left", SubmittedBy: "bob", Simulated: true}, []string{"u1", "u2"}, 1507113578, 1507113579)
	d.refuse("job", "u2", tasks.ReasonUserGone)
	page := d.see("/jobs/job")
	for _, want := range []string{"<h1>left</h1>", "SIMULATION", "the user left, or belongs to another organisation", "mostly nothing: who left holds no roles",
		"找不到该用户", "4 pairs of user and role: 2 people, 2 roles", "bob", "submitted", `data-progress="/unrole/jobs/job/progress"`, "report/job.xlsx",
		`<noscript><meta http-equiv="refresh"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	letters := d.see("/letters")
	if !strings.Contains(letters, `href="/unrole/jobs/job"`) || !strings.Contains(letters, "user u2") {
		t.Errorf("not removed:\n%s", letters)
	}
	if w := d.ask(httptest.NewRequest("GET", "/unrole/jobs/other", nil)); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "There is no removal other") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Page by page everybody of a job is shown once.
func TestThePagesOfAJobShowEverybodyOnce(t *testing.T) {
	d := memoryDesk(t)
	var users []string
	for i := range 730 {
		users = append(users, "u"+strings.Repeat("0", i%3)+string(rune('a'+i%26))+time.Duration(i).String())
	}
	d.submit(enqueue.Submission{JobID: "big"}, users, 1, 2)
	seen := map[string]int{}
	path := "/jobs/big"
	for pages := 0; path != ""; pages++ {
		if pages > 100 {
			t.Fatal("there is always another page")
		}
		page := d.see(path)
		if len(page) > 100<<10 {
			t.Errorf("%s weighs %d bytes", path, len(page))
		}
		for _, m := range regexp.MustCompile(` <span class="id">([^<]+)</span></td>`).FindAllStringSubmatch(page, -1) {
			seen[m[1]]++
		}
		path = ""
		if m := regexp.MustCompile(`rel="next" href="/unrole([^"#]+)#people"`).FindStringSubmatch(page); m != nil {
			path = m[1]
		}
	}
	for _, u := range users {
		if seen[u] != 1 {
			t.Fatalf("%s is shown %d times", u, seen[u])
		}
	}
}

func TestAnOpenPageIsToldHowTheJobGetsOn(t *testing.T) {
	d := memoryDesk(t)
	d.submit(enqueue.Submission{JobID: "job"}, []string{"u1"}, 7)
	server := httptest.NewServer(d.pages)
	defer server.Close()
	resp, err := http.Get(server.URL + "/unrole/jobs/job/progress")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	read := make([]byte, 4096)
	n, err := resp.Body.Read(read)
	if err != nil {
		t.Fatal(err)
	}
	var now told
	if err := json.Unmarshal([]byte(strings.TrimPrefix(strings.TrimSpace(string(read[:n])), "data: ")), &now); err != nil || now.Pending != 1 || now.Finished {
		t.Fatalf("%q: %v", read[:n], err)
	}
	if _, err := d.ledger.Cancel(t.Context(), "job", "ann", "stays"); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(resp.Body) // it ends by itself
	if err != nil || !strings.Contains(string(rest), `"cancelled":1`) || !strings.Contains(string(rest), `"finished":true`) {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestNobodyIsToldThatAJobIsGoneWhenRedisIs(t *testing.T) {
	memory, rdb := redistest.Memory(t)
	d := newDesk(t, rdb)
	d.submit(enqueue.Submission{JobID: "job"}, []string{"u1"}, 7)
	progress := func(job string) int {
		return d.ask(httptest.NewRequest("GET", "/unrole/jobs/"+job+"/progress", nil)).Code
	}
	if code := progress("other"); code != http.StatusNotFound {
		t.Errorf("another job: %d", code)
	}
	memory.Close()
	if code := progress("job"); code != http.StatusServiceUnavailable {
		t.Errorf("without Redis: %d", code)
	}
}

func TestTheFleetsPageSaysThatNobodyWorks(t *testing.T) {
	d := memoryDesk(t)
	if page := d.see("/fleet"); !strings.Contains(page, "No worker runs") || !strings.Contains(page, `href="/unrole/queues/"`) {
		t.Errorf("%s", page)
	}
}

func TestEveryPageHasAStrictPolicyAndNoForeignAddress(t *testing.T) {
	d := memoryDesk(t)
	d.submit(enqueue.Submission{JobID: "job"}, []string{"u1"}, 7)
	for _, path := range []string{"/", "/jobs/job", "/letters", "/fleet", "/nothing", "/jobs/none", "/static/console.js", "/static/console.css"} {
		w := d.ask(httptest.NewRequest("GET", "/unrole"+path, nil))
		if w.Header().Get("Content-Security-Policy") != policy || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q", path, w.Header().Get("Content-Security-Policy"))
		}
		if body := w.Body.String(); strings.Contains(body, "style=") || strings.Contains(body, "https://") || strings.Contains(body, "onclick") {
			t.Errorf("%s: %s", path, body)
		}
	}
}

// patience remembers until when the last answer of Redis is waited for.
type patience struct{ until time.Time }

func (p *patience) DialHook(next redis.DialHook) redis.DialHook { return next }
func (p *patience) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		p.until, _ = ctx.Deadline()
		return next(ctx, cmd)
	}
}
func (p *patience) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestTheReportComesAsAFile(t *testing.T) {
	d := memoryDesk(t)
	d.submit(enqueue.Submission{JobID: "job"}, []string{"u1"}, 7)
	allowed := &patience{}
	d.rdb.AddHook(allowed)
	for file, begins := range map[string]string{"job.csv": "\ufeffuser_id,role_id", "job.xlsx": "PK", "job.html": "<!doctype html>"} {
		w := d.ask(httptest.NewRequest("GET", "/unrole/jobs/job/report/"+file, nil))
		if w.Code != 200 || !strings.HasPrefix(w.Body.String(), begins) || !strings.Contains(w.Header().Get("Content-Disposition"), file) {
			t.Errorf("%s: %d %v %.40q", file, w.Code, w.Header(), w.Body)
		}
	}
	if left := time.Until(allowed.until); left < reportLasts-time.Minute {
		t.Errorf("a report is cut off after %v", left)
	}
	if w := d.ask(httptest.NewRequest("GET", "/unrole/jobs/job/report/job.exe", nil)); w.Code != http.StatusNotFound {
		t.Errorf("an unknown kind: %d", w.Code)
	}
}

func TestTheCatalogForgetsWhatTheLedgerForgot(t *testing.T) {
	d := memoryDesk(t)
	c := newCatalog(d.ledger, nil)
	for i := range 3 {
		d.submit(enqueue.Submission{JobID: fmt.Sprint("job", i)}, []string{"u1"}, 7)
	}
	for i := range mostGone + 10 {
		c.knows.earlier = append(c.knows.earlier, entry{id: fmt.Sprint("old", i)})
		c.knows.at[fmt.Sprint("old", i)] = -int32(len(c.knows.earlier))
	}
	wholly(c)
	for range 2 { // by the first search it is read anew in the background
		if found, err := c.find(t.Context(), search{person: "u1"}); err != nil || len(found.ids) != 3 {
			t.Fatal(found, err)
		}
		<-c.reading
	}
	if len(c.knows.at) != 3 {
		t.Errorf("%d jobs are known", len(c.knows.at))
	}
}
