// Package outcome is the one table of what an answer of DingTalk means: a row per class, for everybody who acts on one.
package outcome

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/isolate"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/tasks"
)

// Action is what whoever made a call does next. The set is closed.
type Action uint8

const (
	// Retry: nothing is known of the call; it is made again after a backoff, until its attempts are spent. The zero value,
	// since it assumes the least.
	Retry Action = iota
	// Settle: what was asked is done.
	Settle
	// StandBy: nothing was said about what was asked. The fleet pauses or holds, and the call waits for the next slot.
	StandBy
	// Search: some id of the call is bad; find it.
	Search
	// Abandon: the caller ends; the call may or may not have been applied.
	Abandon
)

// Meaning is the row of a class.
type Meaning struct {
	Action Action
	// Blame is what a Search looks for, Reason why the ids that it finds become dead letters: those, or for Retry a batch
	// whose attempts are spent.
	Blame  isolate.Blame
	Reason tasks.Reason
	// Kind is what the fleet's pace learns, Hold why the fleet holds, if it does.
	Kind pace.AnswerKind
	Hold pace.HoldKind
	// Attempts is how many tries a Retry has; 0 is the configured number.
	Attempts int
	// Remedy is what somebody does who set unrole up and meets the answer.
	Remedy Remedy
}

// unknownAttempts is how often a call is tried that is answered with a code in no table.
const unknownAttempts = 3

var again = Remedy{Do: texts.T("try again; if it stays, look for what stands between here and DingTalk")}

var meanings = map[dingtalk.Class]Meaning{
	dingtalk.ClassOK:        {Action: Settle, Kind: pace.Accepted},
	dingtalk.ClassBusy:      {Action: Retry, Kind: pace.Busy, Reason: tasks.ReasonBusy, Remedy: again},
	dingtalk.ClassUnknown:   {Action: Retry, Kind: pace.Unknown, Reason: tasks.ReasonUnknown, Attempts: unknownAttempts, Remedy: again},
	dingtalk.ClassThrottled: {Action: StandBy, Kind: pace.Throttled, Remedy: Remedy{Do: texts.T("DingTalk throttles at this moment; try again later")}},

	dingtalk.ClassToken:        holds(pace.HoldToken),
	dingtalk.ClassCredentials:  holds(pace.HoldCredentials),
	dingtalk.ClassPermission:   holds(pace.HoldPermission),
	dingtalk.ClassIPNotAllowed: holds(pace.HoldIPNotAllowed),
	dingtalk.ClassDisabled:     holds(pace.HoldDisabled),
	dingtalk.ClassTokenNotSent: holds(pace.HoldTokenNotSent),

	dingtalk.ClassInvalidRole:    refuses(isolate.BlameRole, tasks.ReasonInvalidRole),
	dingtalk.ClassSystemRole:     refuses(isolate.BlameRole, tasks.ReasonSystemRole),
	dingtalk.ClassInvalidUser:    refuses(isolate.BlameUser, tasks.ReasonInvalidUser),
	dingtalk.ClassUserGone:       refuses(isolate.BlameUser, tasks.ReasonUserGone),
	dingtalk.ClassUserOutOfScope: refuses(isolate.BlameUser, tasks.ReasonUserOutOfScope),
	dingtalk.ClassBadRequest:     {Action: Search, Kind: pace.BadRequest, Blame: isolate.BlameAny, Reason: tasks.ReasonBadRequest, Remedy: again},
}

func holds(kind pace.HoldKind) Meaning {
	return Meaning{Action: StandBy, Kind: pace.Held, Hold: kind, Remedy: RemedyOf(kind)}
}

func refuses(blame isolate.Blame, why tasks.Reason) Meaning {
	return Meaning{Action: Search, Kind: pace.Refused, Blame: blame, Reason: why, Remedy: again}
}

// Of is what answers of the class mean.
func Of(class dingtalk.Class) Meaning { return meanings[class] }

// Decision is what one answer means.
type Decision struct {
	Meaning
	// Pace is what the fleet learns. How many ids or batches it established as bad is for the caller to add.
	Pace pace.Answer
	// Failure says what went wrong; its Reason is the Meaning's. Attempts and Queue are for the caller to add.
	Failure tasks.Failure
	// Answered says that DingTalk itself said so, as against a proxy's page or no answer at all.
	Answered  bool
	RequestID string
}

// Decide says what to do about a call that ended with reply and err.
func Decide(reply dingtalk.Reply, err error, now time.Time) Decision {
	var e *dingtalk.Error
	switch {
	case err == nil:
		return Decision{Meaning: Of(dingtalk.ClassOK), Pace: pace.Answer{Kind: pace.Accepted}, Answered: true, RequestID: reply.RequestID}
	case errors.As(err, &e):
		d := Decision{Meaning: Of(e.Class), Answered: e.HasErrCode, RequestID: e.RequestID, Failure: tasks.Failure{
			ErrCode: e.ErrCode, SubCode: e.SubCode, ErrMsg: e.Said(), RequestID: e.RequestID, FailedAt: now}}
		if e.Limit == dingtalk.LimitQuota {
			d.Kind, d.Hold, d.Remedy = pace.Held, pace.HoldQuota, RemedyOf(pace.HoldQuota)
		}
		d.Failure.Reason = d.Reason
		d.Pace = paceOf(d.Meaning, e)
		return d
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return Decision{Meaning: Meaning{Action: Abandon}, Pace: pace.Answer{Kind: pace.Unused}}
	default:
		// Refused here, before anything was sent. Parts are validated, so this is a fault of ours; the pairs must not be
		// lost for it.
		return Decision{Meaning: Meaning{Action: Retry, Reason: tasks.ReasonBadRequest, Attempts: unknownAttempts},
			Pace: pace.Answer{Kind: pace.Unused}, Failure: tasks.Failure{Reason: tasks.ReasonBadRequest, ErrMsg: err.Error(), FailedAt: now}}
	}
}

// paceOf is what the fleet learns from the error. A pause whose length DingTalk names or documents is kept as it is; one that
// is assumed grows while it is refused again.
func paceOf(m Meaning, e *dingtalk.Error) pace.Answer {
	switch m.Kind {
	case pace.Held:
		return pace.Answer{Kind: pace.Held, Hold: &pace.HoldReason{Kind: m.Hold, Message: e.Said(), Named: e.Named}}
	case pace.Throttled:
		limit := e.Limit
		if limit == dingtalk.LimitNone {
			limit = dingtalk.LimitWide
		}
		why := e.Code()
		if !e.HasErrCode && e.HTTPStatus == http.StatusOK {
			// No code of DingTalk's says it: whoever watches has to see what came instead.
			why = e.Said()
		}
		return pace.Answer{Kind: pace.Throttled, Limit: pace.Limit(limit.String()), Pause: e.Wait, Why: why,
			Grow: limit != dingtalk.LimitAPI && limit != dingtalk.LimitIPBan}
	}
	return pace.Answer{Kind: m.Kind}
}
