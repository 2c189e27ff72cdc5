package console

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/record/deadletter"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/report"
	"github.com/unrole/unrole/tasks"
)

// maxUpload is the largest list that is taken, in bytes: a workbook of 100,000 rows has some 5 MB.
const maxUpload = 64 << 20

// newView is what the page that takes a list shows.
type newView struct {
	Text, Roles string
	// Wrong says why the list was not taken, line by line.
	Wrong []string
}

func (c *Console) newPage(v *visit) error { return v.showNew(&newView{}, http.StatusOK) }

func (v *visit) showNew(page *newView, status int) error {
	v.Page, v.Here, v.Title = page, "new", texts.T("New removal")
	return v.show("new.html", status)
}

// take reads the list that somebody dropped or pasted, and keeps what was read under the id of the job that it may become.
// Nothing is submitted.
func (c *Console) take(v *visit) error {
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxUpload)
	const inMemory = 8 << 20 // the rest of it waits in a file
	if err := v.r.ParseMultipartForm(inMemory); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return v.showNew(&newView{Wrong: []string{v.Say(texts.T("The file is larger than %d MB: split it.", maxUpload>>20))}}, http.StatusRequestEntityTooLarge)
		}
		return &problem{http.StatusBadRequest, texts.T("The form could not be read; go back and send it again.")}
	}
	defer v.r.MultipartForm.RemoveAll()
	page := &newView{Text: v.r.PostFormValue("text"), Roles: strings.TrimSpace(v.r.PostFormValue("roles"))}
	refuse := func(why string) error {
		page.Wrong = strings.Split(why, "\n")
		if len(page.Text) > maxForm {
			page.Text = ""
		}
		return v.showNew(page, http.StatusUnprocessableEntity)
	}
	name, list := v.Say(texts.T("the pasted list")), io.ReadSeeker(strings.NewReader(page.Text))
	if file, head, err := v.r.FormFile("file"); err == nil && head.Size > 0 {
		defer file.Close()
		name, list = filepath.Base(head.Filename), file
	} else if strings.TrimSpace(page.Text) == "" {
		return refuse(v.Say(texts.T("Choose a file, or paste a list.")))
	}
	opt := lists.Options{Name: name}
	for _, text := range strings.FieldsFunc(page.Roles, func(r rune) bool { return strings.ContainsRune(" ,;，；、\t", r) }) {
		id, err := lists.ParseRoleID(text)
		if err != nil {
			return refuse(texts.Say(v.Lang, err))
		}
		opt.Roles = append(opt.Roles, lists.Role{ID: id})
	}
	d, removals, err := readList(list, opt, v.Lang)
	var refused *lists.Refused
	switch {
	case errors.As(err, &refused):
		return refuse(refused.In(v.Lang))
	case err != nil:
		return refuse(texts.Say(v.Lang, err))
	}
	return c.preview(v, d, removals)
}

// readList reads a list whole. What is wrong with single rows is left to whoever confirms: they are told line by line, and
// left out only with their word.
func readList(list io.ReadSeeker, opt lists.Options, lang texts.Lang) (*draft, *enqueue.Removals, error) {
	d := &draft{File: opt.Name}
	var bad bytes.Buffer
	for {
		removals := &enqueue.Removals{}
		read, err := lists.Read(list, opt, func(row lists.Row) error {
			if len(row.Roles) > (enqueue.MaxPairs-removals.Pairs())/len(row.People) {
				return texts.T("more than %d pairs are asked for: split the input into several", enqueue.MaxPairs)
			}
			for user, role := range row.IDs() {
				removals.Add(user, role)
			}
			return nil
		})
		var refused *lists.Refused
		if errors.As(err, &refused) && opt.Reject == nil && read.Rejected > 0 && read.Rejected < read.Rows && !refused.Truncated {
			// Some rows are bad: again, without them.
			for _, row := range refused.Rows {
				d.Wrong = append(d.Wrong, wrongRow{row.Line, row.Reason.In(lang)})
			}
			opt.Reject = &bad
			if _, err := list.Seek(0, io.SeekStart); err != nil {
				return nil, nil, err
			}
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		for _, note := range read.Notes {
			d.Notes = append(d.Notes, note.In(lang))
		}
		if n := removals.Duplicates(); n > 0 {
			d.Notes = append(d.Notes, texts.T("%d pairs stand there more than once and count once", n).In(lang))
		}
		d.Rows, d.Rejected, d.bad = read.Rows, read.Rejected, bad.Bytes()
		return d, removals, nil
	}
}

// preview keeps a list and leads on to the page that shows what would be done.
func (c *Console) preview(v *visit, d *draft, removals *enqueue.Removals) error {
	if c.cfg.Protected != nil {
		if err := removals.CheckProtected(c.cfg.Protected); err != nil {
			return v.showNew(&newView{Wrong: []string{texts.Say(v.Lang, err)}}, http.StatusUnprocessableEntity)
		}
	}
	d.JobID, d.By = tasks.NewJobID(time.Now()), v.Person.Name
	parts := enqueue.PlanOf(removals, d.JobID)
	d.Pairs, d.Users, d.Roles, d.Calls = int64(removals.Pairs()), int64(len(removals.Users())), int64(len(removals.Roles())), int64(len(parts))
	for i, user := range removals.Users()[:min(len(removals.Users()), mostSample)] {
		var roles []string
		for role := range removals.RolesOf(i) {
			if len(roles) == mostSample {
				roles = append(roles, "…")
				break
			}
			roles = append(roles, strconv.FormatInt(role, 10))
		}
		d.Sample = append(d.Sample, sampleRow{user, strings.Join(roles, ", ")})
	}
	var plan bytes.Buffer
	if err := enqueue.WritePlan(&plan, removals, parts, time.Now()); err != nil {
		return err
	}
	d.plan = plan.Bytes()
	if err := c.keep(v.r.Context(), d); err != nil {
		return err
	}
	v.redirect("/removals/" + d.JobID)
	return nil
}

// mostSample is how many people, and roles of each, a preview names.
const mostSample = 20

// previewView is what the page before a submission shows.
type previewView struct {
	*draft
	Takes time.Duration
	// Guarded says that so many people take a second word.
	Guarded bool
	// Approval says that another person has to approve.
	Approval bool
	Lanes    []string
	// Zone is that of times typed without script.
	Zone string
}

// LaneName names a lane.
func (p *previewView) LaneName(lane string) texts.Text { return laneOf(lane) }

func (c *Console) previewPage(v *visit) error {
	id := v.r.PathValue("id")
	d, err := c.draft(v, id)
	var ended *draftEndedError
	if errors.As(err, &ended) {
		if _, err := c.ledger.Get(v.r.Context(), id); err == nil {
			return v.done("/jobs/"+id, "existed")
		}
	}
	if err != nil {
		return err
	}
	status, err := c.cfg.Pacer.Status(v.r.Context())
	if err != nil {
		return err
	}
	page := &previewView{draft: d, Lanes: []string{tasks.QueueDefault, tasks.QueueUrgent, tasks.QueueBulk}, Zone: time.Now().Format("MST -07:00"),
		Guarded: d.Users > enqueue.DefaultMaxUsers, Approval: c.approvalAbove(int(d.Users))}
	page.Takes = time.Duration(float64(d.Calls) / status.Ceiling * float64(time.Second))
	v.Page, v.Here, v.Title = page, "new", texts.T("New removal")
	return v.show("preview.html", http.StatusOK)
}

func (c *Console) approvalAbove(users int) bool {
	return c.cfg.ApproveAbove > 0 && users > c.cfg.ApproveAbove
}

// rejected sends the rows that were wrong, to be corrected and dropped again.
func (c *Console) rejected(v *visit) error {
	d, err := c.draft(v, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="wrong-rows-`+d.JobID+`.csv"`)
	_, _ = v.w.Write(d.bad) // the reader may have gone
	return nil
}

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
	d, err := c.draft(v, id)
	var ended *draftEndedError
	if errors.As(err, &ended) {
		if _, err := c.ledger.Get(ctx, id); err == nil {
			return v.done("/jobs/"+id, "existed")
		}
	}
	if err != nil {
		return err
	}
	if (d.Users > enqueue.DefaultMaxUsers || d.Rejected > 0) && v.r.PostFormValue("sure") == "" {
		return &problem{http.StatusUnprocessableEntity, texts.T("Go back and tick that this is meant: it concerns many people, or leaves rows out.")}
	}
	removals, parts, err := enqueue.ReadPlan(bytes.NewReader(d.plan), id)
	if err != nil {
		return err
	}
	source := strings.TrimSpace(v.r.PostFormValue("source"))
	if source == "" {
		source = "console"
	}
	s := enqueue.Submission{JobID: id, Removals: removals, Plan: parts, Source: source, Reason: why, Priority: lane, At: at,
		SubmittedBy: v.Person.Name, MaxUsers: -1, Simulated: c.cfg.Simulated}
	// The day's users are counted by person: the source is whatever they type.
	wait, _, err := c.ledger.MustWait(ctx, id, "console:"+v.Person.Name, removals.Users(), c.cfg.MaxUsersPerDay)
	if err != nil {
		return err
	}
	if wait || c.approvalAbove(len(removals.Users())) {
		s.AwaitApproval, s.OtherApproves = true, true
	}
	done, err := c.client.Submit(ctx, s)
	var taken *enqueue.ConflictError
	var protected *enqueue.ProtectedError
	switch {
	case errors.As(err, &taken):
		return v.done("/jobs/"+id, "existed") // confirmed before, for another time
	case errors.As(err, &protected):
		return &problem{http.StatusUnprocessableEntity, texts.T("%v", err)}
	case err != nil:
		return err
	}
	c.forget(ctx, id)
	if done.Existed {
		return v.done("/jobs/"+id, "existed")
	}
	return v.done("/jobs/"+id, "submitted")
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
	removals := &enqueue.Removals{}
	l.EachPair(func(user string, was int64) {
		if role != 0 {
			removals.Add(user, role)
		} else {
			removals.Add(right, was)
		}
	})
	if removals.Pairs() == 0 {
		return v.done("/letters", "none")
	}
	d := &draft{File: v.Say(texts.T("corrected from removal %s", l.JobID)), Why: reasonOf(c, v, l.JobID)}
	return c.preview(v, d, removals)
}

// reasonOf is the reason of the job that something is corrected from.
func reasonOf(c *Console, v *visit, jobID string) string {
	var job ledger.Job
	job, _ = c.ledger.Get(v.r.Context(), jobID) // without it the field is empty
	return job.Reason
}
