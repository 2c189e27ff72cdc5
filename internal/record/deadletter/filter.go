package deadletter

import (
	"slices"
	"strings"
	"time"

	"github.com/unrole/unrole/tasks"
)

// Filter chooses letters: those that match one value of every list that is not empty. The zero Filter chooses all.
// A letter is taken whole: one that holds a user among others is chosen with the others.
type Filter struct {
	JobIDs  []string
	Reasons []tasks.Reason
	UserIDs []string
	RoleIDs []int64
	// Before chooses what was set apart before that time; zero means any time.
	Before time.Time
}

// All reports whether the filter chooses all letters.
func (f Filter) All() bool {
	return len(f.JobIDs)+len(f.Reasons)+len(f.UserIDs)+len(f.RoleIDs) == 0 && f.Before.IsZero()
}

func (f Filter) matches(l *Letter) bool {
	return (len(f.JobIDs) == 0 || slices.Contains(f.JobIDs, l.JobID)) &&
		(len(f.Reasons) == 0 || slices.Contains(f.Reasons, l.Reason)) &&
		(len(f.UserIDs) == 0 || slices.ContainsFunc(f.UserIDs, func(id string) bool { return slices.Contains(l.UserIDs, id) })) &&
		(len(f.RoleIDs) == 0 || slices.ContainsFunc(f.RoleIDs, func(id int64) bool { return slices.Contains(l.RoleIDs, id) })) &&
		(f.Before.IsZero() || l.FailedAt.Before(f.Before))
}

// mayMatch decides by the id alone, so that the letters of one job are found among those of many without reading all.
func (f Filter) mayMatch(id string) bool {
	if len(f.JobIDs) == 0 {
		return true
	}
	jobID, _, ok := tasks.SplitTaskID(id)
	return !ok || slices.Contains(f.JobIDs, jobID)
}

// compareIDs orders letters by job and, within a job, as its parts were planned: 2 before 10.
func compareIDs(a, b string) int {
	for a != "" && b != "" {
		da, db := digits(a), digits(b)
		if da == "" || db == "" {
			if a[0] != b[0] {
				return int(a[0]) - int(b[0])
			}
			a, b = a[1:], b[1:]
			continue
		}
		na, nb := strings.TrimLeft(da, "0"), strings.TrimLeft(db, "0")
		if len(na) != len(nb) {
			return len(na) - len(nb)
		}
		if na != nb {
			return strings.Compare(na, nb)
		}
		if len(da) != len(db) {
			return len(da) - len(db)
		}
		a, b = a[len(da):], b[len(db):]
	}
	return len(a) - len(b)
}

// digits are those that s begins with.
func digits(s string) string {
	return s[:len(s)-len(strings.TrimLeft(s, "0123456789"))]
}
