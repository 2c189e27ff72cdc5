package erase_test

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/base/forget"
	"github.com/unrole/unrole/internal/record/deadletter"
	"github.com/unrole/unrole/internal/record/erase"
	"github.com/unrole/unrole/internal/record/index"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/producer"
	"github.com/unrole/unrole/internal/record/snapshot"
	"github.com/unrole/unrole/internal/record/webhook"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/enginetest"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/internal/test/simtest"
	"github.com/unrole/unrole/tasks"
)

const leaver, ghost = "leaver42", "ghost42" // DingTalk knows no ghost

// past submits jobs that have something of both people in every place that there is, and waits for their end.
func past(t *testing.T, rdb *redis.Client) (l *ledger.Ledger, stop func()) {
	sim := simtest.Start(t, simulator.Options{Open: true, GoneUsers: []string{ghost}, BadRoles: []int64{666}})
	e, stop := enginetest.Start(t, enginetest.Config(sim), app.Parts{Redis: rdb})
	client, err := enqueue.NewClient(enqueue.Config{Redis: rdb})
	if err != nil {
		t.Fatal(err)
	}
	secret, err := webhook.ParseSecret("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
	if err != nil {
		t.Fatal(err)
	}
	notifier, err := webhook.New(webhook.Config{Redis: rdb, Ledger: e.Ledger, URL: "http://127.0.0.1:1", Secrets: []webhook.Secret{secret}})
	if err != nil {
		t.Fatal(err)
	}
	if err := notifier.Look(t.Context()); err != nil { // from here on it tells
		t.Fatal(err)
	}
	submit := func(s enqueue.Submission, roles []int64, users ...string) {
		s.Removals = &enqueue.Removals{}
		for _, user := range users {
			for _, role := range roles {
				s.Removals.Add(user, role)
			}
		}
		if _, err := client.Submit(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	submit(enqueue.Submission{JobID: "some", Reason: leaver + " left", Snapshot: &enqueue.Snapshot{SeenAt: time.Now(),
		NotHeld: []enqueue.SnapshotPair{{UserID: leaver, RoleID: 3}}, Scopes: []enqueue.SnapshotScope{{Pair: enqueue.SnapshotPair{UserID: leaver, RoleID: 7}, Departments: []int64{1}}}}},
		[]int64{7, 8}, "a", leaver, ghost, "c")
	submit(enqueue.Submission{JobID: "seen", Snapshot: &enqueue.Snapshot{SeenAt: time.Now(), Rows: []snapshot.Unresolved{{Pointer: "/removals/0/users/1",
		Reason: snapshot.Ambiguous, Detail: "name:…芳 fits several people: 王芳 (" + leaver + "), 王芳 (b)", Candidates: []snapshot.Candidate{{UserID: leaver, Name: "王芳"}, {UserID: "b", Name: "王芳"}}}}, NotHeld: []enqueue.SnapshotPair{{UserID: leaver, RoleID: 3}}}}, []int64{7}, "a")
	x, err := index.New(index.Config{Redis: rdb, App: "app", Secret: []byte("secret"), TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Renew(t.Context(), time.Now(), func(_ context.Context, add func(string, ...index.Sign) error) error {
		return add(leaver, index.Sign{Kind: index.JobNumber, Text: "0042"})
	}); err != nil {
		t.Fatal(err)
	}
	submit(enqueue.Submission{JobID: "role"}, []int64{666}, "a", leaver)
	submit(enqueue.Submission{JobID: "offboard-" + leaver, Reason: "x"}, []int64{7}, leaver)
	submit(enqueue.Submission{JobID: "none"}, []int64{7}, "a", leaver+"0")
	submit(enqueue.Submission{JobID: "off", At: time.Now().Add(time.Hour)}, []int64{7}, leaver, "a")
	submit(enqueue.Submission{JobID: "late", At: time.Now().Add(time.Hour)}, []int64{7}, leaver, "a")
	large := tasks.Part{JobID: "large", Part: "0", RoleIDs: []int64{7}}
	for i := range 150 {
		large.UserIDs = append(large.UserIDs, fmt.Sprintf("u%d", i))
	}
	large.UserIDs[120] = leaver
	if err := producer.Enqueue(t.Context(), asynq.NewClientFromRedisClient(rdb), []tasks.Part{large}, tasks.QueueBulk, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Ledger.Cancel(t.Context(), "off", "test", leaver+" stays"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"some", "seen", "role", "offboard-" + leaver, "none", "large"} {
		if _, err := e.Ledger.Watch(t.Context(), id, 5*time.Millisecond, func(_ ledger.Job, err error) error { return nil }); err != nil {
			t.Fatal(id, err)
		}
	}
	if err := e.Ledger.PutVerification(t.Context(), "some", ledger.Verification{At: time.Now(), Why: "user " + leaver + " is unknown"}); err != nil {
		t.Fatal(err)
	}
	if admitted, _, err := e.Ledger.Admit(t.Context(), "hr", []string{leaver, "a"}, 10); err != nil || !admitted {
		t.Fatal(admitted, err)
	}
	if err := rdb.HSet(t.Context(), "unrole:draft:d1", "plan", `{"users":["`+leaver+`"]}`).Err(); err != nil {
		t.Fatal(err)
	}
	if err := notifier.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	return e.Ledger, stop
}

// holding lists the keys of Redis that have a text in their name or in what they hold, unpacked where it is packed.
func holding(t *testing.T, rdb *redis.Client, text string) []string {
	t.Helper()
	word := regexp.MustCompile(regexp.QuoteMeta(text) + `($|[^0-9])`)
	packed := regexp.MustCompile(`[A-Za-z0-9+/]{16,}={0,2}`)
	has := func(data string) bool {
		if word.MatchString(data) {
			return true
		}
		if plain, _ := io.ReadAll(flate.NewReader(bytes.NewReader([]byte(data)))); word.Match(plain) {
			return true
		}
		return slices.ContainsFunc(packed.FindAllString(data, -1), func(s string) bool {
			plain, err := base64.StdEncoding.DecodeString(s)
			return err == nil && word.Match(plain)
		})
	}
	var found []string
	for _, key := range redistest.Keys(t, rdb) {
		values := []string{key}
		var err error
		ctx := t.Context()
		switch typ := rdb.Type(ctx, key).Val(); typ {
		case "string":
			var v string
			v, err = rdb.Get(ctx, key).Result()
			values = append(values, v)
		case "hash":
			var v map[string]string
			v, err = rdb.HGetAll(ctx, key).Result()
			for field, value := range v {
				values = append(values, field, value)
			}
		case "zset":
			var v []string
			v, err = rdb.ZRange(ctx, key, 0, -1).Result()
			values = append(values, v...)
		case "list":
			var v []string
			v, err = rdb.LRange(ctx, key, 0, -1).Result()
			values = append(values, v...)
		case "set":
			var v []string
			v, err = rdb.SMembers(ctx, key).Result()
			values = append(values, v...)
		case "stream":
			var v []redis.XMessage
			v, err = rdb.XRange(ctx, key, "-", "+").Result()
			for _, x := range v {
				values = append(values, fmt.Sprint(x.Values))
			}
		case "none":
		default:
			t.Fatalf("key %s is a %s", key, typ)
		}
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(values, has) {
			found = append(found, key)
		}
	}
	return found
}

func counts(t *testing.T, l *ledger.Ledger) map[string]ledger.Pairs {
	t.Helper()
	of := map[string]ledger.Pairs{}
	for job, err := range l.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		rows := int64(0)
		if err := l.Rows(t.Context(), job.JobID, func(ledger.Row) error { rows++; return nil }); err != nil || rows != job.Pairs.Total {
			t.Errorf("job %s has %d rows, %v: %+v", job.JobID, rows, err, job.Pairs)
		}
		of[job.JobID] = job.Pairs
	}
	return of
}

func run(t *testing.T, rdb *redis.Client, l *ledger.Ledger, dry bool) erase.Result {
	t.Helper()
	r, err := erase.Run(t.Context(), rdb, l, erase.Wish{UserIDs: []string{leaver, ghost}, By: "officer", Why: "asked for it", DryRun: dry})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestNothingInRedisNamesWhoWasErased(t *testing.T) {
	server := redistest.Start(t)
	rdb := server.Client()
	l, stop := past(t, rdb)
	if n := len(holding(t, rdb, leaver)); n < 15 {
		t.Fatalf("only %d keys have the person: the past is too small", n)
	}
	before := counts(t, l)

	dry := run(t, rdb, l, true)
	if len(holding(t, rdb, leaver)) < 15 {
		t.Fatal("a dry run has erased something")
	}
	done := run(t, rdb, l, false)
	done.DryRun = true
	if fmt.Sprint(dry) != fmt.Sprint(done) {
		t.Errorf("a dry run said\n%+v, done was\n%+v", dry, done)
	}
	if done.Jobs != 6 || done.Pairs != 2+2+1+1+1+1 || done.Dropped != 1 || done.Letters != 2 || done.Limits != 1 || done.Signs != 1 {
		t.Errorf("%+v", done)
	}
	if fmt.Sprint(done.Left) != "[{d1 draft} {late scheduled}]" {
		t.Errorf("left: %v", done.Left)
	}
	for _, key := range append(holding(t, rdb, leaver), holding(t, rdb, ghost)...) {
		if !strings.Contains(key, "late") && key != "unrole:draft:d1" {
			t.Errorf("%s has it still", key)
		}
	}

	// The numbers are those of before; a job that was named after somebody is gone as a whole.
	after := counts(t, l)
	delete(before, "offboard-"+leaver)
	if fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("counts\n%v, before\n%v", after, before)
	}
	entries, renamed := 0, ""
	for _, key := range redistest.Keys(t, rdb) {
		if !strings.HasSuffix(key, ":audit") {
			continue
		}
		if strings.Contains(key, "offboard-erased-") {
			renamed = key
		}
		for _, x := range rdb.XRange(t.Context(), key, "-", "+").Val() {
			if text := fmt.Sprint(x.Values); strings.Contains(text, `"event":"erased"`) {
				entries++
				if !strings.Contains(text, `"by":"officer"`) || !strings.Contains(text, `"why":"asked for it"`) {
					t.Error(text)
				}
			}
		}
	}
	if entries != done.Jobs || renamed == "" {
		t.Errorf("%d entries of the audit, the renamed trail is %q", entries, renamed)
	}

	// What is left of the dead letter of a role is a letter still: tried again, it is refused again, and counted once.
	q := deadletter.New(rdb, l)
	chosen, err := q.Select(t.Context(), deadletter.Filter{})
	if err != nil || chosen.Letters() != 1 || chosen.Pairs() != 1 {
		t.Fatalf("%d letters, %v", chosen.Letters(), err)
	}
	if _, err := q.Replay(t.Context(), chosen, deadletter.Order{By: "test"}); err != nil {
		t.Fatal(err)
	}
	if err := q.Wait(t.Context(), chosen, 5*time.Millisecond, func(int) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if again := counts(t, l); fmt.Sprint(again) != fmt.Sprint(before) {
		t.Errorf("counts\n%v, before\n%v", again, before)
	}

	// Once the last job has ended, nothing at all is left.
	if _, err := l.Cancel(t.Context(), "late", "test", "over"); err != nil {
		t.Fatal(err)
	}
	rdb.Del(t.Context(), "unrole:draft:d1")
	stop()
	if r := run(t, rdb, l, false); r.Jobs != 1 || len(r.Left) != 0 {
		t.Errorf("%+v", r)
	}
	if left := append(holding(t, rdb, leaver), holding(t, rdb, ghost)...); left != nil {
		t.Errorf("still held by %q", left)
	}
	if r := run(t, rdb, l, false); r.Jobs+r.Tasks+r.Letters+r.Limits+r.Messages+r.Signs != 0 {
		t.Errorf("erased again: %+v", r)
	}
}

func TestTheSameIdWithOtherPeopleInItIsRefusedAfterwards(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := ledger.New(rdb, 0)
	client, err := enqueue.NewClient(enqueue.Config{Redis: rdb})
	if err != nil {
		t.Fatal(err)
	}
	s := enqueue.Submission{JobID: "j", At: time.Now().Add(time.Hour), Removals: &enqueue.Removals{}}
	s.Removals.Add(leaver, 7)
	if _, err := client.Submit(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Cancel(t.Context(), "j", "test", "x"); err != nil {
		t.Fatal(err)
	}
	if r := run(t, rdb, l, false); r.Jobs != 1 {
		t.Fatalf("%+v", r)
	}
	_, err = client.Submit(t.Context(), s)
	if err == nil || !strings.Contains(err.Error(), "were erased since") {
		t.Errorf("submitted again: %v", err)
	}
	if err := l.Rows(t.Context(), "j", func(row ledger.Row) error {
		if !forget.IsStandIn(row.UserID) {
			t.Errorf("row %+v", row)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestAReasonThatNamesThePersonIsRefused(t *testing.T) {
	_, rdb := redistest.Memory(t)
	_, err := erase.Run(context.Background(), rdb, ledger.New(rdb, 0), erase.Wish{UserIDs: []string{leaver}, Why: "the request of " + leaver})
	if err == nil || !strings.Contains(err.Error(), "without the id") {
		t.Error(err)
	}
}
