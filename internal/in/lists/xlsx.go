package lists

import (
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/xuri/excelize/v2"

	"github.com/unrole/unrole/internal/base/texts"
)

// sheetTable is a sheet of a workbook, row by row.
type sheetTable struct {
	name    string
	rows    *excelize.Rows
	numbers *numberScan
	at      int // number of the row
	hidden  int // rows that a person does not see
	cells   []string
	raw     []string // of the cells that are numbers, as the file has them
}

func (t *sheetTable) next() error {
	for t.rows.Next() {
		t.at++
		var err error
		if t.cells, err = t.rows.Columns(); err != nil {
			return err
		}
		for len(t.cells) > 0 && strings.TrimSpace(t.cells[len(t.cells)-1]) == "" {
			t.cells = t.cells[:len(t.cells)-1]
		}
		if t.raw, err = t.numbers.row(t.at, len(t.cells)); err != nil {
			return err
		}
		if len(t.cells) == 0 {
			continue
		}
		if t.rows.GetRowOpts().Hidden {
			t.hidden++
		}
		return nil
	}
	if err := t.rows.Error(); err != nil {
		return err
	}
	return io.EOF
}

func (t *sheetTable) line() int        { return t.at }
func (t *sheetTable) width() int       { return len(t.cells) }
func (t *sheetTable) texts() []string  { return t.cells }
func (t *sheetTable) values() []string { return t.cells }

func (t *sheetTable) blank(i int) bool {
	return !slices.ContainsFunc(t.cells[min(i, len(t.cells)):], func(cell string) bool { return strings.TrimSpace(cell) != "" })
}

// cell is what a person sees, but where that is a number in another form (1.5E+09, 1,507,113,578) the number.
func (t *sheetTable) cell(i int) []byte {
	if n, whole := t.number(i); whole {
		if seen, err := strconv.ParseFloat(t.cells[i], 64); err != nil || !onlyDigits(t.cells[i]) || seen != n {
			return strconv.AppendFloat(nil, n, 'f', -1, 64)
		}
	}
	return []byte(t.cells[i])
}

func (t *sheetTable) number(i int) (n float64, whole bool) {
	if t.raw[i] == "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(t.raw[i], 64)
	return n, err == nil && n == math.Trunc(n)
}

// exact is false for a number that has more digits than a spreadsheet keeps.
func (t *sheetTable) exact(i int) bool {
	const sixteenDigits = 1e15
	n, whole := t.number(i)
	return !whole || math.Abs(n) < sixteenDigits
}

func (t *sheetTable) spot(p place) spot {
	column := max(p.col, 0) + 1
	name, _ := excelize.CoordinatesToCellName(column, t.at)
	return spot{line: t.at, column: column, cell: name}
}

func (in *input) readXLSX() error {
	book, err := excelize.OpenReader(in.text.raw, excelize.Options{UnzipSizeLimit: MaxWorkbook, UnzipXMLSizeLimit: MaxWorkbook})
	if err != nil {
		return in.refuse(texts.T("this is a zip archive, but no workbook that can be read (%v): open it and save it as .xlsx or CSV UTF-8", err))
	}
	defer book.Close()
	sheet, search, err := in.sheetOf(book)
	if err != nil {
		return err
	}
	defer sheet.rows.Close()
	head := search.best
	// In a sheet no separator can move a row, and people write beside tables.
	head.width = MaxColumns
	if err := in.settle(search, head); err != nil {
		return err
	}
	sheet.hidden = 0
	err = in.readTable(sheet, head)
	if sheet.hidden > 0 {
		in.report.Notes = append(in.report.Notes, texts.Count(sheet.hidden, "%d row of the sheet is hidden (by a filter, perhaps) and counts like the others",
			"%d rows of the sheet are hidden (by a filter, perhaps) and count like the others"))
	}
	return err
}

// sheetOf finds the sheet that was named, or the only one that has a list.
func (in *input) sheetOf(book *excelize.File) (*sheetTable, *headerSearch, error) {
	names := book.GetSheetList()
	if in.opt.Sheet != "" {
		if !slices.Contains(names, in.opt.Sheet) {
			return nil, nil, in.refuse(texts.T("--sheet: there is no sheet %q; there are: %s", in.opt.Sheet, listed(names)))
		}
		names = []string{in.opt.Sheet}
	} else {
		names = slices.DeleteFunc(names, func(name string) bool {
			visible, err := book.GetSheetVisible(name)
			return err == nil && !visible
		})
	}
	var sheet *sheetTable
	var search, best *headerSearch
	var found []string
	for _, name := range names {
		t, s, is, err := in.openSheet(book, name)
		if err != nil {
			return nil, nil, err
		}
		if is {
			found = append(found, name)
		}
		if best == nil || best.best == nil {
			best = s
		}
		if is && sheet == nil {
			sheet, search = t, s
			continue
		}
		t.rows.Close()
	}
	switch {
	case len(found) > 1:
		sheet.rows.Close()
		return nil, nil, in.refuse(texts.T("%s have lists: say which with --sheet", listed(found)))
	case sheet == nil && best == nil:
		return nil, nil, in.refuse(texts.T("empty: no header and no rows"))
	case sheet == nil:
		return nil, nil, in.noHeader(best.best)
	case len(names) > 1:
		in.report.Notes = append(in.report.Notes, texts.T("read from the sheet %q", found[0]))
	}
	return sheet, search, nil
}

// openSheet reads a sheet up to its header; is says whether it has one.
func (in *input) openSheet(book *excelize.File, name string) (t *sheetTable, s *headerSearch, is bool, err error) {
	rows, err := book.Rows(name)
	if err != nil {
		return nil, nil, false, in.refuse(texts.T("the sheet %q cannot be read: %v", name, err))
	}
	t, s = &sheetTable{name: name, rows: rows, numbers: newNumberScan(book, name)}, &headerSearch{in: in}
	for range mostAbove {
		err := t.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			rows.Close()
			return nil, nil, false, err
		}
		names := make([]string, t.width())
		for i := range names {
			names[i] = heading([]byte(t.cells[i]))
		}
		if s.try(t.at, [][]string{names}) >= 0 {
			return t, s, true, nil
		}
		s.passes(names)
	}
	return t, s, false, nil
}
