package isolate

import "slices"

// rectangle is roles × users, ascending positions.
type rectangle struct{ roles, users []int }

// Search is one isolation under way. It is not safe for concurrent use.
//
// Users and roles are searched as two axes. A refusal that names an axis says something about that axis alone, so a
// probe may have unknown ids on both; one with BlameAny says something only if all ids of the other axis are proven,
// and once it was met (careful) no other probes are made. Careful is slower: it needs an anchor first, a call that
// passes, and hears every suspect again.
type Search struct {
	roles, users *axis
	learned      *Learned
	found        func(Finding)
	result       Result
	removed      []bool // by pair, see at

	careful bool
	// unclear are refusals with BlameAny that may be down to either axis, until one of the axes is proven.
	unclear []refusal
	// tried are the pairs that were refused alone on the way to an anchor; anchorTries counts all such probes.
	tried       []bool
	anchorTries int

	hearing *hearing
	// doubts are rectangles of proven ids to look for bad pairs in, the next one last.
	doubts []*doubt
}

type refusal struct {
	rectangle
	cause any
}

func (s *Search) at(role, user int) int { return role*len(s.users.standing) + user }

// next is the rectangle to probe, false when every pair is accounted for.
func (s *Search) next() (rectangle, bool) {
	if r, ok := s.nextDoubt(); ok {
		return r, true
	}
	if r, ok := s.nextOpen(); ok {
		return r, true
	}
	if r, ok := s.nextHearing(); ok {
		return r, true
	}
	return s.unfinished()
}

// nextOpen is a probe that tells unknown ids apart; false when none can.
func (s *Search) nextOpen() (rectangle, bool) {
	roles, users := s.roles, s.users
	var r rectangle
	switch {
	case s.careful && !roles.has(proven) && !users.has(proven):
		return s.nextAnchor()
	case s.careful && roles.has(unknown) && users.has(proven):
		r = rectangle{roles.group(), users.where(isProven)}
	case s.careful:
		r = rectangle{roles.where(isProven), users.group()}
	case len(roles.mixed) > 0 && len(users.mixed) > 0 && users.has(proven):
		r = rectangle{roles.group(), users.where(isProven)}
	case len(roles.mixed) > 0 && len(users.mixed) > 0:
		// Both groups get smaller whatever the answer is: it clears a part of both or narrows the one it names.
		r = rectangle{roles.group(), users.group()}
	case len(roles.mixed) > 0:
		r = rectangle{roles.group(), s.company(users)}
	case users.has(unknown):
		r = rectangle{s.company(roles), users.group()}
	case roles.has(unknown):
		r = rectangle{roles.group(), users.where(isProven)}
	}
	return r, len(r.roles) > 0 && len(r.users) > 0
}

// company is what an axis sends along while the other one is searched: all that is proven, and the next unknown ids.
func (s *Search) company(a *axis) []int {
	ids := append(a.where(isProven), a.group()...)
	slices.Sort(ids)
	return ids
}

// learn takes in the answer to a probe.
func (s *Search) learn(r rectangle, answer Answer) error {
	if !answer.Passed {
		return s.refused(r, answer)
	}
	for _, role := range r.roles {
		for _, user := range r.users {
			s.removed[s.at(role, user)] = true
		}
	}
	s.roles.pass(r.roles)
	s.users.pass(r.users)
	s.doubtPassed()
	s.clarify()
	return nil
}

func (s *Search) refused(r rectangle, answer Answer) error {
	switch answer.Blame {
	case BlameUser:
		return s.named(s.users, r.users, answer.Cause)
	case BlameRole:
		return s.named(s.roles, r.roles, answer.Cause)
	}
	if s.heard(r, answer.Cause) {
		return nil
	}
	roles, users := s.roles.unproven(r.roles), s.users.unproven(r.users)
	switch {
	case len(roles) == 0 && len(users) == 0:
		s.doubtRefused(r, answer.Cause)
	case len(roles) == 0:
		s.users.refuse(users, answer.Cause, false)
	case len(users) == 0:
		s.roles.refuse(roles, answer.Cause, false)
	default:
		s.careful = true
		s.unclear = append(s.unclear, refusal{r, answer.Cause})
		if len(r.roles) == 1 && len(r.users) == 1 {
			s.tried[s.at(r.roles[0], r.users[0])] = true
		}
	}
	s.clarify()
	return nil
}

// named takes in a refusal that named the axis, of a call with ids on it.
func (s *Search) named(a *axis, ids []int, cause any) error {
	suspects := a.unproven(ids)
	if len(suspects) == 0 {
		// All of them passed before. Somebody may have left in the meantime, so the newer answer counts, once.
		if suspects = a.recall(ids); len(suspects) == 0 {
			return ErrInconsistent
		}
		s.doubts = nil
	}
	s.hearing = nil
	a.refuse(suspects, cause, true)
	s.clarify()
	return nil
}

// clarify puts unclear refusals down to an axis as soon as the other one is proven, and drops those that are explained
// by an id found since.
func (s *Search) clarify() {
	var still []refusal
	for _, u := range s.unclear {
		roles, users := s.roles.unproven(u.roles), s.users.unproven(u.users)
		switch {
		case s.explained(u.rectangle), len(roles) == 0 && len(users) == 0:
		case len(roles) == 0 && len(s.users.mixed) == 0:
			s.users.refuse(users, u.cause, false)
		case len(users) == 0 && len(s.roles.mixed) == 0:
			s.roles.refuse(roles, u.cause, false)
		default:
			still = append(still, u)
		}
	}
	s.unclear = still
}

// explained reports whether a bad or suspect id is in the rectangle.
func (s *Search) explained(r rectangle) bool {
	for _, role := range r.roles {
		if !inPlay(s.roles.standing[role]) {
			return true
		}
	}
	for _, user := range r.users {
		if !inPlay(s.users.standing[user]) {
			return true
		}
	}
	return false
}

// nextAnchor looks for a first call that passes, for which neither axis is known: all roles with one user, since bad
// users are the likelier case, then single pairs along a diagonal, which finds one soon unless one axis is bad
// altogether. When every id has had its turn in vain it gives up, blames the shorter axis, and returns false.
func (s *Search) nextAnchor() (rectangle, bool) {
	roles, users := s.roles.where(inPlay), s.users.where(inPlay)
	if len(roles) == 0 || len(users) == 0 {
		return rectangle{}, false
	}
	if s.anchorTries == 0 && len(roles) > 1 && len(users) > 1 {
		s.anchorTries++
		return rectangle{roles, users[:1]}, true
	}
	if s.anchorTries <= len(s.roles.standing)+len(s.users.standing) {
		for k := range len(roles) * len(users) {
			// Each round along the longer axis starts one further on the shorter, so that all pairs come up.
			role, user := roles[k%len(roles)], users[k%len(users)]
			if len(roles) >= len(users) {
				user = users[(k+k/len(roles))%len(users)]
			} else {
				role = roles[(k+k/len(users))%len(roles)]
			}
			if !s.tried[s.at(role, user)] {
				s.anchorTries++
				return rectangle{[]int{role}, []int{user}}, true
			}
		}
	}
	s.giveUp()
	return rectangle{}, false
}

func (s *Search) giveUp() {
	s.result.NothingPassed = true
	a, roles, users := s.users, s.roles.where(inPlay), s.users.where(inPlay)
	ids := users
	if len(roles) < len(users) {
		a, ids = s.roles, roles
	}
	causes := make(map[int]any)
	for _, u := range s.unclear {
		of := u.users
		if a == s.roles {
			of = u.roles
		}
		for _, id := range of {
			causes[id] = u.cause // the refusals get smaller, so that the last one is the id's own
		}
	}
	a.mixed = nil
	for _, id := range ids {
		a.condemn(id, causes[id], true)
	}
}

func (s *Search) reportUser(user int, cause any) {
	s.result.BadUsers[user] = cause
	s.report(Finding{Kind: BadUser, Role: -1, User: user, Cause: cause})
}

func (s *Search) reportRole(role int, cause any) {
	s.result.BadRoles[role] = cause
	s.report(Finding{Kind: BadRole, Role: role, User: -1, Cause: cause})
}

func (s *Search) report(f Finding) {
	if s.found != nil {
		s.found(f)
	}
}

// teach hands what was found since the last time to the other batches of the job.
func (s *Search) teach() {
	s.learned.found(s.roles.lesson(), s.users.lesson())
}
