package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/record/deadletter"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/producer"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

func TestLettersAreActedOnAfterAYesOnly(t *testing.T) {
	for _, c := range []struct {
		name     string
		typed    string
		terminal bool
		yes      bool
		want     exitCode
		left     int
	}{
		{"yes on a terminal", "yes\n", true, false, exitDone, 0},
		{"no on a terminal", "no\n", true, false, exitGuard, 1},
		{"y is yes", "y\n", true, false, exitDone, 0},
		{"no terminal", "yes\n", false, false, exitGuard, 1},
		{"--yes", "", false, true, exitDone, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, rdb := redistest.Memory(t)
			putTestLetter(t, asynq.NewClientFromRedisClient(rdb), "u1", "refused")
			a, stdout, stderr := testApp(c.typed, c.terminal, nil)
			a.output = outputText
			q := deadletter.New(rdb, ledger.New(rdb, 0))
			s, err := q.Select(t.Context(), deadletter.Filter{})
			if err != nil {
				t.Fatal(err)
			}
			o := &letterOrder{yes: c.yes, why: "x", question: func(l texts.Text) texts.Text { return texts.T("Give up %s for good?", l) },
				report: func(l texts.Text) texts.Text { return texts.T("given up: %s", l) }, carryOut: (*deadletter.Queue).Discard}
			err = a.carryOut(t.Context(), &records{rdb: rdb}, q, s, o)
			if got := codeOf(t.Context(), err); got != c.want {
				t.Errorf("exit %d (%v), want %d", got, err, c.want)
			}
			if asked := strings.Contains(stderr.String(), "Give up 1 dead letter (2 pairs of 1 job) for good? [y/N] "); asked != (c.terminal && !c.yes) {
				t.Errorf("stderr: %q", stderr)
			}
			counts, err := q.Counts(t.Context())
			if err != nil || counts.Waiting != c.left {
				t.Errorf("%+v wait, want %d; %v", counts, c.left, err)
			}
			if said := strings.Contains(stdout.String(), "given up: 1 dead letter (2 pairs of 1 job)\n"); said != (c.left == 0) {
				t.Errorf("stdout: %q", stdout)
			}
		})
	}
}

func putTestLetter(t *testing.T, client *asynq.Client, user, message string) {
	t.Helper()
	letter := &tasks.Part{JobID: "job", Part: "0-u0", RoleIDs: []int64{1507113578, 7, 1507113579}, UserIDs: []string{user, "other"},
		Own: []byte{0b010001}, Failure: &tasks.Failure{Reason: tasks.ReasonInvalidUser, ErrMsg: message, FailedAt: time.Now(), Queue: tasks.QueueDefault}}
	if _, err := producer.EnqueueLetter(t.Context(), client, letter, letter.TaskID()); err != nil {
		t.Fatal(err)
	}
}

// Whatever a user id looks like to a spreadsheet, and whatever DingTalk said.
func TestTheSheetOfDeadLettersIsReadBackAsTheSamePairs(t *testing.T) {
	for _, user := range []string{"u1", "=1+2", "'quoted", "-5", "+1", "@x", "00117", `a"b`, "a;b", "张三", "1e5"} {
		for _, message := range []string{"", "two\nlines, and a \"quote\"", "=HYPERLINK(1)", "无效的USERID"} {
			_, rdb := redistest.Memory(t)
			putTestLetter(t, asynq.NewClientFromRedisClient(rdb), user, message)
			q := deadletter.New(rdb, ledger.New(rdb, 0))
			var sheet bytes.Buffer
			without, err := writeLettersCSV(&sheet, func(visit func(deadletter.Letter) error) error {
				return q.Each(t.Context(), deadletter.Filter{}, visit)
			})
			if err != nil || without != 0 {
				t.Fatal(without, err)
			}
			text := sheet.String()
			got, _, err := readRemovals(t.Context(), &sheet, lists.Options{Name: "refused.csv"}, nil)
			if err != nil {
				t.Fatalf("%q: %v\n%s", user, err, text)
			}
			want, err := enqueue.FromLists([]string{user}, []int64{1507113578})
			if err != nil {
				t.Fatal(err)
			}
			want.Add("other", 7)
			if got.Digest() != want.Digest() {
				t.Errorf("%q comes back as users %q and roles %d\n%s", user, got.Users(), got.Roles(), text)
			}
		}
	}
}
