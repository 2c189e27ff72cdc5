package lists

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/jsonwalk"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/report"
	"github.com/unrole/unrole/tasks"
)

// NotDone are the outcomes of a report whose rows are worth another try.
var NotDone = []string{string(ledger.Dead), string(ledger.Pending), string(ledger.Cancelled), string(report.Unresolved)}

// done are the others.
var done = []string{string(ledger.Removed), string(ledger.Restored), string(report.NotHeld)}

// returned is a report of unrole that is given back as a list.
type returned struct {
	outcome, simulated, action, before, scope int // columns, -1 where there is none
	// taken and passed count the rows by their outcome.
	taken, passed map[string]int
}

// returnedOf recognises a report of unrole by its headings, in whatever order they stand by now.
func returnedOf(names []string) *returned {
	for _, name := range []string{"user_id", "role_id", "outcome", "reason", "errcode", "finished_at"} {
		if !slices.Contains(names, name) {
			return nil
		}
	}
	at := func(name string) int { return slices.Index(names, name) }
	return &returned{outcome: at("outcome"), simulated: at("simulated"), action: at("action"), before: at("before"), scope: at(report.ScopeColumn),
		taken: map[string]int{}, passed: map[string]int{}}
}

// twice is a column of the report that stands there twice, so that nobody knows which one counts; empty where there is none.
func (r *returned) twice(names []string) string {
	if r == nil {
		return ""
	}
	for _, at := range []int{r.outcome, r.simulated, r.action, r.before, r.scope} {
		if at >= 0 && slices.Contains(names[at+1:], names[at]) {
			return names[at]
		}
	}
	return ""
}

// returnedCells are what a row of a report says of its pair.
type returnedCells struct {
	outcome, simulated, action, before string
}

// wants reports whether a row of the report with these cells is to be taken. What is wrong with the report as a whole is an
// error.
func (in *input) wants(row returnedCells) (bool, error) {
	r, outcome := in.returned, row.outcome
	switch {
	case strings.TrimSpace(row.simulated) != "" && !in.opt.Simulated && in.opt.Returned:
		return false, texts.T("this is the report of a simulation, in which nothing was removed: there is nothing to give back (--simulate tries it)")
	case strings.TrimSpace(row.simulated) != "" && !in.opt.Simulated:
		return false, texts.T("this is the report of a simulation, in which nothing was removed: take the list itself")
	case row.action == string(tasks.Add), outcome == string(ledger.Restored):
		return false, texts.T("this is the report of a job that gave roles back: to take them away again, submit the list itself")
	case outcome == "": // somebody added the row
		if in.opt.Returned {
			in.problem(place{max(r.outcome, 0), 0}, "outcome", texts.T("the row has no outcome: nobody knows what became of it"))
		}
		return true, nil
	case !slices.Contains(NotDone, outcome) && !slices.Contains(done, outcome):
		return false, texts.T("the outcome %q is none that a report has: there are %s", clip(outcome), strings.Join(slices.Concat(done, NotDone), ", "))
	case slices.Contains(in.wanted(), outcome):
		r.taken[outcome]++
		return true, nil
	}
	r.passed[outcome]++
	return false, nil
}

// meaningReturned is the meaning of a heading of a report.
func (in *input) meaningReturned(name string) (column, bool) {
	heading, own := report.OwnHeading(name)
	if !own {
		return in.meaning(name)
	}
	c, known := in.meaning(heading)
	c.own = true
	return c, known
}

// ownColumns notes which columns of a report its list had.
func (in *input) ownColumns(names []string) {
	in.report.Header = nil
	for i, name := range names {
		if heading, own := report.OwnHeading(name); own {
			in.own = append(in.own, i)
			in.report.Header = append(in.report.Header, heading)
		}
	}
}

// picked are the cells of some columns.
func picked(cells []string, columns []int) []string {
	var some []string
	for _, i := range columns {
		if i < len(cells) {
			some = append(some, cells[i])
		}
	}
	return some
}

func notReturned() texts.Text {
	return texts.T("this is no report of unrole, which has the columns user_id, role_id, outcome, reason, errcode and finished_at")
}

// returnedRow reports whether the current row of a table is to be taken.
func (in *input) returnedRow(t table) (bool, error) {
	r := in.returned
	cell := func(i int) string {
		if i < 0 || i >= t.width() {
			return ""
		}
		return heading(t.cell(i))
	}
	row := returnedCells{cell(r.outcome), cell(r.simulated), cell(r.action), cell(r.before)}
	take, err := in.wants(row)
	if err != nil {
		return false, in.refuseHeader(t.line(), texts.T("%v", err))
	}
	in.row.Was = Was{Seen: row.before == report.Held && r.scope >= 0}
	if !take || !in.row.Was.Seen || r.scope >= t.width() {
		return take, nil
	}
	for at, item := range items(in.marks.clean(t.cell(r.scope)), separatesIDs) {
		id, err := strconv.ParseInt(string(item), 10, 64)
		if err != nil || !t.exact(r.scope) {
			in.problem(place{r.scope, at}, report.ScopeColumn, wrongDepartment(string(item)))
			break
		}
		in.row.Was.Departments = append(in.row.Was.Departments, id)
	}
	return take, nil
}

func (in *input) wanted() []string {
	if in.opt.Outcomes == nil {
		return NotDone
	}
	return in.opt.Outcomes
}

// note says what is taken of the report, and what is not.
func (r *returned) note() texts.Text {
	all := func(counts map[string]int) (int, string) {
		n := 0
		var named []string
		for _, outcome := range slices.SortedFunc(maps.Keys(counts), strings.Compare) {
			n += counts[outcome]
			named = append(named, fmt.Sprintf("%s %d", outcome, counts[outcome]))
		}
		return n, strings.Join(named, ", ")
	}
	taken, of := all(r.taken)
	passed, over := all(r.passed)
	switch {
	case passed == 0:
		return texts.T("a report of unrole: %d of its rows are taken (%s)", taken, of)
	case taken == 0:
		return texts.T("a report of unrole: %d of its rows are passed over (%s)", passed, over)
	}
	return texts.T("a report of unrole: %d of its rows are taken (%s), %d are passed over (%s)", taken, of, passed, over)
}

// jsonReturned recognises a report of unrole by the fields of its first object.
func jsonReturned(text []byte) *returned {
	w := jsonwalk.Over(text)
	var names []string
	if w.Next() != '{' || w.Object(func(name []byte, _ int) error {
		names = append(names, string(name))
		return w.Skip()
	}) != nil {
		return nil
	}
	return returnedOf(names)
}

// jsonReturnedRow reports whether an object of a report is to be taken.
func (in *input) jsonReturnedRow(text []byte) (bool, error) {
	w := jsonwalk.Over(text)
	var row returnedCells
	scoped := false
	in.row.Was = Was{}
	err := w.Object(func(name []byte, _ int) (err error) {
		to := map[string]*string{"outcome": &row.outcome, "action": &row.action, "before": &row.before}[string(name)]
		switch {
		case string(name) == "simulated" && w.Next() == 't':
			row.simulated = report.Simulation
		case string(name) == report.ScopeColumn:
			scoped = w.Next() != 'n'
			in.row.Was.Departments, err = scopeIn(&w)
			return err
		}
		if to == nil || w.Next() != '"' {
			return w.Skip()
		}
		value, err := w.String()
		*to = string(value)
		return err
	})
	in.row.Was.Seen = scoped && row.before == report.Held
	var fault *jsonwalk.Fault
	switch {
	case errors.As(err, &fault) && scoped:
		in.problem(place{whole, fault.At}, report.ScopeColumn, fault.Reason)
		return true, nil
	case err != nil:
		return true, nil // what is no object is refused by who reads it
	}
	take, err := in.wants(row)
	if err != nil {
		return false, in.refuseHeader(in.rows.rowLine, texts.T("%v", err))
	}
	return take, nil
}

// scopeIn reads a list of departments, or null. Anything else is no scope of everybody.
func scopeIn(w *jsonwalk.Walker) (ids []int64, err error) {
	switch w.Next() {
	case '[':
	case 'n':
		return nil, w.Skip()
	default:
		return nil, &jsonwalk.Fault{At: w.At(), Reason: texts.T("it is no list of the ids of departments, as unrole writes it")}
	}
	err = w.List(func() error {
		text, err := w.Number()
		if err != nil {
			return err
		}
		id, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil {
			return &jsonwalk.Fault{At: w.At(), Reason: wrongDepartment(string(text))}
		}
		ids = append(ids, id)
		return nil
	})
	return ids, err
}

func wrongDepartment(text string) texts.Text {
	return texts.T("%q is not the id of a department: the column is as unrole wrote it, or the report is not taken", clip(text))
}

// mostReturned are the fields that count: those of the report where it has any that name somebody, else those of its list.
func mostReturned(of []jsonField) []jsonField {
	if slices.ContainsFunc(of, func(f jsonField) bool { return !f.own }) {
		return slices.DeleteFunc(of, func(f jsonField) bool { return f.own })
	}
	return of
}
