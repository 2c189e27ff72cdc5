package restore

import (
	"strconv"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/base/words"
	"github.com/unrole/unrole/tasks"
)

// NoSnapshotError says that nobody looked who held the roles before the job took them; JobID is empty where a report was asked.
type NoSnapshotError struct{ JobID string }

func (e *NoSnapshotError) Error() string { return e.Unwrap().Error() }

// Unwrap is its text, which can be said in other languages.
func (e *NoSnapshotError) Unwrap() error {
	if e.JobID == "" {
		return texts.T("the report does not say who held the roles before and with which management scopes: nobody looked before they were taken, or an older version wrote it")
	}
	return texts.T("job %s has no snapshot: it was submitted without a preflight, and nobody knows which of the roles were held before", e.JobID)
}

// NothingError says that nothing of the wish can be given back; Plan says why.
type NothingError struct{ Plan *Plan }

func (e *NothingError) Error() string { return e.Unwrap().Error() }

// Unwrap is its text, which can be said in other languages.
func (e *NothingError) Unwrap() error {
	p := e.Plan
	why := texts.T("it removed nothing of what is asked for")
	switch {
	case len(p.Later) > 0:
		why = texts.T("a later job removed %s/%s again (%s), and %d pairs in all", p.Later[0].UserID, strconv.FormatInt(p.Later[0].RoleID, 10), p.Later[0].JobID, len(p.Later))
	case p.Back > 0:
		why = texts.T("job %s gave it back, or is giving it back", p.BackBy)
	case len(p.TooWide) > 0:
		why = texts.T("the management scopes are of more than %d departments, which DingTalk does not take", tasks.MaxDepartments)
	}
	if p.Job.JobID == "" {
		return texts.T("nothing of the report is to be given back: %s", why)
	}
	return texts.T("nothing of job %s is to be given back: %s", p.Job.JobID, why)
}

// RestoreError says that a job gave roles back, so that it took none.
type RestoreError struct{ JobID string }

func (e *RestoreError) Error() string { return e.Unwrap().Error() }

// Unwrap is its text, which can be said in other languages.
func (e *RestoreError) Unwrap() error {
	return texts.T("job %s gave roles back, it took none: to take them again, submit a removal", e.JobID)
}

// StrangersError names users and roles of a wish that its job is not about; JobID is empty where its report took nothing of theirs.
type StrangersError struct {
	JobID string
	Users []string
	Roles []int64
}

func (e *StrangersError) Error() string { return e.Unwrap().Error() }

// Unwrap is its text, which can be said in other languages.
func (e *StrangersError) Unwrap() error {
	user := func(id string) texts.Text { return texts.T("job %s is not about user %s", e.JobID, id) }
	role := func(id string) texts.Text { return texts.T("job %s is not about role %s", e.JobID, id) }
	if e.JobID == "" {
		user = func(id string) texts.Text { return texts.T("by the report, nothing was taken from user %s", id) }
		role = func(id string) texts.Text { return texts.T("by the report, role %s was taken from nobody", id) }
	}
	var all []texts.Text
	for _, id := range e.Users {
		all = append(all, user(id))
	}
	for _, id := range words.RoleIDs(e.Roles) {
		all = append(all, role(id))
	}
	return texts.Lines(all)
}
