// Package sheet writes and reads CSV cells that pass through a spreadsheet, which takes some texts for formulas.
package sheet

import (
	"bytes"
	"unicode"
)

// Cell makes a text safe to stand in a CSV file that a spreadsheet may open: what would be taken for a formula gets an
// apostrophe in front, and so does what begins with an apostrophe already, so that Value can tell them apart.
func Cell(text string) string {
	if text != "" && marked(text[0]) {
		return "'" + text
	}
	return text
}

// Value is what a cell means: without blanks around, without the apostrophe that marks text, without ="".
func Value(cell []byte) []byte {
	cell = bytes.TrimFunc(cell, unicode.IsSpace)
	if len(cell) >= 2 && cell[0] == '\'' && marked(cell[1]) {
		return bytes.TrimFunc(cell[1:], unicode.IsSpace)
	}
	if len(cell) >= 3 && cell[0] == '=' && cell[1] == '"' && cell[len(cell)-1] == '"' {
		return bytes.TrimFunc(cell[2:len(cell)-1], unicode.IsSpace)
	}
	return cell
}

// marked reports whether a text that begins with c needs the apostrophe.
func marked(c byte) bool {
	switch c {
	case '=', '+', '-', '@', '\t', '\r', '\n', '\'':
		return true
	}
	return false
}
