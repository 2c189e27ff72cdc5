package leavers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/in/preflight"
	"github.com/unrole/unrole/internal/in/resolve"
	"github.com/unrole/unrole/internal/out/dingtalk"
)

// Look reads who is leaving, who left between since and now, and what they hold, sorted by user id. Nothing it asks changes anything or
// counts towards the monthly quota.
func Look(ctx context.Context, d *directory.Directory, since, now time.Time) ([]Leaver, error) {
	ids, err := d.Leaving(ctx)
	if err != nil && !closed(err) {
		return nil, fmt.Errorf("who is leaving: %w", err)
	}
	left, err := d.Left(ctx, since, now)
	if err != nil {
		return nil, fmt.Errorf("who left: %w", err)
	}
	for _, l := range left {
		ids = append(ids, l.UserID)
	}
	return each(ctx, d, ids, left)
}

// closed says that the organisation does not use DingTalk's HR.
func closed(err error) bool {
	var failed *dingtalk.Error
	return errors.As(err, &failed) && failed.Class == dingtalk.ClassDisabled
}

// each looks at people one by one; left are the records of those who left.
func each(ctx context.Context, d *directory.Directory, ids []string, left []dingtalk.Leaver) ([]Leaver, error) {
	set := map[string]bool{}
	for _, id := range ids {
		set[id] = true
	}
	ids = slices.Sorted(maps.Keys(set))
	dismissals, err := d.Dismissals(ctx, ids)
	if err != nil && !closed(err) {
		return nil, fmt.Errorf("the last working days: %w", err)
	}
	records := map[string]dingtalk.Leaver{}
	for _, l := range left {
		if have, known := records[l.UserID]; !known || l.At.After(have.At) {
			records[l.UserID] = l
		}
	}
	people := make([]Leaver, len(ids))
	for i, id := range ids {
		dismissal, decided := dismissals[id]
		record, recorded := records[id]
		if people[i], err = one(ctx, d, id, dismissal, decided, record, recorded); err != nil {
			return nil, fmt.Errorf("look at somebody who is leaving: %w", err)
		}
	}
	return people, nil
}

func one(ctx context.Context, d *directory.Directory, id string, dismissal dingtalk.Dismissal, decided bool, record dingtalk.Leaver, recorded bool) (Leaver, error) {
	user, presence, err := d.Serving(ctx, id)
	if err != nil {
		return Leaver{}, err
	}
	present := presence == directory.Present
	l := Leaver{UserID: id, Name: user.Name, Present: present, Hidden: presence == directory.Hidden, Admin: user.Admin, Stage: Staying, LastDay: dismissal.LastDay}
	if l.Name == "" {
		l.Name = record.Name
	}
	switch {
	case dismissal.Status == dingtalk.DismissalLeaving:
		l.Stage = Leaving
	case dismissal.Status == dingtalk.DismissalUndecided:
		l.Stage = Undecided
	case !present:
		// HR's word that they work there is worth more than that they cannot be found.
		staying, err := d.Staying(ctx)
		if err != nil && !closed(err) {
			return Leaver{}, err
		}
		if dismissal.Status == dingtalk.DismissalNone || staying[id] {
			break
		}
		if l.Stage = Left; l.LastDay.IsZero() {
			l.LastDay = record.At
		}
	case recorded && dismissal.Status != dingtalk.DismissalLeft:
		l.Stage = Rehired
	case dismissal.Status == dingtalk.DismissalLeft:
		// HR says they left, and they are still there: they are about to be taken out, or were hired again.
		staying, err := d.Staying(ctx)
		if err != nil {
			return Leaver{}, err
		}
		if l.Stage = Left; staying[id] {
			l.Stage = Rehired
		}
	}
	if err := departments(ctx, d, &l, user, dismissal); err != nil {
		return Leaver{}, err
	}
	for _, role := range user.Roles {
		if !directory.IsDefault(role) {
			l.Roles = append(l.Roles, role)
		}
	}
	return l, nil
}

// departments finds where somebody works, or did, and what is above.
func departments(ctx context.Context, d *directory.Directory, l *Leaver, user dingtalk.User, dismissal dingtalk.Dismissal) error {
	ids := user.Departments
	if !l.Present {
		for _, department := range dismissal.Departments {
			ids = append(ids, department.ID)
		}
	}
	l.Known = len(ids) > 0
	for _, id := range ids {
		path, err := d.Above(ctx, id)
		var failed *dingtalk.Error
		if errors.As(err, &failed) && (failed.Class == dingtalk.ClassPermission || failed.Class == dingtalk.ClassUserOutOfScope || failed.Class == dingtalk.ClassUnknown) {
			l.Known = false // a department that is gone, or that the app may not see
			continue
		}
		if err != nil {
			return err
		}
		l.Departments = append(l.Departments, path...)
	}
	return nil
}

// Held is what each of some people would lose, with what a preflight saw of it; who would lose nothing is not in it.
type Held struct {
	Removals *enqueue.Removals
	Snapshot *enqueue.Snapshot
}

// held reads what people hold. shares is whether a role would lose too many of its holders by it.
func held(ctx context.Context, d *directory.Directory, people []Leaver, keep []lists.Role, maxShare float64, protected enqueue.ProtectedIDs) (all map[string]Held, shares bool, err error) {
	kept := &lists.Kept{}
	gone := map[string]bool{}
	for i, p := range people {
		switch {
		case p.Hidden: // whatever they hold
		case p.Present:
			kept.Add(lists.Row{Line: i + 1, People: []lists.Person{{By: lists.UserID, Text: p.UserID}}})
		default:
			gone[p.UserID] = true
		}
	}
	seen, err := preflight.Run(ctx, d, preflight.Request{Rows: kept.All(), AllRoles: true, Keep: keep, MaxShare: maxShare})
	if err != nil {
		return nil, false, err
	}
	all = map[string]Held{}
	add := func(user string, role int64, scope []int64) {
		if protected != nil && (protected.User(user) || protected.Role(role)) {
			return
		}
		h, known := all[user]
		if !known {
			h = Held{Removals: &enqueue.Removals{}, Snapshot: &enqueue.Snapshot{SeenAt: seen.Snapshot.SeenAt}}
			all[user] = h
		}
		h.Removals.Add(user, role)
		if len(scope) > 0 {
			h.Snapshot.Scopes = append(h.Snapshot.Scopes, enqueue.SnapshotScope{Pair: enqueue.SnapshotPair{UserID: user, RoleID: role}, Departments: scope})
		}
	}
	scopes := map[enqueue.SnapshotPair][]int64{}
	for _, s := range seen.Snapshot.Scopes {
		scopes[s.Pair] = s.Departments
	}
	for u, user := range seen.Removals.Users() {
		for role := range seen.Removals.RolesOf(u) {
			add(user, role, scopes[enqueue.SnapshotPair{UserID: user, RoleID: role}])
		}
	}
	return all, len(seen.Shares) > 0, goneHolders(ctx, d, gone, keep, add)
}

// goneHolders finds the roles of people who are not in the directory any more: only the roles themselves can tell.
func goneHolders(ctx context.Context, d *directory.Directory, gone map[string]bool, keep []lists.Role, add func(user string, role int64, scope []int64)) error {
	if len(gone) == 0 {
		return nil
	}
	admins, err := d.Admins(ctx)
	if err != nil {
		return err
	}
	roles, err := d.Roles(ctx)
	if err != nil {
		return err
	}
	kept, err := keptOf(ctx, d, keep)
	if err != nil {
		return err
	}
	var ids []int64
	for _, role := range roles {
		if !directory.IsDefault(role) && !kept[role.ID] {
			ids = append(ids, role.ID)
		}
	}
	return d.EachHolders(ctx, ids, func(role int64, holders []dingtalk.Person) {
		for _, h := range holders {
			if gone[h.UserID] && !admins[h.UserID] {
				add(h.UserID, role, h.Scope)
			}
		}
	})
}

// Kept are the roles that the rule leaves to everybody. A *preflight.RoleError names one that is none, or several.
func (r Rule) Kept(ctx context.Context, d *directory.Directory) (map[int64]bool, error) {
	return keptOf(ctx, d, r.Keep)
}

func keptOf(ctx context.Context, d *directory.Directory, keep []lists.Role) (map[int64]bool, error) {
	kept := map[int64]bool{}
	if len(keep) == 0 {
		return kept, nil
	}
	all, err := d.Roles(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range keep {
		fit := resolve.Roles(all, k)
		if len(fit) != 1 {
			return nil, &preflight.RoleError{Role: k, Fit: fit}
		}
		kept[fit[0].ID] = true
	}
	return kept, nil
}
