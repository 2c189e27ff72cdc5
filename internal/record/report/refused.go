package report

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// RefusedID is all dead pairs of one id for one reason, with what DingTalk said about the first of them.
type RefusedID struct {
	Reason tasks.Reason
	// ID is the user or role that the reason is about: IsRole says which.
	ID     string
	IsRole bool
	// Code is DingTalk's code with its sub-code, or empty where none came.
	Code              string
	ErrMsg, RequestID string
	Pairs             int64
	Attempts          int
	At                time.Time
}

// Subject is "user user100" or "role 1507113578".
func (r *RefusedID) Subject() texts.Text { return Subject(r.IsRole, r.ID) }

// Subject names a role or a user.
func Subject(isRole bool, id string) texts.Text {
	if isRole {
		return texts.T("role %s", id)
	}
	return texts.T("user %s", id)
}

// AboutRole reports whether the reason is about the role of a pair, not about its user.
func AboutRole(r tasks.Reason) bool {
	return r == tasks.ReasonInvalidRole || r == tasks.ReasonSystemRole
}

// refused are dead pairs by reason and id.
type refused map[refusedKey]*RefusedID

type refusedKey struct {
	reason tasks.Reason
	id     string
}

// add takes a row in, if it is that of a dead pair.
func (all refused) add(r ledger.Row) {
	o := r.Outcome
	if o.Kind != ledger.Dead {
		return
	}
	k := refusedKey{o.Reason, r.UserID}
	if AboutRole(o.Reason) {
		k.id = strconv.FormatInt(r.RoleID, 10)
	}
	id := all[k]
	if id == nil {
		id = &RefusedID{Reason: o.Reason, ID: k.id, IsRole: AboutRole(o.Reason), Code: CodeText(o.ErrCode, o.SubCode), ErrMsg: o.ErrMsg, RequestID: o.RequestID,
			Attempts: o.Attempts, At: o.At}
		all[k] = id
	}
	id.Pairs++
}

func (all refused) sorted() []*RefusedID {
	return slices.SortedFunc(maps.Values(all), func(a, b *RefusedID) int {
		return cmp.Or(cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.ID, b.ID))
	})
}

// Refused lists the ids that DingTalk refused in a job, by reason and id.
func Refused(ctx context.Context, l *ledger.Ledger, jobID string) ([]*RefusedID, error) {
	found := refused{}
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
