// Package sheet writes and reads CSV cells that pass through a spreadsheet, which takes some texts for formulas.
package sheet

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// Cell makes a text safe to stand in a CSV file that a spreadsheet may open: what would be taken for a formula gets an
// apostrophe in front, and so does what begins with an apostrophe already, so that Value can tell them apart.
func Cell(text string) string {
	if first, _ := utf8.DecodeRuneInString(text); marked(first) {
		return "'" + text
	}
	return text
}

// Value is what a cell means: without blanks around, without the apostrophe that marks text, without ="".
func Value(cell []byte) []byte {
	cell = bytes.TrimFunc(cell, unicode.IsSpace)
	if rest, ok := bytes.CutPrefix(cell, []byte("'")); ok {
		if first, _ := utf8.DecodeRune(rest); marked(first) {
			return bytes.TrimFunc(rest, unicode.IsSpace)
		}
	}
	if len(cell) >= 3 && cell[0] == '=' && cell[1] == '"' && cell[len(cell)-1] == '"' {
		return bytes.TrimFunc(cell[2:len(cell)-1], unicode.IsSpace)
	}
	return cell
}

// marked reports whether a text that begins with r needs the apostrophe. Spreadsheets of East Asian locales take the wide
// forms of the signs for them too (OWASP, "CSV Injection").
func marked(r rune) bool {
	switch r {
	case '=', '+', '-', '@', '＝', '＋', '－', '＠', '\t', '\r', '\n', '\'':
		return true
	}
	return false
}
