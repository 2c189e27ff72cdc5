// Package outcome says what a call that DingTalk did not take means for the pace of the fleet.
package outcome

import (
	"net/http"

	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/pace"
)

// Of is what the fleet learns from the error. How many ids or batches it established as bad is for the caller to add.
func Of(e *dingtalk.Error) pace.Outcome {
	switch e.Class {
	case dingtalk.ClassBusy:
		return pace.Outcome{Kind: pace.Busy}
	case dingtalk.ClassThrottled:
		return throttled(e)
	case dingtalk.ClassInvalidRole, dingtalk.ClassSystemRole, dingtalk.ClassInvalidUser, dingtalk.ClassUserGone,
		dingtalk.ClassUserOutOfScope:
		return pace.Outcome{Kind: pace.Refused}
	case dingtalk.ClassBadRequest:
		return pace.Outcome{Kind: pace.BadRequest}
	}
	if kind, holds := holds[e.Class]; holds {
		return held(e, kind)
	}
	return pace.Outcome{Kind: pace.Unknown}
}

var holds = map[dingtalk.Class]pace.HoldKind{
	dingtalk.ClassToken: pace.HoldToken, dingtalk.ClassCredentials: pace.HoldCredentials,
	dingtalk.ClassPermission: pace.HoldPermission, dingtalk.ClassIPNotAllowed: pace.HoldIPNotAllowed,
	dingtalk.ClassDisabled: pace.HoldDisabled, dingtalk.ClassTokenNotSent: pace.HoldTokenNotSent,
}

func held(e *dingtalk.Error, kind pace.HoldKind) pace.Outcome {
	return pace.Outcome{Kind: pace.Held, Hold: &pace.HoldReason{Kind: kind, Message: e.Said(), Named: e.Named}}
}

// throttled says how the fleet pauses for a throttle: an assumed pause grows while it is refused again, a quota holds.
func throttled(e *dingtalk.Error) pace.Outcome {
	o := pace.Outcome{Kind: pace.Throttled, Pause: e.Wait, Why: e.Code()}
	if !e.HasErrCode && e.HTTPStatus == http.StatusOK {
		// No code of DingTalk's says it: whoever watches has to see what came instead.
		o.Why = e.Said()
	}
	switch e.Scope {
	case dingtalk.ScopeQuota:
		return held(e, pace.HoldQuota)
	case dingtalk.ScopeAPI:
		o.Scope = pace.ScopeAPI
	case dingtalk.ScopeIPBan:
		o.Scope = pace.ScopeIP
	case dingtalk.ScopeGlobal:
		o.Scope, o.Grow = pace.ScopeGlobal, true
	case dingtalk.ScopeOrg:
		o.Scope, o.Grow = pace.ScopeOrg, true
	default:
		o.Scope, o.Grow = pace.ScopeWide, true
	}
	return o
}
