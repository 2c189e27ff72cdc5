package erase_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/forget"
	"github.com/unrole/unrole/internal/record/erase"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/webhook"
	"github.com/unrole/unrole/internal/test/redistest"
)

// cancelled submits a job about people and cancels it, so that its record, its trail and its tasks are there.
func cancelled(t *testing.T, rdb *redis.Client, l *ledger.Ledger, s enqueue.Submission, users ...string) {
	t.Helper()
	client, err := enqueue.NewClient(enqueue.Config{Redis: rdb})
	if err != nil {
		t.Fatal(err)
	}
	s.At, s.Removals = time.Now().Add(time.Hour), &enqueue.Removals{}
	for _, user := range users {
		s.Removals.Add(user, 7)
	}
	if _, err := client.Submit(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Cancel(t.Context(), s.JobID, "test", "x"); err != nil {
		t.Fatal(err)
	}
}

func forgotten(t *testing.T, rdb *redis.Client, l *ledger.Ledger, user string) erase.Result {
	t.Helper()
	r, err := erase.Run(t.Context(), rdb, l, erase.Wish{UserIDs: []string{user}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAJobIsNamedAfterSomebodyByAHashToo(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		l := ledger.New(rdb, 0)
		const user = "li.zhang@a"
		id := "leaver-20261231-." + forget.Hash(user)
		cancelled(t, rdb, l, enqueue.Submission{JobID: id + ".v2", Reason: "instead of " + id}, user)
		cancelled(t, rdb, l, enqueue.Submission{JobID: "other", Reason: "not as in " + id}, "a")
		if r := forgotten(t, rdb, l, user); r.Dropped != 1 || len(r.Left) != 0 {
			t.Errorf("%+v", r)
		}
		if left := append(holding(t, rdb, forget.Hash(user)), holding(t, rdb, user)...); left != nil {
			t.Errorf("still held by %q", left)
		}
	})
}

// A run may be killed anywhere, and one of an earlier release dropped the record first: another one finishes it.
func TestWhatARunLeftThatWasKilledIsErasedByTheNext(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		l := ledger.New(rdb, 0)
		const id = "offboard-" + leaver
		rdb.HSet(t.Context(), "unrole:audit:{follow}:cursors", id, "1-1", "other", "1-1")
		rdb.ZAdd(t.Context(), "unrole:jobs", redis.Z{Score: 1, Member: id})
		if _, err := asynq.NewClientFromRedisClient(rdb).Enqueue(asynq.NewTask("webhook", []byte(`{"job_id":"`+id+`"}`)),
			asynq.Queue(webhook.Queue), asynq.TaskID(id+".finished.1")); err != nil {
			t.Fatal(err)
		}
		if r := run(t, rdb, l, true); r.Dropped != 1 || r.Messages != 1 {
			t.Errorf("a dry run finds %+v", r)
		}
		if r := run(t, rdb, l, false); r.Dropped != 1 || r.Messages != 1 || len(r.Left) != 0 {
			t.Errorf("%+v", r)
		}
		if left := holding(t, rdb, leaver); left != nil {
			t.Errorf("still held by %q", left)
		}
		if !rdb.HExists(t.Context(), "unrole:audit:{follow}:cursors", "other").Val() {
			t.Error("the place of another trail is gone")
		}
	})
}

// killed fails everything after some commands.
type killed struct{ after int }

var errKilled = errors.New("killed")

func (k *killed) DialHook(next redis.DialHook) redis.DialHook { return next }

func (k *killed) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if k.after--; k.after < 0 {
			cmd.SetErr(errKilled)
			return errKilled
		}
		return next(ctx, cmd)
	}
}

func (k *killed) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if k.after--; k.after < 0 {
			for _, cmd := range cmds {
				cmd.SetErr(errKilled)
			}
			return errKilled
		}
		return next(ctx, cmds)
	}
}

// Nothing leads to the messages of a job that is named after somebody, in the middle of its id, once its record is gone.
func TestARunThatIsKilledAnywhereIsFinishedByTheNext(t *testing.T) {
	for after := 0; ; after++ {
		_, rdb := redistest.Memory(t)
		l := ledger.New(rdb, 0)
		const id = leaver + "-leaves"
		cancelled(t, rdb, l, enqueue.Submission{JobID: id}, leaver)
		rdb.HSet(t.Context(), "unrole:audit:{follow}:cursors", "offboard-"+leaver, "1-1")
		if _, err := asynq.NewClientFromRedisClient(rdb).Enqueue(asynq.NewTask("webhook", []byte(`{"job_id":"`+id+`"}`)),
			asynq.Queue(webhook.Queue), asynq.TaskID(id+".finished.1")); err != nil {
			t.Fatal(err)
		}
		cut := redis.NewClient(rdb.Options())
		cut.AddHook(&killed{after})
		_, err := erase.Run(t.Context(), cut, ledger.New(cut, 0), erase.Wish{UserIDs: []string{leaver}})
		cut.Close()
		r := forgotten(t, rdb, l, leaver)
		if left := holding(t, rdb, leaver); left != nil || len(r.Left) != 0 {
			t.Fatalf("killed after %d commands (%v), the next run leaves %q: %+v", after, err, left, r)
		}
		if err == nil {
			return
		}
	}
}

func TestWhatMayBeAboutAnotherPersonIsNamedAndLeft(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		l := ledger.New(rdb, 0)
		cancelled(t, rdb, l, enqueue.Submission{JobID: "offboard-zhang-2"}, "zhang-2")
		cancelled(t, rdb, l, enqueue.Submission{JobID: "text", Reason: "zhang.li left"}, "zhang.li")
		cancelled(t, rdb, l, enqueue.Submission{JobID: "both", Reason: "zhang left, not zhang@b"}, "zhang")
		cancelled(t, rdb, l, enqueue.Submission{JobID: "expired-zhang-3"}, "zhang-3")
		rdb.Unlink(t.Context(), "unrole:job:{expired-zhang-3}", "unrole:job:{expired-zhang-3}:parts") // its retention is over
		cancelled(t, rdb, l, enqueue.Submission{JobID: "zhang-and-li"}, "zhang", "li")
		r := forgotten(t, rdb, l, "zhang")
		var left []string
		for _, is := range r.Left {
			left = append(left, is.JobID+" "+is.State)
		}
		if got := strings.Join(left, ", "); r.Jobs != 2 || r.Dropped != 1 || got != "both doubtful, expired-zhang-3 doubtful, text doubtful" {
			t.Errorf("left %s: %+v", got, r)
		}
		for _, text := range []string{"offboard-zhang-2", "zhang.li left", "expired-zhang-3"} {
			if holding(t, rdb, text) == nil {
				t.Errorf("%q, somebody else, is gone", text)
			}
		}
		if job, err := l.Get(t.Context(), "both"); err != nil || !strings.HasPrefix(job.Reason, "erased:") || !strings.HasSuffix(job.Reason, " left, not zhang@b") {
			t.Errorf("%q, %v", job.Reason, err)
		}
	})
}
