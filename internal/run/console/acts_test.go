package console

import (
	"bytes"
	"context"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/xuri/excelize/v2"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/protect"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/producer"
	"github.com/unrole/unrole/internal/run/signin"
	"github.com/unrole/unrole/tasks"
)

// send sends a form, and returns the answer.
func (d *desk) send(path string, form url.Values) *httptest.ResponseRecorder {
	d.Helper()
	r := httptest.NewRequest("POST", "/unrole"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return d.ask(r)
}

// does sends a form that has to lead on to a page.
func (d *desk) does(path string, form url.Values, to string) {
	d.Helper()
	w := d.send(path, form)
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/unrole"+to {
		d.Fatalf("%s: %d, to %q, want %q; %s", path, w.Code, w.Header().Get("Location"), to, w.Body)
	}
}

func (d *desk) job(id string) ledger.Job {
	d.Helper()
	job, err := d.ledger.Get(d.Context(), id)
	if err != nil {
		d.Fatal(err)
	}
	return job
}

// audit lists who did what to a job, why.
func (d *desk) audit(id string) string {
	d.Helper()
	var all []string
	if err := d.ledger.Trail(d.Context(), id, "", func(t ledger.TrailEntry) error {
		e, err := t.Entry()
		if e.By != "" && (e.Event != ledger.EventCancelled || e.Part == "") {
			all = append(all, fmt.Sprintf("%s %s %s", e.By, e.Event, e.Why))
		}
		return err
	}); err != nil {
		d.Fatal(err)
	}
	return strings.Join(all, "; ")
}

func TestAJobIsCancelledOnceByName(t *testing.T) {
	d := memoryDesk(t)
	d.submit(enqueue.Submission{JobID: "job", SubmittedBy: "bob", Reason: "left"}, []string{"u1"}, 7)
	if w := d.send("/jobs/job/cancel", url.Values{"why": {" "}}); w.Code != http.StatusUnprocessableEntity || d.job("job").CancelledAt != nil {
		t.Errorf("without a reason: %d", w.Code)
	}
	for range 2 {
		d.does("/jobs/job/cancel", url.Values{"why": {"wrong list"}}, "/jobs/job?done=cancelled")
	}
	if got := d.audit("job"); got != "bob submitted left; ann cancelled wrong list" {
		t.Errorf("audit: %s", got)
	}
	if page := d.see("/jobs/job?done=cancelled"); !strings.Contains(page, "what had not begun will not be removed") || strings.Contains(page, "Cancel this removal") {
		t.Errorf("%s", page)
	}
}

func TestAnotherPersonApproves(t *testing.T) {
	d := memoryDesk(t)
	d.submit(enqueue.Submission{JobID: "job", SubmittedBy: "ann@office", AwaitApproval: true, OtherApproves: true}, []string{"u1"}, 7)
	if w := d.send("/jobs/job/approve", nil); w.Code != http.StatusForbidden || d.job("job").Awaiting == "" {
		t.Fatalf("her own: %d %s", w.Code, w.Body)
	}
	if page := d.see("/jobs/job"); !strings.Contains(page, "another person has to approve it") || strings.Contains(page, "/approve") {
		t.Errorf("%s", page)
	}
	d.by = signin.Person{Name: "bob", Role: signin.Operator}
	if w := d.send("/jobs/job/approve", nil); w.Code != http.StatusForbidden {
		t.Errorf("an operator: %d", w.Code)
	}
	d.by.Role = signin.Approver
	for range 2 {
		d.does("/jobs/job/approve", nil, "/jobs/job?done=approved")
	}
	if job := d.job("job"); job.State != ledger.StateRunning || job.ApprovedBy != "bob" {
		t.Errorf("%+v", job)
	}
	if got := d.audit("job"); got != "ann@office submitted ; bob approved " {
		t.Errorf("audit: %s", got)
	}
}

func TestWhatWasRefusedIsTriedAgainOrGivenUpByName(t *testing.T) {
	d := memoryDesk(t)
	for _, id := range []string{"one", "two"} {
		d.submit(enqueue.Submission{JobID: id}, []string{"u1"}, 7)
		d.refuse(id, "u1", tasks.ReasonUserGone)
	}
	gone := url.Values{"reason": {string(tasks.ReasonUserGone)}, "why": {"left"}}
	if w := d.send("/letters/retry", nil); w.Code != http.StatusNotFound {
		t.Errorf("all of all jobs: %d", w.Code)
	}
	d.does("/jobs/one/discard", url.Values{"reason": {string(tasks.ReasonBusy)}, "why": {"x"}}, "/jobs/one?done=none")
	d.does("/jobs/one/discard", gone, "/jobs/one?done=discarded")
	d.does("/jobs/one/discard", gone, "/jobs/one?done=none")
	d.does("/letters/retry", gone, "/letters?done=retried")
	if got := d.audit("one") + " | " + d.audit("two"); got != "ann discarded left | ann replayed left" {
		t.Errorf("audit: %s", got)
	}
}

func TestWhoOnlyLooksChangesNothing(t *testing.T) {
	d := memoryDesk(t)
	d.submit(enqueue.Submission{JobID: "job", AwaitApproval: true}, []string{"u1"}, 7)
	d.submit(enqueue.Submission{JobID: "refused"}, []string{"u1"}, 7)
	d.refuse("refused", "u1", tasks.ReasonUserGone)
	const form = `method="post"`
	if page := d.see("/letters"); !strings.Contains(page, form) {
		t.Fatal("there is nothing that an operator could do")
	}
	d.by.Role = signin.Viewer
	for _, path := range []string{"/jobs/job/cancel", "/jobs/job/approve", "/jobs/job/retry", "/jobs/job/discard", "/letters/retry", "/letters/discard",
		"/letters/correct", "/removals/new", "/removals/x"} {
		if w := d.send(path, url.Values{"why": {"x"}, "reason": {"busy"}}); w.Code != http.StatusForbidden {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	for _, path := range []string{"/", "/jobs/job", "/jobs/refused", "/letters", "/fleet"} {
		if page := d.see(path); strings.Contains(page, form) {
			t.Errorf("%s has a form that changes something", path)
		}
	}
}

// give drops a file, and returns where the answer leads, or the page that says why not.
func (d *desk) give(name string, file []byte, fields map[string]string) (to, page string) {
	d.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for k, v := range fields {
		form.WriteField(k, v)
	}
	if name != "" {
		part, err := form.CreateFormFile("file", name)
		if err != nil {
			d.Fatal(err)
		}
		part.Write(file)
	}
	form.Close()
	r := httptest.NewRequest("POST", "/unrole/removals/new", &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	w := d.ask(r)
	if w.Code == http.StatusSeeOther {
		return strings.TrimPrefix(w.Header().Get("Location"), "/unrole"), ""
	}
	return "", w.Body.String()
}

// workbook is a sheet as HR has it.
func workbook(t testing.TB, rows ...[]any) []byte {
	t.Helper()
	book := excelize.NewFile()
	defer book.Close()
	for i, row := range rows {
		if err := book.SetSheetRow("Sheet1", fmt.Sprint("A", i+1), &row); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := book.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAListIsShownAndSubmittedOnce(t *testing.T) {
	d := memoryDesk(t)
	to, page := d.give("离职.xlsx", workbook(t, []any{"姓名", "用户ID", "角色ID"}, []any{"王芳", "manager1", "1507113578"}, []any{"李雷", "manager2", "1507113578;1507113579"}), nil)
	if to == "" {
		t.Fatal(page)
	}
	preview := d.see(to)
	for _, want := range []string{"离职.xlsx", "manager2", "1507113578, 1507113579", "<b>3</b> pairs", "<b>2</b> people", "Remove the roles of 2 people"} {
		if !strings.Contains(preview, want) {
			t.Errorf("the preview lacks %q:\n%s", want, preview)
		}
	}
	id := strings.TrimPrefix(to, "/removals/")
	if all, err := d.ledger.Count(t.Context()); err != nil || all != 0 {
		t.Fatalf("%d jobs before the confirmation, %v", all, err)
	}
	form := url.Values{"turn": {"0"}, "why": {"离职"}, "lane": {"urgent"}, "at": {"2099-12-31T18:00"}, "at_exact": {"2099-12-31T10:00:00.000Z"}}
	d.does(to, form, "/jobs/"+id+"?done=submitted")
	d.does(to, form, "/jobs/"+id+"?done=existed")                                                 // the second click
	d.does(to, url.Values{"turn": {"0"}, "why": {"again"}}, "/jobs/"+id+"?done=existed")          // another tab
	if w := d.ask(httptest.NewRequest("GET", "/unrole"+to, nil)); w.Code != http.StatusSeeOther { // a reload
		t.Errorf("the preview afterwards: %d", w.Code)
	}
	job := d.job(id)
	if all, err := d.ledger.Count(t.Context()); err != nil || all != 1 || job.Pairs.Total != 3 || job.SubmittedBy != "ann" || job.Priority != "urgent" ||
		job.Reason != "离职" || job.At == nil || job.At.UTC().Hour() != 10 {
		t.Errorf("%d jobs, %+v, %v", all, job, err)
	}
}

func TestWrongRowsAreNamedByLineAndLeftOutOnlyWithAWord(t *testing.T) {
	d := memoryDesk(t)
	to, page := d.give("", nil, map[string]string{"text": "user_id,role_id\nu1,7\nu2,7.5\nu3,8\n"})
	if to == "" {
		t.Fatal(page)
	}
	preview := d.see(to)
	if !strings.Contains(preview, `<td class="n">3</td>`) || !strings.Contains(preview, "decimal point") || !strings.Contains(preview, "left out: 1 of 3") {
		t.Errorf("%s", preview)
	}
	if file := d.see(to + "/wrong-rows.csv"); !strings.HasPrefix(file, "\ufeffuser_id,role_id,rejected_line,rejected_reason\nu2,7.5,3,") {
		t.Errorf("%q", file)
	}
	if w := d.send(to, url.Values{"turn": {"0"}, "why": {"left"}}); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("without a word: %d", w.Code)
	}
	d.does(to, url.Values{"turn": {"0"}, "why": {"left"}, "sure": {"rows"}}, "/jobs/"+strings.TrimPrefix(to, "/removals/")+"?done=submitted")
	for text, want := range map[string]string{"": "Choose a file", "user_id,role_id\n": "no rows", "a,b\n1,2\n": "no header", "user_id,role_id\nu,x\n": "not a whole number"} {
		if to, page := d.give("", nil, map[string]string{"text": text}); to != "" || !strings.Contains(page, want) || !strings.Contains(page, "was not taken") {
			t.Errorf("%q: %q %s", text, to, page)
		}
	}
}

func TestManyPeopleWaitForAnotherPerson(t *testing.T) {
	d := memoryDesk(t)
	var err error
	if d.pages, err = New(Config{Redis: d.rdb, Ledger: d.ledger, Pacer: d.pacer, Prefix: "/unrole", ApproveAbove: 1}); err != nil {
		t.Fatal(err)
	}
	for list, waits := range map[string]bool{"user_id\nu1\n": false, "user_id\nu1\nu2\n": true} {
		to, page := d.give("", nil, map[string]string{"text": list, "roles": "7 8"})
		if to == "" {
			t.Fatal(page)
		}
		if says := strings.Contains(d.see(to), "another person has to approve"); says != waits {
			t.Errorf("%q: says %v", list, says)
		}
		id := strings.TrimPrefix(to, "/removals/")
		d.does(to, url.Values{"turn": {"0"}, "why": {"left"}}, "/jobs/"+id+"?done=submitted")
		if job := d.job(id); job.OtherApproves != waits || (job.Awaiting != "") != waits {
			t.Errorf("%q: %+v", list, job)
		}
	}
}

// Who goes by a password that everybody has may be the submitter.
func TestASharedPasswordIsNoOtherPerson(t *testing.T) {
	d := memoryDesk(t)
	d.submit(enqueue.Submission{JobID: "two", SubmittedBy: "ann@laptop", AwaitApproval: true, OtherApproves: true}, []string{"u1"}, 7)
	d.submit(enqueue.Submission{JobID: "one", SubmittedBy: "ann@laptop", AwaitApproval: true}, []string{"u2"}, 7)
	d.by = signin.Person{Name: signin.User, Role: signin.Approver, Shared: true}
	if w := d.send("/jobs/two/approve", nil); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "UNROLE_UI_USERS_FILE") || d.job("two").Awaiting == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if page := d.see("/jobs/two"); !strings.Contains(page, "sign in by name") || strings.Contains(page, "/approve") {
		t.Errorf("%s", page)
	}
	d.does("/jobs/one/approve", nil, "/jobs/one?done=approved")
}

func TestADaysUsersAreCountedByPersonWhateverTheSource(t *testing.T) {
	d := memoryDesk(t)
	var err error
	if d.pages, err = New(Config{Redis: d.rdb, Ledger: d.ledger, Pacer: d.pacer, Prefix: "/unrole", MaxUsersPerDay: 2}); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		by, list string
		waits    bool
	}{{"ann", "u1 u2", false}, {"ann", "u3", true}, {"bob", "u4", false}, {"bob", "u5 u6 u7", true}} {
		d.by.Name = c.by
		to, page := d.give("", nil, map[string]string{"text": "user_id\n" + strings.ReplaceAll(c.list, " ", "\n"), "roles": "7"})
		if to == "" {
			t.Fatal(page)
		}
		id := strings.TrimPrefix(to, "/removals/")
		d.does(to, url.Values{"turn": {"0"}, "why": {"left"}, "source": {fmt.Sprint("source", i)}}, "/jobs/"+id+"?done=submitted")
		if job := d.job(id); job.OtherApproves != c.waits || (job.Awaiting != "") != c.waits {
			t.Errorf("%s by %s: %+v", c.list, c.by, job)
		}
	}
}

func TestAListIsOnlyForWhoGaveIt(t *testing.T) {
	d := memoryDesk(t)
	to, page := d.give("", nil, map[string]string{"text": "user_id,role_id\nu1,7\nu2,7.5\n"})
	if to == "" {
		t.Fatal(page)
	}
	d.by.Name = "bob"
	for _, path := range []string{to, to + "/wrong-rows.csv"} {
		if w := d.ask(httptest.NewRequest("GET", "/unrole"+path, nil)); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := d.send(to, url.Values{"turn": {"0"}, "why": {"left"}, "sure": {"rows"}}); w.Code != http.StatusNotFound {
		t.Errorf("somebody else confirms: %d", w.Code)
	}
	if all, err := d.ledger.Count(t.Context()); err != nil || all != 0 {
		t.Errorf("%d jobs, %v", all, err)
	}
}

func TestAClosedTabTearsNoSubmission(t *testing.T) {
	d := memoryDesk(t)
	to, page := d.give("", nil, map[string]string{"text": "user_id,role_id\nu1,7\n"})
	if to == "" {
		t.Fatal(page)
	}
	if w := d.send(to, url.Values{"why": {"left"}, "lane": {"express"}}); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "express") {
		t.Errorf("a lane that there is not: %d %s", w.Code, w.Body)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	r := httptest.NewRequestWithContext(gone, "POST", "/unrole"+to, strings.NewReader("turn=0&why=left"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	d.pages.ServeHTTP(httptest.NewRecorder(), signin.With(r, d.by))
	if job := d.job(strings.TrimPrefix(to, "/removals/")); job.State != ledger.StateRunning {
		t.Errorf("%+v", job)
	}
}

func TestARefusedIDIsCorrectedAndSubmittedAnew(t *testing.T) {
	d := memoryDesk(t)
	d.submit(enqueue.Submission{JobID: "job", Reason: "left"}, []string{"u1", "typo"}, 7, 8)
	d.refuse("job", "typo", tasks.ReasonInvalidUser)
	var letter string
	page := d.see("/jobs/job")
	if _, rest, found := strings.Cut(page, `name="letter" value="`); found {
		letter, _, _ = strings.Cut(rest, `"`)
	}
	w := d.send("/letters/correct", url.Values{"letter": {letter}, "right": {"u2"}})
	to := strings.TrimPrefix(w.Header().Get("Location"), "/unrole")
	if w.Code != http.StatusSeeOther || !strings.HasPrefix(to, "/removals/") {
		t.Fatalf("%d %s %s", w.Code, to, w.Body)
	}
	if preview := d.see(to); !strings.Contains(preview, "u2") || strings.Contains(preview, "typo") || !strings.Contains(preview, "<b>2</b> pairs") || !strings.Contains(preview, `value="left"`) {
		t.Errorf("%s", preview)
	}
	if w := d.send("/letters/correct", url.Values{"letter": {letter}, "right": {"a,b"}}); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("an id that cannot be one: %d", w.Code)
	}
}

// What a restore was to give back must not become a removal.
func TestWhatWasToBeGivenBackIsNotRemoved(t *testing.T) {
	d := memoryDesk(t)
	part := &tasks.Part{JobID: "undo", Part: tasks.UserLetter("0", 0), Action: tasks.Add, UserIDs: []string{"typo"}, RoleIDs: []int64{7},
		Failure: &tasks.Failure{Reason: tasks.ReasonInvalidUser, Attempts: 1, FailedAt: time.Now(), Queue: tasks.QueueDefault}}
	if _, err := producer.EnqueueLetter(t.Context(), asynq.NewClientFromRedisClient(d.rdb), part, part.TaskID()); err != nil {
		t.Fatal(err)
	}
	if page := d.see("/letters"); !strings.Contains(page, "typo") || strings.Contains(page, "/letters/correct") {
		t.Errorf("%s", page)
	}
	w := d.send("/letters/correct", url.Values{"letter": {part.TaskID()}, "right": {"u2"}})
	if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "unrole jobs restore") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestProtectedPeopleAreRefusedAtTheDoor(t *testing.T) {
	d := memoryDesk(t)
	set, err := protect.Parse("boss", "")
	if err != nil {
		t.Fatal(err)
	}
	if d.pages, err = New(Config{Redis: d.rdb, Ledger: d.ledger, Pacer: d.pacer, Prefix: "/unrole", Protected: set}); err != nil {
		t.Fatal(err)
	}
	to, page := d.give("", nil, map[string]string{"text": "user_id,role_id\nboss,7\n"})
	if to == "" {
		t.Fatal(page)
	}
	if page := d.see(to); !strings.Contains(page, "Nothing of it can be submitted") || !strings.Contains(page, "boss") || strings.Contains(page, `name="why"`) {
		t.Errorf("%s", page)
	}
	d.does(to, url.Values{"turn": {"0"}, "why": {"left"}}, to)
	if all, err := d.ledger.Count(t.Context()); err != nil || all != 0 {
		t.Errorf("%d jobs, %v", all, err)
	}
}
