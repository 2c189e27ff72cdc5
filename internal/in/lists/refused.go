package lists

import (
	"fmt"

	"github.com/unrole/unrole/internal/base/texts"
)

// RowError says what is wrong with one place of the input.
type RowError struct {
	// Line and Column count from 1. Column counts characters of the line, not bytes; in a workbook Line is the row and
	// Column the column. Line is 0 where the input as a whole is meant.
	Line, Column int
	// Cell is the place in a workbook: B7.
	Cell string
	// Field is the heading or JSON field, such as "role_id"; empty where no single one is to blame.
	Field string
	// Reason is one sentence without a full stop, fit for the person who made the file.
	Reason texts.Text
}

// Refused says that the input was refused whole: nothing of it may be sent.
type Refused struct {
	// Name is what the input is called in messages.
	Name string
	// Rows holds the first errors, in order of appearance, at most Options.MaxErrors.
	Rows []RowError
	// Total counts all errors, also those that Rows has no room for. A row with a bad user and a bad role has two; no row
	// has more than Options.MaxErrors.
	Total int
	// Truncated says that reading ended early, so that what follows the last error was not looked at.
	Truncated bool
	// Next are sentences that say how many rows are good and what to do.
	Next []texts.Text
}

func (e *Refused) Error() string { return e.Unwrap().Error() }

// Unwrap lists `NAME:LINE:COLUMN: reason`, one per line, then how many more there are, and what to do.
func (e *Refused) Unwrap() error {
	var lines []texts.Text
	for _, row := range e.Rows {
		at := e.Name
		switch {
		case row.Cell != "":
			at += ":" + row.Cell
		case row.Line > 0:
			at += fmt.Sprintf(":%d:%d", row.Line, row.Column)
		}
		lines = append(lines, texts.T("%s %s", at+":", row.Reason))
	}
	if more := e.Total - len(e.Rows); more > 0 {
		lines = append(lines, texts.T("… and %d more", more))
	}
	if e.Truncated {
		lines = append(lines, texts.T("the rest was not read"))
	}
	return texts.Lines(append(lines, e.Next...))
}

func (e *Refused) add(most int, row RowError) {
	e.Total++
	if len(e.Rows) < most {
		e.Rows = append(e.Rows, row)
	}
}

// adviseRows says how many rows are good, and how to go on with them; of a report that has to be whole, nothing can be left out.
func (e *Refused) adviseRows(r *Report, whole bool) {
	good := r.Rows - r.Rejected
	switch {
	case r.Rows == 0 || e.Truncated:
	case good == r.Rows:
		// Every row is well-formed, and yet the input as a whole cannot be right.
	case good == 0, whole:
		e.Next = append(e.Next, texts.T("good rows: %d of %d", good, r.Rows))
	default:
		e.Next = append(e.Next, texts.T("good rows: %d of %d; correct the others, or leave them out with --skip-invalid FILE, which keeps them there", good, r.Rows))
	}
}
