package report

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	_ "embed"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/base/words"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// DefaultRemovedRows is how many removed pairs a page holds; a browser searches as many without a wait.
const DefaultRemovedRows = 20_000

// Page says how the page is made.
type Page struct {
	// RemovedRows is how many removed pairs the page lists at most; 0 means DefaultRemovedRows. All others are always
	// listed whole.
	RemovedRows int
	// Now is the time that the page says it was made at.
	Now time.Time
	// Version names the build that made it.
	Version string
}

//go:embed page.html
var pageSource string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"thousands": words.Thousands[int64], "t": texts.T, "count": texts.Count[int64], "outcome": OutcomeName, "verdict": verdictName, "scope": scopeName,
	"event": EventName, "why": EventWhy, "recall": texts.Recall,
}).Parse(pageSource))

// HTML writes one self-contained page about a job for an auditor: what was asked, by whom and why, what came of it,
// the dead letters with their reasons, and the pairs, searchable. It loads nothing from anywhere, needs no script to be
// read, and prints whole on paper. Every number on it comes from one pass over the record, so that the numbers add up
// also while the job runs. The rows wait compressed in memory, some 50 bytes each, until the numbers above them are known: no
// name of anybody is left on a disk, and a container needs none.
func HTML(ctx context.Context, l *ledger.Ledger, job ledger.Job, w io.Writer, o Options) error {
	if o.Page.RemovedRows == 0 {
		o.Page.RemovedRows = DefaultRemovedRows
	}
	o.Words = true
	v, verified, err := l.Verification(ctx, job.JobID)
	if err != nil {
		return err
	}
	d := &pageData{Job: job, Options: o, refused: refused{}}
	if verified {
		d.Verification = &v
	}
	var rows bytes.Buffer
	packed, err := flate.NewWriter(&rows, flate.BestSpeed)
	if err != nil {
		return notWritten(err)
	}
	if err := d.writeRows(ctx, l, packed); err != nil {
		return err
	}
	if err := packed.Close(); err != nil {
		return notWritten(err)
	}
	if err := d.readTrail(ctx, l); err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, writeSize)
	if err := pageTemplate.ExecuteTemplate(out, "head", d); err != nil {
		return notWritten(err)
	}
	if _, err := io.Copy(out, flate.NewReader(&rows)); err != nil {
		return notWritten(err)
	}
	if err := pageTemplate.ExecuteTemplate(out, "foot", d); err != nil {
		return notWritten(err)
	}
	return notWritten(out.Flush())
}

// pageData is what the template shows.
type pageData struct {
	Job ledger.Job
	Options
	Pairs        ledger.Pairs
	Listed       int64 // removed pairs among the rows
	Verification *ledger.Verification
	Trail        []ledger.Entry
	Settlements  int64
	refused      refused
	// NotHeld and Unresolved count what a preflight left out.
	NotHeld, Unresolved int64
}

// pageRow is a row as the template shows it.
type pageRow struct {
	*pageData
	Row
	When string
	// From is what stood in the list beside the ids.
	From []cellOf
}

// VerifiedAs is what the verification said.
func (r pageRow) VerifiedAs() ledger.Verdict { return r.pair.Verified }

type cellOf struct{ Heading, Text string }

// rowsOfTable is how many rows stand in one table. On paper a browser looks at all rows of a table for each of its pages, so that one
// of 4,000 rows takes it minutes.
const rowsOfTable = 200

// writeRows writes the rows of the table and counts them.
func (d *pageData) writeRows(ctx context.Context, l *ledger.Ledger, w io.Writer) error {
	out := bufio.NewWriterSize(w, writeSize)
	with, seen, err := extraOf(ctx, l, d.Job.JobID)
	if err != nil {
		return err
	}
	listed := 0
	err = d.rows(ctx, l, d.Job.JobID, with, seen, func(r Row) error {
		d.Pairs.Total++
		switch ledger.Kind(r.Outcome) {
		case ledger.Removed, ledger.Restored:
			if ledger.Kind(r.Outcome) == ledger.Removed {
				d.Pairs.Removed++
			} else {
				d.Pairs.Restored++
			}
			// A removed pair that is still held is what the auditor looks for.
			if d.Listed >= int64(d.Page.RemovedRows) && !r.pair.Verified.Contrary() {
				return nil
			}
			d.Listed++
		case ledger.Dead:
			d.Pairs.Dead++
			d.refused.add(r.pair.Row)
		case ledger.Cancelled:
			d.Pairs.Cancelled++
		case NotHeld:
			d.NotHeld++
		case Unresolved:
			d.Unresolved++
		default:
			d.Pairs.Pending++
		}
		shown := pageRow{pageData: d, Row: r}
		if r.FinishedAt != "" {
			shown.When = d.Moment(r.pair.Outcome.At)
		}
		for i, cell := range r.cells {
			if cell != "" && cell != r.UserID && cell != strconv.FormatInt(r.RoleID, 10) {
				shown.From = append(shown.From, cellOf{d.heading(i), cell})
			}
		}
		if listed > 0 && listed%rowsOfTable == 0 {
			if err := pageTemplate.ExecuteTemplate(out, "goes on", d); err != nil {
				return notWritten(err)
			}
		}
		listed++
		return notWritten(pageTemplate.ExecuteTemplate(out, "row", shown))
	})
	if err != nil {
		return err
	}
	return notWritten(out.Flush())
}

// readTrail reads who did what to the job. Settlements are only counted: the rows say what they came to.
func (d *pageData) readTrail(ctx context.Context, l *ledger.Ledger) error {
	return l.Trail(ctx, d.Job.JobID, "", func(t ledger.TrailEntry) error {
		e, err := t.Entry()
		switch {
		case err != nil:
			return err
		case e.Event == ledger.EventSettled || e.Event == ledger.EventReopened || e.Event == ledger.EventCancelled && e.Part != "":
			d.Settlements++
		default:
			d.Trail = append(d.Trail, e)
		}
		return nil
	})
}

// Say says a text in the language of the reader, Moment a time in the reader's zone.
func (d *pageData) Say(t texts.Sayable) string { return t.In(d.Lang) }
func (d *pageData) Moment(t any) string        { return d.moment(t) }

// Verdicts are the results of a verification, for the choice among them.
func (d *pageData) Verdicts() []ledger.Verdict {
	if d.Gives() {
		return []ledger.Verdict{ledger.NotHeld, ledger.OtherScope, ledger.Held, ledger.VerdictUnknown}
	}
	return []ledger.Verdict{ledger.StillHeld, ledger.Gone, ledger.VerdictUnknown}
}

// Gives says that the job gives roles back.
func (d *pageData) Gives() bool { return d.Job.Action == tasks.Add }

// scopeName says over which departments a role was held.
func scopeName(of []int64) texts.Text {
	return texts.T("limited to the departments %s", strings.ReplaceAll(departments(of), ScopeSeparator, ", "))
}

// Refused lists the ids of the dead letters by reason and id.
func (d *pageData) Refused() []*RefusedID { return d.refused.sorted() }

// Means and Remedy are those of a reason.
func (r *RefusedID) Means() texts.Text  { return Means(r.Reason) }
func (r *RefusedID) Remedy() texts.Text { return Remedy(r.Reason) }

// OutcomeName is what became of a pair, for people.
func OutcomeName(kind string) texts.Text {
	switch ledger.Kind(kind) {
	case ledger.Removed:
		return texts.T("removed")
	case ledger.Restored:
		return texts.T("given back")
	case ledger.Dead:
		return texts.T("not removed")
	case ledger.Cancelled:
		return texts.T("cancelled")
	case NotHeld:
		return texts.T("was not held")
	case Unresolved:
		return texts.T("names nobody for certain")
	}
	return texts.T("pending")
}

// verdictName is what DingTalk said of a pair afterwards.
func verdictName(v ledger.Verdict) texts.Text {
	switch v {
	case ledger.Gone:
		return texts.T("gone")
	case ledger.StillHeld:
		return texts.T("still held")
	case ledger.Held:
		return texts.T("held")
	case ledger.NotHeld:
		return texts.T("not held")
	case ledger.OtherScope:
		return texts.T("held, with another management scope")
	}
	return texts.T("unknown")
}

// EventName says what an entry of the audit records, for people.
func EventName(e ledger.Event) texts.Text {
	if name, known := events[e]; known {
		return name
	}
	return texts.T("%s", string(e))
}

// EventWhy says why, for people, or what came of it: a person's own words as they are.
func EventWhy(e ledger.Entry) texts.Sayable {
	switch e.Event {
	case ledger.EventSettled, ledger.EventReopened:
		return Means(tasks.Reason(e.Why))
	case ledger.EventRefused, ledger.EventVerified:
		return texts.Recall(e.Why)
	}
	return texts.T("%s", e.Why)
}

var events = map[ledger.Event]texts.Text{
	ledger.EventSubmitted: texts.T("submitted"), ledger.EventApproved: texts.T("approved"), ledger.EventReleased: texts.T("looked at again: it begins"),
	ledger.EventAdopted:   texts.T("found in the queue"),
	ledger.EventCancelled: texts.T("cancelled"), ledger.EventReplayed: texts.T("tried again"), ledger.EventDiscarded: texts.T("given up"),
	ledger.EventResolved: texts.T("people and roles looked up"), ledger.EventRefused: texts.T("refused, nothing removed"),
	ledger.EventSettled: texts.T("counted"), ledger.EventReopened: texts.T("waits again"),
	ledger.EventVerified: texts.T("asked DingTalk who still holds the roles"), ledger.EventErased: texts.T("people erased"),
}

// Share is one piece of the picture of the totals.
type Share struct {
	Name, Class string
	Pairs       int64
	Percent     string
	X, Width    float64 // of pictureWidth
}

const pictureWidth, leastWidth = 1000.0, 4.0

// Shares divides the picture among what became of the pairs. Even one pair of a million is to be seen.
func (d *pageData) Shares() []Share {
	var all []Share
	for _, of := range []struct {
		kind  ledger.Kind
		pairs int64
	}{{ledger.Removed, d.Pairs.Removed}, {ledger.Restored, d.Pairs.Restored}, {ledger.Dead, d.Pairs.Dead}, {ledger.Cancelled, d.Pairs.Cancelled}, {ledger.Pending, d.Pairs.Pending},
		{NotHeld, d.NotHeld}, {Unresolved, d.Unresolved}} {
		name := OutcomeName(string(of.kind))
		if of.kind == ledger.Dead && d.Gives() {
			name = texts.T("not given back")
		}
		all = append(all, Share{Name: d.Say(name), Class: string(of.kind), Pairs: of.pairs})
	}
	all = slices.DeleteFunc(all, func(s Share) bool { return s.Pairs == 0 })
	free := pictureWidth - leastWidth*float64(len(all))
	x := 0.0
	for i := range all {
		s := &all[i]
		part := float64(s.Pairs) / float64(d.Pairs.Total)
		s.X, s.Width = x, leastWidth+free*part
		x += s.Width
		s.Percent = d.Say(percent(s.Pairs, d.Pairs.Total))
	}
	return all
}

// percent never calls something that is there nothing, nor what is incomplete complete.
func percent(n, of int64) texts.Text {
	switch p := 100 * float64(n) / float64(of); {
	case n == of:
		return texts.T("%s %%", "100")
	case p < 0.1:
		return texts.T("under 0.1 %%")
	case p > 99.9:
		return texts.T("over 99.9 %%")
	default:
		return texts.T("%s %%", strconv.FormatFloat(p, 'f', 1, 64))
	}
}

// Took is how long the job worked, or empty while it does.
func (d *pageData) Took() string {
	if d.Job.FinishedAt == nil {
		return ""
	}
	return d.Job.FinishedAt.Sub(d.Job.CreatedAt).Round(time.Second).String()
}

// Unlisted is how many removed, or restored, pairs the page leaves out.
func (d *pageData) Unlisted() int64 { return d.Pairs.Removed + d.Pairs.Restored - d.Listed }
