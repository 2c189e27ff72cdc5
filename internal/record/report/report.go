// Package report writes what became of each requested pair of a job, for people, spreadsheets and programs.
package report

import (
	"bufio"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/unrole/unrole/internal/base/sheet"
	"github.com/unrole/unrole/internal/record/ledger"
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
	// Verified is gone, still_held or unknown where the job was verified, see `unrole verify`.
	Verified string `json:"verified,omitempty"`
}

// Columns are the columns of the CSV form, in order. The column verified follows them where the job was verified.
var Columns = []string{"user_id", "role_id", "outcome", "reason", "errcode", "errmsg", "request_id", "attempts", "finished_at"}

const verifiedColumn = "verified"

// writeSize is what is written at once, so that a long report is not made of system calls.
const writeSize = 64 << 10

// rowOf is the reported form of a row of the ledger.
func rowOf(r ledger.VerifiedRow) Row {
	o := r.Outcome
	row := Row{UserID: r.UserID, RoleID: r.RoleID, Outcome: string(o.Kind), Reason: string(o.Reason), ErrCode: o.ErrCode,
		ErrMsg: o.ErrMsg, RequestID: o.RequestID, Attempts: o.Attempts, Verified: string(r.Verified)}
	if o.Kind != ledger.Pending {
		row.FinishedAt = o.At.UTC().Format(time.RFC3339)
	}
	return row
}

// rows streams the rows of a job, with verdicts where it was verified.
func rows(ctx context.Context, l *ledger.Ledger, jobID string, verified bool, visit func(ledger.VerifiedRow) error) error {
	if verified {
		return l.VerifiedRows(ctx, jobID, visit)
	}
	return l.Rows(ctx, jobID, func(r ledger.Row) error { return visit(ledger.VerifiedRow{Row: r}) })
}

// CSV streams the report of a job with a header. Cells that a spreadsheet would take for a formula are marked as text
// (see sheet.Cell).
func CSV(ctx context.Context, l *ledger.Ledger, jobID string, w io.Writer) error {
	_, verified, err := l.Verification(ctx, jobID)
	if err != nil {
		return err
	}
	header := append([]string(nil), Columns...)
	if verified {
		header = append(header, verifiedColumn)
	}
	buffered := bufio.NewWriterSize(w, writeSize)
	out := csv.NewWriter(buffered)
	if err := out.Write(header); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	record := make([]string, 0, len(header))
	err = rows(ctx, l, jobID, verified, func(r ledger.VerifiedRow) error {
		row := rowOf(r)
		code, attempts := "", ""
		if row.ErrCode != 0 {
			code = strconv.Itoa(row.ErrCode)
		}
		if row.Attempts != 0 {
			attempts = strconv.Itoa(row.Attempts)
		}
		record = append(record[:0], sheet.Cell(row.UserID), strconv.FormatInt(row.RoleID, 10), row.Outcome, row.Reason, code,
			sheet.Cell(row.ErrMsg), sheet.Cell(row.RequestID), attempts, row.FinishedAt)
		if verified {
			record = append(record, row.Verified)
		}
		if err := out.Write(record); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	out.Flush()
	if err := cmp.Or(out.Error(), buffered.Flush()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// JSON streams the report of a job, one object per line.
func JSON(ctx context.Context, l *ledger.Ledger, jobID string, w io.Writer) error {
	_, verified, err := l.Verification(ctx, jobID)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, writeSize)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	err = rows(ctx, l, jobID, verified, func(r ledger.VerifiedRow) error {
		if err := enc.Encode(rowOf(r)); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
