package console

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/record/deadletter"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/report"
	"github.com/unrole/unrole/tasks"
)

// lettersView is what the page of everything that was not removed shows.
type lettersView struct {
	lettersOf
	// Only is the reason that the page is about; empty is all.
	Only tasks.Reason
	// Moving counts the letters that are being tried again.
	Moving int64
}

// LettersOf are the letters, for the template.
func (l *lettersView) LettersOf() lettersOf { return l.lettersOf }

func (c *Console) lettersPage(v *visit) error {
	ctx := v.r.Context()
	page := &lettersView{}
	var f deadletter.Filter
	if only := tasks.Reason(v.r.URL.Query().Get("reason")); slices.Contains(tasks.Reasons(), only) {
		page.Only, f.Reasons = only, []tasks.Reason{only}
	}
	var err error
	if page.lettersOf, err = c.lettersOf(ctx, f); err != nil {
		return err
	}
	counts, err := c.letters.Counts(ctx)
	if err != nil {
		return err
	}
	page.Moving = int64(counts.InMotion())
	c.know(v, page.users())
	v.Page, v.Here, v.Title = page, "letters", texts.T("Not removed")
	return v.show("letters.html", 200)
}

// correct makes a list of what a dead letter stands for with another id in the place of the refused one.
func (c *Console) correct(v *visit) error {
	ctx := v.r.Context()
	l, err := c.letters.Get(ctx, v.r.PostFormValue("letter"))
	var gone *deadletter.NotFoundError
	if errors.As(err, &gone) {
		return v.done("/letters", "none")
	}
	if err != nil {
		return err
	}
	if l.Gives() {
		return &problem{http.StatusUnprocessableEntity, texts.T("This was to be given back; correct it with unrole jobs restore.")}
	}
	right := strings.TrimSpace(v.r.PostFormValue("right"))
	var role int64
	if report.AboutRole(l.Reason) {
		role, err = lists.ParseRoleID(right)
	} else {
		err = tasks.ValidateUserID(right)
	}
	if err != nil {
		return &problem{http.StatusUnprocessableEntity, texts.T("%v", err)}
	}
	rows := &lists.Kept{}
	l.EachPair(func(user string, was int64) {
		if role != 0 {
			was = role
		} else {
			user = right
		}
		rows.Add(lists.Row{Line: rows.Len() + 1, People: []lists.Person{{Text: user}}, Roles: []lists.Role{{ID: was}}})
	})
	if rows.Len() == 0 {
		return v.done("/letters", "none")
	}
	d := &draft{File: v.Say(texts.T("corrected from removal %s", l.JobID)), Why: reasonOf(c, v, l.JobID)}
	return c.preview(v, d, rows)
}

// reasonOf is the reason of the job that something is corrected from.
func reasonOf(c *Console, v *visit, jobID string) string {
	var job ledger.Job
	job, _ = c.ledger.Get(v.r.Context(), jobID) // without it the field is empty
	return job.Reason
}
