package restore

import (
	"io"
	"slices"
	"strconv"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/forget"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/record/ledger"
)

// OfReport finds out what can be given back by a report of the removal, whose record may be gone or never was: the rows that
// were removed, with the management scopes that they had. Of the wish, JobID, EvenLater and As do not count; of opt, Name, Sheet
// and Simulated do. take, unless nil, is handed each row that is to be given back. What happened since is not known.
//
// Errors: *lists.Refused, *NoSnapshotError, *StrangersError, *NothingError, and those of r.
func OfReport(r io.Reader, opt lists.Options, wish Wish, take func(lists.Row)) (*Plan, *lists.Report, error) {
	// Whatever DingTalk took the role of was somebody's id.
	opt.Returned, opt.Columns, opt.Outcomes = true, map[string]string{"user_id": "user_id"}, []string{string(ledger.Removed)}
	opt.Cells = take != nil
	p := &Plan{Removals: &enqueue.Removals{}}
	users, roles := map[string]bool{}, map[int64]bool{}
	scopes := map[enqueue.SnapshotPair][]int64{} // of the pairs that were met
	read, err := lists.Read(r, opt, func(row lists.Row) error {
		given := false
		for user, role := range row.IDs() {
			switch {
			case !wish.wants(user, role):
				continue
			case p.Removals.Pairs() == enqueue.MaxPairs:
				return texts.T("more than %d pairs are asked for: split the input into several", enqueue.MaxPairs)
			}
			users[user], roles[role] = true, true
			if forget.IsStandIn(user) {
				p.Kept++
				continue
			}
			p.Unseen = p.Unseen || !row.Was.Seen
			pair, departments := enqueue.SnapshotPair{UserID: user, RoleID: role}, slices.Compact(slices.Sorted(slices.Values(row.Was.Departments)))
			before, met := scopes[pair]
			if met && !slices.Equal(before, departments) {
				return texts.T("%s/%s had another management scope by a row above: nobody knows which one it is to have back; give one report at a time",
					user, strconv.FormatInt(role, 10))
			}
			if !met {
				scopes[pair] = departments
				given = p.add(pair, departments) || given
			}
		}
		if given && take != nil {
			take(row)
		}
		return nil
	})
	if err != nil {
		return nil, read, err
	}
	switch err := wish.strangers(users, roles); {
	case err != nil:
		return nil, read, err
	case p.Unseen && !wish.FromRemoved:
		return nil, read, &NoSnapshotError{}
	case p.Removals.Pairs() == 0:
		return nil, read, &NothingError{Plan: p}
	}
	return p, read, nil
}
