package enqueue

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Limits of what Read takes in.
const (
	// MaxRowBytes is the longest row, in bytes of UTF-8, line breaks inside quotes included. It bounds the memory that
	// a hostile line can ask for; Excel's longest cell has 32,767 characters.
	MaxRowBytes = 4 << 20
	// MaxColumns is the most columns of a CSV row: Excel's most, too.
	MaxColumns = 16_384
	// MaxPairs is the most pairs of one input; at four bytes each they fit beside everything else.
	MaxPairs = 20_000_000
)

// Format is how the rows of an input are written.
type Format string

const (
	// FormatAuto takes an input whose first character is { for JSONL, and anything else for CSV.
	FormatAuto  Format = ""
	FormatCSV   Format = "csv"
	FormatJSONL Format = "jsonl"
)

// ReadOptions say how Read reads. The zero value is fit for use.
type ReadOptions struct {
	Format Format
	// Name is what messages call the input, the file name usually; "input" when empty.
	Name string
	// Reject, when set, takes the bad rows, as CSV with their line and reason, for a spreadsheet to open without
	// running a formula; reading then goes on with the good ones. Those of a CSV input have its columns, so that Read
	// takes the file back once somebody corrected it. What leaves it unsure where rows begin and end (a quote that is
	// not closed in its line, a row beyond MaxRowBytes) still refuses the input whole.
	Reject io.Writer
	// MaxErrors is how many errors an *InvalidInputError names; 0 means DefaultMaxErrors.
	MaxErrors int
}

// ReadReport says what Read met.
type ReadReport struct {
	Format Format
	// Encoding is "UTF-8", "UTF-16" or "GB18030".
	Encoding string
	// Rows counts the rows with content, bad ones included, the header not.
	Rows int
	// Rejected counts the bad rows among them.
	Rejected int
	// Duplicates counts the pairs that were asked for again.
	Duplicates int
	// Ignored lists the columns of a CSV header that mean nothing here.
	Ignored []string
}

// Read reads and checks removals.
//
// CSV has a header in its first row. It names one column user_id (or user_ids, separated by semicolons or blanks) and
// one role_id (or role_ids), in any case and order; other columns are ignored. Columns are separated by commas,
// semicolons or tabs. Blanks around a value do not count, nor do blank lines, empty columns at the end of a row, an
// apostrophe before = + - @ or another apostrophe (how spreadsheets, and the files that unrole writes, mark text),
// and the wrapping of ="00123". What a spreadsheet made of a long number (1.23E+09) is refused.
//
// JSONL has an object in each line: {"user_id":"u","role_ids":[1,2]}; user_ids and role_id serve too, and role ids may
// be strings of digits.
//
// The text is UTF-8 with or without a byte order mark, UTF-16 with one, or GB18030, as Excel saves it in China.
//
// The text is streamed: memory grows with the distinct pairs, see Removals, and with the longest row, see MaxRowBytes.
// Unless opt.Reject is set, any bad row refuses the input whole, with an *InvalidInputError. So does, in any case, an
// input without rows or with none that is good. Other errors are those of r and of opt.Reject. The report is never nil.
func Read(r io.Reader, opt ReadOptions) (*Removals, *ReadReport, error) {
	if opt.Name == "" {
		opt.Name = "input"
	}
	if opt.MaxErrors <= 0 {
		opt.MaxErrors = DefaultMaxErrors
	}
	text := newTextReader(r)
	in := &input{
		opt:    opt,
		text:   text,
		rows:   newRowReader(text),
		set:    &Removals{},
		report: &ReadReport{},
		bad:    &InvalidInputError{Name: opt.Name},
	}
	err := in.read()
	in.report.Duplicates = in.set.duplicates
	in.report.Encoding = text.encoding()
	if err != nil {
		return nil, in.report, err
	}
	in.set.tidy()
	return in.set, in.report, nil
}

// input is one Read at work.
type input struct {
	opt    ReadOptions
	text   *textReader
	rows   *rowReader
	set    *Removals
	report *ReadReport
	bad    *InvalidInputError
	reject *rejectWriter

	// What the current row asks for, as bytes of it or of scratch, and what is wrong with it.
	users    [][]byte
	roles    []int64
	problems []problem
}

// problem is an error at a byte of the current row.
type problem struct {
	at            int
	field, reason string
}

// stop ends the reading of a row at a problem beyond which nothing of it can be understood.
type stop struct {
	problem
	// fatal: nor can anything of the input.
	fatal bool
	// unsure: the lines that follow may be rows, or may be text that belongs to this one.
	unsure bool
}

func (s *stop) Error() string { return s.reason }

func (in *input) read() error {
	format, err := in.sniff()
	if err != nil {
		return in.readError(err)
	}
	in.report.Format = format
	if format == FormatJSONL {
		err = in.readJSONL()
	} else {
		err = in.readCSV()
	}
	if rerr := in.reject.flush(); rerr != nil && err == nil {
		err = rerr
	}
	if err != nil {
		return in.readError(err)
	}
	switch {
	case in.bad.Total > 0:
		return in.bad
	case in.report.Rows == 0:
		return in.refuse("no rows after the header: nothing to remove")
	case in.set.pairs == 0:
		return in.refuse(fmt.Sprintf("none of the %d rows is good: nothing to remove", in.report.Rows))
	}
	return nil
}

// sniff tells the format by the first characters, and what is no text at all.
func (in *input) sniff() (Format, error) {
	head, err := in.text.head()
	if len(head) == 0 && err != nil && err != io.EOF {
		return "", err
	}
	if what := notText(head); what != "" {
		return "", in.refuse("this is " + what + ", not text: save it as CSV (in Excel: CSV UTF-8)")
	}
	head, err = in.rows.peek(64)
	if len(head) == 0 && err != nil && err != io.EOF {
		return "", err
	}
	head = bytes.TrimSpace(head)
	switch {
	case len(head) == 0 && err == io.EOF:
		return "", in.refuse("empty: no header and no rows")
	case in.opt.Format != FormatAuto:
		if in.opt.Format != FormatCSV && in.opt.Format != FormatJSONL {
			return "", fmt.Errorf("format %q is not known: use csv or jsonl", in.opt.Format)
		}
		return in.opt.Format, nil
	case len(head) > 0 && head[0] == '{':
		return FormatJSONL, nil
	case len(head) > 0 && head[0] == '[':
		return "", in.refuse("this is a JSON array: write one object per line, without brackets around and commas between them")
	case len(head) > 0 && head[0] == '<':
		return "", in.refuse("this is HTML or XML, whatever its name says: open it in a spreadsheet and save it as CSV")
	}
	return FormatCSV, nil
}

// refuse adds an error about the input as a whole and ends reading.
func (in *input) refuse(reason string) error {
	in.bad.add(in.opt.MaxErrors, RowError{Reason: reason})
	return in.bad
}

// readError says where reading ended, unless err says so itself.
func (in *input) readError(err error) error {
	var invalid *InvalidInputError
	var rejecting *rejectError
	if errors.As(err, &invalid) || errors.As(err, &rejecting) {
		return err
	}
	return fmt.Errorf("read %s after line %d: %w", in.opt.Name, in.rows.line, err)
}

// begin forgets the row before.
func (in *input) begin() {
	in.users, in.roles, in.problems = in.users[:0], in.roles[:0], in.problems[:0]
}

func (in *input) problem(at int, field, reason string) {
	if len(in.problems) < in.opt.MaxErrors {
		in.problems = append(in.problems, problem{at, field, reason})
	}
}

// finish takes the row in, or reports what is wrong with it. fields are for the rejected rows' file. It returns an
// error when reading cannot go on.
func (in *input) finish(fields func() []string, fatal bool) error {
	in.report.Rows++
	if len(in.problems) == 0 && len(in.users) > 0 && len(in.roles) > MaxPairs/len(in.users) {
		in.problem(0, "", tooManyPairs(0, 0).Reason)
		fatal = true
	}
	if len(in.problems) == 0 {
		in.accept()
		if in.set.pairs > MaxPairs {
			in.problem(0, "", tooManyPairs(0, 0).Reason)
			fatal = true
		}
	}
	if len(in.problems) == 0 {
		return nil
	}
	in.report.Rejected++
	if in.opt.Reject != nil && !fatal {
		return in.reject.write(fields(), in.rows.rowLine, in.problems)
	}
	for _, p := range in.problems {
		line, column := in.rows.place(p.at)
		in.bad.add(in.opt.MaxErrors, RowError{Line: line, Column: column, Field: p.field, Reason: p.reason})
	}
	if fatal {
		in.bad.Truncated = true
		return in.bad
	}
	return nil
}

func (in *input) accept() {
	for _, user := range in.users {
		u, ok := in.set.userPos[string(user)]
		if !ok {
			u = in.set.user(string(user))
		}
		for _, id := range in.roles {
			in.set.addPair(u, in.set.role(id))
		}
	}
}
