// Package lists reads lists of removals as people have them, CSV, JSONL or a workbook, into rows of people and roles.
package lists

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/unrole/unrole/internal/base/texts"
)

// Limits of what Read takes in.
const (
	// MaxRowBytes is the longest row, in bytes of UTF-8, line breaks inside quotes included. It bounds the memory that
	// a hostile line can ask for; Excel's longest cell has 32,767 characters.
	MaxRowBytes = 4 << 20
	// MaxColumns is the most columns of a row: Excel's most, too.
	MaxColumns = 16_384
	// MaxWorkbook is the largest workbook, in bytes, once it is unpacked; 100,000 rows of six columns have some 30 MB.
	MaxWorkbook = 1 << 30
)

// Format is how the rows of an input are written.
type Format string

const (
	// FormatAuto tells the format by the first bytes.
	FormatAuto  Format = ""
	FormatCSV   Format = "csv"
	FormatJSONL Format = "jsonl"
	FormatXLSX  Format = "xlsx"
)

// Options say how Read reads. The zero value is fit for use.
type Options struct {
	// Format of a text; a workbook is known by its first bytes.
	Format Format
	// Name is what messages call the input, the file name usually; "input" when empty.
	Name string
	// Sheet names the sheet of a workbook; empty is the only one that has a list.
	Sheet string
	// Columns are the headings of columns that a person named, by field: {"user_id": "钉钉账号"}. What somebody calls user
	// ids is taken for them, whatever it looks like.
	Columns map[string]string
	// People and Roles complete an input that has no such column.
	People []Person
	Roles  []Role
	// Lookup says that what is no id will be looked up: mobile numbers, staff numbers, names of people and roles.
	// Otherwise they are refused.
	Lookup bool
	// AllRoles says that the people lose all that they hold: the input names no roles.
	AllRoles bool
	// Cells asks for Row.Cells.
	Cells bool
	// Outcomes says which rows of a report of unrole are taken, where the input is one; nil means NotDone.
	Outcomes []string
	// Returned refuses what is no report of unrole, and rows of one that have no outcome.
	Returned bool
	// Simulated takes the report of a simulation like any other.
	Simulated bool
	// Reject, when set, takes the bad rows, as CSV with their line and reason, for a spreadsheet to open without
	// running a formula; reading then goes on with the good ones. Those of a table have its columns, so that Read
	// takes the file back once somebody corrected it. What leaves it unsure what the rows after it mean (a quote that is
	// not closed in its line, a row beyond MaxRowBytes, other headings) still refuses the input whole.
	Reject io.Writer
	// Lang is the language of the reasons that Reject has.
	Lang texts.Lang
	// MaxErrors is how many errors a *Refused names; 0 means 50.
	MaxErrors int
}

// Report says what Read met.
type Report struct {
	Format Format
	// Encoding of a text is "UTF-8", "UTF-16" or "GB18030".
	Encoding string
	// Header are the headings as written, by column; of JSONL the names of the fields in order of appearance; of a report of
	// unrole those that its list had.
	Header []string
	// Rows counts the rows with content, bad ones included, the header and what was passed over not.
	Rows int
	// Rejected counts the bad rows among them.
	Rejected int
	// Ignored lists the headings that nothing was taken from.
	Ignored []string
	// Notes are what whoever sent the input should know before anything is sent, a sentence each.
	Notes []texts.Text
}

// Read reads and checks removals, and hands take each good row.
//
// A table (CSV, or a sheet of a workbook) has a header, which may stand below a title. It names people and roles in any
// of the usual ways, see Field; other columns are ignored. Columns of CSV are separated by commas, semicolons or tabs.
// Blanks around a value do not count, nor do blank rows and the marks by which spreadsheets keep text as text. Totals,
// rulers and counts of rows are passed over. What a spreadsheet spoiled is refused. JSONL has an object in each line,
// whose fields have the names of headings.
//
// A text is UTF-8 with or without a byte order mark, UTF-16 with one, or GB18030, as Excel saves it in China. It is
// streamed: memory grows with the longest row, see MaxRowBytes; that of a workbook with its cells.
//
// Unless opt.Reject is set, any bad row refuses the input whole, with a *Refused. So does, in any case, an input without
// rows or with none that is good, and one most of whose ids cannot be right. An error of take refuses it at its row.
// What take was handed is void when Read returns an error. Other errors are those of r and of opt.Reject. The report is
// never nil.
func Read(r io.Reader, opt Options, take func(Row) error) (*Report, error) {
	if opt.Name == "" {
		opt.Name = "input"
	}
	if opt.MaxErrors <= 0 {
		opt.MaxErrors = 50
	}
	text := newTextReader(r)
	in := &input{
		opt:    opt,
		take:   take,
		text:   text,
		rows:   newRowReader(text),
		report: &Report{},
		bad:    &Refused{Name: opt.Name},
	}
	err := in.read()
	if in.report.Format != FormatXLSX {
		in.report.Encoding = text.encoding()
	}
	return in.report, err
}

// input is one Read at work.
type input struct {
	opt    Options
	take   func(Row) error
	text   *textReader
	rows   *rowReader
	report *Report
	bad    *Refused
	reject *rejectWriter

	row       Row
	problems  []problem
	places    []place // of the row's people, for suspects
	last      string  // the user id before, which needs no second look
	idHeading string  // of the column of user ids
	marks     marks
	suspects  suspects
	passed    []passed
	names     []column  // of JSONL: what the fields met so far mean
	returned  *returned // nil unless the input is a report of unrole
	own       []int     // columns of a report that its list had
}

// place is where something stands in the current row: the column of a table, and the byte of its cell. Where a row was
// not taken apart, or is JSON, col is whole and at the byte of the row.
type place struct{ col, at int }

const whole = -1

// problem is an error at a place of the current row.
type problem struct {
	place
	field  string
	reason texts.Text
}

// stop ends the reading of a row at a problem beyond which nothing of it can be understood.
type stop struct {
	problem
	// fatal: nor can anything of the input.
	fatal bool
	// unsure: the lines that follow may be rows, or may be text that belongs to this one.
	unsure bool
}

func (s *stop) Error() string { return s.reason.Error() }

// spot is where a problem is shown to be.
type spot struct {
	line, column int
	cell         string // B7, in a workbook
}

func (in *input) read() error {
	format, err := in.sniff()
	if err != nil {
		return in.readError(err)
	}
	in.report.Format = format
	switch format {
	case FormatJSONL:
		err = in.readJSONL()
	case FormatXLSX:
		err = in.readXLSX()
	default:
		err = in.readCSV()
	}
	if rerr := in.reject.flush(); rerr != nil && err == nil {
		err = rerr
	}
	if err != nil {
		return in.readError(err)
	}
	in.weigh()
	if in.returned != nil {
		in.report.Notes = append(in.report.Notes, in.returned.note())
	}
	in.report.Notes = append(in.report.Notes, in.passedOver()...)
	in.report.Notes = append(in.report.Notes, in.marks.notes()...)
	if len(in.report.Ignored) > 0 && !in.opt.Returned {
		in.report.Notes = append(in.report.Notes, texts.T("columns not used: %s", clip(strings.Join(in.report.Ignored, ", "))))
	}
	good := in.report.Rows - in.report.Rejected
	switch {
	case in.bad.Total > 0:
		in.bad.adviseRows(in.report, in.opt.Returned)
		return in.bad
	case in.report.Rows == 0 && in.opt.Returned:
		return in.refuse(texts.T("a report of unrole that has no row with the outcome %s", strings.Join(in.wanted(), ", ")))
	case in.report.Rows == 0 && in.returned != nil && len(in.returned.passed) > 0:
		return in.refuse(texts.T("a report of unrole of which every row is done: nothing is left to do"))
	case in.report.Rows == 0:
		return in.refuse(texts.T("no rows after the header: nothing to remove"))
	case good == 0:
		return in.refuse(texts.T("none of the %d rows is good: nothing to remove", in.report.Rows))
	}
	return nil
}

// refuse adds an error about the input as a whole and ends reading.
func (in *input) refuse(reason texts.Text) error {
	in.bad.add(in.opt.MaxErrors, RowError{Reason: reason})
	return in.bad
}

// readError says where reading ended, unless err says so itself.
func (in *input) readError(err error) error {
	var invalid *Refused
	var rejecting *rejectError
	if errors.As(err, &invalid) || errors.As(err, &rejecting) || in.report.Format == FormatXLSX {
		return err
	}
	return fmt.Errorf("read %s after line %d: %w", in.opt.Name, in.rows.line, err)
}

// begin forgets the row before.
func (in *input) begin() {
	in.row.People, in.row.Roles, in.row.Also = in.row.People[:0], in.row.Roles[:0], in.row.Also[:0]
	in.problems, in.places = in.problems[:0], in.places[:0]
}

func (in *input) problem(at place, field string, reason texts.Text) {
	if len(in.problems) < in.opt.MaxErrors {
		in.problems = append(in.problems, problem{at, field, reason})
	}
}

// source is what rows come from: where a place of the current row is, what the file of rejected rows gets of it, and its
// cells.
type source interface {
	spot(place) spot
	texts() []string
	values() []string
}

// finish takes the row in, or reports what is wrong with it. It returns an error when reading cannot go on.
func (in *input) finish(from source, fatal bool) error {
	in.report.Rows++
	if len(in.problems) == 0 {
		in.suspects.look(in, from)
		if in.opt.Cells {
			in.row.Cells = from.values()
			if in.own != nil && in.report.Format != FormatJSONL {
				in.row.Cells = picked(in.row.Cells, in.own)
			}
			for in.report.Format != FormatJSONL && len(in.row.Cells) < len(in.report.Header) {
				in.row.Cells = append(in.row.Cells, "")
			}
		}
		if err := in.take(in.row); err != nil {
			in.problem(place{whole, 0}, "", texts.T("%v", err))
			fatal = true
		}
	}
	if len(in.problems) == 0 {
		return nil
	}
	in.report.Rejected++
	if in.opt.Reject != nil && !fatal {
		return in.reject.write(from.texts(), in.row.Line, in.problems)
	}
	for _, p := range in.problems {
		at := from.spot(p.place)
		in.bad.add(in.opt.MaxErrors, RowError{Line: at.line, Column: at.column, Cell: at.cell, Field: p.field, Reason: p.reason})
	}
	if fatal {
		in.bad.Truncated = true
		return in.bad
	}
	return nil
}

// sniff tells the format by the first characters, and what is no list at all.
func (in *input) sniff() (Format, error) {
	head, err := in.text.head()
	if len(head) == 0 && err != nil && err != io.EOF {
		return "", err
	}
	if bytes.HasPrefix(head, []byte("PK\x03\x04")) {
		return FormatXLSX, nil
	}
	if bytes.HasPrefix(head, oleHead) {
		return "", in.refuse(in.oldOrEncrypted())
	}
	if what, is := notText(head); is {
		return "", in.refuse(what)
	}
	if in.opt.Sheet != "" {
		return "", in.refuse(texts.T("this is text, which has no sheets: leave --sheet out"))
	}
	head, err = in.rows.peek(64)
	if len(head) == 0 && err != nil && err != io.EOF {
		return "", err
	}
	head = bytes.TrimSpace(head)
	switch {
	case len(head) == 0 && err == io.EOF:
		return "", in.refuse(texts.T("empty: no header and no rows"))
	case in.opt.Format != FormatAuto:
		if !slices.Contains([]Format{FormatCSV, FormatJSONL}, in.opt.Format) {
			return "", fmt.Errorf("format %q is not known: use csv or jsonl", in.opt.Format)
		}
		return in.opt.Format, nil
	case len(head) > 0 && head[0] == '{':
		return FormatJSONL, nil
	case len(head) > 0 && head[0] == '[':
		return "", in.refuse(texts.T("this is a JSON array: write one object per line, without brackets around and commas between them"))
	case len(head) > 0 && head[0] == '<':
		return "", in.refuse(texts.T("this is HTML or XML, whatever its name says: open it in a spreadsheet and save it as .xlsx or CSV"))
	}
	return FormatCSV, nil
}

var oleHead = []byte("\xd0\xcf\x11\xe0")

// oldOrEncrypted tells an encrypted workbook from an old one: both are compound files of Windows.
func (in *input) oldOrEncrypted() texts.Text {
	// The names of streams are UTF-16. That of an encrypted workbook stands in the directory, wherever that is.
	name := []byte("E\x00n\x00c\x00r\x00y\x00p\x00t\x00e\x00d\x00P\x00a\x00c\x00k\x00a\x00g\x00e\x00")
	const most = 64 << 20
	data, err := io.ReadAll(io.LimitReader(in.text.raw, most))
	if err == nil && bytes.Contains(data, name) {
		return texts.T("this workbook is encrypted with a password: open it, take the password off (File, Info, Protect Workbook), save it, and try again")
	}
	return texts.T("this is an old workbook (.xls), which keeps numbers in a form that is not read here: open it and save it as .xlsx or CSV UTF-8")
}

// notText names the kind of a file that is taken for CSV more often than one would think.
func notText(head []byte) (what texts.Text, is bool) {
	binary := func(name string) (texts.Text, bool) {
		return texts.T("this is %s, not a list: save it as .xlsx or as CSV (in Excel: CSV UTF-8)", name), true
	}
	switch {
	case bytes.Contains(head, []byte("%TSD-Header")), bytes.Contains(head, []byte("E-SafeNet")):
		return texts.T("this file is encrypted by your company's leak prevention, which shows its text only to programs that it knows: ask IT for a plain copy, or for unrole to be let in"), true
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return binary("gzip")
	case bytes.HasPrefix(head, []byte("%PDF")):
		return binary("PDF")
	case bytes.HasPrefix(head, []byte("\xff\xfe\x00\x00")), bytes.HasPrefix(head, []byte("\x00\x00\xfe\xff")):
		return binary("UTF-32")
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		return texts.Text{}, false
	case bytes.IndexByte(head[:min(len(head), 8)], 0) >= 0:
		return binary("binary, or UTF-16 without a byte order mark")
	}
	return texts.Text{}, false
}
