package lists

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/unrole/unrole/internal/base/texts"
)

// header is the meaning of a table's columns.
type header struct {
	names []string
	line  int
	// width is how many columns the row of the header has, those without a heading at its end included.
	width int
	// people and roles are the columns that name them, the most exact first; of a report of unrole its own before those of
	// its list.
	people, roles []column
	// returned: the header of a report of unrole.
	returned *returned
}

const (
	// mostHeaderLines bounds the line breaks inside a header's quotes.
	mostHeaderLines = 100
	// mostAbove is how many rows may stand above the header.
	mostAbove = 30
)

// headerOf reads a row as a header. Columns of a field that a more exact one makes needless stay among people and roles.
func (in *input) headerOf(names []string) *header {
	h := &header{names: names, width: len(names)}
	for len(h.names) > 1 && h.names[len(h.names)-1] == "" {
		h.names = h.names[:len(h.names)-1]
	}
	h.returned = returnedOf(h.names)
	for i, name := range h.names {
		c, known := in.meaning(name)
		if h.returned != nil {
			c, known = in.meaningReturned(name)
		}
		if !known {
			continue
		}
		c.at, c.name = i, name
		if c.field.ofRoles() {
			h.roles = append(h.roles, c)
		} else {
			h.people = append(h.people, c)
		}
	}
	byExactness := func(a, b column) int {
		switch {
		case a.own == b.own:
			return exactness(a.field) - exactness(b.field)
		case b.own:
			return -1
		}
		return 1
	}
	slices.SortStableFunc(h.people, byExactness)
	slices.SortStableFunc(h.roles, byExactness)
	return h
}

func exactness(f Field) int {
	for i := range fields {
		if fields[i].field == f {
			return i
		}
	}
	return len(fields)
}

// complete reports whether a header names both people and roles, with what stands beside the input.
func (in *input) complete(h *header) bool {
	return (len(h.people) > 0 || len(in.opt.People) > 0) && (len(h.roles) > 0 || len(in.opt.Roles) > 0 || in.opt.AllRoles) && len(h.people)+len(h.roles) > 0
}

// headerSearch looks for the header among the first rows of a table.
type headerSearch struct {
	in    *input
	best  *header  // that looks most like one
	above []string // of the rows passed over, what may be ids, by line
	lines int      // passed over
}

// try is handed a row by its readings, one for each separator that it may have. It returns the index of the reading that
// is a header, or -1.
func (s *headerSearch) try(line int, readings [][]string) int {
	for i, names := range readings {
		h := s.in.headerOf(names)
		h.line = line
		switch {
		case s.in.complete(h):
			s.best = h
			return i
		case s.best == nil, score(h) > score(s.best), score(h) == score(s.best) && h.line == s.best.line && len(h.names) > len(s.best.names):
			s.best = h
		}
	}
	return -1
}

func score(h *header) int { return min(len(h.people), 1) + min(len(h.roles), 1) }

// passes notes a row above the header that is no header, by its cells.
func (s *headerSearch) passes(cells []string) {
	s.lines++
	s.above = append(s.above, strings.Join(cells, "\x00"))
}

// settle checks the header that was found, and says what was passed over.
func (in *input) settle(s *headerSearch, h *header) error {
	if in.opt.Returned && h.returned == nil {
		return in.refuseHeader(h.line, notReturned())
	}
	if name := h.returned.twice(h.names); name != "" {
		return in.refuseHeader(h.line, texts.T("%s stands there twice", name))
	}
	if in.opt.Lookup && h.returned == nil {
		if err := in.twice(h, h.people); err != nil {
			return err
		}
	}
	for _, same := range [][]column{idsOf(h.people), idsOf(h.roles)} {
		same = slices.DeleteFunc(same, func(c column) bool { return c.own })
		if err := in.twice(h, same); err != nil {
			return err
		}
	}
	switch {
	case len(h.people) > 0 && len(in.opt.People) > 0:
		return in.refuseHeader(h.line, texts.T("the column %q names people: --user is for an input without", h.people[0].name))
	case len(h.roles) > 0 && len(in.opt.Roles) > 0:
		return in.refuseHeader(h.line, texts.T("the column %q names roles: --role is for an input without", h.roles[0].name))
	case len(h.roles) > 0 && in.opt.AllRoles:
		return in.refuseHeader(h.line, texts.T("the column %q names roles: --all-roles is for an input without", h.roles[0].name))
	}
	if !in.opt.Lookup {
		if err := in.needsNoLookup(h); err != nil {
			return err
		}
	}
	for _, above := range s.above {
		for _, cell := range strings.Split(above, "\x00") {
			// Ids of DingTalk's roles have ten digits.
			if _, is := roleID([]byte(cell)); is && len(cell) >= 9 && len(h.roles) > 0 {
				return in.refuseHeader(h.line, texts.T("the header stands here, and %q above it looks like an id: put the header into the first row", cell))
			}
		}
	}
	if s.lines > 0 {
		in.report.Notes = append(in.report.Notes, texts.T("the header is line %d; %s above it", h.line, texts.Count(s.lines, "%d line was passed over", "%d lines were passed over")))
	}
	in.report.Header = h.names
	if in.returned = h.returned; in.returned != nil {
		in.ownColumns(h.names)
	}
	in.report.Ignored = in.ignored(h)
	return nil
}

func idsOf(all []column) []column {
	return slices.DeleteFunc(slices.Clone(all), func(c column) bool { return !c.field.isID() })
}

// needsNoLookup keeps only the columns of ids, and refuses a header that has none for people or for roles.
func (in *input) needsNoLookup(h *header) error {
	people, roles := idsOf(h.people), idsOf(h.roles)
	if len(people) == 0 && len(h.people) > 0 {
		c := h.people[0]
		return in.refuseHeader(h.line, texts.T("the column %q: %s; a column of user ids can be named with --column user_id=HEADING", c.name, c.field.kind().mustLookUp()))
	}
	if len(roles) == 0 && len(h.roles) > 0 {
		return in.refuseHeader(h.line, texts.T("the column %q names roles, which have to be looked up in DingTalk: that takes the app's credentials (see unrole roles for their ids); if they are ids, say --column role_ids=%[1]s", h.roles[0].name))
	}
	h.people, h.roles = people, roles
	return nil
}

// twice refuses a header that has a field twice: which one counts cannot be guessed.
func (in *input) twice(h *header, columns []column) error {
	for i, c := range columns {
		for _, other := range columns[:i] {
			if c.field == other.field {
				return in.refuseHeader(h.line, texts.T("the columns %q (%d) and %q (%d) mean the same: keep one, or name it with --column %s=HEADING",
					other.name, other.at+1, c.name, c.at+1, string(c.field)))
			}
		}
	}
	return nil
}

func (in *input) ignored(h *header) []string {
	var names []string
	for i, name := range h.names {
		used := func(c column) bool { return c.at == i }
		if in.returned != nil && !slices.Contains(in.own, i) {
			continue
		}
		if name != "" && !slices.ContainsFunc(h.people, used) && !slices.ContainsFunc(h.roles, used) && !slices.Contains(rejectColumns, name) {
			names = append(names, name)
		}
	}
	return names
}

// noHeader says what the first rows lack.
func (in *input) noHeader(h *header) error {
	if h == nil {
		return in.refuse(texts.T("empty: no header and no rows"))
	}
	if in.opt.Returned && h.returned == nil {
		return in.refuseHeader(h.line, notReturned())
	}
	for field, heading := range in.opt.Columns {
		if !slices.ContainsFunc(h.names, func(name string) bool { return name == heading || plain(name) == plain(heading) }) {
			return in.refuseHeader(h.line, texts.T("--column %s: there is no column %q; there are: %s", field, heading, listed(h.names)))
		}
	}
	switch {
	case len(h.people) == 0 && len(h.roles) == 0:
		return in.refuseHeader(h.line, texts.T("no header: no column user_id (or user_ids) and no column role_id (or role_ids) here, but: %s; "+
			"name them with --column user_id=HEADING and --column role_id=HEADING", listed(h.names)))
	case len(h.people) == 0:
		return in.refuseHeader(h.line, texts.T("no column user_id (or user_ids) in the header, which has: %s; name it with --column user_id=HEADING, "+
			"or say who loses all of these roles with --user ID,…", listed(h.names)))
	}
	return in.refuseHeader(h.line, texts.T("no column role_id (or role_ids) in the header, which has: %s; name it with --column role_id=HEADING, "+
		"or say what all of these people lose: --role ID,… or --all-roles", listed(h.names)))
}

func (in *input) refuseHeader(line int, reason texts.Text) error {
	in.bad.add(in.opt.MaxErrors, RowError{Line: line, Column: 1, Reason: reason})
	in.bad.Truncated = true
	return in.bad
}

// comment is a line above a header that is for programs: PowerShell's #TYPE.
var comment = regexp.MustCompile(`^"?#`)

// readHeader finds the header of a CSV file, and the separator by it.
func (in *input) readHeader(c *csvReader) (*header, error) {
	seps := []byte{',', ';', '\t'}
	search := &headerSearch{in: in}
	for n := 0; n < mostAbove; n++ {
		switch err := in.rows.next(); {
		case err == io.EOF:
			return nil, in.noHeader(search.best)
		case errors.Is(err, errRowTooLong):
			return nil, in.refuseHeader(in.rows.rowLine, tooLong())
		case err != nil:
			return nil, err
		}
		line := in.rows.content()
		if len(line) == 5 && strings.EqualFold(string(line[:4]), "sep=") {
			seps = []byte{line[4]}
			in.pass(in.rows.rowLine, passedHint)
			n--
			continue
		}
		if comment.Match(line) {
			in.pass(in.rows.rowLine, passedHint)
			continue
		}
		if len(bytes.Trim(line, ",;\t ")) == 0 {
			n--
			continue
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
		var readings [][]string
		var by []byte
		for _, sep := range seps {
			if names, ok := headerNames(in.rows.content(), sep); ok {
				readings, by = append(readings, names), append(by, sep)
			}
		}
		if i := search.try(in.rows.rowLine, readings); i >= 0 {
			c.comma = by[i]
			return search.best, in.settle(search, search.best)
		}
		if len(readings) == 0 && search.best == nil {
			return nil, in.refuseHeader(in.rows.rowLine, texts.T("the quotes of the header do not match"))
		}
		search.passes(slices.Concat(readings...))
	}
	return nil, in.noHeader(search.best)
}

// headerNames splits a header of one line.
func headerNames(line []byte, sep byte) ([]string, bool) {
	c := &csvReader{rows: newRowReader(bytes.NewReader(line)), comma: sep}
	if c.next() != nil {
		return nil, false
	}
	names := make([]string, len(c.fields))
	for i := range c.fields {
		names[i] = heading(c.field(i))
	}
	return names, true
}

// heading is the text of a cell of the header.
func heading(cell []byte) string {
	return strings.TrimFunc(string(cell), func(r rune) bool { return unicode.IsSpace(r) || unseen(r) })
}
