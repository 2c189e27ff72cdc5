package lists

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"github.com/unrole/unrole/internal/base/sheet"
	"github.com/unrole/unrole/internal/base/texts"
)

// marks counts the signs that were taken off ids, which people do not see or which keep text as text.
type marks struct{ apostrophes, blanks, wide int }

func (m marks) notes() []texts.Text {
	var notes []texts.Text
	if m.apostrophes > 0 {
		notes = append(notes, texts.Count(m.apostrophes, "%d apostrophe before an id was taken off", "%d apostrophes before ids were taken off"))
	}
	if m.blanks > 0 {
		notes = append(notes, texts.Count(m.blanks, "%d invisible sign at the end of an id was taken off", "%d invisible signs at the ends of ids were taken off"))
	}
	if m.wide > 0 {
		notes = append(notes, texts.Count(m.wide, "%d full-width digit was read as a plain one", "%d full-width digits were read as plain ones"))
	}
	return notes
}

// clean is what the cell of an id means: without blanks around and without the marks of spreadsheets, which it counts.
func (m *marks) clean(cell []byte) []byte {
	if bare(cell) {
		return cell
	}
	trimmed := bytes.TrimFunc(cell, func(r rune) bool {
		if unseen(r) {
			m.blanks++
			return true
		}
		return unicode.IsSpace(r)
	})
	value := sheet.Value(trimmed)
	if quote, size := utf8.DecodeRune(value); size < len(value) && keepsText(quote) {
		if rest := m.narrow(value[size:]); onlyDigits(rest) {
			m.apostrophes++
			return rest
		}
	}
	return m.narrow(value)
}

// bare reports whether a cell is as most are: nothing to take off.
func bare(cell []byte) bool {
	if len(cell) == 0 {
		return true
	}
	switch first, last := cell[0], cell[len(cell)-1]; {
	case first == '\'' || first == '`' || first == '=' || first <= ' ' || last <= ' ':
		return false
	}
	return beyondASCII(cell) == len(cell)
}

// unseen reports whether r is a blank that no line breaks at, or has no width at all.
func unseen(r rune) bool {
	switch r {
	case '\u00a0', '\u2007', '\u202f', '\u00ad', '\u180e', '\ufeff':
		return true
	}
	return '\u200b' <= r && r <= '\u200f' || '\u202a' <= r && r <= '\u202e' || '\u2060' <= r && r <= '\u206f'
}

// keepsText reports whether r is put before digits to keep a spreadsheet from taking them for a number.
func keepsText(r rune) bool {
	switch r {
	case '\'', '`', '‘', '’', '＇', '´':
		return true
	}
	return false
}

// narrow makes full-width digits plain.
func (m *marks) narrow(value []byte) []byte {
	if !bytes.ContainsFunc(value, wideDigit) {
		return value
	}
	return bytes.Map(func(r rune) rune {
		if wideDigit(r) {
			m.wide++
			return r - '０' + '0'
		}
		return r
	}, value)
}

func wideDigit(r rune) bool { return '０' <= r && r <= '９' }

// items goes through the ids of a list: where each stands, and the id.
func items(list []byte, separates func(rune) bool) func(yield func(int, []byte) bool) {
	return func(yield func(int, []byte) bool) {
		begin := -1
		for at := 0; at < len(list); {
			r, size := rune(list[at]), 1
			if r >= utf8.RuneSelf {
				r, size = utf8.DecodeRune(list[at:])
			}
			if separates(r) {
				if begin >= 0 && !yield(begin, list[begin:at]) {
					return
				}
				begin = -1
			} else if begin < 0 {
				begin = at
			}
			at += size
		}
		if begin >= 0 {
			yield(begin, list[begin:])
		}
	}
}

func separatesIDs(r rune) bool { return separatesNames(r) || unicode.IsSpace(r) }

func separatesNames(r rune) bool {
	switch r {
	case ';', '；', '、', ',', '，', '|', '｜', '\n', '\r':
		return true
	}
	return false
}

// several reports whether a cell is a list of numbers.
func several(value []byte) bool {
	n := 0
	for _, item := range items(value, separatesIDs) {
		if !onlyDigits(item) {
			return false
		}
		n++
	}
	return n > 1
}

// thousands reports whether a cell is one number with a sign before every three digits, rather than a list.
func thousands(value []byte) bool {
	return len(value) > 4 && value[0] >= '1' && value[0] <= '9' && bytes.IndexAny(value[:4], ",.，' ") > 0 && grouped.Match(value)
}

// offset is where part begins in whole, a slice that it was cut from; 0 if it was not.
func offset(whole, part []byte) int {
	if len(part) == 0 || cap(part) > cap(whole) || &whole[:cap(whole)][cap(whole)-1] != &part[:cap(part)][cap(part)-1] {
		return 0
	}
	return cap(whole) - cap(part)
}
