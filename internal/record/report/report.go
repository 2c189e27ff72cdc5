// Package report writes what became of each requested pair of a job, for people, spreadsheets and programs.
package report

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/base/words"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/snapshot"
	"github.com/unrole/unrole/tasks"
)

// NotHeld and Unresolved are outcomes of what a preflight left out: a pair that nobody held, and a row of the list that
// names nobody, or several.
const (
	NotHeld    ledger.Kind = "not_held"
	Unresolved ledger.Kind = "unresolved"
)

// Held is what a row says in before of a pair that was held.
const Held = "held"

// Simulation is what a table says of each pair that a simulator was asked about.
const Simulation = "SIMULATION"

// Row is one requested pair and what became of it. Outcome is removed, dead_letter, cancelled, pending, not_held or
// unresolved; of the rest, what does not apply is empty.
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
	// Before is held or not_held where a preflight looked before anything was sent.
	Before string `json:"before,omitempty"`
	// ScopeDepartments are those of the management scope that the pair had then; none is everybody. It is nil where nobody looked.
	ScopeDepartments []int64 `json:"scope_departments,omitzero"`
	// Verified is gone, still_held or unknown where the job was verified, of a restore held, not_held, other_scope or unknown; see
	// `unrole verify`.
	Verified string `json:"verified,omitempty"`
	// Simulated says that a simulator answered, and DingTalk was never called.
	Simulated bool `json:"simulated,omitempty"`
	// Action is add where the job gives back: its pairs are not to be removed.
	Action string `json:"action,omitempty"`
	// Name, Department and Role say who and what that is, where somebody looked.
	Name       string `json:"name,omitempty"`
	Department string `json:"department,omitempty"`
	Role       string `json:"role,omitempty"`
	// Line is the row of the list that asked for the pair, and Input what stood there by heading.
	Line  int               `json:"row,omitempty"`
	Input map[string]string `json:"input,omitempty"`
	// Meaning says in words what became of the pair, and WhatToDo what helps where it was not removed.
	Meaning  string `json:"meaning,omitempty"`
	WhatToDo string `json:"what_to_do,omitempty"`

	pair  ledger.VerifiedRow
	cells []string // of the list, in its order
}

// textIDs is a row whose role id is a string.
type textIDs struct {
	Row
	RoleID string `json:"role_id"`
}

// Columns are the columns of the CSV form, in order. The columns before and scope_departments follow them where a preflight looked, verified where
// the job was verified, simulated in a simulation, action where the job gives back; then,
// where a person reads the report, those of the list, its row and the words.
var Columns = []string{"user_id", "role_id", "outcome", "reason", "errcode", "errmsg", "request_id", "attempts", "finished_at"}

// Optional are the columns that a report may have besides, and that no list's own column is called there.
var Optional = []string{"before", ScopeColumn, "verified", "simulated", "action", "row", "meaning", "what_to_do"}

// ScopeColumn has the departments of the management scope that a pair had, separated by ScopeSeparator, which no spreadsheet takes
// for a number or a date.
const (
	ScopeColumn    = "scope_departments"
	ScopeSeparator = ";"
)

// extra are the columns that a report has where they say something.
type extra struct{ seen, verified, restore bool }

// extraOf reads what is known of a job besides its outcomes.
func extraOf(ctx context.Context, l *ledger.Ledger, jobID string) (extra, *snapshot.Snapshot, error) {
	job, err := l.Get(ctx, jobID)
	if err != nil {
		return extra{}, nil, err
	}
	_, verified, err := l.Verification(ctx, jobID)
	if err != nil {
		return extra{}, nil, err
	}
	seen, err := l.Snapshot(ctx, jobID)
	return extra{seen: seen != nil, verified: verified, restore: job.Action == tasks.Add}, seen, err
}

// writeSize is what is written at once, so that a long report is not made of system calls.
const writeSize = 64 << 10

// Options say for whom a report is written. The zero value is for programs: nothing but what the ledger knows, in
// English, times in UTC.
type Options struct {
	// Words adds what the outcome means and what to do, in Lang.
	Words bool
	Lang  texts.Lang
	// Zone is that of the reader; nil means UTC.
	Zone *time.Location
	// Mark writes a byte order mark before CSV, by which spreadsheets know that it is UTF-8.
	Mark bool
	// Known says who people are and what roles are called, where somebody looked: the report then has the columns of it.
	Known *Known
	// List is what the job was submitted from. With it the report has its columns and its order; without it, rows
	// come in no particular order.
	List *List
	// Simulated says in every row that a simulator answered.
	Simulated bool
	// RoleIDsAsText writes role ids in JSON as strings, for programs whose numbers end at 2^53.
	RoleIDsAsText bool
	// Page is about the page for an auditor.
	Page Page
}

// Known are people and roles by name. Redis keeps none of it.
type Known struct {
	People map[string]Name
	Roles  map[int64]string
}

// Name is who somebody is: the name, and the first of the departments.
type Name struct{ Name, Department string }

// knownColumns are those of Options.Known.
var knownColumns = []string{"name", "department", "role"}

// JSON streams the report of a job, one object per line.
func JSON(ctx context.Context, l *ledger.Ledger, jobID string, w io.Writer, o Options) error {
	out := bufio.NewWriterSize(w, writeSize)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	with, seen, err := extraOf(ctx, l, jobID)
	if err != nil {
		return err
	}
	err = o.rows(ctx, l, jobID, with, seen, func(r Row) error {
		var row any = r
		if o.RoleIDsAsText {
			row = textIDs{Row: r, RoleID: strconv.FormatInt(r.RoleID, 10)}
		}
		if err := enc.Encode(row); err != nil {
			return notWritten(err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return notWritten(out.Flush())
}

// rows streams the rows of a job, with verdicts where it was verified, and then what a preflight left out.
func (o Options) rows(ctx context.Context, l *ledger.Ledger, jobID string, with extra, seen *snapshot.Snapshot, visitRow func(Row) error) error {
	scopes := map[snapshot.Pair][]int64{}
	if seen != nil {
		for _, s := range seen.Scopes {
			scopes[s.Pair] = s.Departments
		}
	}
	visit := func(r Row) error {
		if with.seen && r.Outcome != string(Unresolved) {
			r.Before, r.ScopeDepartments = Held, scopes[snapshot.Pair{UserID: r.UserID, RoleID: r.RoleID}]
			if r.ScopeDepartments == nil {
				r.ScopeDepartments = []int64{}
			}
			if r.Outcome == string(NotHeld) {
				r.Before = string(NotHeld)
			}
		}
		if with.restore {
			r.Action = string(tasks.Add)
		}
		return visitRow(r)
	}
	of := func(visit func(ledger.VerifiedRow) error) error {
		if with.verified {
			return l.VerifiedRows(ctx, jobID, visit)
		}
		return l.Rows(ctx, jobID, func(r ledger.Row) error { return visit(ledger.VerifiedRow{Row: r}) })
	}
	each := func(visit func(ledger.VerifiedRow) error) error {
		if err := of(visit); err != nil || seen == nil {
			return err
		}
		for _, u := range seen.Rows {
			row := ledger.Row{Outcome: ledger.Outcome{Kind: Unresolved, Reason: tasks.Reason(u.Reason), ErrMsg: u.Pointer + ": " + texts.Recall(u.Detail).In(o.Lang), At: seen.SeenAt}}
			if err := visit(ledger.VerifiedRow{Row: row}); err != nil {
				return err
			}
		}
		for _, p := range seen.NotHeld {
			row := ledger.Row{UserID: p.UserID, RoleID: p.RoleID, Outcome: ledger.Outcome{Kind: NotHeld, At: seen.SeenAt}}
			if err := visit(ledger.VerifiedRow{Row: row}); err != nil {
				return err
			}
		}
		return nil
	}
	if o.List != nil {
		var at time.Time
		if seen != nil {
			at = seen.SeenAt
		}
		return o.List.join(at, each, func(r ledger.VerifiedRow, line int, cells []string) error {
			return visit(o.row(r, with, line, cells))
		})
	}
	return each(func(r ledger.VerifiedRow) error { return visit(o.row(r, with, 0, nil)) })
}

// row is the reported form of a row of the ledger, which stood in a line of the list with these cells.
func (o Options) row(pair ledger.VerifiedRow, with extra, line int, cells []string) Row {
	out := pair.Outcome
	r := Row{UserID: pair.UserID, RoleID: pair.RoleID, Outcome: string(out.Kind), Reason: string(out.Reason), ErrCode: out.ErrCode,
		ErrMsg: out.ErrMsg, RequestID: out.RequestID, Attempts: out.Attempts, Verified: string(pair.Verified), Simulated: o.Simulated, Line: line, pair: pair, cells: cells}
	if out.Kind != ledger.Pending && !out.At.IsZero() {
		r.FinishedAt = o.time(out.At).Format(time.RFC3339)
	}
	if o.Words {
		became, todo := told(out, with.restore)
		if out.Kind == NotHeld && pair.RoleID == 0 {
			became = texts.T("held no role that is taken when DingTalk was looked at: nothing was sent")
		}
		r.Meaning, r.WhatToDo = became.In(o.Lang), todo.In(o.Lang)
	}
	if o.Known != nil {
		who := o.Known.People[r.UserID]
		r.Name, r.Department, r.Role = who.Name, who.Department, o.Known.Roles[r.RoleID]
	}
	for i, cell := range cells {
		if cell != "" {
			if r.Input == nil {
				r.Input = map[string]string{}
			}
			r.Input[o.heading(i)] = cell
		}
	}
	return r
}

// time is a time in the zone of the reader.
func (o Options) time(t time.Time) time.Time {
	if o.Zone == nil {
		return t.UTC()
	}
	return t.In(o.Zone)
}

// moment shows a time, or what a pointer to one points to, in the zone of the reader.
func (o Options) moment(t any) string {
	switch t := t.(type) {
	case time.Time:
		return words.Moment(o.time(t))
	case *time.Time:
		if t != nil {
			return words.Moment(o.time(*t))
		}
	}
	return ""
}

// ofFile reports whether the list has rows to be pointed at: what stood on a command line has none.
func (o Options) ofFile() bool { return o.List != nil && len(o.List.Header) > 0 }

// header is that of the tables: CSV and spreadsheets.
func (o Options) header(with extra) []string {
	header := append([]string(nil), Columns...)
	if with.seen {
		header = append(header, "before", ScopeColumn)
	}
	if with.verified {
		header = append(header, "verified")
	}
	if o.Simulated {
		header = append(header, "simulated")
	}
	if with.restore {
		header = append(header, "action")
	}
	if o.Known != nil {
		header = append(header, knownColumns...)
	}
	if o.List != nil {
		for i := range o.List.Header {
			header = append(header, o.heading(i))
		}
	}
	if o.ofFile() {
		header = append(header, "row")
	}
	if o.Words {
		header = append(header, "meaning", "what_to_do")
	}
	return header
}

// record appends the cells of a row below the header.
func (o Options) record(to []string, r Row, with extra) []string {
	role := ""
	if r.RoleID != 0 {
		role = strconv.FormatInt(r.RoleID, 10)
	}
	to = append(to, r.UserID, role, r.Outcome, r.Reason, positive(r.ErrCode), r.ErrMsg, r.RequestID,
		positive(r.Attempts), r.FinishedAt)
	if with.seen {
		to = append(to, r.Before, departments(r.ScopeDepartments))
	}
	if with.verified {
		to = append(to, r.Verified)
	}
	if o.Simulated {
		to = append(to, Simulation)
	}
	if with.restore {
		to = append(to, r.Action)
	}
	if o.Known != nil {
		to = append(to, r.Name, r.Department, r.Role)
	}
	if o.List != nil {
		for i := range o.List.Header {
			cell := ""
			if i < len(r.cells) {
				cell = r.cells[i]
			}
			to = append(to, cell)
		}
	}
	if o.ofFile() {
		to = append(to, positive(r.Line))
	}
	if o.Words {
		to = append(to, r.Meaning, r.WhatToDo)
	}
	return to
}

func departments(ids []int64) string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = strconv.FormatInt(id, 10)
	}
	return strings.Join(texts, ScopeSeparator)
}

func positive(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func notWritten(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("write the report: %w", err)
}
