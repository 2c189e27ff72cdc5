package isolate_test

import (
	"math/rand/v2"
	"testing"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/out/isolate"
)

// situation is a kind of trouble in batches of 20 roles × 100 users, and the mean calls it may take.
type situation struct {
	name                   string
	badUsers, badRoles     int
	badPairs               int
	vague                  bool // every refusal is BlameAny
	rolesFirst, alternates bool // which code comes when both are bad; the users' otherwise
	most                   float64
}

var situations = []situation{
	{name: "1 user", badUsers: 1, most: 10},
	{name: "3 users", badUsers: 3, most: 24},
	{name: "1 role", badRoles: 1, most: 7},
	{name: "3 roles", badRoles: 3, most: 16},
	{name: "1 role 3 users, users first", badUsers: 3, badRoles: 1, most: 30},
	{name: "1 role 3 users, roles first", badUsers: 3, badRoles: 1, rolesFirst: true, most: 30},
	{name: "1 role 3 users, either first", badUsers: 3, badRoles: 1, alternates: true, most: 30},
	{name: "20 roles", badRoles: 20, most: 24},
	{name: "1 user, vague", badUsers: 1, vague: true, most: 13},
	{name: "3 users, vague", badUsers: 3, vague: true, most: 31},
	{name: "1 role, vague", badRoles: 1, vague: true, most: 13},
	{name: "1 pair, vague", badPairs: 1, vague: true, most: 19},
	{name: "100 users, vague", badUsers: 100, vague: true, most: 125},
}

// spoil makes ids of the batch bad, others for another seed.
func (s situation) spoil(b *batch, seed int) {
	random := rand.New(rand.NewPCG(uint64(seed), 6))
	for _, u := range random.Perm(b.size.Users)[:s.badUsers] {
		b.badUsers[pairs.User(u)] = true
	}
	for _, r := range random.Perm(b.size.Roles)[:s.badRoles] {
		b.badRoles[pairs.Role(r)] = true
	}
	for range s.badPairs {
		role := pairs.Role(random.IntN(b.size.Roles))
		b.badPairs[pairs.Pair{User: pairs.User(random.IntN(b.size.Users)), Role: role}] = true
	}
	b.blame = func(role, user, pair bool) isolate.Blame {
		switch rolesFirst := s.rolesFirst || s.alternates && len(b.calls)%2 == 0; {
		case s.vague:
			return isolate.BlameAny
		case role && (rolesFirst || !user):
			return isolate.BlameRole
		}
		return isolate.BlameUser
	}
}

func (s situation) mean(tb testing.TB, batches int) float64 {
	sum := 0
	for seed := range batches {
		b := newBatch(full)
		s.spoil(b, seed)
		search(tb, b, b.send)
		sum += len(b.calls)
	}
	return float64(sum) / float64(batches)
}

func TestCallsByKindOfTrouble(t *testing.T) {
	for _, s := range situations {
		got := s.mean(t, 20)
		t.Logf("%-30s %6.2f calls", s.name, got)
		if got > s.most {
			t.Errorf("%s: %.2f calls, want at most %g", s.name, got, s.most)
		}
	}
}

// BenchmarkCallsByKindOfTrouble prints them: go test -run '^$' -bench CallsByKind -benchtime 1000x ./internal/out/isolate
func BenchmarkCallsByKindOfTrouble(b *testing.B) {
	for _, s := range situations {
		b.Run(s.name, func(b *testing.B) {
			b.ReportMetric(s.mean(b, b.N), "calls")
			b.ReportMetric(s.most, "at-most")
		})
	}
}
