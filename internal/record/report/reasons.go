package report

import (
	"strings"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/snapshot"
	"github.com/unrole/unrole/tasks"
)

// reasons is, of each reason of a dead letter, what it means and what helps.
var reasons = map[tasks.Reason]struct{ means, remedy texts.Text }{
	tasks.ReasonInvalidRole: {texts.T("DingTalk knows no such role"),
		texts.T("look the role up in DingTalk's console, correct the id and submit these rows again; nothing to do if the role was deleted")},
	tasks.ReasonSystemRole: {texts.T("a default or system role, which nobody can remove"),
		texts.T("take the role off the list; administrators are changed in DingTalk's console")},
	tasks.ReasonInvalidUser: {texts.T("DingTalk knows no such user"),
		texts.T("look the person up in DingTalk's console (a staff number is no user id), correct the id and submit these rows again")},
	tasks.ReasonUserGone: {texts.T("the user left, or belongs to another organisation"),
		texts.T("mostly nothing: who left holds no roles")},
	tasks.ReasonUserOutOfScope: {texts.T("the user is outside the app's contact scope"),
		texts.T("widen the app's contact scope in DingTalk's developer console, then try again")},
	tasks.ReasonBusy: {texts.T("DingTalk was too busy at every attempt"),
		texts.T("try again later")},
	tasks.ReasonBadRequest: {texts.T("DingTalk does not take a call with this id"),
		texts.T("look the code up in DingTalk's documentation, correct the row and submit it again")},
	tasks.ReasonUnknown: {texts.T("DingTalk answered with a code that is not documented"),
		texts.T("look the code up in DingTalk's documentation, then try again")},
	tasks.ReasonBadPayload: {texts.T("the task could not be read"),
		texts.T("update the workers if a newer program submitted it, then try again; else give it up")},
	tasks.ReasonProtected: {texts.T("the id is protected here and is never touched"),
		texts.T("take it off the list, or off the protected ids if it is really meant")},
	tasks.ReasonCrashed: {texts.T("the task took its worker down, or was archived by hand"),
		texts.T("look into the worker's log, update unrole, then try again")},
}

// Means says in words what a reason means, and Remedy what helps.
func Means(r tasks.Reason) texts.Text {
	if known, ok := reasons[r]; ok {
		return known.means
	}
	return texts.T("%s", strings.ReplaceAll(string(r), "_", " "))
}

func Remedy(r tasks.Reason) texts.Text { return reasons[r].remedy }

// told says in words what became of a pair, that of a restore or of a removal, and what is to be done about it.
func told(o ledger.Outcome, restore bool) (became, todo texts.Text) {
	switch o.Kind {
	case ledger.Removed:
		return texts.T("removed"), texts.Text{}
	case ledger.Restored:
		return texts.T("given back"), texts.Text{}
	case ledger.Dead:
		if restore {
			return texts.T("not given back: %s", Means(o.Reason)), Remedy(o.Reason)
		}
		return texts.T("not removed: %s", Means(o.Reason)), Remedy(o.Reason)
	case ledger.Cancelled:
		if o.ErrMsg != "" {
			return texts.T("cancelled: %s", o.ErrMsg), texts.Text{}
		}
		return texts.T("cancelled"), texts.Text{}
	case NotHeld:
		return texts.T("was not held when DingTalk was looked at: nothing was sent"), texts.Text{}
	case Unresolved:
		switch snapshot.Reason(o.Reason) {
		case "", snapshot.Unknown, snapshot.Ambiguous:
			todo = texts.T("say who is meant by the user id, and submit the row again")
		}
		if o.ErrMsg == "" {
			return texts.T("the row names nobody for certain: nothing was sent"), todo
		}
		return texts.T("nothing was sent: %s", o.ErrMsg), todo
	}
	if restore {
		return texts.T("not done yet"), texts.T("ask again later; give back again what is then still missing")
	}
	return texts.T("not done yet"), texts.T("submit the same list again if it does not go on: what is done stays done")
}
