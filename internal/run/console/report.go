package console

import (
	"net/http"
	"path"
	"strconv"
	"time"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/report"
)

// kinds are the files that a job's report comes as.
var kinds = map[string]string{".html": "text/html; charset=utf-8", ".csv": "text/csv; charset=utf-8",
	".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}

// reportLasts is how long a report may take to be made and fetched; one of a million pairs takes some ten seconds.
const reportLasts = 30 * time.Minute

// report sends what became of every pair of a job, as a file.
func (c *Console) report(v *visit) error {
	file := v.r.PathValue("file")
	kind, known := kinds[path.Ext(file)]
	if !known {
		return errNoPage
	}
	ctx := v.r.Context()
	job, err := c.ledger.Get(ctx, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	write, err := report.FormatOf(file)
	if err != nil {
		return err
	}
	h := v.w.Header()
	h.Set("Content-Type", kind)
	disposition := "attachment"
	var named *report.Known
	if path.Ext(file) == ".html" {
		disposition = "inline"
		if named, err = c.knownOf(v, job); err != nil {
			return err
		}
		// The report is one file, with its own style and script in it.
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-scripts allow-modals")
	}
	h.Set("Content-Disposition", disposition+`; filename="`+job.JobID+path.Ext(file)+`"`)
	_ = http.NewResponseController(v.w).SetWriteDeadline(time.Now().Add(reportLasts)) // not every writer has one
	if err := write(ctx, c.ledger, job, v.w, report.Options{Words: true, Lang: v.Lang, Simulated: job.Simulated, Zone: time.Local, Known: named,
		Page: report.Page{Now: time.Now(), Version: c.cfg.Version}}); err != nil {
		// Half of it is with the reader already: the connection ends, so that the browser says that the file is not whole.
		c.cfg.Log.Error().Err(err).Str("job", job.JobID).Msg("a report could not be sent")
		panic(http.ErrAbortHandler)
	}
	return nil
}

// knownOf are the people and roles of a job by name, for the report that people read: of one that has more people than a page, those
// who were on a page lately. It is nil where nobody is known.
func (c *Console) knownOf(v *visit, job ledger.Job) (*report.Known, error) {
	page := &jobView{jobLine: line(job)}
	if err := c.readPeople(v.r.Context(), page, ""); err != nil {
		return nil, err
	}
	c.know(v, usersOf(page.People))
	is := c.names.of(nil)
	known := &report.Known{People: c.names.all(), Roles: map[int64]string{}}
	for id, name := range is.Roles {
		if role, err := strconv.ParseInt(id, 10, 64); err == nil {
			known.Roles[role] = name
		}
	}
	if len(known.People)+len(known.Roles) == 0 {
		return nil, nil
	}
	return known, nil
}
