package adapter

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // the container has no time zones of its own
	"unicode/utf8"
)

// parse reads the one JSON value of a body; numbers stay as they are written.
func parse(body []byte) (any, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("the body is not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var doc any
	if err := dec.Decode(&doc); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("something follows the first value")
	}
	return doc, nil
}

// pointer is an RFC 6901 JSON pointer; the empty one is the whole value. A nil pointer finds nothing.
type pointer []string

func parsePointer(text string) (pointer, error) {
	if text == "" {
		return pointer{}, nil
	}
	keys, ok := strings.CutPrefix(text, "/")
	if !ok {
		return nil, errors.New("it does not begin with /: write a JSON pointer such as /data/mobile, or \"\" for the whole")
	}
	p := pointer(strings.Split(keys, "/"))
	for i, key := range p {
		p[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(key)
	}
	return p, nil
}

// String is the pointer as it is written.
func (p pointer) String() string {
	var b strings.Builder
	for _, key := range p {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key))
	}
	return b.String()
}

// find goes to the place in a value; null counts as not there.
func (p *pointer) find(value any) (any, bool) {
	if p == nil {
		return nil, false
	}
	for _, key := range *p {
		switch v := value.(type) {
		case map[string]any:
			value = v[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(v) || strconv.Itoa(i) != key {
				return nil, false
			}
			value = v[i]
		default:
			return nil, false
		}
	}
	return value, value != nil
}

// text is the text at the place; false where there is none.
func (p *pointer) text(value any) (string, bool) {
	found, _ := p.find(value)
	text, _ := textOf(found)
	return text, text != ""
}

// textOf is a text, number or truth as it is written, without blanks around it; false for anything else.
func textOf(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return strings.TrimSpace(v), true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// condition holds where the text at a place is one of some.
type condition struct {
	at pointer
	is []string
}

// field is a part of what is said of a person, and its place.
type field struct {
	name string
	at   pointer
}

// moment is a time in a message.
type moment struct {
	at     pointer
	format string
	zone   *time.Location
	// day makes the moment a time of day, hour and minute, of the day that the message has.
	day          bool
	hour, minute int
}

// formats are the forms of a time in a message, with the layouts of those that are no numbers. A date may have a time of day behind it.
var formats = map[string][]string{
	"date":         {time.DateOnly, time.DateTime},
	"date_time":    {time.DateTime},
	"rfc3339":      {time.RFC3339},
	"seconds":      nil,
	"milliseconds": nil,
}

// read is the moment that a message has; otherwise fault says why there is none.
func (m *moment) read(doc any) (t time.Time, fault string) {
	text, ok := m.at.text(doc)
	if !ok {
		return t, "it is missing, or no text"
	}
	if layouts := formats[m.format]; layouts != nil {
		var err error
		for _, layout := range layouts {
			if t, err = time.ParseInLocation(layout, text, m.zone); err == nil {
				break
			}
		}
		if err != nil {
			return t, "it is not of the form " + layouts[0]
		}
	} else {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return t, "it is not a number of " + m.format
		}
		t = time.Unix(n, 0)
		if m.format == "milliseconds" {
			t = time.UnixMilli(n)
		}
	}
	if y := t.Year(); y < 2000 || y > 2100 {
		return t, "it is no time between the years 2000 and 2100"
	}
	if m.day {
		year, month, day := t.In(m.zone).Date()
		t = time.Date(year, month, day, m.hour, m.minute, 0, 0, m.zone)
	}
	return t, ""
}
