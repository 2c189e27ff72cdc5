package deadletter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/record/deadletter"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

func memory(t *testing.T) *world {
	_, rdb := redistest.Memory(t)
	return newWorld(t, rdb, simulator.Options{})
}

func TestTheJSONFormIsTheContract(t *testing.T) {
	w := memory(t)
	w.putLetter(&tasks.Part{JobID: "job", Part: "3-u1", RoleIDs: []int64{1507113578, 1507113579}, UserIDs: []string{"user100"},
		Own: []byte{0b10}, Failure: &tasks.Failure{Reason: tasks.ReasonInvalidUser, ErrCode: 88, SubCode: "33012", ErrMsg: "no <such> user",
			RequestID: "abc", Attempts: 2, FailedAt: failedAt, Queue: tasks.QueueUrgent}})
	got, err := json.Marshal(w.letters(deadletter.Filter{})[0])
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"job:3-u1","job_id":"job","part":"3-u1","role_ids":[1507113578,1507113579],"user_ids":["user100"],` +
		`"reason":"invalid_user","errcode":88,"sub_code":"33012","errmsg":"no \u003csuch\u003e user","request_id":"abc","attempts":2,` +
		`"failed_at":"2026-03-01T12:00:00Z","pairs":1,"state":"waiting","lane":"urgent"}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestFiltersChooseWhatMatchesAllOfThem(t *testing.T) {
	w := memory(t)
	put := func(job, part, user string, role int64, reason tasks.Reason, age time.Duration) {
		w.putLetter(&tasks.Part{JobID: job, Part: part, RoleIDs: []int64{role}, UserIDs: []string{user, "together"},
			Failure: &tasks.Failure{Reason: reason, FailedAt: failedAt.Add(-age), Queue: tasks.QueueDefault}})
	}
	put("a", "10-u0", "x", 1, tasks.ReasonBusy, 0)
	put("a", "2-u0", "y", 2, tasks.ReasonInvalidUser, time.Hour)
	put("a.b", "0-all", "x", 2, tasks.ReasonBusy, 2*time.Hour)
	put("b", "0-u0", "z", 3, tasks.ReasonUserGone, 3*time.Hour)
	for _, c := range []struct {
		name string
		f    deadletter.Filter
		want string
	}{
		{"none", deadletter.Filter{}, "a:2-u0 a:10-u0 a.b:0-all b:0-u0"},
		{"job, not those whose name begins alike", deadletter.Filter{JobIDs: []string{"a"}}, "a:2-u0 a:10-u0"},
		{"jobs", deadletter.Filter{JobIDs: []string{"a.b", "b"}}, "a.b:0-all b:0-u0"},
		{"reason", deadletter.Filter{Reasons: []tasks.Reason{tasks.ReasonBusy}}, "a:10-u0 a.b:0-all"},
		{"user", deadletter.Filter{UserIDs: []string{"x"}}, "a:10-u0 a.b:0-all"},
		{"user who is not the first", deadletter.Filter{UserIDs: []string{"together"}, JobIDs: []string{"b"}}, "b:0-u0"},
		{"role", deadletter.Filter{RoleIDs: []int64{2, 3}}, "a:2-u0 a.b:0-all b:0-u0"},
		{"age", deadletter.Filter{Before: failedAt.Add(-time.Hour)}, "a.b:0-all b:0-u0"},
		{"all at once", deadletter.Filter{JobIDs: []string{"a"}, Reasons: []tasks.Reason{tasks.ReasonBusy}, UserIDs: []string{"x"}, RoleIDs: []int64{1}}, "a:10-u0"},
		{"nothing", deadletter.Filter{JobIDs: []string{"a"}, UserIDs: []string{"z"}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var ids []string
			for _, l := range w.letters(c.f) {
				ids = append(ids, l.ID)
			}
			// The order of jobs is not part of the claim where one name begins with another.
			want := strings.Fields(c.want)
			slices.Sort(ids)
			slices.Sort(want)
			if !slices.Equal(ids, want) {
				t.Errorf("got %v, want %v", ids, want)
			}
		})
	}
}

func TestLettersComeInTheOrderOfTheirParts(t *testing.T) {
	w := memory(t)
	want := []string{"job-9:0-u1", "job-10:0-u2", "job-10:0-u10", "job-10:2.0-all", "job-10:2.0-all~2", "job-10:10-r3"}
	for _, i := range []int{3, 0, 5, 1, 4, 2} {
		job, part, _ := tasks.SplitTaskID(want[i])
		w.putLetter(&tasks.Part{JobID: job, Part: part, RoleIDs: []int64{1}, UserIDs: []string{"u"}, Failure: &tasks.Failure{Reason: tasks.ReasonBusy, Queue: tasks.QueueBulk}})
	}
	var got []string
	for _, l := range w.letters(deadletter.Filter{}) {
		got = append(got, l.ID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatCannotBeReadIsALetterToo(t *testing.T) {
	w := memory(t)
	w.putLetter(&tasks.Part{JobID: "job", Part: "0-all", Failure: &tasks.Failure{Reason: tasks.ReasonBadPayload, ErrMsg: "v is missing",
		Payload: []byte(`{"x":1}`), Queue: tasks.QueueDefault, FailedAt: failedAt}})
	for id, payload := range map[string]string{"foreign": "not json", "job:7": `{"v":99}`,
		"job:8": `{"v":1,"job_id":"job","part":"8","role_ids":[1],"user_ids":["u"]}`} {
		if _, err := w.asynq.Enqueue(asynq.NewTask("anything", []byte(payload)), asynq.TaskID(id), asynq.Queue(tasks.QueueDeadLetter), asynq.ProcessIn(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, l := range w.letters(deadletter.Filter{}) {
		if l.UserIDs == nil || l.RoleIDs == nil {
			t.Errorf("%s: ids are null", l.ID)
		}
		got = append(got, fmt.Sprintf("%s %s %s %d pairs %q", l.ID, l.JobID, l.Reason, l.Pairs, l.Payload))
	}
	want := []string{
		`foreign unreadable bad_payload 0 pairs "not json"`,
		`job:0-all job bad_payload 0 pairs "{\"x\":1}"`,
		`job:7 job bad_payload 0 pairs "{\"v\":99}"`,
		`job:8 job unknown 1 pairs ""`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// asynq's archive would have dropped a part of them, and its pages skip letters when others leave meanwhile.
func TestEveryLetterIsVisitedOnceWhileOthersComeAndGo(t *testing.T) {
	w := newWorld(t, redistest.Start(t).Client(), simulator.Options{})
	w.put("stay", 2000)
	w.put("go", 600)
	seen := map[string]int{}
	leaving := 0
	err := w.queue.Each(t.Context(), deadletter.Filter{}, func(l deadletter.Letter) error {
		seen[l.ID]++
		if len(seen)%500 == 1 {
			if _, err := w.rdb.ZRemRangeByRank(t.Context(), "asynq:{dead-letter}:scheduled", 0, 99).Result(); err != nil {
				return err
			}
			w.put(fmt.Sprintf("come%d", leaving), 10)
			leaving++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	stay := 0
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s visited %d times", id, n)
		}
		if strings.HasPrefix(id, "stay:") {
			stay++
		}
	}
	if stay != 2000 || leaving == 0 {
		t.Errorf("%d of the 2000 letters that stayed were visited", stay)
	}
}

func TestReplayIsRecordedThenMakesDueAndMayBeRepeated(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		w := newWorld(t, rdb, simulator.Options{})
		w.put("one", 3)
		w.put("two", 200)
		w.put("other", 1)
		s, err := w.queue.Select(t.Context(), deadletter.Filter{JobIDs: []string{"one", "two"}})
		if err != nil {
			t.Fatal(err)
		}
		if s.Letters() != 203 || s.Pairs() != 203 || len(s.Jobs()) != 2 {
			t.Errorf("chose %d letters, %d pairs, jobs %v", s.Letters(), s.Pairs(), s.Jobs())
		}
		done, err := w.queue.Replay(t.Context(), s, deadletter.Order{By: "ann@host", Why: "the ids are right now"})
		if err != nil || done.Letters != 203 || done.Passed != 0 {
			t.Fatalf("%+v, %v", done, err)
		}
		again, err := w.queue.Replay(t.Context(), s, deadletter.Order{By: "ann@host"})
		if err != nil || again.Letters != 0 || again.Passed != 203 {
			t.Errorf("again: %+v, %v", again, err)
		}
		c, err := w.queue.Counts(t.Context())
		if want := (deadletter.Counts{Waiting: 1, Due: 203}); err != nil || c != want {
			t.Errorf("%+v, %v, want %+v", c, err, want)
		}
		trail := w.audit("two")
		if i := slices.IndexFunc(trail, func(e string) bool {
			return strings.Contains(e, `"event":"replayed","job_id":"two","by":"ann@host","why":"the ids are right now","pairs":200,"letters":200`)
		}); i < 0 {
			t.Errorf("the audit does not say who replayed what and why: %v", trail)
		}
		byID, err := w.queue.SelectIDs(t.Context(), []string{"one:0-u0", "other:0-u0", "other:0-u0"})
		if err != nil || byID.Letters() != 1 || !slices.Equal(byID.InMotion, []string{"one:0-u0"}) {
			t.Errorf("by id: %d letters, in motion %v, %v", byID.Letters(), byID.InMotion, err)
		}
		var missing *deadletter.NotFoundError
		if _, err := w.queue.SelectIDs(t.Context(), []string{"other:0-u0", "other:0-u9"}); !errors.As(err, &missing) || missing.ID != "other:0-u9" {
			t.Errorf("an id that does not exist: %v", err)
		}
	})
}

func TestLettersOfACancelledJobAreNotReplayed(t *testing.T) {
	w := memory(t)
	w.put("kept", 2)
	w.put("dropped", 2)
	// Something is pending, as otherwise there is nothing to cancel.
	if _, err := w.ledger.Claim(t.Context(), ledger.Request{Part: &tasks.Part{JobID: "dropped", Part: "9", RoleIDs: []int64{1}, UserIDs: []string{"u"}}}); err != nil {
		t.Fatal(err)
	}
	s, err := w.queue.Select(t.Context(), deadletter.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.ledger.Cancel(t.Context(), "dropped", "ann", "wrong list"); err != nil {
		t.Fatal(err)
	}
	// Chosen before the cancel: the ledger has the last word.
	done, err := w.queue.Replay(t.Context(), s, deadletter.Order{By: "ann"})
	if err != nil || done.Letters != 2 || !slices.Equal(done.Cancelled, []string{"dropped"}) {
		t.Fatalf("%+v, %v", done, err)
	}
	if slices.ContainsFunc(w.audit("dropped"), func(e string) bool { return strings.Contains(e, "replayed") }) {
		t.Error("the audit tells of a replay that did not happen")
	}
	if s, err = w.queue.Select(t.Context(), deadletter.Filter{}); err != nil {
		t.Fatal(err)
	}
	out, err := w.queue.WithoutCancelled(t.Context(), s)
	if err != nil || s.Letters() != 0 || out.Letters() != 2 || !slices.Equal(out.Jobs(), []string{"dropped"}) {
		t.Errorf("%d letters left, %d taken out, %v", s.Letters(), out.Letters(), err)
	}
}

// A worker may have been killed between a letter and its count, and the job cancelled before anybody had the task again.
func TestALetterOfWhatWasCancelledIsDiscarded(t *testing.T) {
	w := memory(t)
	part := tasks.Part{JobID: "job", Part: "9", RoleIDs: []int64{1}, UserIDs: []string{"u"}}
	if _, err := w.ledger.Claim(t.Context(), ledger.Request{Part: &part}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.ledger.Cancel(t.Context(), "job", "ann", "wrong list"); err != nil {
		t.Fatal(err)
	}
	letter := part
	letter.Part, letter.Failure = tasks.WholeLetter("9"), &tasks.Failure{Reason: tasks.ReasonUserGone, Attempts: 1, FailedAt: time.Now()}
	w.putLetter(&letter)
	s, err := w.queue.SelectIDs(t.Context(), []string{letter.TaskID()})
	if err != nil {
		t.Fatal(err)
	}
	if done, err := w.queue.Replay(t.Context(), s, deadletter.Order{By: "ann"}); err != nil || done.Letters != 0 || len(done.Cancelled) != 1 {
		t.Errorf("tried again: %+v, %v", done, err)
	}
	done, err := w.queue.Discard(t.Context(), s, deadletter.Order{By: "ann", Why: "cancelled"})
	if err != nil || done.Letters != 1 || len(w.letters(deadletter.Filter{})) != 0 {
		t.Errorf("discarded: %+v, %v", done, err)
	}
	if job, err := w.ledger.Get(t.Context(), "job"); err != nil || job.Pairs != (ledger.Pairs{Total: 1, Cancelled: 1}) {
		t.Errorf("%+v, %v", job.Pairs, err)
	}
}

func TestADiscardedLetterStaysCountedAndTheLastOneLetsTheRecordExpire(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		w := newWorld(t, rdb, simulator.Options{})
		w.put("job", 3)
		w.put("other", 1)
		order := deadletter.Order{By: "ann@host", Why: "left the company"}
		ttl := func() time.Duration { return w.rdb.PTTL(t.Context(), "unrole:job:{job}").Val() }
		discard := func(ids ...string) deadletter.Done {
			t.Helper()
			s, err := w.queue.SelectIDs(t.Context(), ids)
			if err != nil {
				t.Fatal(err)
			}
			done, err := w.queue.Discard(t.Context(), s, order)
			if err != nil {
				t.Fatal(err)
			}
			return done
		}
		if s, err := w.queue.Select(t.Context(), deadletter.Filter{}); err != nil {
			t.Fatal(err)
		} else if _, err := w.queue.Discard(t.Context(), s, deadletter.Order{By: "ann"}); err == nil {
			t.Error("discarded without a reason")
		}
		if done := discard("job:0-u0"); done.Letters != 1 || done.Expiring != 0 || ttl() > 0 {
			t.Errorf("%+v, the record expires in %v although letters are left", done, ttl())
		}
		// A letter that is being tried again keeps the record, too.
		s, err := w.queue.SelectIDs(t.Context(), []string{"job:0-u2"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.queue.Replay(t.Context(), s, order); err != nil {
			t.Fatal(err)
		}
		if done := discard("job:0-u1"); done.Letters != 1 || done.Expiring != 0 || ttl() > 0 {
			t.Errorf("%+v, the record expires in %v although a letter is due", done, ttl())
		}
		if done, err := w.queue.Discard(t.Context(), s, order); err != nil || done.Letters != 0 || done.Passed != 1 {
			t.Errorf("a letter in motion was discarded: %+v, %v", done, err)
		}
		// Deleted in the asynq web UI, as it were.
		if err := asynq.NewInspectorFromRedisClient(rdb).DeleteTask(tasks.QueueDeadLetter, "job:0-u2"); err != nil {
			t.Fatal(err)
		}
		n, err := w.queue.Expire(t.Context(), []string{"job", "other", "never heard of"})
		if err != nil || n != 1 || ttl() <= retention-time.Minute || ttl() > retention {
			t.Errorf("%d records expire, this one in %v, want 1 and %v; %v", n, ttl(), retention, err)
		}
		job, err := w.ledger.Get(t.Context(), "job")
		if want := (ledger.Pairs{Total: 3, Dead: 3}); err != nil || job.Pairs != want {
			t.Errorf("%+v, %v, want %+v", job.Pairs, err, want)
		}
		found := 0
		for _, e := range w.audit("job") {
			if strings.Contains(e, `"event":"discarded"`) && strings.Contains(e, `"part":"0-u`) && strings.Contains(e, `"why":"left the company"`) {
				found++
			}
		}
		if found != 3 { // the third one found its letter in motion
			t.Errorf("%d discards in the audit: %v", found, w.audit("job"))
		}
	})
}

func TestAnInterruptedReplayIsCompletedByTheSameAgain(t *testing.T) {
	w := memory(t)
	for i := range 12 {
		w.put(fmt.Sprint("job", i), 10)
	}
	s, err := w.queue.Select(t.Context(), deadletter.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	first, err := w.queue.Replay(ctx, s, deadletter.Order{By: "ann", Progress: func(done int) {
		if done >= 30 {
			interrupt()
		}
	}})
	if !errors.Is(err, context.Canceled) || first.Letters < 30 || first.Letters == 120 {
		t.Fatalf("%+v, %v", first, err)
	}
	if s, err = w.queue.Select(t.Context(), deadletter.Filter{}); err != nil {
		t.Fatal(err)
	}
	second, err := w.queue.Replay(t.Context(), s, deadletter.Order{By: "ann"})
	if err != nil || first.Letters+second.Letters != 120 || second.Passed != 0 {
		t.Errorf("%+v after %+v, %v", second, first, err)
	}
	if c, err := w.queue.Counts(t.Context()); err != nil || c != (deadletter.Counts{Due: 120}) {
		t.Errorf("%+v, %v", c, err)
	}
}
