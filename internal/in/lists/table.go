package lists

import (
	"bytes"
	"errors"
	"io"

	"github.com/unrole/unrole/internal/base/texts"
)

// table is what has rows of cells: a CSV file or a sheet. next returns io.EOF, a *stop, or the error of what it reads.
type table interface {
	source
	next() error
	line() int
	width() int
	// cell is the text of a cell of the current row; it holds until the next row. exact is false where that cannot be
	// the id it was: a number that a spreadsheet rounds.
	cell(i int) []byte
	exact(i int) bool
	// blank reports whether all cells from i on are.
	blank(i int) bool
}

// readTable reads the rows below the header.
func (in *input) readTable(t table, head *header) error {
	if in.opt.Reject != nil {
		in.reject = newRejectWriter(in.opt.Reject, head.names, in.opt.Lang)
	}
	for _, c := range head.people {
		if c.field == FieldUserID && in.idHeading == "" {
			in.idHeading = c.name
		}
	}
	for {
		in.begin()
		err := t.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			if err := in.halted(t, err); err != nil {
				return err
			}
			continue
		}
		if t.blank(0) {
			continue
		}
		in.row.Line = t.line()
		if in.returned != nil {
			if take, err := in.returnedRow(t); err != nil {
				return err
			} else if !take {
				continue
			}
		}
		in.people(t, head)
		in.roles(t, head)
		fatal := false
		if len(in.problems) > 0 || in.strange(t, head) {
			passed, again := in.noRow(t, head)
			if passed {
				continue
			}
			fatal = again
		}
		if err := in.finish(t, fatal); err != nil {
			return err
		}
	}
}

// halted reports a row that could not be taken apart. Where its quotes ran over several lines, these lines may be rows
// or may be text: to report more errors they are read as rows, but when good rows are to be sent nothing is certain
// any more.
func (in *input) halted(t table, err error) error {
	var halt *stop
	if !errors.As(err, &halt) {
		return err
	}
	in.row.Line = t.line()
	in.problem(halt.place, halt.field, halt.reason)
	err = in.finish(t, halt.fatal || halt.unsure && in.opt.Reject != nil)
	if err == nil && halt.unsure {
		in.rows.rewind()
	}
	return err
}

// people takes whom the row names, by the most exact of the columns that has something.
func (in *input) people(t table, head *header) {
	if n := head.width; t.width() > n {
		in.problem(place{n, 0}, "", texts.T("the row has %d cells, the header %d: a cell with a separator in it needs quotes around it", t.width(), n))
		return
	}
	if len(head.people) == 0 {
		in.row.People = append(in.row.People, in.opt.People...)
		return
	}
	c, filled := filledOf(t, head.people)
	if !filled && c.at >= t.width() {
		in.missing(t, head, c)
		return
	}
	cell := t.cell(c.at)
	if !t.exact(c.at) {
		in.problem(place{c.at, 0}, c.name, inexact(c, cell))
		return
	}
	if in.opt.Lookup {
		defer in.also(t, head.people, c)
	}
	if c.field == FieldName {
		in.other(place{c.at, 0}, c, string(bytes.TrimSpace(cell)))
		return
	}
	value := in.marks.clean(cell)
	if !c.many || thousands(value) {
		in.person(place{c.at, offset(cell, value)}, c, value)
		return
	}
	none := true
	for at, item := range items(value, separatesIDs) {
		none = false
		in.person(place{c.at, offset(cell, value) + at}, c, in.marks.clean(item))
	}
	if none {
		in.person(place{c.at, 0}, c, nil)
	}
}

// also notes what the row says of its one person in other columns than the one that counts.
func (in *input) also(t table, columns []column, counts column) {
	if len(in.row.People) != 1 || in.returned != nil && !counts.own {
		return
	}
	for _, c := range columns {
		if c.at == counts.at || c.at >= t.width() {
			continue
		}
		cell := bytes.TrimSpace(t.cell(c.at))
		if c.field != FieldName {
			cell = in.marks.clean(cell)
		}
		if len(cell) > 0 {
			in.row.Also = append(in.row.Also, Person{c.field.kind(), string(cell)})
		}
	}
}

// filledOf is the first of the columns that the row has something in, or the first of all.
func filledOf(t table, columns []column) (c column, filled bool) {
	for _, c := range columns {
		if c.at < t.width() && len(bytes.TrimSpace(t.cell(c.at))) > 0 {
			return c, true
		}
	}
	return columns[0], false
}

// person takes one person of the row.
func (in *input) person(at place, c column, value []byte) {
	if c.field != FieldUserID {
		in.other(at, c, string(value))
		return
	}
	if bytes.IndexByte(value, ':') > 0 {
		if p, err := ParsePerson(string(value), in.opt.Lookup); p.By != UserID {
			in.row.People = append(in.row.People, p)
			in.places = append(in.places, at)
			return
		} else if reason, is := err.(texts.Text); is {
			in.problem(at, c.name, reason)
			return
		}
	}
	// Files are in the order of people more often than not.
	if len(in.last) == 0 || in.last != string(value) {
		in.last = ""
		reason, bad := spoiledUserID(value)
		if !bad {
			reason, bad = wrongUserID(value)
		}
		if !bad && in.text.ambiguous && in.report.Format == FormatCSV && beyondASCII(value) < len(value) {
			reason, bad = texts.T("user id %q may be UTF-8 or GB18030, the file does not tell: save it as CSV UTF-8 (with a byte order mark)", clip(string(value))), true
		}
		if bad {
			in.problem(at, c.name, reason)
			return
		}
		in.last = string(value)
	}
	in.row.People = append(in.row.People, Person{UserID, in.last})
	in.places = append(in.places, at)
}

// roles takes what the row's people lose.
func (in *input) roles(t table, head *header) {
	if t.width() > head.width {
		return
	}
	if len(head.roles) == 0 {
		in.row.Roles = append(in.row.Roles, in.opt.Roles...)
		return
	}
	c, filled := filledOf(t, head.roles)
	if !filled && c.at >= t.width() {
		in.missing(t, head, c)
		return
	}
	cell := t.cell(c.at)
	if c.field == FieldRoleID && !c.many {
		// The way of almost every cell.
		if id, ok := roleID(cell); ok && t.exact(c.at) {
			in.row.Roles = append(in.row.Roles, Role{ID: id})
			return
		}
	}
	if !t.exact(c.at) {
		in.problem(place{c.at, 0}, c.name, inexact(c, cell))
		return
	}
	value := in.marks.clean(cell)
	if !c.many || bytes.ContainsAny(value, "eE") && shortened.Match(value) || thousands(value) {
		in.role(place{c.at, offset(cell, value)}, c, value)
		return
	}
	none, separates := true, separatesIDs
	if c.field == FieldRole {
		separates = separatesNames
	}
	for at, item := range items(value, separates) {
		none = false
		in.role(place{c.at, offset(cell, value) + at}, c, in.marks.clean(item))
	}
	if none {
		in.role(place{c.at, 0}, c, nil)
	}
}

// role takes one role of the row.
func (in *input) role(at place, c column, value []byte) {
	if c.field == FieldRole {
		if len(value) == 0 {
			in.problem(at, c.name, texts.T("the role is empty"))
			return
		}
		in.row.Roles = append(in.row.Roles, Role{Name: string(value)})
		return
	}
	id, ok := roleID(value)
	if !ok {
		reason := wrongRoleID(string(value))
		if !c.many && !thousands(value) && several(value) {
			reason = texts.T("role id %q looks like several: name the column role_ids, or say --column role_ids=%s", clip(string(value)), c.name)
		}
		in.problem(at, c.name, reason)
		return
	}
	in.row.Roles = append(in.row.Roles, Role{ID: id})
}

func (in *input) missing(t table, head *header, c column) {
	in.problem(place{t.width(), 0}, c.name, texts.T("%s is missing: the row has %d of %d columns", c.name, t.width(), len(head.names)))
}

func inexact(c column, cell []byte) texts.Text {
	return texts.T("%s %q is a number, of which a spreadsheet keeps 15 digits only: the id may have ended otherwise; format the column as text and enter or export it again", c.name, string(cell))
}
