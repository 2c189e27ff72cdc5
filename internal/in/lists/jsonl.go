package lists

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/jsonwalk"
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
		in.reject = newRejectWriter(in.opt.Reject, []string{"text"})
	}
	j := &jsonSource{in: in}
	for {
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
	err := w.Object(func(name []byte, at int) error {
		c, known := in.jsonMeaning(name)
		f := jsonField{c, at, w}
		begin := w.At()
		if err := w.Skip(); err != nil {
			return err
		}
		if in.opt.Cells {
			j.keep(string(name), in.rows.content()[begin:w.At()])
		}
		switch {
		case !known:
		case c.field.ofRoles():
			j.roles = append(j.roles, f)
		default:
			j.people = append(j.people, f)
		}
		return nil
	})
	if err != nil {
		return err
	}
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
	if !in.opt.Lookup || len(in.row.People) != 1 {
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

// jsonMeaning is the field of a name, and notes what nothing is taken from.
func (in *input) jsonMeaning(name []byte) (column, bool) {
	for _, known := range in.names {
		if known.name == string(name) {
			return known, known.field != ""
		}
	}
	c, known := in.meaning(string(name))
	c.name = string(name)
	c.lookup = known && !in.opt.Lookup && !c.field.isID()
	const most = 1000
	if len(in.names) < most {
		in.names = append(in.names, c)
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
