package console

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/snapshot"
	"github.com/unrole/unrole/tasks"
)

// confirm submits what a preview showed. The id of the job was made with the preview, so that a second click, a reload or
// another tab submits nothing twice.
func (c *Console) confirm(v *visit) error {
	// Whoever closes the tab has confirmed: a submission is not torn by it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.r.Context()), time.Minute)
	defer cancel()
	v.r = v.r.WithContext(ctx)
	id := v.r.PathValue("id")
	why, err := v.why(true)
	if err != nil {
		return err
	}
	at, err := timeOf(v.r.PostFormValue("at"), v.r.PostFormValue("at_exact"))
	if err != nil {
		return err
	}
	lane := v.r.PostFormValue("lane")
	if lane != "" && !tasks.IsLane(lane) {
		return &problem{http.StatusUnprocessableEntity, texts.T("“%s” is no urgency that there is: go back and choose one.", lane)}
	}
	d, err := c.draft(v, id, filePlan, fileSnapshot)
	var ended *draftEndedError
	if errors.As(err, &ended) {
		if _, err := c.ledger.Get(ctx, id); err == nil {
			return v.done("/jobs/"+id, "existed")
		}
	}
	if err != nil {
		return err
	}
	if !d.Ready || v.r.PostFormValue("turn") != strconv.Itoa(d.Turn) {
		return v.done("/removals/"+id, "changed")
	}
	if d.Blocked != "" || d.Pairs == 0 {
		v.redirect("/removals/" + id)
		return nil
	}
	for _, word := range d.words() {
		if !slices.Contains(v.r.PostForm["sure"], word) {
			return &problem{http.StatusUnprocessableEntity, texts.T("Go back and tick that this is meant: it concerns many people, many holders of a role, or leaves rows out.")}
		}
	}
	removals, parts, _, err := enqueue.ReadPlan(bytes.NewReader(d.files[filePlan]), id)
	if err != nil {
		return err
	}
	var seen *enqueue.Snapshot
	if packed := d.files[fileSnapshot]; packed != nil {
		if seen, err = snapshot.Decode(packed); err != nil {
			return err
		}
	}
	source := strings.TrimSpace(v.r.PostFormValue("source"))
	if source == "" {
		source = "console"
	}
	s := enqueue.Submission{JobID: id, Removals: removals, Plan: parts, Source: source, Reason: why, Priority: lane, At: at,
		SubmittedBy: v.Person.Name, MaxUsers: -1, Simulated: c.cfg.Simulated, Snapshot: seen}
	done, err := c.submit(ctx, s)
	var taken *enqueue.ConflictError
	switch {
	case errors.As(err, &taken):
		return v.done("/jobs/"+id, "existed") // confirmed before, for another time
	case err != nil:
		return err
	}
	c.forget(ctx, id)
	if done.Existed {
		return v.done("/jobs/"+id, "existed")
	}
	return v.done("/jobs/"+id, "submitted")
}

// submit submits what somebody has confirmed. It waits for another person where it concerns so many people, or the submitter's day has.
func (c *Console) submit(ctx context.Context, s enqueue.Submission) (enqueue.Submitted, error) {
	// The day's users are counted by person: the source is whatever they type.
	wait, _, err := c.ledger.MustWait(ctx, s.JobID, "console:"+s.SubmittedBy, s.Removals.Users(), c.cfg.MaxUsersPerDay)
	if err != nil {
		return enqueue.Submitted{}, err
	}
	if wait || c.approvalAbove(len(s.Removals.Users())) {
		s.AwaitApproval, s.OtherApproves = true, true
	}
	done, err := c.client.Submit(ctx, s)
	var protected *enqueue.ProtectedError
	if errors.As(err, &protected) {
		return done, &problem{http.StatusUnprocessableEntity, texts.T("%v", err)}
	}
	return done, err
}

// timeOf reads when a removal begins: exactly, as the page's script says it, else as it was typed, in the zone of this machine.
func timeOf(typed, exact string) (time.Time, error) {
	if typed == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, exact)
	if err != nil {
		at, err = time.ParseInLocation("2006-01-02T15:04", typed, time.Local)
	}
	if err != nil || at.Year() > 2200 {
		return at, &problem{http.StatusUnprocessableEntity, texts.T("“%s” is no time: go back and enter day and hour.", typed)}
	}
	return at.Truncate(time.Second), nil
}
