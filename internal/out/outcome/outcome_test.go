package outcome

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/isolate"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/tasks"
)

var noon = time.Date(2026, 12, 31, 12, 0, 0, 0, time.UTC)

func decide(e *dingtalk.Error) Decision { return Decide(dingtalk.Reply{}, e, noon) }

// No class is forgotten, and no row contradicts itself: what no call can help holds the fleet, and just refusals of ids blame
// somebody.
func TestEveryClassHasARow(t *testing.T) {
	for _, class := range dingtalk.Classes() {
		m, there := meanings[class]
		if !there {
			t.Errorf("%v has no row", class)
			continue
		}
		if (m.Kind == pace.Held) != (m.Hold != "") || m.Hold != "" && m.Action != StandBy {
			t.Errorf("%v holds the fleet by halves: %+v", class, m)
		}
		if (m.Kind == pace.Refused) != (m.Blame != isolate.BlameAny) || m.Kind == pace.Refused && m.Action != Search {
			t.Errorf("%v refuses ids by halves: %+v", class, m)
		}
		if ends := m.Action == Retry || m.Action == Search; ends != (m.Reason != "") || ends && !slices.Contains(tasks.Reasons(), m.Reason) {
			t.Errorf("%v makes dead letters for %q", class, m.Reason)
		}
		if (m.Action == Settle) != (class == dingtalk.ClassOK) || (m.Remedy.String() == "") != (class == dingtalk.ClassOK) {
			t.Errorf("%v: %+v", class, m)
		}
	}
	if len(meanings) != len(dingtalk.Classes()) {
		t.Errorf("%d rows for %d classes", len(meanings), len(dingtalk.Classes()))
	}
}

// What DingTalk said is kept where it is going to be read: with a dead letter, and with a hold.
func TestWhatWasSaidIsKept(t *testing.T) {
	for _, class := range dingtalk.Classes() {
		if class == dingtalk.ClassOK {
			continue
		}
		d := decide(&dingtalk.Error{Class: class, ErrCode: 88, HasErrCode: true, SubCode: "sub", Message: "said", Named: "named", RequestID: "r"})
		want := tasks.Failure{Reason: Of(class).Reason, ErrCode: 88, SubCode: "sub", ErrMsg: "said", RequestID: "r", FailedAt: noon}
		if diff := cmp.Diff(want, d.Failure); diff != "" || !d.Answered || d.RequestID != "r" {
			t.Errorf("%v (-want +got):\n%s", class, diff)
		}
		if d.Pace.Kind != Of(class).Kind {
			t.Errorf("%v: the pace learns %s", class, d.Pace.Kind)
		}
		if (d.Pace.Hold != nil) != (Of(class).Hold != "") {
			t.Errorf("%v: %+v", class, d.Pace)
		}
		if h := d.Pace.Hold; h != nil && *h != (pace.HoldReason{Kind: Of(class).Hold, Message: "said", Named: "named"}) {
			t.Errorf("%v: %+v", class, *h)
		}
	}
}

func TestWhatDingTalkDidNotAnswer(t *testing.T) {
	for err, want := range map[error]Action{
		context.Canceled: Abandon,
		fmt.Errorf("remove: %w", context.DeadlineExceeded):       Abandon,
		fmt.Errorf("%w: twice the same id", dingtalk.ErrNotSent): Retry,
	} {
		d := Decide(dingtalk.Reply{}, err, noon)
		if d.Action != want || d.Answered || d.Pace.Kind != pace.Unused {
			t.Errorf("%v: %+v", err, d)
		}
	}
	if d := Decide(dingtalk.Reply{}, errors.New("ours"), noon); d.Failure.Reason != tasks.ReasonBadRequest || d.Failure.ErrMsg != "ours" || d.Attempts == 0 {
		t.Errorf("%+v", d)
	}
	if d := Decide(dingtalk.Reply{RequestID: "r"}, nil, noon); d.Action != Settle || d.RequestID != "r" || d.Pace.Kind != pace.Accepted {
		t.Errorf("%+v", d)
	}
}

// A pause whose length DingTalk names or documents is kept as it is; one that is assumed grows. Limits have the same words in
// the client and in the pace, and so in logs, metrics and JSON.
func TestThrottlesPauseTheFleetByTheirLimit(t *testing.T) {
	const wait = 3 * time.Second
	throttle := func(limit dingtalk.Limit) pace.Answer {
		return decide(&dingtalk.Error{Class: dingtalk.ClassThrottled, Limit: limit, Wait: wait, ErrCode: 90001, HasErrCode: true, Message: "said"}).Pace
	}
	left := pace.Limits()
	for limit, grows := range map[dingtalk.Limit]bool{
		dingtalk.LimitAPI: false, dingtalk.LimitIPBan: false, dingtalk.LimitGlobal: true, dingtalk.LimitOrg: true, dingtalk.LimitWide: true,
	} {
		want := pace.Answer{Kind: pace.Throttled, Limit: pace.Limit(limit.String()), Grow: grows, Pause: wait, Why: "90001"}
		if diff := cmp.Diff(want, throttle(limit)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", limit, diff)
		}
		left = slices.DeleteFunc(left, func(s pace.Limit) bool { return s == want.Limit })
	}
	if len(left) > 0 {
		t.Errorf("the pace knows scopes that DingTalk has not: %v", left)
	}
	quota := pace.Answer{Kind: pace.Held, Hold: &pace.HoldReason{Kind: pace.HoldQuota, Message: "said"}}
	if diff := cmp.Diff(quota, throttle(dingtalk.LimitQuota)); diff != "" {
		t.Errorf("quota (-want +got):\n%s", diff)
	}
}

func TestEveryHoldHasARemedy(t *testing.T) {
	for _, kind := range pace.HoldKinds() {
		words := RemedyOf(kind).String()
		if _, there := remedies[kind]; !there {
			t.Errorf("%s has no remedy", kind)
		}
		if kind.Sticky() && !strings.Contains(words, "unrole status --") {
			t.Errorf("%s waits for an operator, and its remedy names no command: %s", kind, words)
		}
	}
}

// What a limit is of stands under one name in metrics and JSON, whoever writes it.
func TestPausesHaveTheNamesOfWhatDingTalkLimits(t *testing.T) {
	for _, limit := range []dingtalk.Limit{dingtalk.LimitAPI, dingtalk.LimitGlobal, dingtalk.LimitOrg, dingtalk.LimitWide, dingtalk.LimitIPBan} {
		d := decide(&dingtalk.Error{Class: dingtalk.ClassThrottled, Limit: limit})
		if got := string(d.Pace.Limit); got != limit.String() || !slices.Contains(pace.Limits(), d.Pace.Limit) {
			t.Errorf("%s is told to the pace as %q", limit, got)
		}
	}
}
