package console

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/base/trace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/run/signin"
	"github.com/unrole/unrole/tasks"
)

// remove settles all pairs of a job as removed, as a worker does.
func (d *desk) remove(jobID string) {
	d.Helper()
	err := d.ledger.Each(d.Context(), jobID, func(rec ledger.PartRecord) error {
		claims, err := d.ledger.Claim(d.Context(), ledger.Request{Part: rec.Part, Lane: tasks.QueueDefault})
		if err != nil {
			return err
		}
		s := ledger.Settlement{Outcome: ledger.Outcome{Kind: ledger.Removed, At: time.Now()}}
		for i := range rec.Part.UserIDs {
			s.Pairs.Users = append(s.Pairs.Users, pairs.User(i))
		}
		_, err = d.ledger.Settle(d.Context(), claims[0], s)
		return err
	})
	if err != nil {
		d.Fatal(err)
	}
}

var hiddenFields = regexp.MustCompile(`<input type="hidden" name="(as|digest)" value="([^"]*)">`)

// hidden are the fields of the page's last form that nobody fills in.
func hidden(page string) url.Values {
	form := url.Values{}
	for _, m := range hiddenFields.FindAllStringSubmatch(page, -1) {
		form.Set(m[1], html.UnescapeString(m[2]))
	}
	return form
}

func seenBefore(held ...enqueue.SnapshotScope) *enqueue.Snapshot {
	return &enqueue.Snapshot{SeenAt: time.Now(), Scopes: held}
}

func TestWhatWasTakenIsGivenBackOnceAfterAPlanAndAWord(t *testing.T) {
	d := memoryDesk(t)
	wide := enqueue.SnapshotScope{Pair: enqueue.SnapshotPair{UserID: "u3", RoleID: 7}}
	for i := range int64(tasks.MaxDepartments + 1) {
		wide.Departments = append(wide.Departments, i+2)
	}
	d.submit(enqueue.Submission{JobID: "first", Reason: "wrong list", SubmittedBy: "bob", Snapshot: seenBefore(wide)}, []string{"u1", "u2", "u3"}, 7)
	d.remove("first")
	d.submit(enqueue.Submission{JobID: "later"}, []string{"u2"}, 7)
	d.remove("later")
	d.has(d.see("/jobs/first"), "/jobs/first/restore")
	page := d.see("/jobs/first/restore")
	d.has(page, "u1", "1 pair that a later removal took again", `href="/unrole/jobs/later"`, "1 pair whose management scope", "Give 1 person the roles back")
	if all, err := d.ledger.Count(t.Context()); err != nil || all != 2 {
		t.Fatalf("%d jobs before the confirmation, %v", all, err)
	}
	form := hidden(page)
	if w := d.send("/jobs/first/restore", form); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("without a reason: %d", w.Code)
	}
	form.Set("why", "HR-1234")
	as := form.Get("as")
	d.does("/jobs/first/restore", form, "/jobs/"+as+"?done=restored")
	d.does("/jobs/first/restore", form, "/jobs/"+as+"?done=existed")
	job := d.job(as)
	if job.Action != tasks.Add || job.Restores != "first" || job.Pairs.Total != 1 || job.SubmittedBy != "ann" || job.Reason != "HR-1234" {
		t.Errorf("%+v", job)
	}
	d.has(d.see("/jobs/"+as), "gives back", "Gives back what was taken by", `href="/unrole/jobs/first"`)
	d.has(d.see("/jobs/first"), "Given back by", `href="/unrole/jobs/`+as+`"`)
	d.has(d.see("/"), "gives back")
	// A second page gives nothing back twice.
	d.has(d.see("/jobs/first/restore"), "Nothing can be given back", "was taken again by a later removal")
	d.has(d.see("/jobs/first/restore?people=u1"), "given back already by "+as)
}

func TestWhatHasChangedSinceThePageIsShownFirst(t *testing.T) {
	d := memoryDesk(t)
	d.submit(enqueue.Submission{JobID: "first", Snapshot: seenBefore()}, []string{"u1", "u2"}, 7)
	d.remove("first")
	form := hidden(d.see("/jobs/first/restore"))
	form.Set("why", "wrong list")
	d.submit(enqueue.Submission{JobID: "later"}, []string{"u2"}, 7)
	d.remove("later")
	d.does("/jobs/first/restore", form, "/jobs/first/restore?done=restore-changed")
	if all, err := d.ledger.Count(t.Context()); err != nil || all != 2 {
		t.Errorf("%d jobs, %v", all, err)
	}
}

func TestWithoutASnapshotARestoreWarns(t *testing.T) {
	d := memoryDesk(t)
	d.submit(enqueue.Submission{JobID: "unseen"}, []string{"u1"}, 7)
	d.remove("unseen")
	d.has(d.see("/jobs/unseen/restore"), "Nobody looked who held these roles before", `name="from_removed" value="1"`)
	form := hidden(d.see("/jobs/unseen/restore?from_removed=1"))
	form.Set("from_removed", "1")
	form.Set("why", "wrong list")
	if w := d.send("/jobs/unseen/restore", form); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("without a word: %d", w.Code)
	}
	form.Set("sure", "1")
	d.does("/jobs/unseen/restore", form, "/jobs/"+form.Get("as")+"?done=restored")
}

func TestWhatIsDoneHereBeginsATrace(t *testing.T) {
	d := memoryDesk(t)
	spans := tracetest.NewInMemoryExporter()
	var err error
	if d.pages, err = New(Config{Redis: d.rdb, Ledger: d.ledger, Pacer: d.pacer, Prefix: "/unrole", Log: zerolog.Nop(),
		Trace: trace.New(sdk.NewTracerProvider(sdk.WithSyncer(spans)))}); err != nil {
		t.Fatal(err)
	}
	d.submit(enqueue.Submission{JobID: "first", Snapshot: seenBefore()}, []string{"u1"}, 7)
	d.remove("first")
	form := hidden(d.see("/jobs/first/restore"))
	form.Set("why", "wrong list")
	d.does("/jobs/first/restore", form, "/jobs/"+form.Get("as")+"?done=restored")
	all := spans.GetSpans()
	if len(all) != 1 || all[0].Name != "POST /jobs/{id}/restore" || !strings.Contains(d.job(form.Get("as")).Trace, all[0].SpanContext.TraceID().String()) {
		t.Errorf("%+v, the job's trace is %q", all, d.job(form.Get("as")).Trace)
	}
}

func TestARestoreOfManyWaitsForAnotherPersonAndIsNothingForViewers(t *testing.T) {
	d := memoryDesk(t)
	var err error
	if d.pages, err = New(Config{Redis: d.rdb, Ledger: d.ledger, Pacer: d.pacer, Prefix: "/unrole", ApproveAbove: 1, Log: zerolog.Nop()}); err != nil {
		t.Fatal(err)
	}
	d.submit(enqueue.Submission{JobID: "first", Snapshot: seenBefore()}, []string{"u1", "u2"}, 7)
	d.remove("first")
	page := d.see("/jobs/first/restore")
	d.has(page, "another person has to approve")
	form := hidden(page)
	form.Set("why", "wrong list")
	d.does("/jobs/first/restore", form, "/jobs/"+form.Get("as")+"?done=restored")
	if job := d.job(form.Get("as")); job.Awaiting == "" || !job.OtherApproves {
		t.Errorf("%+v", job)
	}
	d.by.Role = signin.Viewer
	if w := d.send("/jobs/first/restore", form); w.Code != http.StatusForbidden {
		t.Errorf("a viewer gives back: %d", w.Code)
	}
	if page := d.see("/jobs/first"); strings.Contains(page, "/restore") {
		t.Error("a viewer is shown the way to a restore")
	}
}
