package console

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/hibiken/asynq"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/deadletter"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/producer"
	"github.com/unrole/unrole/internal/run/signin"
	"github.com/unrole/unrole/tasks"
)

const (
	maxForm = 64 << 10
	// mostWhy is the longest reason that goes into the audit, in characters.
	mostWhy = 500
)

// said are what acts come to, by the word that the page after them is asked with.
var said = map[string]texts.Text{
	"cancelled":       texts.T("Cancelled: what had not begun will not be removed."),
	"approved":        texts.T("Approved: the removal begins."),
	"retried":         texts.T("They are being tried again."),
	"discarded":       texts.T("Given up: they stay counted as not removed."),
	"none":            texts.T("There was nothing left to do: somebody was faster."),
	"submitted":       texts.T("Submitted."),
	"changed":         texts.T("The list was looked at again meanwhile: this is what would be removed now."),
	"restored":        texts.T("Submitted: what was taken is given back."),
	"restore-changed": texts.T("This has changed meanwhile: look again at what would be given back."),
	"existed":         texts.T("This was submitted already, once; nothing was done twice."),
}

// act serves a form that changes something, for those who may.
func (c *Console) act(least signin.Role, do func(v *visit) error) http.HandlerFunc {
	return c.page(func(v *visit) error {
		if v.Person.Role < least {
			return errMayNot
		}
		v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxForm)
		if err := v.r.ParseForm(); err != nil {
			return &problem{http.StatusBadRequest, texts.T("The form could not be read; go back and send it again.")}
		}
		return c.traced(v, do)
	})
}

// traced does something within a trace of its own.
func (c *Console) traced(v *visit, do func(v *visit) error) error {
	_, route, _ := strings.Cut(v.r.Pattern, " ")
	ctx, span := c.cfg.Trace.Request(v.r.Context(), v.r.Method, route, "")
	v.r = v.r.WithContext(ctx)
	err := do(v)
	var told *problem
	span.End(err != nil && !errors.As(err, &told))
	return err
}

var errMayNot = &problem{http.StatusForbidden, texts.T("You may look at this, and not change it. Whoever runs unrole gives the right to.")}

// operators shows a page only to those who may submit what it is about.
func (c *Console) operators(show func(v *visit) error) func(v *visit) error {
	return func(v *visit) error {
		if !v.Person.Operates() {
			return errMayNot
		}
		return show(v)
	}
}

// why is the reason that a form gives, which goes into the audit.
func (v *visit) why(must bool) (string, error) {
	why := strings.TrimSpace(v.r.PostFormValue("why"))
	switch {
	case why == "" && must:
		return "", &problem{http.StatusUnprocessableEntity, texts.T("Say why, for the records: go back and fill it in.")}
	case len([]rune(why)) > mostWhy:
		return "", &problem{http.StatusUnprocessableEntity, texts.T("The reason is longer than %d characters: go back and shorten it.", mostWhy)}
	}
	return why, nil
}

// done leads on to a page that says what an act came to.
func (v *visit) done(to, what string) error {
	v.redirect(to + "?done=" + url.QueryEscape(what))
	return nil
}

func (c *Console) cancel(v *visit) error {
	why, err := v.why(true)
	if err != nil {
		return err
	}
	id := v.r.PathValue("id")
	_, err = c.ledger.Cancel(v.r.Context(), id, v.Person.Name, why)
	var finished *ledger.FinishedError
	switch {
	case errors.As(err, &finished) && finished.Job.CancelledAt != nil:
	case errors.As(err, &finished):
		return v.done("/jobs/"+id, "none")
	case err != nil:
		return err
	}
	return v.done("/jobs/"+id, "cancelled")
}

func (c *Console) approve(v *visit) error {
	why, err := v.why(false)
	if err != nil {
		return err
	}
	id := v.r.PathValue("id")
	job, err := c.ledger.Get(v.r.Context(), id)
	if err != nil {
		return err
	}
	if job.OtherApproves && v.Person.Shared {
		return errNameless
	}
	job, err = c.ledger.Approve(v.r.Context(), id, v.Person.Name, why)
	var not *ledger.NotAwaitingError
	var same *ledger.SamePersonError
	switch {
	case errors.As(err, &same):
		return &problem{http.StatusForbidden, texts.T("You submitted this yourself: another person has to approve it.")}
	case errors.As(err, &not) && not.Job.ApprovedAt == nil:
		return v.done("/jobs/"+id, "none")
	case errors.As(err, &not):
		return v.done("/jobs/"+id, "approved")
	case err != nil:
		return err
	}
	if _, err := producer.Repair(v.r.Context(), c.ledger, c.cfg.Redis, asynq.NewClientFromRedisClient(c.cfg.Redis), job); err != nil {
		// It is approved; a worker enqueues what is missing within minutes.
		c.cfg.Log.Error().Err(err).Str("job", id).Msg("an approved job could not be enqueued at once")
	}
	return v.done("/jobs/"+id, "approved")
}

// errNameless is why nobody approves by a password that the submitter may have too.
var errNameless = &problem{http.StatusForbidden, texts.T("Another person has to approve this, and the shared password does not tell who you are: sign in by name. Whoever runs unrole makes that possible with UNROLE_UI_USERS_FILE.")}

// lettersChosen are the letters that a form is about: those of a job, or of all, for one reason or for any.
func (c *Console) lettersChosen(v *visit) (s *deadletter.Selection, back string, err error) {
	var f deadletter.Filter
	back = "/letters"
	if id := v.r.PathValue("id"); id != "" {
		f.JobIDs, back = []string{id}, "/jobs/"+id
	}
	if reason := tasks.Reason(v.r.PostFormValue("reason")); slices.Contains(tasks.Reasons(), reason) {
		f.Reasons = []tasks.Reason{reason}
	} else if reason != "" || f.JobIDs == nil {
		return nil, back, errNoPage // never all letters of all jobs at once
	}
	s, err = c.letters.Select(v.r.Context(), f)
	return s, back, err
}

func (c *Console) retry(v *visit) error {
	why, err := v.why(false)
	if err != nil {
		return err
	}
	s, back, err := c.lettersChosen(v)
	if err != nil {
		return err
	}
	if _, err := c.letters.WithoutCancelled(v.r.Context(), s); err != nil {
		return err
	}
	did, err := c.letters.Replay(v.r.Context(), s, deadletter.Order{By: v.Person.Name, Why: why})
	if err != nil {
		return err
	}
	return v.done(back, orNone(did, "retried"))
}

func (c *Console) discard(v *visit) error {
	why, err := v.why(true)
	if err != nil {
		return err
	}
	s, back, err := c.lettersChosen(v)
	if err != nil {
		return err
	}
	did, err := c.letters.Discard(v.r.Context(), s, deadletter.Order{By: v.Person.Name, Why: why})
	if err != nil {
		return err
	}
	return v.done(back, orNone(did, "discarded"))
}

func orNone(did deadletter.Done, what string) string {
	if did.Letters == 0 {
		return "none"
	}
	return what
}
