package report

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/unrole/unrole/internal/base/words"
	"github.com/unrole/unrole/internal/record/ledger"
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
	"thousands": words.Thousands[int64], "moment": moment,
}).Parse(pageSource))

// HTML writes one self-contained page about a job for an auditor: what was asked, by whom and why, what came of it,
// the dead letters with their reasons, and the pairs, searchable. It loads nothing from anywhere. Every number on it
// comes from one pass over the record, so that the numbers add up also while the job runs. Memory is bound by the
// number of distinct ids among the dead letters.
func HTML(ctx context.Context, l *ledger.Ledger, job ledger.Job, w io.Writer, p Page) error {
	if p.RemovedRows == 0 {
		p.RemovedRows = DefaultRemovedRows
	}
	v, verified, err := l.Verification(ctx, job.JobID)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, writeSize)
	if err := pageTemplate.ExecuteTemplate(out, "head", job); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	d := &pageData{Job: job, Page: p, letters: letters{}}
	if verified {
		d.Verification = &v
	}
	if err := d.writeRows(ctx, l, out); err != nil {
		return err
	}
	if err := d.readTrail(ctx, l); err != nil {
		return err
	}
	if err := pageTemplate.ExecuteTemplate(out, "body", d); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// pageData is what the template shows below the rows.
type pageData struct {
	Job          ledger.Job
	Page         Page
	Pairs        ledger.Pairs
	Listed       int64 // removed pairs among the rows
	Verification *ledger.Verification
	Trail        []ledger.Entry
	Settlements  int64
	letters      letters
}

// writeRows writes the rows as JSON, one array per pair, and counts them.
func (d *pageData) writeRows(ctx context.Context, l *ledger.Ledger, out *bufio.Writer) error {
	// A script element of data is no place for the template: the escaper of JSON does what is needed.
	out.WriteString(`<script id="rows" type="application/json">[`)
	first := true
	err := rows(ctx, l, d.Job.JobID, d.Verification != nil, func(from ledger.VerifiedRow) error {
		d.Pairs.Total++
		switch from.Outcome.Kind {
		case ledger.Removed:
			d.Pairs.Removed++
			// A removed pair that is still held is what the auditor looks for.
			if d.Listed >= int64(d.Page.RemovedRows) && from.Verified != ledger.StillHeld {
				return nil
			}
			d.Listed++
		case ledger.Dead:
			d.Pairs.Dead++
			d.letters.add(from.Row)
		case ledger.Cancelled:
			d.Pairs.Cancelled++
		default:
			d.Pairs.Pending++
		}
		r := rowOf(from)
		line, err := json.Marshal([]string{r.UserID, strconv.FormatInt(r.RoleID, 10), r.Outcome, r.Reason, CodeText(r.ErrCode, ""), r.ErrMsg,
			r.RequestID, r.FinishedAt, r.Verified})
		if err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
		if !first {
			out.WriteString(",\n")
		}
		first = false
		if _, err := out.Write(line); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
		return nil
	})
	out.WriteString("]</script>\n")
	return err
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

// Letters lists the dead letters by reason and id.
func (d *pageData) Letters() []*Letter { return d.letters.sorted() }

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
	all := []Share{{Name: "removed", Class: "removed", Pairs: d.Pairs.Removed}, {Name: "dead letters", Class: "dead_letter", Pairs: d.Pairs.Dead},
		{Name: "cancelled", Class: "cancelled", Pairs: d.Pairs.Cancelled}, {Name: "pending", Class: "pending", Pairs: d.Pairs.Pending}}
	all = slices.DeleteFunc(all, func(s Share) bool { return s.Pairs == 0 })
	free := pictureWidth - leastWidth*float64(len(all))
	x := 0.0
	for i := range all {
		s := &all[i]
		part := float64(s.Pairs) / float64(d.Pairs.Total)
		s.X, s.Width = x, leastWidth+free*part
		x += s.Width
		s.Percent = percent(s.Pairs, d.Pairs.Total)
	}
	return all
}

// percent never calls something that is there nothing, nor what is incomplete complete.
func percent(n, of int64) string {
	switch p := 100 * float64(n) / float64(of); {
	case n == of:
		return "100 %"
	case p < 0.1:
		return "under 0.1 %"
	case p > 99.9:
		return "over 99.9 %"
	default:
		return strconv.FormatFloat(p, 'f', 1, 64) + " %"
	}
}

// Took is how long the job worked, or empty while it does.
func (d *pageData) Took() string {
	if d.Job.FinishedAt == nil {
		return ""
	}
	return d.Job.FinishedAt.Sub(d.Job.CreatedAt).Round(time.Second).String()
}

// Unlisted is how many removed pairs the page leaves out.
func (d *pageData) Unlisted() int64 { return d.Pairs.Removed - d.Listed }

// moment shows a time, or what a pointer to one points to, in UTC.
func moment(t any) string {
	const layout = "2006-01-02 15:04:05 UTC"
	switch t := t.(type) {
	case time.Time:
		return t.UTC().Format(layout)
	case *time.Time:
		if t != nil {
			return t.UTC().Format(layout)
		}
	}
	return ""
}
