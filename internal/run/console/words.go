package console

import (
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/snapshot"
	"github.com/unrole/unrole/tasks"
)

// stateOf is what a job does, in words, and the class by which it is coloured.
func stateOf(j ledger.Job) (texts.Text, string) {
	switch {
	case j.Awaiting == ledger.AwaitingLastLook:
		return texts.T("scheduled"), "wait"
	case j.Awaiting != "":
		return texts.T("waits for approval"), "ask"
	case j.State == ledger.StateSubmitting:
		return texts.T("being submitted"), "run"
	case j.State == ledger.StateResolving:
		return texts.T("people and roles are being looked up"), "run"
	case j.State == ledger.StateRefused:
		return texts.T("refused, nothing removed"), "bad"
	case j.State == ledger.StateScheduled:
		return texts.T("scheduled"), "wait"
	case j.State == ledger.StateRunning && j.CancelledAt != nil:
		return texts.T("being cancelled"), "run"
	case j.State == ledger.StateRunning:
		return texts.T("running"), "run"
	case j.State == ledger.StateCompletedWithDeadLetter && j.Action == tasks.Add:
		return texts.T("done, some not given back"), "bad"
	case j.State == ledger.StateCompletedWithDeadLetter:
		return texts.T("done, some not removed"), "bad"
	case j.State == ledger.StateCancelled:
		return texts.T("cancelled"), "off"
	}
	return texts.T("done"), "good"
}

// laneOf names a lane.
func laneOf(lane string) texts.Text {
	switch lane {
	case tasks.QueueUrgent:
		return texts.T("urgent")
	case tasks.QueueBulk:
		return texts.T("in bulk, when nothing else waits")
	}
	return texts.T("normal")
}

// whyHeld says why nobody calls DingTalk.
func whyHeld(kind pace.HoldKind) texts.Text {
	if why, known := holds[kind]; known {
		return why
	}
	return texts.T("DingTalk takes no call")
}

var holds = map[pace.HoldKind]texts.Text{
	pace.HoldCredentials:       texts.T("DingTalk does not accept the app's key and secret"),
	pace.HoldPermission:        texts.T("the app lacks a permission"),
	pace.HoldIPNotAllowed:      texts.T("DingTalk does not let this address in"),
	pace.HoldDisabled:          texts.T("the app is disabled"),
	pace.HoldToken:             texts.T("DingTalk does not accept the access token"),
	pace.HoldTokenNotSent:      texts.T("the access token does not arrive at DingTalk"),
	pace.HoldBadRequests:       texts.T("DingTalk takes the form of no call"),
	pace.HoldQuota:             texts.T("the month's quota of calls is used up"),
	pace.HoldEverythingRefused: texts.T("hundreds of ids were refused and none was accepted: these may be the credentials of another organisation"),
	pace.HoldAudit:             texts.T("the audit file cannot be written"),
}

// hintsOf says what can be done about rows that mean nothing for certain, where the rows themselves do not say it.
func hintsOf(reasons map[snapshot.Reason]bool) (hints []texts.Text) {
	if reasons[snapshot.Administrator] {
		hints = append(hints, texts.T("Administrators are not touched from here: take the role away in DingTalk's administration console, or ask whoever runs unrole."))
	}
	if reasons[snapshot.UnknownRole] {
		hints = append(hints, texts.T("Write roles as DingTalk's administration console shows them (Contacts, Roles): the name, GROUP/NAME, or the id."))
	}
	return hints
}
