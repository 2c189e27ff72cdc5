package outcome

import (
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/out/pace"
)

// Remedy is what an operator does, and what follows then; Then may be empty.
type Remedy struct{ Do, Then texts.Text }

// In is the remedy on one line, in a language.
func (r Remedy) In(l texts.Lang) string {
	if r.Then.In(l) == "" {
		return r.Do.In(l)
	}
	return texts.T("%s; %s", r.Do, r.Then).In(l)
}

// String is the remedy on one line.
func (r Remedy) String() string { return r.In(texts.English) }

var (
	byThemselves = texts.T("the workers go on by themselves")
	restart      = texts.T("then restart the workers")
	clearHold    = texts.T("then unrole status --clear-hold")
)

var remedies = map[pace.HoldKind]Remedy{
	pace.HoldCredentials:  {texts.T("correct DINGTALK_APP_KEY and DINGTALK_APP_SECRET"), restart},
	pace.HoldPermission:   {texts.T("grant the permission in DingTalk's developer console"), byThemselves},
	pace.HoldIPNotAllowed: {texts.T("add the address to the app's IP white list"), byThemselves},
	pace.HoldDisabled:     {texts.T("enable the app in DingTalk's developer console"), byThemselves},
	pace.HoldToken:        {texts.T("check the app's credentials, or give a new DINGTALK_ACCESS_TOKEN"), restart},
	pace.HoldTokenNotSent: {texts.T("look for a proxy that strips the query of requests"), texts.T("otherwise report a bug")},
	pace.HoldBadRequests: {texts.T("DingTalk takes the form of no call: look at the dead letters' codes and report a bug"),
		texts.T("the workers probe by themselves")},
	pace.HoldQuota: {texts.T("buy quota or wait for the next month"), clearHold},
	pace.HoldEverythingRefused: {texts.T("check that the credentials are those of the right organisation"),
		texts.T("if the ids really are all bad, unrole status --confirm-refusals")},
	pace.HoldAudit: {texts.T("make the audit file writable again"), clearHold},
}

// RemedyOf is what ends a hold.
func RemedyOf(kind pace.HoldKind) Remedy {
	if r, known := remedies[kind]; known {
		return r
	}
	return Remedy{texts.T("see the log of a worker"), byThemselves}
}
