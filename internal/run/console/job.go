package console

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/base/words"
	"github.com/unrole/unrole/internal/record/deadletter"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/report"
	"github.com/unrole/unrole/internal/record/snapshot"
	"github.com/unrole/unrole/tasks"
)

const (
	// peoplePerPage and mostCells bound the table of people of a job's page.
	peoplePerPage = 50
	mostCells     = 400
	// mostLetters is how many ids that were refused a page names.
	mostLetters = 50
	// mostIDs is how many ids of one letter it names.
	mostIDs = 5
	// mostTrail is how many acts a page lists, the latest.
	mostTrail = 100
)

// jobView is what the page of a job shows.
type jobView struct {
	jobLine
	Lane     texts.Text
	Hold     *heldView
	Finished bool
	// Own says that whoever looks submitted it, and that another person has to approve it. Nameless says why they may not
	// approve it because nobody knows who they are; nil where that is no hindrance.
	Own      bool
	Nameless texts.Sayable
	Letters  lettersOf
	People   []personLine
	// Next is where the next page of people begins; First says that this is the first.
	Next  string
	First bool
	// Names is where the names are that were not known at once; empty where nothing more can be known.
	Names string
	Trail []trailLine
	// Restorable says that something of it may be given back.
	Restorable bool
	// Verification is nil where nobody asked DingTalk yet.
	Verification *ledger.Verification
}

// Hints are what can be done about what was not looked up for certain.
func (j *jobView) Hints() []texts.Text {
	reasons := map[snapshot.Reason]bool{}
	for _, row := range j.Unresolved {
		reasons[row.Reason] = true
	}
	return hintsOf(reasons)
}

// personLine is somebody of a job with what became of their roles.
type personLine struct {
	User  string
	Name  string
	Roles []roleCell
	// More counts roles that the page leaves out.
	More int64
}

// roleCell is a role of somebody.
type roleCell struct {
	Role    string
	Name    string
	Class   string
	Outcome texts.Text
}

type trailLine struct {
	ledger.Entry
	What   texts.Text
	Reason texts.Sayable
}

func (c *Console) jobPage(v *visit) error {
	ctx := v.r.Context()
	job, err := c.ledger.Get(ctx, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	page := &jobView{jobLine: line(job), Lane: laneOf(job.Priority), Finished: job.State.Finished(),
		Own: job.OtherApproves && ledger.SamePerson(job.SubmittedBy, v.Person.Name)}
	if job.OtherApproves && v.Person.Shared {
		page.Nameless = errNameless.Text
	}
	page.Restorable = page.Finished && job.Action != tasks.Add && job.Pairs.Removed > 0
	if !page.Finished {
		status, err := c.cfg.Pacer.Status(ctx)
		if err != nil {
			return err
		}
		page.Hold = heldOf(status.Hold)
		v.Reload = 5
	}
	if job.Pairs.Dead > 0 {
		if page.Letters, err = c.lettersOf(ctx, deadletter.Filter{JobIDs: []string{job.JobID}}); err != nil {
			return err
		}
	}
	from := v.r.URL.Query().Get("from")
	if err := c.readPeople(ctx, page, from); err != nil {
		return err
	}
	c.nameThem(v, page, from)
	if page.Trail, err = c.trailOf(ctx, job.JobID); err != nil {
		return err
	}
	seen, verified, err := c.ledger.Verification(ctx, job.JobID)
	if err != nil {
		return err
	}
	if verified {
		page.Verification = &seen
	}
	v.Page, v.Here, v.Title = page, "jobs", texts.T("%s", page.Name)
	return v.show("job.html", 200)
}

// readPeople reads a page of the people of the job.
func (c *Console) readPeople(ctx context.Context, page *jobView, from string) error {
	parts, next, err := c.ledger.PartsFrom(ctx, page.JobID, from, peoplePerPage)
	if err != nil {
		return err
	}
	page.Next, page.First = next, from == ""
	cells := 0
	for _, rec := range parts {
		var last *personLine
		for _, row := range rec.Rows() {
			if last == nil || last.User != row.UserID {
				page.People = append(page.People, personLine{User: row.UserID})
				last = &page.People[len(page.People)-1]
			}
			if cells >= mostCells && len(last.Roles) > 0 {
				last.More++
				continue
			}
			cells++
			last.Roles = append(last.Roles, roleCell{Role: strconv.FormatInt(row.RoleID, 10), Class: string(row.Outcome.Kind),
				Outcome: report.OutcomeName(string(row.Outcome.Kind))})
		}
	}
	return nil
}

// trailOf lists who did what to the job, the latest first. What workers did is in the numbers, and left out.
func (c *Console) trailOf(ctx context.Context, jobID string) ([]trailLine, error) {
	var trail []trailLine
	err := c.ledger.Trail(ctx, jobID, "", func(t ledger.TrailEntry) error {
		e, err := t.Entry()
		if err != nil {
			return err
		}
		if e.Event == ledger.EventSettled || e.Event == ledger.EventReopened || e.Event == ledger.EventCancelled && e.Part != "" {
			return nil
		}
		trail = append(trail, trailLine{e, report.EventName(e.Event), report.EventWhy(e)})
		if len(trail) > 2*mostTrail {
			trail = slices.Clone(trail[mostTrail:])
		}
		return nil
	})
	slices.Reverse(trail)
	return trail[:min(len(trail), mostTrail)], err
}

// lettersOf is what DingTalk refused, by reason.
type lettersOf struct {
	Reasons []*reasonView
	Total   int
}

// reasonView is what was refused for one reason.
type reasonView struct {
	Reason  tasks.Reason
	Letters int
	Pairs   int64
	Shown   []letterView
	// Jobs counts the jobs that the letters are of.
	Jobs int

	jobs map[string]bool
}

// More is how many letters are not shown.
func (r *reasonView) More() int64 { return int64(r.Letters - len(r.Shown)) }

// Count is how many letters there are.
func (r *reasonView) Count() int64 { return int64(r.Letters) }

// IsRole says that the reason is about roles, not about people.
func (r *reasonView) IsRole() bool { return report.AboutRole(r.Reason) }

// letterView is a dead letter for people: the id that it is about, and what DingTalk said.
type letterView struct {
	deadletter.Letter
	// About are the ids that the letter is about, With those beside them.
	About, With []string
	Code        string
}

// users are those whom the page names.
func (l lettersOf) users() []string {
	var users []string
	for _, reason := range l.Reasons {
		for _, letter := range reason.Shown {
			users = append(users, letter.UserIDs[:min(mostIDs, len(letter.UserIDs))]...)
		}
	}
	return users
}

// lettersOf reads the waiting letters that the filter chooses.
func (c *Console) lettersOf(ctx context.Context, f deadletter.Filter) (lettersOf, error) {
	byReason := map[tasks.Reason]*reasonView{}
	all := lettersOf{}
	err := c.letters.Each(ctx, f, func(l deadletter.Letter) error {
		r := byReason[l.Reason]
		if r == nil {
			r = &reasonView{Reason: l.Reason, jobs: map[string]bool{}}
			byReason[l.Reason] = r
		}
		all.Total++
		r.Letters++
		r.Pairs += int64(l.Pairs)
		r.jobs[l.JobID] = true
		if len(r.Shown) < mostLetters {
			r.Shown = append(r.Shown, letterOf(l))
		}
		return nil
	})
	if err != nil {
		return all, err
	}
	all.Reasons = slices.SortedFunc(maps.Values(byReason), func(a, b *reasonView) int { return int(b.Pairs - a.Pairs) })
	for _, r := range all.Reasons {
		r.Jobs = len(r.jobs)
	}
	return all, nil
}

func letterOf(l deadletter.Letter) letterView {
	v := letterView{Letter: l, Code: report.CodeText(l.ErrCode, l.SubCode)}
	v.About, v.With = l.UserIDs, words.RoleIDs(l.RoleIDs)
	if report.AboutRole(l.Reason) {
		v.About, v.With = v.With, v.About
	}
	return v
}
