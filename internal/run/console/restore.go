package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/in/restore"
	"github.com/unrole/unrole/tasks"
)

// restoreView is what the page before a restore shows.
type restoreView struct {
	Job jobLine
	// Wish is what is asked for, People and Roles as they were typed.
	Wish          restore.Wish
	People, Roles string
	// Plan is nil where nothing can be given back: Why says why. NoSnapshot offers to give back what DingTalk said it removed.
	Plan       *restore.Plan
	Why        string
	NoSnapshot bool
	// As is the id that the restore will have, Digest names what was shown.
	As, Digest          string
	Pairs, Users, Calls int64
	Takes               time.Duration
	// Scoped pairs get their management scopes back; Again, Wide, Back and Kept count those that are not given back, see the plan.
	Scoped, Again, Wide, Back, Kept int64
	Sample                          []sampleRow
	Later                           []restore.Later
	Guarded, Approval               bool
}

// MoreUsers is how many people are not named.
func (r *restoreView) MoreUsers() int64 { return r.Users - int64(len(r.Sample)) }

// MoreLater is how many pairs that a later removal took again are not named.
func (r *restoreView) MoreLater() int { return len(r.Plan.Later) - len(r.Later) }

// wishOf reads what somebody wants back; get is of the address or of a form.
func wishOf(jobID string, get func(string) string) (restore.Wish, error) {
	split := func(r rune) bool { return strings.ContainsRune(" ,;，；、\t\n", r) }
	w := restore.Wish{JobID: jobID, Users: strings.FieldsFunc(get("people"), split), FromRemoved: get("from_removed") != "", EvenLater: get("even_later") != ""}
	if len(w.Users) == 0 {
		w.Users = nil
	}
	for _, text := range strings.FieldsFunc(get("roles"), split) {
		id, err := lists.ParseRoleID(text)
		if err != nil {
			return w, &problem{http.StatusUnprocessableEntity, texts.T("%v", err)}
		}
		w.Roles = append(w.Roles, id)
	}
	return w, nil
}

// restorePage shows what would be given back, and what not and why. It changes nothing.
func (c *Console) restorePage(v *visit) error {
	ctx := v.r.Context()
	q := v.r.URL.Query()
	wish, err := wishOf(v.r.PathValue("id"), q.Get)
	if err != nil {
		return err
	}
	job, err := c.ledger.Get(ctx, wish.JobID)
	if err != nil {
		return err
	}
	page := &restoreView{Job: line(job), Wish: wish, People: q.Get("people"), Roles: q.Get("roles"), As: tasks.NewJobID(time.Now())}
	plan, err := restore.Of(ctx, c.ledger, wish)
	var unseen *restore.NoSnapshotError
	var nothing *restore.NothingError
	var strangers *restore.StrangersError
	var gives *restore.RestoreError
	switch {
	case errors.As(err, &unseen):
		page.NoSnapshot = true
	case errors.As(err, &nothing), errors.As(err, &strangers), errors.As(err, &gives):
		page.Why = texts.Say(v.Lang, err)
		if nothing != nil {
			page.Why = whyNothing(nothing).In(v.Lang)
		}
	case err != nil:
		return err
	default:
		if err := c.fillRestore(v, page, plan); err != nil {
			return err
		}
		if c.cfg.Protected != nil {
			if err := plan.Removals.CheckProtected(c.cfg.Protected); err != nil {
				page.Why, page.Plan = texts.Say(v.Lang, err), nil
			}
		}
	}
	v.Page, v.Here, v.Title = page, "jobs", texts.T("Give back")
	return v.show("restore.html", http.StatusOK)
}

func (c *Console) fillRestore(v *visit, page *restoreView, plan *restore.Plan) error {
	status, err := c.cfg.Pacer.Status(v.r.Context())
	if err != nil {
		return err
	}
	r := plan.Removals
	page.Plan, page.Digest = plan, r.Digest()
	page.Pairs, page.Users, page.Calls = int64(r.Pairs()), int64(len(r.Users())), int64(plan.Calls())
	page.Takes = time.Duration(float64(page.Calls) / status.Ceiling * float64(time.Second))
	page.Scoped, page.Again, page.Wide = int64(len(plan.Scopes)), int64(len(plan.Later)), int64(len(plan.TooWide))
	page.Back, page.Kept = int64(plan.Back), int64(plan.Kept)
	page.Later = plan.Later[:min(mostNamed, len(plan.Later))]
	page.Guarded, page.Approval = page.Users > enqueue.DefaultMaxUsers, c.approvalAbove(len(r.Users()))
	shown := slices.Clone(r.Users()[:min(len(r.Users()), mostSample)])
	people := slices.Clone(shown)
	for _, again := range page.Later {
		people = append(people, again.UserID)
	}
	for _, wide := range plan.TooWide {
		people = append(people, wide.UserID)
	}
	c.know(v, people[:min(len(people), peoplePerPage)])
	for i, user := range shown {
		page.Sample = append(page.Sample, sampleRow{User: user, Name: v.Known.Person(user),
			Roles: sampleRoles(r, i, func(id int64) string { return v.Known.Role(strconv.FormatInt(id, 10)) })})
	}
	return nil
}

// whyNothing says why nothing can be given back.
func whyNothing(e *restore.NothingError) texts.Text {
	switch p := e.Plan; {
	case len(p.Later) > 0:
		return texts.T("What is not given back already was taken again by a later removal, %s. Tick below to give that back, too.", p.Later[0].JobID)
	case p.Back > 0:
		return texts.T("It was given back already by %s, or is being given back.", p.BackBy)
	case len(p.TooWide) > 0:
		return texts.T("The management scopes are of more than %d departments, which DingTalk does not take back: grant them in DingTalk's administration console.", tasks.MaxDepartments)
	}
	return texts.T("Nothing of what is asked for was taken.")
}

// restore submits what the page showed. The id of the job was made with the page: a second click, a reload or another tab
// gives nothing back twice. What has changed meanwhile is shown before it is done.
func (c *Console) restore(v *visit) error {
	// Whoever closes the tab has confirmed: a submission is not torn by it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.r.Context()), time.Minute)
	defer cancel()
	form := v.r.PostFormValue
	id := v.r.PathValue("id")
	wish, err := wishOf(id, form)
	if err != nil {
		return err
	}
	why, err := v.why(true)
	if err != nil {
		return err
	}
	if wish.As = form("as"); tasks.ValidateJobID(wish.As) != nil {
		return errNoPage
	}
	again, err := restore.Submitted(ctx, c.ledger, wish)
	var taken *restore.TakenError
	switch {
	case errors.As(err, &taken):
		return &problem{http.StatusConflict, texts.T("%v", err)}
	case err != nil:
		return err
	case again != nil:
		return v.done("/jobs/"+wish.As, "existed")
	}
	plan, err := restore.Of(ctx, c.ledger, wish)
	var nothing *restore.NothingError
	var unseen *restore.NoSnapshotError
	var strangers *restore.StrangersError
	switch {
	case err != nil && !errors.As(err, &nothing) && !errors.As(err, &unseen) && !errors.As(err, &strangers):
		return err
	case err != nil || plan.Removals.Digest() != form("digest"):
		v.redirect(restoreAddress(v, id, "restore-changed"))
		return nil
	case (len(plan.Removals.Users()) > enqueue.DefaultMaxUsers || plan.Unseen) && form("sure") == "":
		return &problem{http.StatusUnprocessableEntity, texts.T("Go back and tick that this is meant.")}
	}
	done, err := c.submit(ctx, plan.Submission(enqueue.Submission{JobID: wish.As, Source: plan.Job.Source, Reason: why, Priority: plan.Job.Priority,
		SubmittedBy: v.Person.Name, MaxUsers: -1}))
	var conflict *enqueue.ConflictError
	switch {
	case errors.As(err, &conflict), err == nil && done.Existed:
		return v.done("/jobs/"+wish.As, "existed")
	case err != nil:
		return err
	}
	return v.done("/jobs/"+wish.As, "restored")
}

// restoreAddress is the page that a form wished from.
func restoreAddress(v *visit, jobID, done string) string {
	q := url.Values{"done": {done}}
	for _, name := range []string{"people", "roles", "from_removed", "even_later"} {
		if said := v.r.PostFormValue(name); said != "" {
			q.Set(name, said)
		}
	}
	return "/jobs/" + jobID + "/restore?" + q.Encode()
}
