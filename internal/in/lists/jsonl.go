package lists

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/jsonwalk"
	"github.com/unrole/unrole/internal/record/report"
)

// jsonSource is the current line of JSONL.
type jsonSource struct {
	in   *input
	kept []string // values of the fields of Report.Header, with Options.Cells
	// people and roles are the fields of the line that name them.
	people, roles []jsonField
}

func (j *jsonSource) spot(p place) spot {
	line, column := j.in.rows.place(p.at)
	return spot{line: line, column: column}
}

func (j *jsonSource) texts() []string  { return []string{string(j.in.rows.content())} }
func (j *jsonSource) values() []string { return j.kept }

func (in *input) readJSONL() error {
	if in.opt.Reject != nil {
		in.reject = newRejectWriter(in.opt.Reject, []string{"text"}, in.opt.Lang)
	}
	j := &jsonSource{in: in}
	for first := true; ; {
		in.begin()
		switch err := in.rows.next(); {
		case err == io.EOF:
			return nil
		case errors.Is(err, errRowTooLong):
			in.problem(place{whole, 0}, "", tooLong())
			return in.finish(j, true)
		case err != nil:
			return err
		}
		text := in.rows.content()
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		in.row.Line = in.rows.rowLine
		if first {
			if in.returned = jsonReturned(text); in.returned == nil && in.opt.Returned {
				return in.refuseHeader(in.rows.rowLine, notReturned())
			}
			first = false
		}
		if in.returned != nil {
			if take, err := in.jsonReturnedRow(text); err != nil {
				return err
			} else if !take {
				continue
			}
		}
		if err := in.jsonObject(j, jsonwalk.Over(text)); err != nil {
			var fault *jsonwalk.Fault
			if !errors.As(err, &fault) {
				return err
			}
			in.problem(place{whole, fault.At}, "", texts.T("%s; every line is one object, whole and with nothing after it", fault.Reason))
		}
		if err := in.finish(j, false); err != nil {
			return err
		}
	}
}

// jsonFields are the fields of an object that name people and roles, the most exact of them: where each is, and its value.
type jsonField struct {
	column
	at    int // byte of the name
	value jsonwalk.Walker
}

// jsonObject reads the object of a line.
func (in *input) jsonObject(j *jsonSource, w jsonwalk.Walker) error {
	if w.Next() != '{' {
		return &jsonwalk.Fault{At: w.At(), Reason: texts.T(`not a JSON object such as {"user_id":"u","role_ids":[1,2]}`)}
	}
	j.people, j.roles, j.kept = j.people[:0], j.roles[:0], j.kept[:0]
	var field func(name []byte, at int) error
	own := in.returned == nil
	field = func(name []byte, at int) error {
		if !own {
			switch string(name) {
			case "input": // what stood in the list
				own = true
				defer func() { own = false }()
				if w.Next() == '{' {
					return w.Object(field)
				}
				return w.Skip()
			case "user_id", "role_id":
			default:
				return w.Skip()
			}
		}
		c, known := in.jsonMeaning(name, own && in.returned != nil)
		f := jsonField{c, at, w}
		begin := w.At()
		if err := w.Skip(); err != nil {
			return err
		}
		value := in.rows.content()[begin:w.At()]
		if in.opt.Cells && own {
			j.keep(c.name, value)
		}
		switch {
		case !known:
		case !own && (string(value) == `""` || string(value) == "0"): // of a row that named nobody
		case c.field.ofRoles():
			j.roles = append(j.roles, f)
		default:
			j.people = append(j.people, f)
		}
		return nil
	}
	if err := w.Object(field); err != nil {
		return err
	}
	j.people, j.roles = mostReturned(j.people), mostReturned(j.roles)
	if err := w.End(); err != nil {
		return err
	}
	in.idHeading = "user_id"
	if f, ok := in.jsonChosen(j.people, len(in.opt.People) > 0, "user_id (or user_ids)", "--user"); ok {
		if err := in.jsonValues(f, in.person); err != nil {
			return err
		}
		in.jsonAlso(j.people, f)
	} else {
		in.row.People = append(in.row.People, in.opt.People...)
	}
	if in.opt.AllRoles {
		if len(j.roles) > 0 {
			in.problem(place{whole, j.roles[0].at}, j.roles[0].name, texts.T("%s stands there already: %s is for an input without", j.roles[0].name, "--all-roles"))
		}
		return nil
	}
	if f, ok := in.jsonChosen(j.roles, len(in.opt.Roles) > 0, "role_id (or role_ids)", "--role"); ok {
		return in.jsonValues(f, in.role)
	}
	in.row.Roles = append(in.row.Roles, in.opt.Roles...)
	return nil
}

// jsonAlso notes what the object says of its one person besides.
func (in *input) jsonAlso(of []jsonField, counts jsonField) {
	if !in.opt.Lookup || len(in.row.People) != 1 || in.returned != nil && !counts.own {
		return
	}
	for _, f := range of {
		w := f.value
		if f.name == counts.name || w.Next() != '"' {
			continue
		}
		if text, err := w.String(); err == nil && len(bytes.TrimSpace(text)) > 0 {
			in.row.Also = append(in.row.Also, Person{f.field.kind(), string(bytes.TrimSpace(text))})
		}
	}
}

// jsonMeaning is the field of a name, and notes what nothing is taken from. own: it stands in a report for a column that its
// list had.
func (in *input) jsonMeaning(name []byte, own bool) (column, bool) {
	if own {
		heading, _ := report.OwnHeading(string(name))
		name = []byte(heading)
	}
	for _, known := range in.names {
		if known.own == own && known.name == string(name) {
			return known, known.field != ""
		}
	}
	c, known := in.meaning(string(name))
	c.name, c.own = string(name), own
	c.lookup = known && !in.opt.Lookup && !c.field.isID()
	const most = 1000
	if len(in.names) < most {
		in.names = append(in.names, c)
		if in.returned != nil && !own {
			return c, known
		}
		in.report.Header = append(in.report.Header, c.name)
		if !known || c.lookup {
			in.report.Ignored = append(in.report.Ignored, c.name)
		}
	}
	return c, known
}

// jsonChosen is the one field of several that counts.
func (in *input) jsonChosen(of []jsonField, beside bool, want, flag string) (jsonField, bool) {
	if len(of) == 1 && !of[0].lookup && !beside {
		return of[0], true
	}
	slices.SortStableFunc(of, func(a, b jsonField) int { return exactness(a.field) - exactness(b.field) })
	exact := slices.DeleteFunc(slices.Clone(of), func(f jsonField) bool { return f.lookup })
	switch {
	case len(exact) > 1 && exact[0].name == exact[1].name:
		in.problem(place{whole, exact[1].at}, exact[0].name, texts.T("%s stands there twice", exact[0].name))
	case len(exact) > 1 && exact[0].field == exact[1].field:
		in.problem(place{whole, exact[1].at}, exact[0].name, texts.T("%s and %s mean the same: keep one", exact[0].name, exact[1].name))
	case len(exact) > 0 && beside:
		in.problem(place{whole, exact[0].at}, exact[0].name, texts.T("%s stands there already: %s is for an input without", exact[0].name, flag))
	case len(exact) > 0:
		return exact[0], true
	case beside:
	case len(of) > 0 && of[0].field.ofRoles():
		in.problem(place{whole, of[0].at}, of[0].name, texts.T("%s names roles, which have to be looked up in DingTalk: that takes the app's credentials (see unrole roles for their ids)", of[0].name))
	case len(of) > 0:
		in.problem(place{whole, of[0].at}, of[0].name, texts.T("%s: %s", of[0].name, of[0].field.kind().mustLookUp()))
	default:
		in.problem(place{whole, 0}, "", texts.T("%s is missing", want))
	}
	return jsonField{}, false
}

// jsonValues hands take each id of a field: a string, a number where that is exact, or a list of them.
func (in *input) jsonValues(f jsonField, take func(place, column, []byte)) error {
	w := f.value
	one := func() error {
		at := place{whole, w.At()}
		switch kind := w.Next(); {
		case kind == '0' && f.field == FieldRoleID:
			number, err := w.Number()
			if err == nil {
				take(at, f.column, number)
			}
			return err
		case kind != '"' && f.field == FieldRoleID:
			return &jsonwalk.Fault{At: at.at, Reason: texts.T("%s must be a number or a list of numbers", f.name)}
		case kind != '"':
			return &jsonwalk.Fault{At: at.at, Reason: texts.T("%s must be a string in quotes, since leading zeros count, or a list of them", f.name)}
		}
		text, err := w.String()
		if err != nil {
			return err
		}
		if !f.many {
			take(at, f.column, text)
			return nil
		}
		none := true
		for _, item := range items(text, separatesIDs) {
			none = false
			take(at, f.column, item)
		}
		if none {
			take(at, f.column, nil)
		}
		return nil
	}
	if w.Next() != '[' {
		return one()
	}
	at, n := w.At(), 0
	f.many = false // its elements are single ids
	err := w.List(func() error { n++; return one() })
	if err == nil && n == 0 {
		in.problem(place{whole, at}, f.name, texts.T("%s is empty", f.name))
	}
	return err
}

// keep notes the value of a field beside its name's heading.
func (j *jsonSource) keep(name string, value []byte) {
	i := slices.Index(j.in.report.Header, name)
	if i < 0 {
		return
	}
	for len(j.kept) <= i {
		j.kept = append(j.kept, "")
	}
	w := jsonwalk.Over(value)
	if w.Next() == '"' {
		if text, err := w.String(); err == nil {
			value = text
		}
	}
	j.kept[i] = string(value)
}
