package report

import (
	"context"
	"io"
	"path/filepath"
	"strings"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/ledger"
)

// Format writes the report of a job in one of the forms.
type Format func(ctx context.Context, l *ledger.Ledger, job ledger.Job, w io.Writer, o Options) error

// FormatOf is the form of a file by its name: .csv, which gets a byte order mark, .xlsx, .html or .json.
func FormatOf(name string) (Format, error) {
	of := func(write func(context.Context, *ledger.Ledger, string, io.Writer, Options) error) Format {
		return func(ctx context.Context, l *ledger.Ledger, job ledger.Job, w io.Writer, o Options) error {
			return write(ctx, l, job.JobID, w, o)
		}
	}
	switch strings.ToLower(filepath.Ext(name)) {
	case ".csv", "":
		return func(ctx context.Context, l *ledger.Ledger, job ledger.Job, w io.Writer, o Options) error {
			o.Mark = true
			return CSV(ctx, l, job.JobID, w, o)
		}, nil
	case ".xlsx":
		return of(XLSX), nil
	case ".html", ".htm":
		return HTML, nil
	case ".json", ".jsonl":
		return of(JSON), nil
	}
	return nil, texts.T("%s: a report is written as .csv, .xlsx, .html or .json, by the name of the file", name)
}
