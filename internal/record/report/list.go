package report

import (
	"cmp"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/snapshot"
	"github.com/unrole/unrole/tasks"
)

// List is the list that a job was submitted from: its headings, and its rows in its order. Redis does not keep it, so it is
// read again for the report.
type List struct {
	Header []string
	Rows   iter.Seq[ListRow]
	// Strange counts, once a report is written, the rows of the list that name no pair of the job.
	Strange int
}

// ListRow is a row of a list: every one of its users was to lose every one of its roles.
type ListRow struct {
	Line  int
	Users []string
	Roles []int64
	// Cells are those of the row as they stood, one per heading or fewer.
	Cells []string
	// AllRoles says that the users were to lose all that they held, instead of Roles.
	AllRoles bool
	// Unresolved says that the row named nobody for certain, or whom or what must not be touched: it asked for no pair. Reason and Detail
	// are why.
	Unresolved bool
	Reason     snapshot.Reason
	Detail     string
	// NoneHeld are those who were to lose all that they held, and held nothing.
	NoneHeld []string
}

// heading is the name of a column of the list in the report: its own, unless a column of the report has that.
func (o Options) heading(i int) string {
	name := o.List.Header[i]
	if name == "" {
		return "column " + strconv.Itoa(i+1)
	}
	if slices.Contains(Columns, name) || slices.Contains(Optional, name) || o.Known != nil && slices.Contains(knownColumns, name) {
		return listPrefix + name
	}
	return name
}

const listPrefix = "list: "

// OwnHeading is the heading that a column of a report had in the list that it was made of; own is false of a column that is
// the report's.
func OwnHeading(column string) (heading string, own bool) {
	if slices.Contains(Columns, column) || slices.Contains(Optional, column) {
		return "", false
	}
	return strings.TrimPrefix(column, listPrefix), true
}

// join visits the pairs of a job in the order of the list, each with the first row that names it; pairs that the list does
// not name come after them. at is when somebody looked whom and what the rows mean. Memory goes by the pairs, some twenty bytes each, and by
// the distinct ids.
func (l *List) join(at time.Time, each func(func(ledger.VerifiedRow) error) error, visit func(r ledger.VerifiedRow, line int, cells []string) error) error {
	job := pairIndex{users: map[string]uint32{}, roles: map[int64]uint32{}, outcomes: map[outcome]uint32{}, of: map[uint64]uint32{}}
	if err := each(job.add); err != nil {
		return err
	}
	l.Strange = 0
	for row := range l.Rows {
		if row.Unresolved {
			unresolved := ledger.VerifiedRow{Row: ledger.Row{Outcome: ledger.Outcome{Kind: Unresolved, Reason: tasks.Reason(row.Reason), ErrMsg: row.Detail, At: at}}}
			if err := visit(unresolved, row.Line, row.Cells); err != nil {
				return err
			}
			continue
		}
		known := false
		for _, user := range row.Users {
			roles := row.Roles
			if row.AllRoles {
				roles = job.roleIDs
			}
			for _, role := range roles {
				r, first, ours := job.take(user, role)
				known = known || ours
				if !first {
					continue
				}
				if err := visit(r, row.Line, row.Cells); err != nil {
					return err
				}
			}
		}
		for _, user := range row.NoneHeld {
			known = true
			none := ledger.VerifiedRow{Row: ledger.Row{UserID: user, Outcome: ledger.Outcome{Kind: NotHeld, At: at}}}
			if err := visit(none, row.Line, row.Cells); err != nil {
				return err
			}
		}
		if !known {
			l.Strange++
		}
	}
	for _, r := range job.left() {
		if err := visit(r, 0, nil); err != nil {
			return err
		}
	}
	return nil
}

// outcome is what became of many pairs at once.
type outcome struct {
	ledger.Outcome
	part     string
	verified ledger.Verdict
}

// pairIndex finds what became of a pair of the job by its ids.
type pairIndex struct {
	users     map[string]uint32
	userNames []string
	roles     map[int64]uint32
	roleIDs   []int64
	outcomes  map[outcome]uint32
	all       []outcome
	// of is the outcome of each pair by the numbers of its user and role; taken marks those that were visited.
	of map[uint64]uint32
}

const taken = 1 << 31

func (p *pairIndex) add(r ledger.VerifiedRow) error {
	user := numberOf(p.users, &p.userNames, r.UserID)
	role := numberOf(p.roles, &p.roleIDs, r.RoleID)
	p.of[uint64(user)<<32|uint64(role)] = numberOf(p.outcomes, &p.all, outcome{r.Outcome, r.Part, r.Verified})
	return nil
}

// numberOf numbers what is new, in the order of its coming.
func numberOf[K comparable](numbers map[K]uint32, names *[]K, k K) uint32 {
	n, known := numbers[k]
	if !known {
		n = uint32(len(*names))
		numbers[k], *names = n, append(*names, k)
	}
	return n
}

// take returns a pair of the job; first is false where it was taken before, ours where the job has none such.
func (p *pairIndex) take(userID string, roleID int64) (r ledger.VerifiedRow, first, ours bool) {
	user, known := p.users[userID]
	role, also := p.roles[roleID]
	if !known || !also {
		return r, false, false
	}
	key := uint64(user)<<32 | uint64(role)
	at, ours := p.of[key]
	if !ours || at&taken != 0 {
		return r, false, ours
	}
	p.of[key] = at | taken
	return p.row(key, at), true, true
}

func (p *pairIndex) row(key uint64, at uint32) ledger.VerifiedRow {
	o := p.all[at]
	return ledger.VerifiedRow{Row: ledger.Row{UserID: p.userNames[key>>32], RoleID: p.roleIDs[uint32(key)], Part: o.part, Outcome: o.Outcome}, Verified: o.verified}
}

// left are the pairs that were not taken, by user and role.
func (p *pairIndex) left() []ledger.VerifiedRow {
	var rows []ledger.VerifiedRow
	for key, at := range p.of {
		if at&taken == 0 {
			rows = append(rows, p.row(key, at))
		}
	}
	slices.SortFunc(rows, func(a, b ledger.VerifiedRow) int {
		return cmp.Or(cmp.Compare(a.UserID, b.UserID), cmp.Compare(a.RoleID, b.RoleID))
	})
	return rows
}
