package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"

	"github.com/unrole/unrole/internal/base/texts"
)

// alignedTable lays out rows in columns by what a terminal shows, so that Chinese names take two columns per
// character. Columns of numbers stand to the right. It has no lines, so that it can be pasted into a mail. What is wider
// than the terminal is told on further lines: the last column is wrapped, and where that is not enough the first one,
// an id that must not be cut, gets a line of its own.
type alignedTable struct {
	app    *app
	header []cell
	rows   [][]cell
}

// cell is what stands in a table, and the colour it has on a terminal.
type cell struct {
	text   string
	colour text.Color
}

func (a *app) newTable(header ...any) *alignedTable {
	t := &alignedTable{app: a}
	t.header = t.cells(header)
	return t
}

// row adds a row of texts, strings and cells.
func (t *alignedTable) row(values ...any) { t.rows = append(t.rows, t.cells(values)) }

func (t *alignedTable) cells(values []any) []cell {
	row := make([]cell, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case cell:
			row[i] = v
		case texts.Sayable:
			row[i].text = v.In(t.app.lang)
		default:
			row[i].text = fmt.Sprint(v)
		}
		row[i].text = printable(row[i].text)
	}
	return row
}

// cellsOf are strings as cells.
func cellsOf(list []string) []any {
	cells := make([]any, len(list))
	for i, s := range list {
		cells[i] = s
	}
	return cells
}

// coloured is a text that has a colour where colours are seen.
func (a *app) coloured(colour text.Color, t texts.Text) cell { return cell{t.In(a.lang), colour} }

var number = regexp.MustCompile(`^(-?[0-9][0-9,.]*)?$`)

const (
	gap = 2 // between columns
	// leastWrapped is how narrow the last column may become.
	leastWrapped = 16
)

// print writes the rows to stdout, without blanks at the ends of lines.
func (t *alignedTable) print() error { return t.write(t.app.stdout, t.app.width()) }

func (t *alignedTable) write(w io.Writer, width int) error {
	rows := t.rows
	if len(t.header) > 0 {
		rows = append([][]cell{t.header}, rows...)
	}
	if len(rows) == 0 {
		return nil
	}
	stacked := false
	cols := t.measure(0)
	if left := cols.fit(width); left < leastWrapped && left < cols.last() && len(cols) > 2 {
		stacked = true
		cols = t.measure(1)
		cols.fit(width - 2*gap)
	}
	var out strings.Builder
	for _, row := range rows {
		if stacked {
			fmt.Fprintln(&out, t.app.paint(row[0].colour, row[0].text))
			t.writeRow(&out, row[1:], cols, strings.Repeat(" ", 2*gap))
			continue
		}
		t.writeRow(&out, row, cols, "")
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// columns are how wide each column is, and whether it has a cell that is no number.
type columns []struct {
	width int
	words bool
}

// measure measures the columns, of which the first few are left out.
func (t *alignedTable) measure(without int) columns {
	var cols columns
	add := func(row []cell, isHeader bool) {
		for c, cell := range row[min(without, len(row)):] {
			if c == len(cols) {
				cols = append(cols, struct {
					width int
					words bool
				}{})
			}
			cols[c].width = max(cols[c].width, text.StringWidth(cell.text))
			cols[c].words = cols[c].words || !isHeader && !number.MatchString(cell.text)
		}
	}
	add(t.header, true)
	for _, row := range t.rows {
		add(row, false)
	}
	return cols
}

func (c columns) last() int { return c[len(c)-1].width }

// fit narrows the last column to what the width leaves it, and returns that.
func (c columns) fit(width int) int {
	left := width - gap*(len(c)-1)
	for _, col := range c[:len(c)-1] {
		left -= col.width
	}
	if c.last() > left && left >= leastWrapped {
		c[len(c)-1].width = left
	}
	return left
}

func (t *alignedTable) writeRow(w *strings.Builder, row []cell, cols columns, indent string) {
	lines := []string{indent}
	at := text.StringWidth(indent)
	for c, cell := range row {
		if c > 0 {
			lines[0] += strings.Repeat(" ", gap)
			at += gap
		}
		parts := []string{cell.text}
		if text.StringWidth(cell.text) > cols[c].width {
			parts = wrapped(cell.text, cols[c].width)
		}
		for i, part := range parts {
			part = strings.TrimRight(part, " ")
			pad := strings.Repeat(" ", max(cols[c].width-text.StringWidth(part), 0))
			part = t.app.paint(cell.colour, part)
			if cols[c].words {
				part += pad
			} else {
				part = pad + part
			}
			if i == len(lines) {
				lines = append(lines, strings.Repeat(" ", at))
			}
			lines[i] += part
		}
		at += cols[c].width
	}
	for _, line := range lines {
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

// paint gives a text a colour where a person looks at a terminal and has not asked for none (NO_COLOR).
func (a *app) paint(colour text.Color, s string) string {
	if colour == 0 || s == "" || a.getenv("NO_COLOR") != "" || !a.isTerminal(a.stdout) {
		return s
	}
	return "\x1b[" + strconv.Itoa(int(colour)) + "m" + s + "\x1b[0m"
}

// standardWidth is what is laid out for where nobody says how wide the screen is.
const standardWidth = 80

// width is how many columns stdout has: by COLUMNS, else by the terminal.
func (a *app) width() int {
	if n, err := strconv.Atoi(a.getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	if f, ok := a.stdout.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			return n
		}
	}
	return standardWidth
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
