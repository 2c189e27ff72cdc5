package report

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// submit makes a job of users × one role, whose pairs are settled as outcome says.
func submit(t testing.TB, rdb redis.UniversalClient, users []string, outcome func(user string) ledger.Outcome) (*ledger.Ledger, ledger.Job) {
	t.Helper()
	l := ledger.New(rdb, time.Hour)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var parts []tasks.Part
	for i := 0; i < len(users); i += tasks.MaxUsers {
		parts = append(parts, tasks.Part{JobID: "j", Part: fmt.Sprint(len(parts)), UserIDs: users[i:min(i+tasks.MaxUsers, len(users))], RoleIDs: []int64{7}})
	}
	_, err := l.Create(ctx, ledger.NewJob{JobID: "j", Source: "hr", Reason: "</script><b>left", SubmittedBy: "me@host", CreatedAt: time.Now(),
		Pairs: len(users), Users: len(users), Roles: 1, Content: "c", Plan: "p", Parts: len(parts)})
	must(err)
	_, err = l.PutParts(ctx, "j", "p", parts)
	must(err)
	must(l.Planned(ctx, "j", "p", len(parts)))
	must(l.Submitted(ctx, "j"))
	for i := range parts {
		claims, err := l.Claim(ctx, ledger.Request{Part: &parts[i], Lane: "default"})
		must(err)
		var s []ledger.Settlement
		for u, user := range parts[i].UserIDs {
			if o := outcome(user); o.Kind != ledger.Pending {
				s = append(s, ledger.Settlement{Pairs: pairs.Rectangle{Users: []pairs.User{pairs.User(u)}}, Outcome: o})
			}
		}
		_, err = l.Settle(ctx, claims[0], s...)
		must(err)
	}
	job, err := l.Get(ctx, "j")
	must(err)
	return l, job
}

var at = time.Date(2026, 12, 31, 10, 0, 0, 0, time.UTC)

func mixed(user string) ledger.Outcome {
	switch user[0] {
	case '=':
		return ledger.Outcome{Kind: ledger.Dead, Reason: tasks.ReasonUserGone, ErrCode: 60121, ErrMsg: "找不到该用户", RequestID: "r1", Attempts: 2, At: at}
	case 'c':
		return ledger.Outcome{Kind: ledger.Cancelled, ErrMsg: "wrong list", At: at}
	case 'p':
		return ledger.Outcome{Kind: ledger.Pending}
	default:
		return ledger.Outcome{Kind: ledger.Removed, RequestID: "r2", Attempts: 1, At: at}
	}
}

var people = []string{"a", "=cmd|x", "c", "p"}

func TestTheReportHasOneRowPerPair(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l, _ := submit(t, rdb, people, mixed)
	var out bytes.Buffer
	if err := CSV(t.Context(), l, "j", &out, Options{}); err != nil {
		t.Fatal(err)
	}
	want := `user_id,role_id,outcome,reason,errcode,errmsg,request_id,attempts,finished_at
a,7,removed,,,,r2,1,2026-12-31T10:00:00Z
'=cmd|x,7,dead_letter,user_gone,60121,找不到该用户,r1,2,2026-12-31T10:00:00Z
c,7,cancelled,,,wrong list,,,2026-12-31T10:00:00Z
p,7,pending,,,,,,
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
	out.Reset()
	if err := JSON(t.Context(), l, "j", &out, Options{}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 4 || lines[1] != `{"user_id":"=cmd|x","role_id":7,"outcome":"dead_letter","reason":"user_gone","errcode":60121,"errmsg":"找不到该用户","request_id":"r1","attempts":2,"finished_at":"2026-12-31T10:00:00Z"}` {
		t.Errorf("got %d lines\n%s", len(lines), &out)
	}
}

func TestAVerifiedJobHasOneColumnMore(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l, job := submit(t, rdb, people, mixed)
	err := l.Each(t.Context(), "j", func(rec ledger.PartRecord) error {
		return l.PutVerdicts(t.Context(), rec, at, []ledger.Verdict{ledger.Gone, ledger.StillHeld, ledger.StillHeld, ledger.VerdictUnknown})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.PutVerification(t.Context(), "j", ledger.Verification{At: at, Total: 4, Gone: 1, StillHeld: 2, Unknown: 1, Why: "role 7: busy"}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := CSV(t.Context(), l, "j", &out, Options{}); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	last := ""
	for _, r := range rows {
		last += r[len(r)-1] + " "
	}
	if last != "verified gone still_held still_held unknown " {
		t.Errorf("got %q", last)
	}
	out.Reset()
	if err := HTML(t.Context(), l, job, &out, Options{Page: Page{Now: at}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Of 4 pairs: 1 gone, 2 still held, 1 unknown. (role 7: busy)", `id="verified"`, "<td>still held</td>"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// rowsOf are the rows of the page's table, as HTML.
func rowsOf(page string) []string { return strings.Split(page, "<tr data-o=")[1:] }

func TestThePageSaysWhatAnAuditorAsks(t *testing.T) {
	_, rdb := redistest.Memory(t)
	hostile := append([]string{"</script><img/src=x>"}, people...)
	l, job := submit(t, rdb, hostile, mixed)
	var out bytes.Buffer
	if err := HTML(t.Context(), l, job, &out, Options{Page: Page{Now: at, Version: "v1"}}); err != nil {
		t.Fatal(err)
	}
	page := out.String()
	for _, want := range []string{"me@host", "hr", "&lt;/script&gt;&lt;b&gt;left", "user =cmd|x", "the user left, or belongs to another organisation",
		"找不到该用户", "60121", `aria-label="2 removed, 1 not removed, 1 cancelled, 1 pending"`, "submitted", "unrole verify j", "default-src 'none'"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, never := range []string{"<b>left", "<img", "ZgotmplZ", "http://", "https://", " src=", "url("} {
		if strings.Contains(page, never) {
			t.Errorf("the page has %q", never)
		}
	}
	if rows := rowsOf(page); len(rows) != 5 || !strings.Contains(rows[0], "&lt;/script&gt;&lt;img/src=x&gt;") {
		t.Errorf("rows %v", rows)
	}
}

func TestABigPageLeavesOutRemovedPairsOnlyAndSaysSo(t *testing.T) {
	_, rdb := redistest.Memory(t)
	var users []string
	for i := range 500 {
		users = append(users, fmt.Sprintf("u%d", i), fmt.Sprintf("=%d", i))
	}
	l, job := submit(t, rdb, users, mixed)
	var out bytes.Buffer
	if err := HTML(t.Context(), l, job, &out, Options{Page: Page{Now: at, RemovedRows: 100}}); err != nil {
		t.Fatal(err)
	}
	if rows := rowsOf(out.String()); len(rows) != 600 {
		t.Errorf("%d rows, want 500 dead letters and 100 removed", len(rows))
	}
	if want := "This page lists 100 of 500 removed pairs, and all that are not removed. The other 400 are in unrole jobs report j."; !strings.Contains(out.String(), want) {
		t.Errorf("the page does not say %q", want)
	}
}

func TestOnePairOfAMillionIsSeen(t *testing.T) {
	d := &pageData{Pairs: ledger.Pairs{Total: 1_000_000, Removed: 999_999, Dead: 1}}
	shares := d.Shares()
	if len(shares) != 2 || shares[1].Width < leastWidth || shares[0].Percent != "over 99.9 %" || shares[1].Percent != "under 0.1 %" {
		t.Errorf("got %+v", shares)
	}
	if end := shares[1].X + shares[1].Width; end < pictureWidth-0.01 || end > pictureWidth+0.01 {
		t.Errorf("the picture is %v wide", end)
	}
}

func TestEveryReasonIsSaidInWordsWithWhatHelps(t *testing.T) {
	for _, r := range tasks.Reasons() {
		if reasons[r].means.String() == "" || Remedy(r).String() == "" {
			t.Errorf("%s has no words", r)
		}
	}
}

func TestAWriterThatFailsEndsTheReport(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l, job := submit(t, rdb, people, mixed)
	r, w := io.Pipe()
	r.Close()
	for name, write := range map[string]func() error{
		"csv":  func() error { return CSV(t.Context(), l, "j", w, Options{}) },
		"json": func() error { return JSON(t.Context(), l, "j", w, Options{}) },
		"html": func() error { return HTML(t.Context(), l, job, w, Options{Page: Page{}}) },
	} {
		if err := write(); err == nil || !strings.Contains(err.Error(), "write the report") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A browser looks at all rows of a table for each page that it prints of it.
func TestALongListStandsInSeveralTablesEachWithItsHeader(t *testing.T) {
	_, rdb := redistest.Memory(t)
	var users []string
	for n := range 2*rowsOfTable + 50 {
		users = append(users, fmt.Sprintf("u%d", n))
	}
	l, job := submit(t, rdb, users, mixed)
	var out bytes.Buffer
	if err := HTML(t.Context(), l, job, &out, Options{Page: Page{Now: at}}); err != nil {
		t.Fatal(err)
	}
	_, list, found := strings.Cut(out.String(), `id="list">`)
	if !found {
		t.Fatal("there is no list")
	}
	tables := strings.Split(list, "<table")[1:]
	if len(tables) != 3 {
		t.Fatalf("%d tables", len(tables))
	}
	at := 0
	for _, table := range tables {
		rows := strings.Split(table, "<tr data-o=")[1:]
		if len(rows) > rowsOfTable || strings.Count(table, "<thead>") != 1 {
			t.Errorf("a table has %d rows and %d headers", len(rows), strings.Count(table, "<thead>"))
		}
		for _, row := range rows {
			if want := `<span class="id">` + users[at] + "</span>"; !strings.Contains(row, want) {
				t.Fatalf("row %d lacks %s: %s", at, want, row)
			}
			at++
		}
	}
	if at != len(users) {
		t.Errorf("%d of %d rows", at, len(users))
	}
}
