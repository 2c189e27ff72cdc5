package console

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/out/outcome"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// jobsPerPage keeps a page of jobs below a screen or two, and far below 100 KB.
const jobsPerPage = 25

// mostNeeds is how many jobs are named that wait for somebody.
const mostNeeds = 10

// jobsView is what the page of all jobs shows.
type jobsView struct {
	Needs needs
	// Search is what the form had, and Wrong what is wrong with it.
	Search url.Values
	Wrong  texts.Sayable
	// Narrowed says that something is looked for.
	Narrowed bool
	Jobs     []jobLine
	// Reading says that jobs are still to be searched: those that were submitted before Until or, where that is zero, all.
	Reading bool
	Until   time.Time
	// Total is how many there are on all pages; Page counts from 1.
	Total          int64
	Page, Pages    int
	Earlier, Later string
}

// needs is what waits for somebody.
type needs struct {
	Approvals []jobLine
	More      int
	Letters   int64
	Hold      *heldView
}

// heldView is a stop of the whole fleet.
type heldView struct {
	Why    texts.Text
	Said   string
	Since  time.Time
	Next   time.Time
	Remedy outcome.Remedy
}

// jobLine is a job in a list.
type jobLine struct {
	ledger.Job
	Name  string
	State texts.Text
	Class string
}

// line is a job as lists show it: by its reason, which is what people remember.
func line(j ledger.Job) jobLine {
	l := jobLine{Job: j, Name: j.Reason}
	if l.Name == "" {
		l.Name = j.JobID
	}
	l.State, l.Class = stateOf(j)
	return l
}

// Gives says that roles are given back by it.
func (l jobLine) Gives() bool { return l.Action == tasks.Add }

// Done is how many pairs were removed, or given back.
func (l jobLine) Done() int64 { return l.Pairs.Removed + l.Pairs.Restored }

// Share is how far the job is, of 100.
func (l jobLine) Share() int64 {
	if l.Pairs.Total == 0 {
		return 0
	}
	return 100 * (l.Pairs.Total - l.Pairs.Pending) / l.Pairs.Total
}

func (c *Console) jobsPage(v *visit) error {
	ctx := v.r.Context()
	q := v.r.URL.Query()
	page := &jobsView{Search: q, Page: 1}
	if n, err := strconv.Atoi(q.Get("page")); err == nil && n > 0 && n < 1_000_000 {
		page.Page = n
	}
	s, wrong := searchOf(q)
	page.Wrong, page.Narrowed = wrong, s != search{}
	// A bare job id leads to the job.
	if id := strings.TrimSpace(q.Get("person")); id != "" && s.role == 0 && s.source == "" {
		if job, err := c.ledger.Get(ctx, id); err == nil {
			v.redirect("/jobs/" + job.JobID)
			return nil
		}
	}
	var err error
	if page.Needs, err = c.needs(ctx); err != nil {
		return err
	}
	if err := c.listJobs(ctx, page, s); err != nil {
		return err
	}
	page.Pages = max(1, (int(page.Total)+jobsPerPage-1)/jobsPerPage)
	if page.Page > 1 {
		page.Later = withPage(q, page.Page-1)
	}
	if page.Page < page.Pages {
		page.Earlier = withPage(q, page.Page+1)
	}
	v.Page, v.Here, v.Title = page, "jobs", texts.T("Removals")
	if v.Reload = 60; page.Reading {
		v.Reload = 2
	}
	return v.show("jobs.html", 200)
}

// listJobs reads the jobs of the page.
func (c *Console) listJobs(ctx context.Context, page *jobsView, s search) error {
	skip := (page.Page - 1) * jobsPerPage
	var jobs []ledger.Job
	if page.Narrowed {
		found, err := c.catalog.find(ctx, s)
		if err != nil {
			return err
		}
		ids := found.ids
		page.Total, page.Reading, page.Until = int64(len(ids)), !found.whole, found.until
		ids = ids[min(skip, len(ids)):min(skip+jobsPerPage, len(ids))]
		if jobs, err = c.ledger.Jobs(ctx, ids); err != nil {
			return err
		}
	} else {
		all, err := c.ledger.Count(ctx)
		if err != nil {
			return err
		}
		page.Total = int64(all)
		if jobs, err = c.ledger.Page(ctx, skip, jobsPerPage); err != nil {
			return err
		}
	}
	for _, j := range jobs {
		page.Jobs = append(page.Jobs, line(j))
	}
	return nil
}

func withPage(q url.Values, n int) string {
	next := url.Values{}
	for k, v := range q {
		if k != "page" && len(v) > 0 && v[0] != "" {
			next[k] = v
		}
	}
	if n > 1 {
		next.Set("page", strconv.Itoa(n))
	}
	return "?" + next.Encode()
}

// searchOf reads the form; what is wrong with it narrows nothing.
func searchOf(q url.Values) (s search, wrong texts.Sayable) {
	get := func(name string) string { return strings.TrimSpace(q.Get(name)) }
	s.person, s.source = get("person"), get("source")
	if text := get("role"); text != "" {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil || id <= 0 {
			wrong = texts.T("A role is looked for by its id, which is a number; “%s” is not one.", text)
		}
		s.role = id
	}
	for name, day := range map[string]*time.Time{"from": &s.from, "to": &s.to} {
		text := get(name)
		if text == "" {
			continue
		}
		t, err := time.Parse(time.DateOnly, text)
		if err != nil {
			wrong = texts.T("“%s” is not a date like 2026-12-31.", text)
			continue
		}
		*day = t
	}
	if !s.to.IsZero() {
		s.to = s.to.AddDate(0, 0, 1) // that day included
	}
	return s, wrong
}

// needs reads what waits for somebody.
func (c *Console) needs(ctx context.Context) (needs, error) {
	var n needs
	for job, err := range c.ledger.Open(ctx) {
		if err != nil {
			return n, err
		}
		if job.Awaiting != ledger.AwaitingApproval {
			continue
		}
		if len(n.Approvals) < mostNeeds {
			n.Approvals = append(n.Approvals, line(job))
		} else {
			n.More++
		}
	}
	counts, err := c.letters.Counts(ctx)
	if err != nil {
		return n, err
	}
	n.Letters = int64(counts.Waiting)
	status, err := c.cfg.Pacer.Status(ctx)
	if err != nil {
		return n, err
	}
	n.Hold = heldOf(status.Hold)
	return n, nil
}

func heldOf(h *pace.Hold) *heldView {
	if h == nil {
		return nil
	}
	return &heldView{Why: whyHeld(h.Kind), Said: h.Message, Since: h.Since, Next: h.NextProbe, Remedy: outcome.RemedyOf(h.Kind)}
}
