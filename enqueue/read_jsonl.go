package enqueue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

func (in *input) readJSONL() error {
	if in.opt.Reject != nil {
		in.reject = newRejectWriter(in.opt.Reject, []string{"text"})
	}
	var j jsonRow
	fields := func() []string { return []string{string(in.rows.content())} }
	for {
		in.begin()
		switch err := in.rows.next(); {
		case err == io.EOF:
			return nil
		case errors.Is(err, errRowTooLong):
			in.problem(0, "", tooLong())
			return in.finish(fields, true)
		case err != nil:
			return err
		}
		text := in.rows.content()
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		j.text, j.at = text, 0
		if err := in.jsonObject(&j); err != nil {
			var halt *stop
			if !errors.As(err, &halt) {
				return err
			}
			in.problem(halt.at, halt.field, halt.reason)
		}
		if err := in.finish(fields, false); err != nil {
			return err
		}
	}
}

// jsonRow reads one line of JSON from left to right. It knows the flat objects that removals are, and so needs no
// depth: anything nested is refused where it begins.
type jsonRow struct {
	text []byte
	at   int
}

// fieldSet is a set of the fields that an object may have.
type fieldSet uint8

const (
	fieldUser fieldSet = 1 << iota
	fieldUsers
	fieldRole
	fieldRoles
)

// fieldOf is the field of a name, or 0. Names are exact, as JSON's are.
func fieldOf(name []byte) fieldSet {
	switch string(name) {
	case "user_id":
		return fieldUser
	case "user_ids":
		return fieldUsers
	case "role_id":
		return fieldRole
	case "role_ids":
		return fieldRoles
	}
	return 0
}

func (f fieldSet) String() string {
	switch f {
	case fieldUser:
		return "user_id"
	case fieldUsers:
		return "user_ids"
	case fieldRole:
		return "role_id"
	}
	return "role_ids"
}

func (in *input) jsonObject(j *jsonRow) error {
	if !j.take('{') {
		return j.fail("not a JSON object: every line is one, such as {\"user_id\":\"u\",\"role_ids\":[1,2]}")
	}
	var seen fieldSet
	for first := true; !j.take('}'); first = false {
		if !first && !j.take(',') {
			return j.fail("a comma or } is missing here")
		}
		if j.done() {
			return j.fail("the object does not end in its line: write each object in one line")
		}
		at := j.at
		key, err := j.str("a field name in quotes is missing here")
		if err != nil {
			return err
		}
		field := fieldOf(key)
		if field == 0 {
			return &stop{problem: problem{at, string(key), fmt.Sprintf("field %q is not known: there are %s, %s, %s and %s",
				clip(string(key)), fieldUser, fieldUsers, fieldRole, fieldRoles)}}
		}
		if seen&field != 0 {
			return &stop{problem: problem{at, field.String(), fmt.Sprintf("field %q stands there twice", field)}}
		}
		seen |= field
		if !j.take(':') {
			return j.fail("a colon is missing here")
		}
		if err := in.jsonField(j, field); err != nil {
			return err
		}
	}
	if !j.done() {
		if j.text[j.at] == ',' {
			return j.fail("a comma after the object: lines are not separated by commas")
		}
		return j.fail("something follows the object: write each object in a line of its own")
	}
	in.oneOf(seen, fieldUser, fieldUsers)
	in.oneOf(seen, fieldRole, fieldRoles)
	return nil
}

// oneOf checks that an object has exactly one of two fields.
func (in *input) oneOf(seen, one, many fieldSet) {
	switch {
	case seen&one != 0 && seen&many != 0:
		in.problem(0, one.String(), fmt.Sprintf("%s and %s mean the same: keep one", one, many))
	case seen&(one|many) == 0:
		in.problem(0, one.String(), fmt.Sprintf("%s (or %s) is missing", one, many))
	}
}

func (in *input) jsonField(j *jsonRow, field fieldSet) error {
	switch field {
	case fieldUser:
		return in.jsonUser(j, field)
	case fieldUsers:
		return j.list(field, in.jsonUser)
	case fieldRole:
		return in.jsonRole(j, field)
	default:
		return j.list(field, in.jsonRole)
	}
}

func (in *input) jsonUser(j *jsonRow, field fieldSet) error {
	j.space()
	at := j.at
	id, err := j.str(field.String() + " must be a string in quotes, since leading zeros count")
	if err != nil {
		return err
	}
	if reason := in.checkUserID(id); reason != "" {
		in.problem(at, field.String(), reason)
		return nil
	}
	in.users = append(in.users, id)
	return nil
}

func (in *input) jsonRole(j *jsonRow, field fieldSet) error {
	j.space()
	at := j.at
	var text []byte
	if at < len(j.text) && j.text[at] == '"' {
		var err error
		if text, err = j.str(""); err != nil {
			return err
		}
	} else {
		for j.at < len(j.text) && bytes.IndexByte([]byte("+-.0123456789eE"), j.text[j.at]) >= 0 {
			j.at++
		}
		if text = j.text[at:j.at]; len(text) == 0 {
			return j.fail(field.String() + " must be a number")
		}
	}
	id, err := parseRoleID(text)
	if err != nil {
		in.problem(at, field.String(), err.Error())
		return nil
	}
	in.roles = append(in.roles, id)
	return nil
}

// list reads an array, calling item for each element.
func (j *jsonRow) list(field fieldSet, item func(*jsonRow, fieldSet) error) error {
	if !j.take('[') {
		return j.fail(field.String() + " must be an array, such as [1,2]")
	}
	if j.done() || j.text[j.at] == ']' {
		return j.fail(field.String() + " is empty")
	}
	for {
		if err := item(j, field); err != nil {
			return err
		}
		if j.take(']') {
			return nil
		}
		if !j.take(',') {
			return j.fail("a comma or ] is missing here")
		}
	}
}

func (j *jsonRow) space() {
	for j.at < len(j.text) && (j.text[j.at] == ' ' || j.text[j.at] == '\t') {
		j.at++
	}
}

func (j *jsonRow) done() bool {
	j.space()
	return j.at == len(j.text)
}

// take steps over c if it comes next.
func (j *jsonRow) take(c byte) bool {
	if j.done() || j.text[j.at] != c {
		return false
	}
	j.at++
	return true
}

func (j *jsonRow) fail(reason string) error {
	return &stop{problem: problem{j.at, "", reason}}
}

// str reads a string; absent is the complaint where there is none.
func (j *jsonRow) str(absent string) ([]byte, error) {
	if !j.take('"') {
		return nil, j.fail(absent)
	}
	begin, escaped := j.at, false
	for ; j.at < len(j.text); j.at++ {
		switch c := j.text[j.at]; {
		case c == '"':
			raw := j.text[begin:j.at]
			j.at++
			if !escaped {
				return raw, nil
			}
			var s string
			if err := json.Unmarshal(j.text[begin-1:j.at], &s); err != nil {
				j.at = begin - 1
				return nil, j.fail("a string with an escape that JSON does not know begins here")
			}
			return []byte(s), nil
		case c == '\\':
			escaped = true
			j.at++
		case c < ' ':
			return nil, j.fail("a control character in a string: write it as an escape")
		}
	}
	j.at = begin - 1
	return nil, j.fail("a string begins here and does not end in its line")
}
