package httpapi

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/test/redistest"
)

// taken submits a removal of one role that a preflight looked ahead for, and ends it; one pair had a management scope.
func (w *world) taken(jobID string, users ...string) {
	w.Helper()
	client, err := enqueue.NewClient(enqueue.Config{Redis: w.rdb})
	if err != nil {
		w.Fatal(err)
	}
	r, err := enqueue.FromLists(users, []int64{7})
	if err != nil {
		w.Fatal(err)
	}
	if _, err := client.Submit(w.Context(), enqueue.Submission{JobID: jobID, Source: "hr", Reason: "left", Priority: "bulk", Removals: r, MaxUsers: -1,
		Snapshot: &enqueue.Snapshot{SeenAt: time.Now(), Scopes: []enqueue.SnapshotScope{{Pair: enqueue.SnapshotPair{UserID: users[0], RoleID: 7}, Departments: []int64{1, 2}}}}}); err != nil {
		w.Fatal(err)
	}
	w.settleAll(jobID)
}

func (w *world) restore(jobID, body string, headers ...string) answer {
	w.Helper()
	return w.do(http.MethodPost, "/v1/removals/"+jobID+"/restore", body, append([]string{"Content-Type", "application/json"}, headers...)...)
}

func TestWhatAJobTookIsGivenBackOnce(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		w := newWorld(t, rdb, nil)
		w.taken("wrong", "ann", "bob", "cid")
		some := `{"job_id":"undo-ann","user_ids":["ann"],"role_ids":["7"],"reason":"wrong list"}`
		got := w.restore("wrong", some)
		job := got.job(t)
		if got.status != 202 || got.header.Get("Location") != "/v1/removals/undo-ann" || job.Action != "add" || job.Restores != "wrong" || job.Pairs.Total != 1 ||
			job.Snapshot.Scoped != 1 || job.Reason != "wrong list" || job.Source != "hr" || job.Priority != "bulk" || job.SubmittedBy != "api:hr" {
			t.Fatalf("%d %s", got.status, got.body)
		}
		if all := w.restore("wrong", `{}`, "Idempotency-Key", "undo-rest").job(t); all.Pairs.Total != 2 || all.JobID != "undo-rest" {
			t.Errorf("the others: %+v", all)
		}
		w.settleAll("undo-rest")
		for id, again := range map[string]answer{"undo-ann": w.restore("wrong", some), "undo-rest": w.restore("wrong", `{}`, "Idempotency-Key", "undo-rest")} {
			if again.status != 200 || again.job(t).JobID != id {
				t.Errorf("%s again: %d %s", id, again.status, again.body)
			}
		}
		if was := w.get("/v1/removals/wrong").job(t); !slices.Equal(was.RestoredBy, []string{"undo-ann", "undo-rest"}) {
			t.Errorf("restored by %v", was.RestoredBy)
		}
		if rows := w.get("/v1/removals/undo-rest/report").body; strings.Count(rows, `"outcome":"restored"`) != 2 {
			t.Errorf("report: %s", rows)
		}
		for _, c := range []struct {
			what, job, body, kind string
			status                int
		}{
			{"the id for something else", "wrong", `{"job_id":"undo-ann"}`, "conflict", 409},
			{"a removal's id", "wrong", `{"job_id":"wrong"}`, "conflict", 409},
			{"given back before", "wrong", `{}`, "nothing-to-restore", 409},
			{"a restore", "undo-rest", `{}`, "nothing-to-restore", 409},
			{"an unknown job", "nobody-knows", `{}`, "not-found", 404},
			{"no id of a job", "a%20b", `{}`, "not-found", 404},
			{"others", "wrong", `{"user_ids":["ann","zoe"],"role_ids":[7,8]}`, "invalid-request", 422},
			{"bad fields", "wrong", `{"user_ids":[],"even_later":1,"who":2,"role_ids":[-1]}`, "invalid-request", 422},
			{"no JSON", "wrong", ``, "not-json", 400},
		} {
			if got := w.restore(c.job, c.body); got.status != c.status || !strings.HasSuffix(got.problem(t).Type, "#"+c.kind) {
				t.Errorf("%s: %d %s", c.what, got.status, got.body)
			}
		}
		if p := pointers(w.restore("wrong", `{"user_ids":["ann","zoe"],"role_ids":[7,8]}`).problem(t)); !slices.Equal(p, []string{"/role_ids/1", "/user_ids/1"}) {
			t.Errorf("strangers at %v", p)
		}
		if got := w.restore("wrong", `{}`, "Authorization", ""); got.status != 401 {
			t.Errorf("without a key: %d", got.status)
		}
		if got := w.restore("wrong", `{}`, "Content-Type", "text/plain"); got.status != 415 {
			t.Errorf("a form: %d", got.status)
		}
	})
}

func TestARestoreKnowsWhatOnlyItsAskerCanDecide(t *testing.T) {
	w := memoryWorld(t, nil)
	w.post(removal("blind", "ann"))
	w.settleAll("blind")
	if got := w.restore("blind", `{}`); got.status != 409 || !strings.HasSuffix(got.problem(t).Type, "#no-snapshot") {
		t.Errorf("without a snapshot: %d %s", got.status, got.body)
	}
	if got := w.restore("blind", `{"from_removed":true}`); got.status != 202 {
		t.Errorf("from what was removed: %d %s", got.status, got.body)
	}
	w.taken("first", "bob")
	w.taken("second", "bob")
	if got := w.restore("first", `{}`); got.status != 409 || !strings.Contains(got.body, "second") {
		t.Errorf("removed again later: %d %s", got.status, got.body)
	}
	if got := w.restore("first", `{"even_later":true}`); got.status != 202 {
		t.Errorf("even later: %d %s", got.status, got.body)
	}
}

func TestARestoreIsGuardedLikeARemoval(t *testing.T) {
	w := memoryWorld(t, func(c *Config) { c.MaxUsers, c.MaxUsersPerDay = 3, 2 })
	w.taken("many", "a", "b", "c", "d")
	if got := w.restore("many", `{}`); got.status != 422 || !strings.HasSuffix(got.problem(t).Type, "#guard") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if job := w.restore("many", `{"user_ids":["a","b","c"]}`).job(t); job.Awaiting != ledger.AwaitingApproval {
		t.Errorf("more than a day may have: %+v", job)
	}
	w.taken("chief", "boss")
	if got := w.restore("chief", `{}`); got.status != 422 || !strings.HasSuffix(got.problem(t).Type, "#protected") {
		t.Errorf("%d %s", got.status, got.body)
	}
}
