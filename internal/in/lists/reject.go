package lists

import (
	"encoding/csv"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/unrole/unrole/internal/base/sheet"
	"github.com/unrole/unrole/internal/base/texts"
)

// rejectColumns are what a file of rejected rows has besides the columns of the input.
var rejectColumns = []string{"rejected_line", "rejected_reason"}

// rejectWriter writes bad rows as CSV in UTF-8 with a byte order mark, which Excel needs to read Chinese. Nothing is
// written before the first bad row.
type rejectWriter struct {
	w      io.Writer
	lang   texts.Lang // of the reasons
	csv    *csv.Writer
	header []string
	keep   []int // columns of the input that are written
}

// rejectError marks an error as that of the rejected rows' file.
type rejectError struct{ err error }

func (e *rejectError) Error() string { return "write rejected rows: " + e.err.Error() }
func (e *rejectError) Unwrap() error { return e.err }

func newRejectWriter(w io.Writer, names []string, lang texts.Lang) *rejectWriter {
	r := &rejectWriter{w: w, lang: lang}
	for i, name := range names {
		// A file of rejected rows that was read again: its reasons are of yesterday.
		if !slices.Contains(rejectColumns, name) {
			r.keep = append(r.keep, i)
			r.header = append(r.header, sheet.Cell(name))
		}
	}
	r.header = append(r.header, rejectColumns...)
	return r
}

func (r *rejectWriter) write(fields []string, line int, problems []problem) error {
	if r.csv == nil {
		if _, err := io.WriteString(r.w, "\ufeff"); err != nil {
			return &rejectError{err}
		}
		r.csv = csv.NewWriter(r.w)
		if err := r.csv.Write(r.header); err != nil {
			return &rejectError{err}
		}
	}
	out := make([]string, 0, len(r.header))
	for _, i := range r.keep {
		if i < len(fields) {
			out = append(out, rejectedCell(fields[i]))
		} else {
			out = append(out, "")
		}
	}
	reasons := make([]string, len(problems))
	for i, p := range problems {
		reasons[i] = p.reason.In(r.lang)
	}
	out = append(out, strconv.Itoa(line), sheet.Cell(strings.Join(reasons, "; ")))
	if err := r.csv.Write(out); err != nil {
		return &rejectError{err}
	}
	return nil
}

// rejectedCell is a cell of the input, written so that it means what it meant.
func rejectedCell(cell string) string { return sheet.Cell(string(sheet.Value([]byte(cell)))) }

func (r *rejectWriter) flush() error {
	if r == nil || r.csv == nil {
		return nil
	}
	r.csv.Flush()
	if err := r.csv.Error(); err != nil {
		return &rejectError{err}
	}
	return nil
}

// Rejects writes rows that were read well and turned out bad later, as Options.Reject has bad ones: Read takes the file back
// once somebody corrected it.
type Rejects struct{ w *rejectWriter }

// NewRejects writes to w, with reasons in that language; header is that of Report.Header.
func NewRejects(w io.Writer, header []string, lang texts.Lang) *Rejects {
	return &Rejects{newRejectWriter(w, header, lang)}
}

// Add writes a row, which has to have its Cells, with what is wrong with it.
func (r *Rejects) Add(row Row, why []texts.Text) error {
	problems := make([]problem, len(why))
	for i, w := range why {
		problems[i].reason = w
	}
	return r.w.write(row.Cells, row.Line, problems)
}

// Flush writes what is still in memory.
func (r *Rejects) Flush() error { return r.w.flush() }
