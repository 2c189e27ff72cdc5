package isolate

import (
	"maps"
	"slices"
)

// hearing is the second chance of a suspect: two calls that share nothing but it, one with a single proven id of the
// other axis and one with all the others. If both are refused, it is bad. If the first passes, it is good, and if only
// the second does, the single pair is bad.
type hearing struct {
	axis   *axis
	id     int
	calls  []rectangle // still to probe
	failed []refusal
}

// nextHearing is the next probe about a suspect, the roles before the users.
func (s *Search) nextHearing() (rectangle, bool) {
	for {
		if h := s.hearing; h != nil {
			if h.axis.standing[h.id] == suspect && len(h.calls) > 0 {
				return h.calls[0], true
			}
			s.hearing = nil
		}
		if !s.hear(s.roles, s.users) && !s.hear(s.users, s.roles) {
			return rectangle{}, false
		}
	}
}

// hear opens the hearing of the first suspect on the axis, if there is one.
func (s *Search) hear(a, other *axis) bool {
	id := slices.Index(a.standing, suspect)
	if id < 0 {
		return false
	}
	company := other.where(isProven)
	if len(company) == 0 { // nobody is left whose pairs with it could be good
		a.condemn(id, a.causes[id], true)
		return true
	}
	h := &hearing{axis: a, id: id}
	for _, with := range [][]int{company[:1], company[1:]} {
		switch {
		case len(with) == 0:
		case a == s.roles:
			h.calls = append(h.calls, rectangle{[]int{id}, with})
		default:
			h.calls = append(h.calls, rectangle{with, []int{id}})
		}
	}
	s.hearing = h
	return true
}

// heard takes in a refusal with BlameAny if it belongs to a hearing.
func (s *Search) heard(r rectangle, cause any) bool {
	h := s.hearing
	if h == nil || !slices.Equal(h.calls[0].roles, r.roles) || !slices.Equal(h.calls[0].users, r.users) {
		return false
	}
	h.calls = h.calls[1:]
	h.failed = append(h.failed, refusal{r, cause})
	if len(h.calls) == 0 {
		h.axis.condemn(h.id, cause, true)
		s.hearing = nil
	}
	return true
}

// doubt is a rectangle of proven ids that may hold bad pairs.
type doubt struct {
	rectangle
	refused bool // or known to hold one without a call
	// twin is the other half of the same refused rectangle: known to hold a bad pair once this one has passed.
	twin *doubt
}

// nextDoubt halves the refused rectangles, users first, down to single pairs.
func (s *Search) nextDoubt() (rectangle, bool) {
	for len(s.doubts) > 0 {
		d := s.doubts[len(s.doubts)-1]
		single := len(d.roles) == 1 && len(d.users) == 1
		switch {
		case !s.missing(d.rectangle):
			s.doubts = s.doubts[:len(s.doubts)-1]
		case !d.refused || single: // a pair is called bad only for a call of its own
			return d.rectangle, true
		default:
			a, b := halves(d.rectangle)
			second := &doubt{rectangle: b}
			first := &doubt{rectangle: a, twin: second}
			s.doubts = append(s.doubts[:len(s.doubts)-1], second, first)
		}
	}
	return rectangle{}, false
}

func halves(r rectangle) (a, b rectangle) {
	if n := len(r.users); n > 1 {
		return rectangle{r.roles, r.users[:n/2]}, rectangle{r.roles, r.users[n/2:]}
	}
	n := len(r.roles)
	return rectangle{r.roles[:n/2], r.users}, rectangle{r.roles[n/2:], r.users}
}

// missing reports whether a pair of the rectangle is neither removed nor bad.
func (s *Search) missing(r rectangle) bool {
	for _, role := range r.roles {
		for _, user := range r.users {
			if s.pending(role, user) {
				return true
			}
		}
	}
	return false
}

// pending reports whether the pair of two proven ids is neither removed nor bad.
func (s *Search) pending(role, user int) bool {
	if s.removed[s.at(role, user)] {
		return false
	}
	_, isBad := s.result.BadPairs[Pair{role, user}]
	return !isBad
}

func (s *Search) doubtPassed() {
	if n := len(s.doubts); n > 0 && s.doubts[n-1].twin != nil {
		s.doubts[n-1].twin.refused = true
	}
	if h := s.hearing; h != nil && h.axis.standing[h.id] == proven {
		for _, f := range h.failed {
			s.doubtRefused(f.rectangle, f.cause)
		}
		s.hearing = nil
	}
}

// doubtRefused takes in a refusal with BlameAny of proven ids only.
func (s *Search) doubtRefused(r rectangle, cause any) {
	if len(r.roles) == 1 && len(r.users) == 1 {
		pair := Pair{r.roles[0], r.users[0]}
		s.result.BadPairs[pair] = cause
		s.report(Finding{Kind: BadPair, Role: pair.Role, User: pair.User, Cause: cause})
		return
	}
	if n := len(s.doubts); n > 0 {
		s.doubts[n-1].refused = true
		return
	}
	s.doubts = append(s.doubts, &doubt{rectangle: r, refused: true})
}

// unfinished is a rectangle of proven ids that were not all in one passed call yet: one call for all that is left if
// no bad pair is in the way, else for the first user and whoever lacks the same roles.
func (s *Search) unfinished() (rectangle, bool) {
	lacking := make(map[int][]int) // by user
	var roles []int
	for _, user := range s.users.where(isProven) {
		for _, role := range s.roles.where(isProven) {
			if s.pending(role, user) {
				lacking[user] = append(lacking[user], role)
				roles = append(roles, role)
			}
		}
	}
	if len(lacking) == 0 {
		return rectangle{}, false
	}
	slices.Sort(roles)
	all := rectangle{slices.Compact(roles), slices.Sorted(maps.Keys(lacking))}
	inTheWay := func(p Pair) bool {
		return slices.Contains(all.roles, p.Role) && slices.Contains(all.users, p.User)
	}
	if !slices.ContainsFunc(slices.Collect(maps.Keys(s.result.BadPairs)), inTheWay) {
		return all, true
	}
	same := rectangle{roles: lacking[all.users[0]]}
	for _, user := range all.users {
		if slices.Equal(lacking[user], same.roles) {
			same.users = append(same.users, user)
		}
	}
	return same, true
}

func (s *Search) snapshot() Result {
	r := s.result
	r.BadUsers, r.BadRoles, r.BadPairs = maps.Clone(r.BadUsers), maps.Clone(r.BadRoles), maps.Clone(r.BadPairs)
	// A pair was found first and one of its ids, which had passed before, was refused by name later.
	maps.DeleteFunc(r.BadPairs, func(p Pair, _ any) bool {
		_, badRole := r.BadRoles[p.Role]
		_, badUser := r.BadUsers[p.User]
		return badRole || badUser
	})
	return r
}
