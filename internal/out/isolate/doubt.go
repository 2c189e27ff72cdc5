package isolate

import (
	"maps"
	"slices"

	"github.com/unrole/unrole/internal/base/pairs"
)

// hearing is the second chance of a suspect: two calls that share nothing but it, one with a single proven id of the
// other axis and one with all the others. If both are refused, it is bad. If the first passes, it is good, and if only
// the second does, the single pair is bad.
type hearing struct {
	suspect
	calls  []pairs.Rectangle // still to probe
	failed []refusal
}

// suspect is one id of either axis.
type suspect interface {
	standing() standing
	condemn(cause any)
}

// idOf is an id with its axis.
type idOf[ID pairs.User | pairs.Role] struct {
	axis *axis[ID]
	id   ID
}

func (i idOf[ID]) standing() standing { return i.axis.standing[i.id] }
func (i idOf[ID]) condemn(cause any)  { i.axis.condemn(i.id, evidence[ID]{cause: cause, sure: true}) }

// nextHearing is the next probe about a suspect, the roles before the users.
func (s *Search) nextHearing() (pairs.Rectangle, bool) {
	for {
		if h := s.hearing; h != nil {
			if h.standing() == suspected && len(h.calls) > 0 {
				return h.calls[0], true
			}
			s.hearing = nil
		}
		found := hear(s, s.roles, s.users, func(role pairs.Role, with []pairs.User) pairs.Rectangle {
			return pairs.Rectangle{Users: with, Roles: []pairs.Role{role}}
		}) || hear(s, s.users, s.roles, func(user pairs.User, with []pairs.Role) pairs.Rectangle {
			return pairs.Rectangle{Users: []pairs.User{user}, Roles: with}
		})
		if !found {
			return pairs.Rectangle{}, false
		}
	}
}

// hear opens the hearing of the first suspect on the axis, if there is one.
func hear[ID, Other pairs.User | pairs.Role](s *Search, a *axis[ID], other *axis[Other], call func(ID, []Other) pairs.Rectangle) bool {
	i := slices.Index(a.standing, suspected)
	if i < 0 {
		return false
	}
	id := ID(i)
	company := other.where(isProven)
	if len(company) == 0 { // nobody is left whose pairs with it could be good
		a.condemn(id, evidence[ID]{cause: a.against[id].cause, sure: true})
		return true
	}
	h := &hearing{suspect: idOf[ID]{a, id}}
	for _, with := range [][]Other{company[:1], company[1:]} {
		if len(with) > 0 {
			h.calls = append(h.calls, call(id, with))
		}
	}
	s.hearing = h
	return true
}

// heard takes in a refusal with BlameAny if it belongs to a hearing.
func (s *Search) heard(r pairs.Rectangle, cause any) bool {
	h := s.hearing
	if h == nil || !slices.Equal(h.calls[0].Roles, r.Roles) || !slices.Equal(h.calls[0].Users, r.Users) {
		return false
	}
	h.calls = h.calls[1:]
	h.failed = append(h.failed, refusal{r, cause})
	if len(h.calls) == 0 {
		h.condemn(cause)
		s.hearing = nil
	}
	return true
}

// doubt is a rectangle of proven ids that may hold bad pairs.
type doubt struct {
	pairs.Rectangle
	refused bool // or known to hold one without a call
	// twin is the other half of the same refused rectangle: known to hold a bad pair once this one has passed.
	twin *doubt
}

// nextDoubt halves the refused rectangles, users first, down to single pairs.
func (s *Search) nextDoubt() (pairs.Rectangle, bool) {
	for len(s.doubts) > 0 {
		d := s.doubts[len(s.doubts)-1]
		single := len(d.Roles) == 1 && len(d.Users) == 1
		switch {
		case !s.missing(d.Rectangle):
			s.doubts = s.doubts[:len(s.doubts)-1]
		case !d.refused || single: // a pair is called bad only for a call of its own
			return d.Rectangle, true
		default:
			a, b := halves(d.Rectangle)
			second := &doubt{Rectangle: b}
			first := &doubt{Rectangle: a, twin: second}
			s.doubts = append(s.doubts[:len(s.doubts)-1], second, first)
		}
	}
	return pairs.Rectangle{}, false
}

func halves(r pairs.Rectangle) (a, b pairs.Rectangle) {
	a, b = r, r
	if n := len(r.Users) / 2; n > 0 {
		a.Users, b.Users = r.Users[:n], r.Users[n:]
	} else {
		n := len(r.Roles) / 2
		a.Roles, b.Roles = r.Roles[:n], r.Roles[n:]
	}
	return a, b
}

// missing reports whether a pair of the rectangle is neither removed nor bad.
func (s *Search) missing(r pairs.Rectangle) bool {
	for user, role := range r.All() {
		if s.pending(user, role) {
			return true
		}
	}
	return false
}

// pending reports whether the pair of two proven ids is neither removed nor bad.
func (s *Search) pending(user pairs.User, role pairs.Role) bool {
	if s.removed.Has(user, role) {
		return false
	}
	_, isBad := s.result.BadPairs[pairs.Pair{User: user, Role: role}]
	return !isBad
}

func (s *Search) doubtPassed() {
	if n := len(s.doubts); n > 0 && s.doubts[n-1].twin != nil {
		s.doubts[n-1].twin.refused = true
	}
	if h := s.hearing; h != nil && h.standing() == proven {
		for _, f := range h.failed {
			s.doubtRefused(f.Rectangle, f.cause)
		}
		s.hearing = nil
	}
}

// doubtRefused takes in a refusal with BlameAny of proven ids only.
func (s *Search) doubtRefused(r pairs.Rectangle, cause any) {
	if len(r.Roles) == 1 && len(r.Users) == 1 {
		pair := pairs.Pair{User: r.Users[0], Role: r.Roles[0]}
		s.result.BadPairs[pair] = cause
		s.report(Finding{Culprit: BadPair, User: pair.User, Role: pair.Role, Cause: cause})
		return
	}
	if n := len(s.doubts); n > 0 {
		s.doubts[n-1].refused = true
		return
	}
	s.doubts = append(s.doubts, &doubt{Rectangle: r, refused: true})
}

// unfinished is a rectangle of proven ids that were not all in one passed call yet: one call for all that is left if
// no bad pair is in the way, else for the first user and whoever lacks the same roles.
func (s *Search) unfinished() (pairs.Rectangle, bool) {
	lacking := make(map[pairs.User][]pairs.Role)
	var roles []pairs.Role
	for _, user := range s.users.where(isProven) {
		for _, role := range s.roles.where(isProven) {
			if s.pending(user, role) {
				lacking[user] = append(lacking[user], role)
				roles = append(roles, role)
			}
		}
	}
	if len(lacking) == 0 {
		return pairs.Rectangle{}, false
	}
	slices.Sort(roles)
	all := pairs.Rectangle{Users: slices.Sorted(maps.Keys(lacking)), Roles: slices.Compact(roles)}
	inTheWay := func(p pairs.Pair) bool {
		return slices.Contains(all.Roles, p.Role) && slices.Contains(all.Users, p.User)
	}
	if !slices.ContainsFunc(slices.Collect(maps.Keys(s.result.BadPairs)), inTheWay) {
		return all, true
	}
	same := pairs.Rectangle{Roles: lacking[all.Users[0]]}
	for _, user := range all.Users {
		if slices.Equal(lacking[user], same.Roles) {
			same.Users = append(same.Users, user)
		}
	}
	return same, true
}

func (s *Search) snapshot() Result {
	r := s.result
	r.BadUsers, r.BadRoles, r.BadPairs = maps.Clone(r.BadUsers), maps.Clone(r.BadRoles), maps.Clone(r.BadPairs)
	// A pair was found first and one of its ids, which had passed before, was refused by name later.
	maps.DeleteFunc(r.BadPairs, func(p pairs.Pair, _ any) bool {
		_, badRole := r.BadRoles[p.Role]
		_, badUser := r.BadUsers[p.User]
		return badRole || badUser
	})
	return r
}
