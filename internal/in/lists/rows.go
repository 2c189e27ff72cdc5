package lists

import (
	"bytes"
	"errors"
	"io"
	"unicode/utf8"
)

// errRowTooLong says that a row has more than MaxRowBytes.
var errRowTooLong = errors.New("row too long")

// rowReader hands out a text line by line and keeps the lines of the current row in one piece. Lines end with \n, \r\n
// or, as old Macs write them, \r. It never holds much more than MaxRowBytes.
type rowReader struct {
	src io.Reader
	err error

	buf             []byte
	begin, pos, end int // of the row, of the next line, of what was read
	noLF, noCR      int // buf[pos:noLF] has no \n, buf[pos:noCR] no \r
	terminator      int // length of the line break before pos

	line      int // number of the line that ends at pos
	rowLine   int // number of the row's first line
	firstLine int // length of the row's first line
}

const firstBuffer = 64 << 10

func newRowReader(src io.Reader) *rowReader {
	return &rowReader{src: src, buf: make([]byte, firstBuffer)}
}

// peek returns up to n bytes of what comes next, without using them up.
func (r *rowReader) peek(n int) ([]byte, error) {
	var err error
	for r.end-r.pos < n && err == nil {
		err = r.fill()
	}
	return r.buf[r.pos:min(r.end, r.pos+n)], err
}

// next begins a row with the next line. It returns io.EOF when there is none.
func (r *rowReader) next() error {
	r.begin, r.rowLine = r.pos, r.line+1
	err := r.extend()
	r.firstLine = r.pos - r.begin
	return err
}

// extend adds the next line to the row. It returns io.EOF when there is none, and errRowTooLong when the row would
// grow beyond MaxRowBytes.
func (r *rowReader) extend() error {
	for {
		if n, ok := r.findLine(); ok {
			if r.pos+n-r.begin > MaxRowBytes {
				return errRowTooLong
			}
			r.pos += n
			r.line++
			return nil
		}
		if r.end-r.begin > MaxRowBytes {
			return errRowTooLong
		}
		if err := r.fill(); err != nil {
			if err != io.EOF || r.pos == r.end {
				return err
			}
			r.terminator = 0
			// 0x1a ends a file of DOS.
			if last := r.buf[r.end-1]; last == '\r' || last == 0x1a {
				r.terminator = 1
			}
			r.pos = r.end
			r.line++
			return nil
		}
	}
}

// findLine returns the length of the next line with its break; ok is false when more has to be read to know it.
func (r *rowReader) findLine() (n int, ok bool) {
	lf := -1
	from := max(r.noLF, r.pos)
	if i := bytes.IndexByte(r.buf[from:r.end], '\n'); i >= 0 {
		lf = from + i
		r.noLF = lf
	} else {
		r.noLF = r.end
	}
	upTo := r.end
	if lf >= 0 {
		upTo = lf
	}
	cr := -1
	from = min(max(r.noCR, r.pos), upTo)
	if i := bytes.IndexByte(r.buf[from:upTo], '\r'); i >= 0 {
		cr = from + i
		r.noCR = cr
	} else {
		r.noCR = upTo
	}
	switch {
	case cr >= 0 && cr+1 == lf:
		r.terminator = 2
		return lf + 1 - r.pos, true
	case cr >= 0 && cr+1 < r.end:
		r.terminator = 1
		return cr + 1 - r.pos, true
	case lf >= 0:
		r.terminator = 1
		return lf + 1 - r.pos, true
	}
	return 0, false
}

// fill reads more, keeping the row.
func (r *rowReader) fill() error {
	if r.err != nil {
		return r.err
	}
	if r.end == len(r.buf) {
		if r.begin > len(r.buf)/2 {
			r.shift()
		} else {
			bigger := make([]byte, 2*len(r.buf))
			copy(bigger, r.buf[:r.end])
			r.buf = bigger
		}
	}
	n, err := r.src.Read(r.buf[r.end:])
	r.end += n
	if err != nil {
		r.err = err
		if n > 0 {
			return nil
		}
	}
	return err
}

// shift moves the row to the front of the buffer.
func (r *rowReader) shift() {
	copy(r.buf, r.buf[r.begin:r.end])
	r.pos -= r.begin
	r.end -= r.begin
	r.noLF = max(r.noLF-r.begin, 0)
	r.noCR = max(r.noCR-r.begin, 0)
	r.begin = 0
}

// row is the current row, line breaks included. It holds until the next call.
func (r *rowReader) row() []byte { return r.buf[r.begin:r.pos] }

// content is the current row without its last line break.
func (r *rowReader) content() []byte { return r.buf[r.begin : r.pos-r.terminator] }

// rewind goes back to the end of the row's first line, so that next begins with its second one.
func (r *rowReader) rewind() {
	r.pos = r.begin + r.firstLine
	r.noLF, r.noCR = 0, 0
	r.line = r.rowLine
}

// place is the line and the column, in characters, of a byte of the row; both count from 1.
func (r *rowReader) place(at int) (line, column int) {
	row := r.row()
	before := row[:min(at, len(row))]
	line = r.rowLine
	for {
		i := bytes.IndexAny(before, "\r\n")
		if i < 0 {
			return line, utf8.RuneCount(before) + 1
		}
		if before[i] == '\r' && i+1 < len(before) && before[i+1] == '\n' {
			i++
		}
		before = before[i+1:]
		line++
	}
}
