package report

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// Letter is all dead pairs of one id for one reason, with what DingTalk said about the first of them.
type Letter struct {
	Reason tasks.Reason
	// ID is the user or role that the reason is about, as "user user100" or "role 1507113578".
	ID string
	// Code is DingTalk's code with its sub-code, or empty where none came.
	Code              string
	ErrMsg, RequestID string
	Pairs             int64
	Attempts          int
	At                time.Time
}

// Means says in words what the reason means.
func (l *Letter) Means() string { return meaning(l.Reason) }

// letters are dead pairs by reason and id.
type letters map[letterKey]*Letter

type letterKey struct {
	reason tasks.Reason
	id     string
}

// add takes a row in, if it is that of a dead pair.
func (l letters) add(r ledger.Row) {
	o := r.Outcome
	if o.Kind != ledger.Dead {
		return
	}
	k := letterKey{o.Reason, "user " + r.UserID}
	if o.Reason == tasks.ReasonInvalidRole || o.Reason == tasks.ReasonSystemRole {
		k.id = "role " + strconv.FormatInt(r.RoleID, 10)
	}
	letter := l[k]
	if letter == nil {
		letter = &Letter{Reason: o.Reason, ID: k.id, Code: CodeText(o.ErrCode, o.SubCode), ErrMsg: o.ErrMsg, RequestID: o.RequestID,
			Attempts: o.Attempts, At: o.At}
		l[k] = letter
	}
	letter.Pairs++
}

func (l letters) sorted() []*Letter {
	return slices.SortedFunc(maps.Values(l), func(a, b *Letter) int {
		return cmp.Or(cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.ID, b.ID))
	})
}

// Letters lists the dead letters of a job, by reason and id.
func Letters(ctx context.Context, l *ledger.Ledger, jobID string) ([]*Letter, error) {
	found := letters{}
	err := l.Rows(ctx, jobID, func(r ledger.Row) error {
		found.add(r)
		return nil
	})
	return found.sorted(), err
}

// CodeText is the code that decided: DingTalk's, with its sub-code where it has one, or nothing where none came.
func CodeText(errCode int, subCode string) string {
	switch {
	case subCode != "":
		return strconv.Itoa(errCode) + "/" + subCode
	case errCode == 0:
		return ""
	}
	return strconv.Itoa(errCode)
}

// meaning says in words what a reason of a dead letter means; unknown reasons are returned with spaces.
func meaning(r tasks.Reason) string {
	if m, ok := meanings[r]; ok {
		return m
	}
	return strings.ReplaceAll(string(r), "_", " ")
}

var meanings = map[tasks.Reason]string{
	tasks.ReasonInvalidRole:    "DingTalk knows no such role",
	tasks.ReasonSystemRole:     "a default or system role, which DingTalk does not let anybody remove",
	tasks.ReasonInvalidUser:    "DingTalk knows no such user",
	tasks.ReasonUserGone:       "the user left, or belongs to another organisation",
	tasks.ReasonUserOutOfScope: "the user is outside the app's contact scope",
	tasks.ReasonBusy:           "DingTalk was too busy at every attempt",
	tasks.ReasonBadRequest:     "DingTalk does not take a call with this id",
	tasks.ReasonUnknown:        "DingTalk answered with a code that nobody has documented",
	tasks.ReasonBadPayload:     "the task could not be read",
	tasks.ReasonProtected:      "the id is protected here: it is never called",
	tasks.ReasonCrashed:        "the task took its worker down, or was archived by hand",
}
