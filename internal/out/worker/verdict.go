package worker

import (
	"context"
	"errors"
	"time"

	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/isolate"
	"github.com/unrole/unrole/internal/out/outcome"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/tasks"
)

// action is what the worker does after a call.
type action int

const (
	// settle: the pairs are removed.
	settle action = iota
	// standBy: nothing was said about the pairs, the fleet pauses or holds; they wait for the next slot.
	standBy
	// retry: the batch is tried again after its own backoff, and halved when its attempts are spent.
	retry
	// search: some id is bad; find it.
	search
	// abandon: the worker ends; the call may or may not have been applied.
	abandon
)

// verdict is what a call's answer means for the worker, the pacer, and the pairs.
type verdict struct {
	action  action
	outcome pace.Outcome
	// blame and failure are for ids that turn out bad (search), or for a batch whose attempts are spent (retry).
	blame   isolate.Blame
	failure tasks.Failure
	// answered says that DingTalk itself said so, as against a proxy's page or no answer at all.
	answered bool
	// attempts is how many tries a retry has; 0 means the configured number.
	attempts int
	request  string
}

// unknownAttempts is how often a batch is tried that is answered with a code in no table.
const unknownAttempts = 3

// judge is the one place where an answer of DingTalk becomes a decision.
func judge(reply dingtalk.Reply, err error, now time.Time) verdict {
	if err == nil {
		return verdict{action: settle, outcome: pace.Outcome{Kind: pace.Accepted}, request: reply.RequestID}
	}
	var e *dingtalk.Error
	if !errors.As(err, &e) {
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return verdict{action: abandon, outcome: pace.Outcome{Kind: pace.Unused}}
		}
		// Refused here, before anything was sent. Parts are validated, so this is a fault of ours; the pairs must not be
		// lost for it.
		return verdict{action: retry, attempts: unknownAttempts, outcome: pace.Outcome{Kind: pace.Unused},
			failure: tasks.Failure{Reason: tasks.ReasonBadRequest, ErrMsg: err.Error(), FailedAt: now}}
	}
	v := verdict{outcome: outcome.Of(e), request: e.RequestID, answered: e.HasErrCode, failure: tasks.Failure{ErrCode: e.ErrCode,
		SubCode: e.SubCode, ErrMsg: e.Said(), RequestID: e.RequestID, FailedAt: now}}
	switch class := e.Class; {
	case class == dingtalk.ClassBusy:
		v.action, v.failure.Reason = retry, tasks.ReasonBusy
	case class == dingtalk.ClassThrottled, class.Holds():
		v.action = standBy
	case class.BlamesRole():
		v.action, v.blame, v.failure.Reason = search, isolate.BlameRole, reasons[class]
	case class.BlamesUser():
		v.action, v.blame, v.failure.Reason = search, isolate.BlameUser, reasons[class]
	case class == dingtalk.ClassBadRequest:
		v.action, v.failure.Reason = search, tasks.ReasonBadRequest
	default:
		v.action, v.failure.Reason, v.attempts = retry, tasks.ReasonUnknown, unknownAttempts
	}
	return v
}

var reasons = map[dingtalk.Class]tasks.Reason{
	dingtalk.ClassInvalidRole: tasks.ReasonInvalidRole, dingtalk.ClassSystemRole: tasks.ReasonSystemRole,
	dingtalk.ClassInvalidUser: tasks.ReasonInvalidUser, dingtalk.ClassUserGone: tasks.ReasonUserGone,
	dingtalk.ClassUserOutOfScope: tasks.ReasonUserOutOfScope,
}
