// Package jsonwalk reads JSON from left to right, value by value, and says of a fault at which byte it is.
package jsonwalk

import (
	"encoding/json"

	"github.com/unrole/unrole/internal/base/texts"
)

// maxDepth is how deep values may nest; removals need four levels.
const maxDepth = 200

// Walker stands before a value of a text. It is not safe for concurrent use.
type Walker struct {
	text  []byte
	at    int
	depth int
}

// Over returns a walker at the begin of a text. What it hands out are pieces of the text where that is possible.
func Over(text []byte) Walker { return Walker{text: text} }

// Fault is what keeps the rest of a text from being understood.
type Fault struct {
	// At is the byte, from 0.
	At     int
	Reason texts.Text
	// Early says that the text ends where more has to follow.
	Early bool
}

func (f *Fault) Error() string { return f.Reason.Error() }

func (w *Walker) fault(at int, reason texts.Text) error {
	return &Fault{At: at, Reason: reason, Early: at >= len(w.text)}
}

// At is the byte of the next value, or the length of the text.
func (w *Walker) At() int {
	for w.at < len(w.text) {
		switch w.text[w.at] {
		case ' ', '\t', '\n', '\r':
			w.at++
		default:
			return w.at
		}
	}
	return w.at
}

// Next is the kind of the next value by its first byte: { [ " t f n, 0 for any number; - where none begins.
func (w *Walker) Next() byte {
	if w.At() == len(w.text) {
		return '-'
	}
	switch c := w.text[w.at]; {
	case c == '{', c == '[', c == '"', c == 't', c == 'f', c == 'n':
		return c
	case c == '-' || '0' <= c && c <= '9':
		return '0'
	}
	return '-'
}

// take steps over c if it comes next.
func (w *Walker) take(c byte) bool {
	if w.At() == len(w.text) || w.text[w.at] != c {
		return false
	}
	w.at++
	return true
}

// End fails where anything follows.
func (w *Walker) End() error {
	if w.At() == len(w.text) {
		return nil
	}
	if w.text[w.at] == ',' {
		return w.fault(w.at, texts.T("a comma after the object"))
	}
	return w.fault(w.at, texts.T("something follows the object"))
}

// Object goes through the fields of an object: field is handed each name with its place, and has to read the value.
func (w *Walker) Object(field func(name []byte, at int) error) error {
	if !w.take('{') {
		return w.fault(w.at, texts.T("an object in braces is missing here"))
	}
	return w.elements('}', func() error {
		at := w.At()
		if w.Next() != '"' {
			return w.fault(at, texts.T("a field name in quotes is missing here"))
		}
		name, err := w.String()
		if err != nil {
			return err
		}
		if !w.take(':') {
			return w.fault(w.at, texts.T("a colon is missing here"))
		}
		return field(name, at)
	})
}

// List goes through a list; element has to read each value.
func (w *Walker) List(element func() error) error {
	if !w.take('[') {
		return w.fault(w.at, texts.T("a list in brackets is missing here"))
	}
	return w.elements(']', element)
}

func (w *Walker) elements(end byte, element func() error) error {
	if w.depth++; w.depth > maxDepth {
		return w.fault(w.at, texts.T("values are nested deeper than %d levels", maxDepth))
	}
	for first := true; !w.take(end); first = false {
		if !first && !w.take(',') {
			return w.fault(w.at, texts.T("a comma or %s is missing here", string(end)))
		}
		if err := element(); err != nil {
			return err
		}
	}
	w.depth--
	return nil
}

// String reads a string.
func (w *Walker) String() ([]byte, error) {
	if !w.take('"') {
		return nil, w.fault(w.at, texts.T("a string in quotes is missing here"))
	}
	begin, escaped := w.at, false
	for ; w.at < len(w.text); w.at++ {
		switch c := w.text[w.at]; {
		case c == '"':
			raw := w.text[begin:w.at]
			w.at++
			if !escaped {
				return raw, nil
			}
			var s string
			if err := json.Unmarshal(w.text[begin-1:w.at], &s); err != nil {
				return nil, w.fault(begin-1, texts.T("a string with an escape that JSON does not know begins here"))
			}
			return []byte(s), nil
		case c == '\\':
			escaped = true
			w.at++
		case c < ' ':
			return nil, w.fault(w.at, texts.T("a control character in a string: write it as an escape"))
		}
	}
	return nil, &Fault{At: begin - 1, Early: true, Reason: texts.T("a string begins here and does not end")}
}

// Number reads a number as it is written.
func (w *Walker) Number() ([]byte, error) {
	begin := w.At()
	for w.at < len(w.text) {
		switch c := w.text[w.at]; {
		case '0' <= c && c <= '9', c == '+', c == '-', c == '.', c == 'e', c == 'E':
			w.at++
			continue
		}
		break
	}
	number := w.text[begin:w.at]
	if !json.Valid(number) {
		return nil, w.fault(begin, texts.T("a number is missing here"))
	}
	return number, nil
}

// Skip passes over the next value, whatever it is.
func (w *Walker) Skip() error {
	switch w.Next() {
	case '{':
		return w.Object(func([]byte, int) error { return w.Skip() })
	case '[':
		return w.List(w.Skip)
	case '"':
		_, err := w.String()
		return err
	case '0':
		_, err := w.Number()
		return err
	}
	for _, literal := range []string{"true", "false", "null"} {
		if rest := w.text[w.at:]; len(rest) >= len(literal) && string(rest[:len(literal)]) == literal {
			w.at += len(literal)
			return nil
		}
	}
	return w.fault(w.at, texts.T("a value is missing here"))
}
