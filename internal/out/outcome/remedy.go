package outcome

import "github.com/unrole/unrole/internal/out/pace"

// Remedy is what an operator does, and what follows then; Then may be empty.
type Remedy struct{ Do, Then string }

// String is the remedy on one line.
func (r Remedy) String() string {
	if r.Then == "" {
		return r.Do
	}
	return r.Do + "; " + r.Then
}

const (
	byThemselves = "the workers go on by themselves"
	restart      = "then restart the workers"
	clearHold    = "then unrole status --clear-hold"
)

var remedies = map[pace.HoldKind]Remedy{
	pace.HoldCredentials:  {"correct DINGTALK_APP_KEY and DINGTALK_APP_SECRET", restart},
	pace.HoldPermission:   {"grant the permission in DingTalk's developer console", byThemselves},
	pace.HoldIPNotAllowed: {"add the address to the app's IP white list", byThemselves},
	pace.HoldDisabled:     {"enable the app in DingTalk's developer console", byThemselves},
	pace.HoldToken:        {"check the app's credentials, or give a new DINGTALK_ACCESS_TOKEN", restart},
	pace.HoldTokenNotSent: {"look for a proxy that strips the query of requests", "otherwise report a bug"},
	pace.HoldBadRequests: {"DingTalk takes the form of no call: look at the dead letters' codes and report a bug",
		"the workers probe by themselves"},
	pace.HoldQuota: {"buy quota or wait for the next month", clearHold},
	pace.HoldEverythingRefused: {"check that the credentials are those of the right organisation",
		"if the ids really are all bad, unrole status --confirm-refusals"},
	pace.HoldAudit: {"make the audit file writable again", clearHold},
}

// RemedyOf is what ends a hold.
func RemedyOf(kind pace.HoldKind) Remedy {
	if r, known := remedies[kind]; known {
		return r
	}
	return Remedy{Do: "see the log of a worker"}
}
