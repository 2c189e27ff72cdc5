package outcome

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/pace"
)

// What no batch can help holds the fleet, and nothing else does: no class is forgotten.
func TestJustTheClassesThatHoldHoldTheFleet(t *testing.T) {
	for _, class := range dingtalk.Classes() {
		if class == dingtalk.ClassOK {
			continue
		}
		o := Of(&dingtalk.Error{Class: class, Message: "said", Named: "named"})
		if held := o.Kind == pace.Held; held != class.Holds() {
			t.Errorf("%v: %s", class, o.Kind)
		}
		if refused := o.Kind == pace.Refused; refused != (class.BlamesRole() || class.BlamesUser()) {
			t.Errorf("%v: %s", class, o.Kind)
		}
		if o.Hold != nil && (o.Hold.Message != "said" || o.Hold.Named != "named") {
			t.Errorf("%v: %+v", class, *o.Hold)
		}
	}
}

// A pause whose length DingTalk names or documents is kept as it is; one that is assumed grows.
func TestThrottlesPauseTheFleetByTheirScope(t *testing.T) {
	const wait = 3 * time.Second
	pause := func(scope pace.Scope, grow bool) pace.Outcome {
		return pace.Outcome{Kind: pace.Throttled, Scope: scope, Grow: grow, Pause: wait, Why: "90001"}
	}
	for scope, want := range map[dingtalk.Scope]pace.Outcome{
		dingtalk.ScopeAPI:    pause(pace.ScopeAPI, false),
		dingtalk.ScopeIPBan:  pause(pace.ScopeIP, false),
		dingtalk.ScopeGlobal: pause(pace.ScopeGlobal, true),
		dingtalk.ScopeOrg:    pause(pace.ScopeOrg, true),
		dingtalk.ScopeWide:   pause(pace.ScopeWide, true),
		dingtalk.ScopeQuota:  {Kind: pace.Held, Hold: &pace.HoldReason{Kind: pace.HoldQuota, Message: "said"}},
	} {
		got := Of(&dingtalk.Error{Class: dingtalk.ClassThrottled, Scope: scope, Wait: wait, ErrCode: 90001, HasErrCode: true, Message: "said"})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", scope, diff)
		}
	}
}
