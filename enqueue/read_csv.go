package enqueue

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode"

	"github.com/unrole/unrole/internal/base/sheet"
)

// csvField is a field of the current row: where it stands, and whether quotes inside it are doubled.
type csvField struct {
	begin, end int
	escaped    bool
}

// csvReader splits rows into fields as RFC 4180 says, with any separator.
type csvReader struct {
	rows   *rowReader
	comma  byte
	fields []csvField
	plain  []byte // scratch for fields with doubled quotes
}

// next reads the next row. It returns io.EOF, a *stop or the error of the source.
func (c *csvReader) next() error {
	c.fields, c.plain = c.fields[:0], c.plain[:0]
	if err := c.rows.next(); err != nil {
		if errors.Is(err, errRowTooLong) {
			return &stop{problem: problem{0, "", tooLong()}, fatal: true}
		}
		return err
	}
	text := c.rows.content()
	if bytes.IndexByte(text, '"') < 0 {
		return c.split(text)
	}
	for at := 0; ; {
		f, end, err := c.quotable(at)
		if err != nil {
			return err
		}
		if err := c.add(f); err != nil {
			return err
		}
		if end >= len(c.rows.content()) {
			return nil
		}
		at = end + 1
	}
}

// split is the way of a row without quotes.
func (c *csvReader) split(text []byte) error {
	at := 0
	for {
		i := bytes.IndexByte(text[at:], c.comma)
		if i < 0 {
			return c.add(csvField{begin: at, end: len(text)})
		}
		if err := c.add(csvField{begin: at, end: at + i}); err != nil {
			return err
		}
		at += i + 1
	}
}

func (c *csvReader) add(f csvField) error {
	if len(c.fields) == MaxColumns {
		return &stop{problem: problem{f.begin, "", fmt.Sprintf("the row has more than %d columns", MaxColumns)},
			unsure: c.rows.line > c.rows.rowLine}
	}
	c.fields = append(c.fields, f)
	return nil
}

// quotable reads the field at a byte of the row, and returns where it ends: at a separator or the end of the row.
func (c *csvReader) quotable(at int) (csvField, int, error) {
	text := c.rows.content()
	begin := at
	for begin < len(text) && text[begin] == ' ' {
		begin++
	}
	if begin < len(text) && text[begin] == '"' {
		return c.quoted(begin)
	}
	end := len(text)
	if i := bytes.IndexByte(text[at:], c.comma); i >= 0 {
		end = at + i
	}
	value := bytes.TrimSpace(text[at:end])
	wrapped := len(value) > 2 && value[0] == '=' && value[1] == '"' && bytes.IndexByte(value[2:], '"') == len(value)-3
	if i := bytes.IndexByte(text[at:end], '"'); i >= 0 && !wrapped {
		return csvField{}, 0, &stop{problem: problem{at + i, "",
			"a quote inside an unquoted field: quote the whole field and double the quotes inside it"}}
	}
	return csvField{begin: at, end: end}, end, nil
}

// quoted reads the field whose opening quote is at a byte of the row. It takes more lines into the row as needed.
func (c *csvReader) quoted(open int) (csvField, int, error) {
	f := csvField{begin: open + 1}
	at := open + 1
	for {
		row := c.rows.row()
		i := bytes.IndexByte(row[at:], '"')
		if i < 0 {
			at = len(row)
			switch err := c.rows.extend(); {
			case err == io.EOF:
				return f, 0, &stop{problem: problem{open, "", "a quote is opened here and never closed"},
					unsure: c.rows.line > c.rows.rowLine}
			case errors.Is(err, errRowTooLong):
				return f, 0, &stop{problem: problem{open, "",
					fmt.Sprintf("a quote is opened here and not closed within %d bytes", MaxRowBytes)}, unsure: true}
			case err != nil:
				return f, 0, err
			}
			continue
		}
		at += i
		if at+1 < len(row) && row[at+1] == '"' {
			f.escaped = true
			at += 2
			continue
		}
		f.end = at
		break
	}
	text := c.rows.content()
	for at++; at < len(text) && text[at] == ' '; at++ {
	}
	if at < len(text) && text[at] != c.comma {
		return f, 0, &stop{problem: problem{open, "",
			"a quoted field begins here and goes on after its closing quote: double the quotes inside it"},
			unsure: c.rows.line > c.rows.rowLine}
	}
	return f, at, nil
}

// field is the text of field i, with doubled quotes made single. It holds until the next row.
func (c *csvReader) field(i int) []byte {
	f := c.fields[i]
	raw := c.rows.row()[f.begin:f.end]
	if !f.escaped {
		return raw
	}
	from := len(c.plain)
	for {
		i := bytes.IndexByte(raw, '"')
		if i < 0 {
			c.plain = append(c.plain, raw...)
			return c.plain[from:]
		}
		c.plain = append(c.plain, raw[:i+1]...)
		raw = raw[i+2:]
	}
}

// blank reports whether all fields from i on are empty.
func (c *csvReader) blank(i int) bool {
	for ; i < len(c.fields); i++ {
		f := c.fields[i]
		if len(bytes.TrimFunc(c.rows.row()[f.begin:f.end], unicode.IsSpace)) > 0 {
			return false
		}
	}
	return true
}

func tooLong() string {
	return fmt.Sprintf("the row is longer than %d bytes: is this the right file?", MaxRowBytes)
}

func (in *input) readCSV() error {
	c := &csvReader{rows: in.rows}
	head, err := in.readHeader(c)
	if err != nil {
		return err
	}
	if in.opt.Reject != nil {
		in.reject = newRejectWriter(in.opt.Reject, head.names)
	}
	fields := func() []string { return c.texts() }
	for {
		in.begin()
		err := c.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			if err := in.halted(err); err != nil {
				return err
			}
			continue
		}
		if c.blank(0) {
			continue
		}
		in.csvRow(c, head)
		if err := in.finish(fields, false); err != nil {
			return err
		}
	}
}

// halted reports a row that could not be taken apart. Where its quotes ran over several lines, these lines may be rows
// or may be text: to report more errors they are read as rows, but when good rows are to be sent nothing is certain
// any more.
func (in *input) halted(err error) error {
	var halt *stop
	if !errors.As(err, &halt) {
		return err
	}
	in.problem(halt.at, halt.field, halt.reason)
	fields := func() []string { return []string{string(in.rows.content())} }
	err = in.finish(fields, halt.fatal || halt.unsure && in.opt.Reject != nil)
	if err == nil && halt.unsure {
		in.rows.rewind()
	}
	return err
}

// csvRow checks the user and role columns of the current row.
func (in *input) csvRow(c *csvReader, head *header) {
	if n := len(head.names); len(c.fields) > n && !c.blank(n) {
		in.problem(c.fields[n].begin, "", fmt.Sprintf("the row has %d columns, the header %d: quote fields that contain a separator", len(c.fields), n))
		return
	}
	in.csvUsers(c, head)
	in.csvRoles(c, head)
}

func (in *input) csvUsers(c *csvReader, head *header) {
	if head.user >= len(c.fields) {
		in.missing(c, head, head.user)
		return
	}
	f, cell := c.fields[head.user], c.field(head.user)
	value := sheet.Value(cell)
	if !head.manyUsers {
		if reason := in.checkSheetUserID(value); reason != "" {
			in.problem(f.begin+offset(cell, value), head.names[head.user], reason)
			return
		}
		in.users = append(in.users, value)
		return
	}
	none := true
	for at, item := range items(value) {
		none = false
		if reason := in.checkSheetUserID(item); reason != "" {
			in.problem(f.begin+offset(cell, value)+at, head.names[head.user], reason)
			return
		}
		in.users = append(in.users, item)
	}
	if none {
		in.problem(f.begin, head.names[head.user], "user id is empty")
	}
}

func (in *input) csvRoles(c *csvReader, head *header) {
	if head.role >= len(c.fields) {
		in.missing(c, head, head.role)
		return
	}
	f, cell := c.fields[head.role], c.field(head.role)
	value := sheet.Value(cell)
	at0 := f.begin + offset(cell, value)
	if !head.manyRoles {
		id, err := parseRoleID(value)
		if err != nil {
			reason := err.Error()
			if listOfIDs(value) {
				reason = fmt.Sprintf("role id %q looks like several: name the column role_ids", clip(string(value)))
			}
			in.problem(at0, head.names[head.role], reason)
			return
		}
		in.roles = append(in.roles, id)
		return
	}
	for at, item := range items(value) {
		id, err := parseRoleID(item)
		if err != nil {
			in.problem(at0+at, head.names[head.role], err.Error())
			return
		}
		in.roles = append(in.roles, id)
	}
	if len(in.roles) == 0 {
		in.problem(at0, head.names[head.role], "role id is empty")
	}
}

func (in *input) missing(c *csvReader, head *header, column int) {
	in.problem(len(c.rows.content()), head.names[column], fmt.Sprintf("%s is missing: the row has %d of %d columns",
		head.names[column], len(c.fields), len(head.names)))
}

// items goes through the ids of a list: where each stands, and the id.
func items(list []byte) func(yield func(int, []byte) bool) {
	return func(yield func(int, []byte) bool) {
		at := 0
		for at < len(list) {
			end := at
			for end < len(list) && !separatesIDs(list[end]) {
				end++
			}
			if end > at && !yield(at, list[at:end]) {
				return
			}
			at = end + 1
		}
	}
}

func separatesIDs(c byte) bool {
	return c == ';' || c == ' ' || c == '\t' || c == '\n' || c == '\r'
}

func listOfIDs(value []byte) bool {
	n := 0
	for _, item := range items(value) {
		if !onlyDigits(string(item)) {
			return false
		}
		n++
	}
	return n > 1
}

// offset is where part begins in whole, a slice that it was cut from; 0 if it was not.
func offset(whole, part []byte) int {
	if len(part) == 0 {
		return 0
	}
	return max(cap(whole)-cap(part), 0)
}

// texts is the current row for the file of rejected rows.
func (c *csvReader) texts() []string {
	texts := make([]string, len(c.fields))
	for i := range c.fields {
		texts[i] = string(c.field(i))
	}
	return texts
}
