package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/unrole/unrole/internal/base/words"
)

// alignedTable lays out rows in columns by what a terminal shows, so that Chinese names take two columns per
// character. Columns of numbers stand to the right. It has no lines, so that it can be pasted into a mail.
type alignedTable struct {
	w table.Writer
	// texts says of each column whether it has a cell that is no number.
	texts []bool
}

func newTable(header ...string) *alignedTable {
	t := &alignedTable{w: table.NewWriter()}
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Format.Header = text.FormatDefault
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	t.w.SetStyle(style)
	if len(header) > 0 {
		t.w.AppendHeader(cells(header))
	}
	return t
}

func (t *alignedTable) row(texts ...string) {
	for i, s := range texts {
		if i == len(t.texts) {
			t.texts = append(t.texts, false)
		}
		t.texts[i] = t.texts[i] || !number.MatchString(s)
	}
	t.w.AppendRow(cells(texts))
}

var number = regexp.MustCompile(`^(-?[0-9][0-9,.]*)?$`)

func cells(texts []string) table.Row {
	row := make(table.Row, len(texts))
	for i, s := range texts {
		row[i] = printable(s)
	}
	return row
}

// print writes the rows, without blanks at the ends of lines.
func (t *alignedTable) print(w io.Writer) error {
	var numbers []table.ColumnConfig
	for i, isText := range t.texts {
		if !isText {
			numbers = append(numbers, table.ColumnConfig{Number: i + 1, Align: text.AlignRight, AlignHeader: text.AlignRight})
		}
	}
	t.w.SetColumnConfigs(numbers)
	for line := range strings.SplitSeq(t.w.Render(), "\n") {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " ")); err != nil {
			return err
		}
	}
	return nil
}

// printable keeps foreign text from steering the terminal or breaking the layout.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}

// thousands is a number for people: 1,234,567.
func thousands(n int) string { return words.Thousands(n) }

// texts are the words of a closed set.
func texts[T ~string](set []T) []string {
	list := make([]string, len(set))
	for i, w := range set {
		list[i] = string(w)
	}
	return list
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// counted is a number with its noun: "1 role", "1,200 roles".
func counted(n int, one, many string) string { return thousands(n) + " " + plural(n, one, many) }
