package lists

import (
	"bytes"
	"errors"
	"io"
	"unicode"

	"github.com/unrole/unrole/internal/base/texts"
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
	halted bool   // the row could not be taken apart
}

func stopAt(at int, reason texts.Text) problem { return problem{place{whole, at}, "", reason} }

// next reads the next row. It returns io.EOF, a *stop or the error of the source.
func (c *csvReader) next() error {
	err := c.take()
	c.halted = err != nil
	return err
}

func (c *csvReader) take() error {
	c.fields, c.plain = c.fields[:0], c.plain[:0]
	if err := c.rows.next(); err != nil {
		if errors.Is(err, errRowTooLong) {
			return &stop{problem: stopAt(0, tooLong()), fatal: true}
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
		return &stop{problem: stopAt(f.begin, texts.T("the row has more than %d columns", MaxColumns)),
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
		return csvField{}, 0, &stop{problem: stopAt(at+i, texts.T("a quote inside an unquoted field: quote the whole field and double the quotes inside it"))}
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
				return f, 0, &stop{problem: stopAt(open, texts.T("a quote is opened here and never closed")),
					unsure: c.rows.line > c.rows.rowLine}
			case errors.Is(err, errRowTooLong):
				return f, 0, &stop{problem: stopAt(open, texts.T("a quote is opened here and not closed within %d bytes", MaxRowBytes)), unsure: true}
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
		return f, 0, &stop{problem: stopAt(open, texts.T("a quoted field begins here and goes on after its closing quote: double the quotes inside it")),
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

func tooLong() texts.Text {
	return texts.T("the row is longer than %d bytes: is this the right file?", MaxRowBytes)
}

// The table that csvReader is.

func (c *csvReader) width() int        { return len(c.fields) }
func (c *csvReader) line() int         { return c.rows.rowLine }
func (c *csvReader) cell(i int) []byte { return c.field(i) }
func (c *csvReader) exact(int) bool    { return true }

func (c *csvReader) spot(p place) spot {
	at := p.at
	switch {
	case p.col == whole:
	case p.col >= len(c.fields):
		at = len(c.rows.content())
	default:
		at += c.fields[p.col].begin
	}
	line, column := c.rows.place(at)
	return spot{line: line, column: column}
}

// texts is the current row for the file of rejected rows, as one cell where it was not taken apart.
func (c *csvReader) texts() []string {
	if c.halted {
		return []string{string(c.rows.content())}
	}
	texts := make([]string, len(c.fields))
	for i := range c.fields {
		texts[i] = string(c.field(i))
	}
	return texts
}

func (c *csvReader) values() []string { return c.texts() }

func (in *input) readCSV() error {
	c := &csvReader{rows: in.rows}
	head, err := in.readHeader(c)
	if err != nil {
		return err
	}
	return in.readTable(c, head)
}
