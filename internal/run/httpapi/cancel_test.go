package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/test/redistest"
)

func later(body string) string {
	return strings.Replace(body, "{", `{"at":"`+time.Now().Add(time.Hour).Format(time.RFC3339)+`",`, 1)
}

func TestARemovalIsTakenBackUntilItHasEnded(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		w := newWorld(t, rdb, nil)
		w.post(later(removal("last-day", "a", "b")))
		for range 2 { // again is safe
			got := w.do(http.MethodDelete, "/v1/removals/last-day?reason="+url.QueryEscape("她留下"), "")
			if job := got.job(t); got.status != 200 || job.State != ledger.StateCancelled || job.Pairs.Cancelled != 2 || job.CancelReason != "她留下" || job.CancelledBy != "api:hr" {
				t.Errorf("%d %s", got.status, got.body)
			}
		}
		if got := w.do(http.MethodDelete, "/v1/removals/nobody-knows", ""); got.status != 404 {
			t.Errorf("unknown: %d", got.status)
		}
		if got := w.do(http.MethodDelete, "/v1/removals/last-day?reason=%0a", ""); got.status != 400 {
			t.Errorf("reason: %d", got.status)
		}
		w.post(removal("done", "a"))
		w.settleAll("done")
		if got := w.do(http.MethodDelete, "/v1/removals/done", ""); got.status != 409 || !strings.HasSuffix(got.problem(t).Type, "#finished") {
			t.Errorf("ended: %d %s", got.status, got.body)
		}
		if got := w.do(http.MethodDelete, "/v1/removals/done", "", "Authorization", ""); got.status != 401 {
			t.Errorf("without a key: %d", got.status)
		}
	})
}

// settleAll ends a job as a worker does.
func (w *world) settleAll(jobID string) {
	w.Helper()
	if err := w.ledger.Each(w.Context(), jobID, func(rec ledger.PartRecord) error {
		c, err := w.ledger.Claim(w.Context(), ledger.Request{Part: rec.Part, Lane: "default"})
		if err == nil {
			_, err = w.ledger.Settle(w.Context(), c[0], ledger.Settlement{Outcome: ledger.Outcome{Kind: ledger.Removed, At: time.Now()}})
		}
		return err
	}); err != nil {
		w.Fatal(err)
	}
}

func TestWhoeverIsHiredAgainIsTakenOutOfWhatHasNotBegun(t *testing.T) {
	w := memoryWorld(t, nil)
	w.post(later(removal("last-day", "ann")))
	w.post(later(removal("batch", "ann", "bob")))
	w.post(removal("done", "ann"))
	w.settleAll("done")
	got := w.do(http.MethodPost, "/v1/cancellations", `{"user_ids":["ann","zoe"],"reason":"hired again"}`, "Content-Type", "application/json")
	var c cancellation
	if err := json.Unmarshal([]byte(got.body), &c); err != nil || got.status != 200 || c.Cancelled != 2 || len(c.Jobs) != 2 {
		t.Fatalf("%d %s %v", got.status, got.body, err)
	}
	if job := w.get("/v1/removals/batch").job(t); job.Pairs.Cancelled != 1 || job.Pairs.Pending != 1 || job.State != ledger.StateScheduled {
		t.Errorf("bob is concerned too: %+v", job)
	}
	if job := w.get("/v1/removals/last-day").job(t); job.State != ledger.StateCancelled {
		t.Errorf("%+v", job)
	}
	if job := w.get("/v1/removals/done").job(t); job.State != ledger.StateCompleted {
		t.Errorf("an ended job was changed: %+v", job)
	}
	again := w.do(http.MethodPost, "/v1/cancellations", `{"user_ids":["ann"]}`, "Content-Type", "application/json")
	if err := json.Unmarshal([]byte(again.body), &c); err != nil || c.Cancelled != 0 {
		t.Errorf("again: %s %v", again.body, err)
	}
	bad := w.do(http.MethodPost, "/v1/cancellations", `{"user_ids":["a b",""],"who":1}`, "Content-Type", "application/json")
	if p := pointers(bad.problem(t)); bad.status != 422 || !slices.Equal(p, []string{"/user_ids/0", "/user_ids/1", "/who"}) {
		t.Errorf("%d %v", bad.status, p)
	}
}

func TestRemovalsAreListedPageByPage(t *testing.T) {
	w := memoryWorld(t, nil)
	for i := range 7 {
		w.post(removal(fmt.Sprint("j", i), "all", fmt.Sprint("u", i%2)))
	}
	w.settleAll("j3")
	ids := func(query string) (all []string, pages int) {
		for cursor := ""; ; pages++ {
			got := w.get("/v1/removals?limit=2" + query + cursor)
			var p page
			if err := json.Unmarshal([]byte(got.body), &p); err != nil || got.status != 200 {
				t.Fatalf("%d %s", got.status, got.body)
			}
			for _, job := range p.Removals {
				all = append(all, job.JobID)
			}
			if p.Next == "" {
				return all, pages + 1
			}
			cursor = "&cursor=" + p.Next
		}
	}
	for query, want := range map[string]string{"": "j6 j5 j4 j3 j2 j1 j0", "&user_id=u1": "j5 j3 j1", "&user_id=u1,u0": "j6 j5 j4 j3 j2 j1 j0",
		"&state=completed": "j3", "&state=running&user_id=u1": "j5 j1", "&source=it": "", "&source=hr&user_id=u1&state=completed,running": "j5 j3 j1"} {
		if got, _ := ids(query); strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", query, got, want)
		}
	}
	if _, pages := ids(""); pages != 4 {
		t.Errorf("%d pages", pages)
	}
	for _, bad := range []string{"state=gone", "limit=0", "limit=x", "cursor=x", "user_id=a%20b", "user=a"} {
		if got := w.get("/v1/removals?" + bad); got.status != 400 {
			t.Errorf("%s: %d", bad, got.status)
		}
	}
}

func TestRoleIDsBeyondJavaScriptsNumbersSurvive(t *testing.T) {
	w := memoryWorld(t, nil)
	w.post(`{"job_id":"big","source":"s","reason":"r","removals":[{"user_ids":["a"],"role_ids":["9007199254740993"]}]}`)
	for query, want := range map[string]string{"?ids=string": `"role_id":"9007199254740993"`, "": `"role_id":9007199254740993`} {
		if got := w.get("/v1/removals/big/report" + query); got.status != 200 || !strings.Contains(got.body, want) || strings.Count(got.body, "role_id") != 1 {
			t.Errorf("%s: %d %s", query, got.status, got.body)
		}
	}
	if got := w.get("/v1/removals/big/report?ids=hex"); got.status != 400 {
		t.Errorf("hex: %d", got.status)
	}
}
