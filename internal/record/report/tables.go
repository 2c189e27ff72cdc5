package report

import (
	"bufio"
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"io"

	"github.com/xuri/excelize/v2"

	"github.com/unrole/unrole/internal/base/sheet"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// CSV streams the report of a job with a header. Cells that a spreadsheet would take for a formula are marked as text
// (see sheet.Cell).
func CSV(ctx context.Context, l *ledger.Ledger, jobID string, w io.Writer, o Options) error {
	buffered := bufio.NewWriterSize(w, writeSize)
	if o.Mark {
		buffered.WriteString("\ufeff")
	}
	out := csv.NewWriter(buffered)
	err := o.table(ctx, l, jobID, func(record []string) error {
		for i, cell := range record {
			record[i] = sheet.Cell(cell)
		}
		return out.Write(record)
	})
	if err != nil {
		return err
	}
	out.Flush()
	return notWritten(cmp.Or(out.Error(), buffered.Flush()))
}

// table passes the header and every record of the report to write, which may change it but not keep it.
func (o Options) table(ctx context.Context, l *ledger.Ledger, jobID string, write func(record []string) error) error {
	with, seen, err := extraOf(ctx, l, jobID)
	if err != nil {
		return err
	}
	if err := write(o.header(with)); err != nil {
		return notWritten(err)
	}
	var record []string
	return o.rows(ctx, l, jobID, with, seen, func(r Row) error {
		record = o.record(record[:0], r, with)
		return notWritten(write(record))
	})
}

// mostSheetRows is how many rows a sheet of a workbook has; what is more goes on on the next one.
const mostSheetRows = 1 << 20

// XLSX writes the report of a job as a workbook. Every cell is text, so that no id is rounded, no zero lost and nothing
// taken for a formula.
func XLSX(ctx context.Context, l *ledger.Ledger, jobID string, w io.Writer, o Options) error {
	return o.xlsx(ctx, l, jobID, w, mostSheetRows)
}

func (o Options) xlsx(ctx context.Context, l *ledger.Ledger, jobID string, w io.Writer, mostRows int) error {
	job, err := l.Get(ctx, jobID)
	if err != nil {
		return err
	}
	sheet := texts.T("removals")
	if job.Action == tasks.Add {
		sheet = texts.T("given back")
	}
	name := sheet.In(o.Lang)
	book := excelize.NewFile()
	defer book.Close()
	bold, err := book.NewStyle(&excelize.Style{Font: &excelize.Font{Bold: true}})
	if err != nil {
		return notWritten(err)
	}
	var page *excelize.StreamWriter
	var header []any
	sheets, row := 0, mostRows
	err = o.table(ctx, l, jobID, func(record []string) error {
		cells := make([]any, len(record))
		for i, text := range record {
			cells[i] = text
		}
		if header == nil {
			for i, text := range record {
				cells[i] = excelize.Cell{StyleID: bold, Value: text}
			}
			header = cells
			return nil
		}
		if row == mostRows {
			if page != nil {
				if err := page.Flush(); err != nil {
					return err
				}
			}
			sheets, row = sheets+1, 0
			if page, err = newSheet(book, name, sheets, header); err != nil {
				return err
			}
			row++
		}
		row++
		at, err := excelize.CoordinatesToCellName(1, row)
		if err != nil {
			return err
		}
		return page.SetRow(at, cells)
	})
	if err != nil {
		return err
	}
	if page == nil {
		if page, err = newSheet(book, name, 1, header); err != nil {
			return notWritten(err)
		}
	}
	if err := page.Flush(); err != nil {
		return notWritten(err)
	}
	return notWritten(book.Write(w))
}

// newSheet begins the sheet of a number, from 1, with the header, which stays in sight.
func newSheet(book *excelize.File, name string, number int, header []any) (*excelize.StreamWriter, error) {
	if number == 1 {
		if err := book.SetSheetName("Sheet1", name); err != nil {
			return nil, err
		}
	} else {
		name = fmt.Sprintf("%s %d", name, number)
		if _, err := book.NewSheet(name); err != nil {
			return nil, err
		}
	}
	page, err := book.NewStreamWriter(name)
	if err != nil {
		return nil, err
	}
	const idWidth = 20 // characters
	err = cmp.Or(page.SetColWidth(1, len(header), idWidth),
		page.SetPanes(&excelize.Panes{Freeze: true, YSplit: 1, TopLeftCell: "A2", ActivePane: "bottomLeft"}),
		page.SetRow("A1", header))
	return page, err
}
