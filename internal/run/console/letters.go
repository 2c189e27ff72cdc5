package console

import (
	"slices"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/deadletter"
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
	v.Page, v.Here, v.Title = page, "letters", texts.T("Not removed")
	return v.show("letters.html", 200)
}
