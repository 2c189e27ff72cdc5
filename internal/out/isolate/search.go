package isolate

import (
	"context"
	"slices"

	"github.com/unrole/unrole/internal/base/pairs"
)

// Search is one isolation under way. It is not safe for concurrent use.
//
// Users and roles are searched as two axes. A refusal that names an axis says something about that axis alone, so a
// probe may have unknown ids on both; one with BlameAny says something only if all ids of the other axis are proven,
// and once it was met (careful) no other probes are made. Careful is slower: it needs an anchor first, a call that
// passes, and hears every suspect again.
type Search struct {
	users   *axis[pairs.User]
	roles   *axis[pairs.Role]
	learned *Learned
	found   func(Finding)
	width   func() int
	result  Result
	removed pairs.Set

	careful bool
	// unclear are refusals with BlameAny that may be down to either axis, until one of the axes is proven.
	unclear []refusal
	// tried are the pairs that were refused alone on the way to an anchor; anchorTries counts all such probes.
	tried       pairs.Set
	anchorTries int

	underWay []*question
	hearing  *hearing
	// doubts are rectangles of proven ids to look for bad pairs in, the next one last.
	doubts []*doubt
}

type refusal struct {
	pairs.Rectangle
	cause any
}

// question is a probe and which of its ids it tells apart: those of one axis, or of both.
type question struct {
	pairs.Rectangle
	ofUsers, ofRoles bool
	sent             int // how many were answered before
	// withdraw ends the wait for its turn: an id of it has been found bad meanwhile.
	withdraw context.CancelFunc
	needless bool
}

// next is what to probe, false when there is nothing, or not before something under way is answered. When nothing is,
// every pair is accounted for. Ahead of an answer only groups are asked about that share no id with those under way.
func (s *Search) next() (question, bool) {
	if len(s.underWay) > 0 {
		if q := s.underWay[0]; s.careful || !q.ofUsers && !q.ofRoles {
			return question{}, false
		}
		return s.nextOpen(true)
	}
	if r, ok := s.nextDoubt(); ok {
		return question{Rectangle: r}, true
	}
	if q, ok := s.nextOpen(false); ok {
		return q, true
	}
	if r, ok := s.nextHearing(); ok {
		return question{Rectangle: r}, true
	}
	r, ok := s.unfinished()
	return question{Rectangle: r}, ok
}

// nextOpen is a probe that tells unknown ids apart; false when none can.
func (s *Search) nextOpen(ahead bool) (question, bool) {
	roles, users := s.roles, s.users
	var q question
	switch {
	case s.careful && !roles.has(proven) && !users.has(proven):
		r, ok := s.nextAnchor()
		return question{Rectangle: r}, ok
	case s.careful && roles.has(unknown) && users.has(proven):
		q.Users, q.Roles = users.where(isProven), roles.group(ahead)
	case s.careful:
		q.Users, q.Roles = users.group(ahead), roles.where(isProven)
	case len(roles.mixed) > 0 && len(users.mixed) > 0 && users.has(proven):
		q.Users, q.Roles, q.ofRoles = users.where(isProven), roles.group(ahead), true
	case len(roles.mixed) > 0 && len(users.mixed) > 0:
		// Both groups get smaller whatever the answer is: it clears a part of both or narrows the one it names.
		q.Users, q.Roles, q.ofUsers, q.ofRoles = users.group(ahead), roles.group(ahead), true, true
	case len(roles.mixed) > 0:
		q.Users, q.Roles, q.ofRoles = users.company(), roles.group(ahead), true
	case users.has(unknown):
		q.Users, q.Roles, q.ofUsers = users.group(ahead), roles.company(), true
	case roles.has(unknown):
		q.Users, q.Roles, q.ofRoles = users.where(isProven), roles.group(ahead), true
	}
	return q, len(q.Roles) > 0 && len(q.Users) > 0
}

// company is what an axis sends along while the other one is searched: all that is proven, and the next unknown ids, unless
// it is open whether all that is proven is good still.
func (a *axis[ID]) company() []ID {
	ids := a.where(isProven)
	if !a.uncertain() {
		ids = append(ids, a.group(false)...)
	}
	slices.Sort(ids)
	return ids
}

// learn takes in the answer to a probe.
func (s *Search) learn(q *question, answer Answer) error {
	r := q.Rectangle
	if !answer.Passed {
		return s.refused(r, answer)
	}
	for user, role := range r.All() {
		s.removed.Add(user, role)
	}
	s.roles.pass(r.Roles, q.sent)
	s.users.pass(r.Users, q.sent)
	s.doubtPassed()
	s.clarify()
	return nil
}

func (s *Search) refused(r pairs.Rectangle, answer Answer) error {
	switch answer.Blame {
	case BlameUser:
		return named(s, s.users, r.Users, answer.Cause)
	case BlameRole:
		return named(s, s.roles, r.Roles, answer.Cause)
	}
	if s.heard(r, answer.Cause) || s.explained(r) {
		return nil
	}
	roles, users := s.roles.unproven(r.Roles), s.users.unproven(r.Users)
	switch {
	case len(roles) == 0 && len(users) == 0:
		s.doubtRefused(r, answer.Cause)
	case len(roles) == 0:
		s.users.refuse(users, evidence[pairs.User]{cause: answer.Cause})
	case len(users) == 0:
		s.roles.refuse(roles, evidence[pairs.Role]{cause: answer.Cause})
	default:
		s.careful = true
		s.unclear = append(s.unclear, refusal{r, answer.Cause})
		if len(r.Roles) == 1 && len(r.Users) == 1 {
			s.tried.Add(r.Users[0], r.Roles[0])
		}
	}
	s.clarify()
	return nil
}

// named takes in a refusal that named the axis, of a call with ids on it.
func named[ID pairs.User | pairs.Role](s *Search, a *axis[ID], ids []ID, cause any) error {
	if slices.ContainsFunc(ids, func(id ID) bool { return a.standing[id] == bad || a.standing[id] == suspected && len(ids) > 1 }) {
		return nil // it was found while this call was under way, and explains the refusal
	}
	suspects := a.unproven(ids)
	beside := slices.DeleteFunc(slices.Clone(ids), func(id ID) bool { return a.standing[id] != proven })
	if len(suspects) == 0 {
		// All of them passed before. Somebody may have left in the meantime, so the newer answer counts, once.
		if suspects = a.recall(ids); len(suspects) == 0 {
			return ErrInconsistent
		}
		s.doubts, beside = nil, nil
	}
	s.hearing = nil
	a.refuse(suspects, evidence[ID]{cause, true, beside, s.result.Probes})
	s.clarify()
	return nil
}

// clarify puts unclear refusals down to an axis as soon as the other one is proven, and drops those that are explained
// by an id found since.
func (s *Search) clarify() {
	var still []refusal
	for _, u := range s.unclear {
		roles, users := s.roles.unproven(u.Roles), s.users.unproven(u.Users)
		switch {
		case s.explained(u.Rectangle), len(roles) == 0 && len(users) == 0:
		case len(roles) == 0 && len(s.users.mixed) == 0:
			s.users.refuse(users, evidence[pairs.User]{cause: u.cause})
		case len(users) == 0 && len(s.roles.mixed) == 0:
			s.roles.refuse(roles, evidence[pairs.Role]{cause: u.cause})
		default:
			still = append(still, u)
		}
	}
	s.unclear = still
}

// explained reports whether a bad or suspect id is in the rectangle.
func (s *Search) explained(r pairs.Rectangle) bool {
	for _, role := range r.Roles {
		if !inPlay(s.roles.standing[role]) {
			return true
		}
	}
	for _, user := range r.Users {
		if !inPlay(s.users.standing[user]) {
			return true
		}
	}
	return false
}

// nextAnchor looks for a first call that passes, for which neither axis is known: all roles with one user, since bad
// users are the likelier case, then single pairs along a diagonal, which finds one soon unless one axis is bad
// altogether. When every id has had its turn in vain it gives up, blames the shorter axis, and returns false.
func (s *Search) nextAnchor() (pairs.Rectangle, bool) {
	roles, users := s.roles.where(inPlay), s.users.where(inPlay)
	if len(roles) == 0 || len(users) == 0 {
		return pairs.Rectangle{}, false
	}
	if s.anchorTries == 0 && len(roles) > 1 && len(users) > 1 {
		s.anchorTries++
		return pairs.Rectangle{Users: users[:1], Roles: roles}, true
	}
	if s.anchorTries <= len(s.roles.standing)+len(s.users.standing) {
		for k := range len(roles) * len(users) {
			// Each round along the longer axis starts one further on the shorter, so that all pairs come up.
			role, user := roles[k%len(roles)], users[k%len(users)]
			if len(roles) >= len(users) {
				user = users[(k%len(roles)+k/len(roles))%len(users)]
			} else {
				role = roles[(k%len(users)+k/len(users))%len(roles)]
			}
			if !s.tried.Has(user, role) {
				s.anchorTries++
				return pairs.Rectangle{Users: []pairs.User{user}, Roles: []pairs.Role{role}}, true
			}
		}
	}
	s.giveUp()
	return pairs.Rectangle{}, false
}

func (s *Search) giveUp() {
	s.result.NothingPassed = true
	users, roles := s.users.where(inPlay), s.roles.where(inPlay)
	if len(roles) < len(users) {
		condemnAll(s, s.roles, roles, func(r pairs.Rectangle) []pairs.Role { return r.Roles })
	} else {
		condemnAll(s, s.users, users, func(r pairs.Rectangle) []pairs.User { return r.Users })
	}
}

// condemnAll calls ids of the axis bad, each for the smallest unclear refusal of a call with it.
func condemnAll[ID pairs.User | pairs.Role](s *Search, a *axis[ID], ids []ID, side func(pairs.Rectangle) []ID) {
	causes := make(map[ID]any)
	for _, u := range s.unclear {
		for _, id := range side(u.Rectangle) {
			causes[id] = u.cause // the refusals get smaller, so that the last one is the id's own
		}
	}
	a.mixed = nil
	for _, id := range ids {
		a.condemn(id, evidence[ID]{cause: causes[id], sure: true})
	}
}

func (s *Search) reportUser(user pairs.User, cause any) {
	s.result.BadUsers[user] = cause
	s.report(Finding{Culprit: BadUser, User: user, Role: -1, Cause: cause})
}

func (s *Search) reportRole(role pairs.Role, cause any) {
	s.result.BadRoles[role] = cause
	s.report(Finding{Culprit: BadRole, User: -1, Role: role, Cause: cause})
}

func (s *Search) report(f Finding) {
	if s.found != nil {
		s.found(f)
	}
}

// teach hands what was found since the last time to the other batches of the job.
func (s *Search) teach() {
	s.learned.found(s.users.lesson(), s.roles.lesson())
}
