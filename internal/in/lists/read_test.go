package lists

import (
	"errors"
	"io"
	"iter"
	"slices"
	"testing"
)

// pairsRead is a set of pairs, users and roles in order of first appearance.
type pairsRead struct {
	users      []string
	roles      []int64
	of         [][]int64 // by user
	at         map[string]int
	seen       map[pair]bool
	duplicates int
}

type pair struct {
	user string
	role int64
}

func (s *pairsRead) Add(user string, role int64) {
	if s.seen[pair{user, role}] {
		s.duplicates++
		return
	}
	s.seen[pair{user, role}] = true
	at, known := s.at[user]
	if !known {
		at = len(s.users)
		s.at[user], s.users, s.of = at, append(s.users, user), append(s.of, nil)
	}
	if !slices.Contains(s.roles, role) {
		s.roles = append(s.roles, role)
	}
	s.of[at] = append(s.of[at], role)
}

func (s *pairsRead) Users() []string { return s.users }
func (s *pairsRead) Roles() []int64  { return s.roles }
func (s *pairsRead) Pairs() int      { return len(s.seen) }
func (s *pairsRead) Duplicates() int { return s.duplicates }

// RolesOf goes through the roles of a user in the order of Roles.
func (s *pairsRead) RolesOf(u int) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		for _, role := range s.roles {
			if slices.Contains(s.of[u], role) && !yield(role) {
				return
			}
		}
	}
}

// read reads a list into the set of its pairs, which is nil where the list was refused.
func read(r io.Reader, opt Options) (*pairsRead, *Report, error) {
	set := &pairsRead{at: map[string]int{}, seen: map[pair]bool{}}
	report, err := Read(r, opt, func(row Row) error {
		for user, role := range row.IDs() {
			set.Add(user, role)
		}
		return nil
	})
	if err != nil {
		return nil, report, err
	}
	return set, report, nil
}

// refusal is what a list was refused with.
func refusal(t testing.TB, err error) string {
	t.Helper()
	var refused *Refused
	if !errors.As(err, &refused) {
		t.Fatalf("error %v, want a *Refused", err)
	}
	return err.Error()
}
