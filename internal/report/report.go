// Package report writes what became of each requested pair of a job, for people, spreadsheets and programs.
package report

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/unrole/unrole/internal/ledger"
	"github.com/unrole/unrole/internal/sheet"
)

// Row is one requested pair and what became of it. Outcome is removed, dead_letter, cancelled or pending; of the rest,
// what does not apply is empty.
type Row struct {
	UserID     string `json:"user_id"`
	RoleID     int64  `json:"role_id"`
	Outcome    string `json:"outcome"`
	Reason     string `json:"reason"`
	ErrCode    int    `json:"errcode"`
	ErrMsg     string `json:"errmsg"`
	RequestID  string `json:"request_id"`
	Attempts   int    `json:"attempts"`
	FinishedAt string `json:"finished_at"`
}

// Columns are the columns of the CSV form, in order.
var Columns = []string{"user_id", "role_id", "outcome", "reason", "errcode", "errmsg", "request_id", "attempts", "finished_at"}

// RowOf is the reported form of a row of the ledger.
func RowOf(r ledger.Row) Row {
	o := r.Outcome
	row := Row{UserID: r.UserID, RoleID: r.RoleID, Outcome: string(o.Kind), Reason: string(o.Reason), ErrCode: o.ErrCode,
		ErrMsg: o.ErrMsg, RequestID: o.RequestID, Attempts: o.Attempts}
	if o.Kind != ledger.Pending {
		row.FinishedAt = o.At.UTC().Format(time.RFC3339)
	}
	return row
}

// CSV streams the report of a job with a header. Cells that a spreadsheet would take for a formula are marked as text
// (see sheet.Cell).
func CSV(ctx context.Context, l *ledger.Ledger, jobID string, w io.Writer) error {
	out := csv.NewWriter(w)
	if err := out.Write(Columns); err != nil {
		return err
	}
	err := l.Rows(ctx, jobID, func(r ledger.Row) error {
		row := RowOf(r)
		code, attempts := "", ""
		if row.ErrCode != 0 {
			code = strconv.Itoa(row.ErrCode)
		}
		if row.Attempts != 0 {
			attempts = strconv.Itoa(row.Attempts)
		}
		return out.Write([]string{sheet.Cell(row.UserID), strconv.FormatInt(row.RoleID, 10), row.Outcome, row.Reason, code,
			sheet.Cell(row.ErrMsg), sheet.Cell(row.RequestID), attempts, row.FinishedAt})
	})
	if err != nil {
		return err
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// JSON streams the report of a job, one object per line.
func JSON(ctx context.Context, l *ledger.Ledger, jobID string, w io.Writer) error {
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	if err := l.Rows(ctx, jobID, func(r ledger.Row) error { return enc.Encode(RowOf(r)) }); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
