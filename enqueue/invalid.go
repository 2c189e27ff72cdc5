package enqueue

import (
	"fmt"
	"strings"
)

// DefaultMaxErrors is how many bad rows an *InvalidInputError names where ReadOptions.MaxErrors is 0.
const DefaultMaxErrors = 50

// RowError says what is wrong with one place of the input.
type RowError struct {
	// Line and Column count from 1. Column counts characters of the line, not bytes. Line is 0 where the input as a
	// whole is meant.
	Line, Column int
	// Field is the column or JSON field, such as "role_id"; empty where no single one is to blame.
	Field string
	// Reason is one sentence without a full stop, fit for the person who made the file.
	Reason string
}

// InvalidInputError says that the input was refused whole: nothing of it may be sent.
type InvalidInputError struct {
	// Name is what the input is called in messages; empty for lists given as flags.
	Name string
	// Rows holds the first errors, in order of appearance, at most ReadOptions.MaxErrors.
	Rows []RowError
	// Total counts all errors, also those that Rows has no room for. A row with a bad user and a bad role has two; no row
	// has more than ReadOptions.MaxErrors.
	Total int
	// Truncated says that reading ended early, so that what follows the last error was not looked at.
	Truncated bool
}

// Error lists `NAME:LINE:COLUMN: reason`, one per line, and then how many more there are.
func (e *InvalidInputError) Error() string {
	var b strings.Builder
	for i, row := range e.Rows {
		if i > 0 {
			b.WriteByte('\n')
		}
		switch {
		case row.Line > 0:
			fmt.Fprintf(&b, "%s:%d:%d: ", e.Name, row.Line, row.Column)
		case e.Name != "":
			b.WriteString(e.Name + ": ")
		}
		b.WriteString(row.Reason)
	}
	if more := e.Total - len(e.Rows); more > 0 {
		fmt.Fprintf(&b, "\n… and %d more", more)
	}
	if e.Truncated {
		b.WriteString("\nthe rest was not read")
	}
	return b.String()
}

func (e *InvalidInputError) add(most int, row RowError) {
	e.Total++
	if len(e.Rows) < most {
		e.Rows = append(e.Rows, row)
	}
}

func tooManyPairs(line, column int) RowError {
	return RowError{Line: line, Column: column,
		Reason: fmt.Sprintf("more than %d pairs are asked for: split the input into several", MaxPairs)}
}
