package enqueue

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// header is the meaning of a CSV file's columns.
type header struct {
	names                []string
	user, role           int
	manyUsers, manyRoles bool
}

// mostHeaderLines bounds the line breaks inside a header's quotes.
const mostHeaderLines = 100

// readHeader reads the first row that is not blank and finds out the separator by it.
func (in *input) readHeader(c *csvReader) (*header, error) {
	seps := []byte{',', ';', '\t'}
	for {
		switch err := in.rows.next(); {
		case err == io.EOF:
			return nil, in.refuse("empty: no header and no rows")
		case errors.Is(err, errRowTooLong):
			return nil, in.refuseHeader(tooLong())
		case err != nil:
			return nil, err
		}
		line := in.rows.content()
		if len(line) == 5 && strings.EqualFold(string(line[:4]), "sep=") {
			seps = []byte{line[4]}
			continue
		}
		if len(bytes.Trim(line, ",;\t ")) > 0 {
			break
		}
	}
	// A header with line breaks inside its quotes goes on until every quote is closed.
	for range mostHeaderLines {
		if bytes.Count(in.rows.content(), []byte{'"'})%2 == 0 {
			break
		}
		if err := in.rows.extend(); err == io.EOF || errors.Is(err, errRowTooLong) {
			break
		} else if err != nil {
			return nil, err
		}
	}
	var found []string
	for _, sep := range seps {
		names, ok := headerNames(in.rows.content(), sep)
		if !ok {
			continue
		}
		head := columnsOf(names)
		if head.user >= 0 && head.role >= 0 {
			c.comma = sep
			in.report.Ignored = head.ignored()
			return head, in.headerConflict(head)
		}
		if len(names) > len(found) {
			found = names
		}
	}
	if found == nil {
		return nil, in.refuseHeader("the quotes of the header do not match")
	}
	return nil, in.noColumns(found)
}

// headerNames splits a header of one line.
func headerNames(line []byte, sep byte) ([]string, bool) {
	c := &csvReader{rows: newRowReader(bytes.NewReader(line)), comma: sep}
	if c.next() != nil {
		return nil, false
	}
	names := make([]string, len(c.fields))
	for i := range c.fields {
		names[i] = string(bytes.TrimFunc(c.field(i), unicode.IsSpace))
	}
	for len(names) > 1 && names[len(names)-1] == "" {
		names = names[:len(names)-1]
	}
	return names, true
}

// columnName is a header's name as this package knows it, whatever its case and the character between its words.
func columnName(name string) string {
	name = strings.NewReplacer(" ", "", "_", "", "-", "").Replace(strings.ToLower(name))
	switch name {
	case "userid":
		return "user_id"
	case "userids":
		return "user_ids"
	case "roleid":
		return "role_id"
	case "roleids":
		return "role_ids"
	}
	return ""
}

func columnsOf(names []string) *header {
	h := &header{names: names, user: -1, role: -1}
	for i, name := range names {
		switch known := columnName(name); {
		case h.user < 0 && (known == "user_id" || known == "user_ids"):
			h.user, h.manyUsers = i, known == "user_ids"
		case h.role < 0 && (known == "role_id" || known == "role_ids"):
			h.role, h.manyRoles = i, known == "role_ids"
		}
	}
	return h
}

func (h *header) ignored() []string {
	var names []string
	for i, name := range h.names {
		if i != h.user && i != h.role && name != "" && !slices.Contains(rejectColumns, name) {
			names = append(names, name)
		}
	}
	return names
}

// headerConflict refuses a header that names users or roles twice: which one counts cannot be guessed.
func (in *input) headerConflict(h *header) error {
	for i, name := range h.names {
		known := columnName(name)
		other := h.user
		if strings.HasPrefix(known, "role") {
			other = h.role
		}
		if known != "" && i != h.user && i != h.role {
			return in.refuseHeader(fmt.Sprintf("the columns %q (%d) and %q (%d) mean the same: keep one", h.names[other], other+1, name, i+1))
		}
	}
	return nil
}

func (in *input) noColumns(found []string) error {
	h := columnsOf(found)
	var want []string
	if h.user < 0 {
		want = append(want, "user_id (or user_ids)")
	}
	if h.role < 0 {
		want = append(want, "role_id (or role_ids)")
	}
	shown := make([]string, 0, 10)
	for _, name := range found[:min(len(found), 10)] {
		shown = append(shown, fmt.Sprintf("%q", clip(name)))
	}
	if len(found) > 10 {
		shown = append(shown, fmt.Sprintf("and %d more", len(found)-10))
	}
	return in.refuseHeader(fmt.Sprintf("no column %s in the header, which has: %s", strings.Join(want, " and no "), strings.Join(shown, ", ")))
}

func (in *input) refuseHeader(reason string) error {
	in.bad.add(in.opt.MaxErrors, RowError{Line: in.rows.rowLine, Column: 1, Reason: reason})
	in.bad.Truncated = true
	return in.bad
}
