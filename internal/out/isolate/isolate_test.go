package isolate_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/unrole/unrole/internal/out/isolate"
	"pgregory.net/rapid"
)

// drawBatch draws any bad ids: few, many, or all of them.
func drawBatch(t *rapid.T, maxRoles, maxUsers int) *batch {
	b := newBatch(drawSize(t, "roles", maxRoles), drawSize(t, "users", maxUsers))
	drawBad(t, "bad roles", b.badRoles, b.roles)
	drawBad(t, "bad users", b.badUsers, b.users)
	return b
}

// drawSize is 1 to most, the largest often, since rapid itself prefers small numbers.
func drawSize(t *rapid.T, label string, most int) int {
	return rapid.OneOf(rapid.Just(most), rapid.IntRange(1, most), rapid.IntRange(1, min(3, most))).Draw(t, label)
}

func drawBad(t *rapid.T, label string, bad map[int]bool, n int) {
	count := rapid.OneOf(rapid.IntRange(0, min(2, n)), rapid.IntRange(0, n), rapid.IntRange(n/2, n), rapid.Just(n)).Draw(t, label)
	seed := rapid.Uint64().Draw(t, label+" seed")
	for _, id := range rand.New(rand.NewPCG(seed, 1)).Perm(n)[:count] {
		bad[id] = true
	}
}

// drawBlame answers with any code that is true of the call, another one each time.
func drawBlame(t *rapid.T, b *batch, vague bool) {
	style := rapid.IntRange(0, 3).Draw(t, "code")
	seed := rapid.Uint64().Draw(t, "code seed")
	random := rand.New(rand.NewPCG(seed, 2))
	b.blame = func(role, user, pair bool) isolate.Blame {
		var can []isolate.Blame
		if user {
			can = append(can, isolate.BlameUser)
		}
		if role {
			can = append(can, isolate.BlameRole)
		}
		if len(can) == 0 || vague && random.IntN(2) == 0 {
			return isolate.BlameAny
		}
		switch style {
		case 0:
			return can[0]
		case 1:
			return can[len(can)-1]
		}
		return can[random.IntN(len(can))]
	}
}

// tb is what a *testing.T, a *testing.B and a *rapid.T have in common.
type tb interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
}

// search sends the batch whole and isolates; false if it passed at once.
func search(t tb, b *batch, probe isolate.Probe) (isolate.Result, bool) {
	t.Helper()
	first := b.whole()
	if first.Passed {
		return isolate.Result{}, false
	}
	got, err := isolate.Run(context.Background(), b.roles, b.users, first, isolate.Options{Found: b.found}, probe)
	if err != nil {
		t.Fatal(err)
	}
	if got.Probes != len(b.calls)-1 {
		t.Errorf("result counts %d probes, %d were made", got.Probes, len(b.calls)-1)
	}
	return got, true
}

// verify claims that exactly the bad ids came out and every good pair was part of a passed call.
func verify(t tb, b *batch, got isolate.Result) {
	for _, s := range b.trouble {
		t.Error(s)
	}
	if pairs := b.harmed(); len(pairs) > 0 {
		t.Errorf("good pairs that never passed: %v", pairs)
	}
	if pairs := b.unaccounted(got); len(pairs) > 0 {
		t.Errorf("pairs that are not exactly one of removed and dead: %v", pairs)
	}
	for id := range got.BadUsers {
		if !b.badUsers[id] && len(b.badPairs) == 0 {
			t.Errorf("user %d is good and was called bad", id)
		}
	}
	for id := range got.BadRoles {
		if !b.badRoles[id] && len(b.badPairs) == 0 {
			t.Errorf("role %d is good and was called bad", id)
		}
	}
	if len(b.badUsers) < b.users && len(b.badRoles) < b.roles && len(b.badPairs) == 0 {
		if !slices.Equal(ids(got.BadUsers), set(b.badUsers)) || !slices.Equal(ids(got.BadRoles), set(b.badRoles)) {
			t.Errorf("found users %v, roles %v; bad are users %v, roles %v",
				ids(got.BadUsers), ids(got.BadRoles), set(b.badUsers), set(b.badRoles))
		}
	}
	if len(b.known) != len(got.BadUsers)+len(got.BadRoles)+len(got.BadPairs) {
		t.Errorf("%d findings were reported, the result has %d users, %d roles, %d pairs",
			len(b.known), len(got.BadUsers), len(got.BadRoles), len(got.BadPairs))
	}
}

func TestExactlyTheBadIdsComeOutWhicheverCodeComesFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t, 20, 100)
		drawBlame(t, b, false)
		if got, refused := search(t, b, b.send); refused {
			verify(t, b, got)
		}
	})
}

// A batch holds at most 100 users; the search itself has no such limit.
func TestMoreIdsThanOnePlanLooksAhead(t *testing.T) {
	for _, s := range []situation{{badUsers: 3}, {badUsers: 40}, {badUsers: 180}, {badUsers: 3, badRoles: 2, alternates: true}} {
		b := newBatch(3, 180)
		s.spoil(b, 1)
		got, _ := search(t, b, b.send)
		verify(t, b, got)
	}
}

func TestExactlyTheBadIdsComeOutOfVagueRefusals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t, 12, 30)
		drawBlame(t, b, true)
		got, refused := search(t, b, b.send)
		switch {
		case !refused:
		case !got.NothingPassed:
			verify(t, b, got)
		case len(b.badRoles) == 0 && len(b.badUsers) < b.users, len(b.badUsers) == 0 && len(b.badRoles) < b.roles:
			t.Error("nothing is said to pass, but one axis is good and the other in part")
		default:
			if slices.Contains(b.passed, true) {
				t.Error("nothing is said to pass, but something did")
			}
			if pairs := b.unaccounted(got); len(pairs) > 0 {
				t.Errorf("pairs that are neither removed nor dead: %v", pairs)
			}
		}
	})
}

func TestABadPairHarmsNeitherItsUserNorItsRole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t, 12, 30)
		drawBlame(t, b, true)
		b.badPairs[isolate.Pair{
			Role: rapid.IntRange(0, b.roles-1).Draw(t, "pair role"),
			User: rapid.IntRange(0, b.users-1).Draw(t, "pair user"),
		}] = true
		if got, refused := search(t, b, b.send); refused && !got.NothingPassed {
			verify(t, b, got)
		}
	})
}

func TestASearchGoesOnWhereAnErrorEndedIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t, 20, 60)
		drawBlame(t, b, rapid.Bool().Draw(t, "vague"))
		first := b.whole()
		if first.Passed {
			return
		}
		s, err := isolate.New(b.roles, b.users, first, isolate.Options{Found: b.found})
		if err != nil {
			t.Fatal(err)
		}
		throttled := errors.New("throttled")
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "error seed"), 3))
		probe := func(ctx context.Context, roles, users []int) (isolate.Answer, error) {
			if random.IntN(3) == 0 {
				return isolate.Answer{}, throttled
			}
			answer, err := b.send(ctx, roles, users)
			clear(roles) // the lists are the probe's own
			clear(users)
			return answer, err
		}
		for {
			got, err := s.Run(context.Background(), probe)
			if err == nil {
				if !got.NothingPassed {
					verify(t, b, got)
				}
				return
			}
			if !errors.Is(err, throttled) {
				t.Fatal(err)
			}
			if len(got.BadUsers)+len(got.BadRoles)+len(got.BadPairs) != len(b.known) {
				t.Fatalf("after an error the result %+v lacks some of %+v", got, b.known)
			}
		}
	})
}

// A worker that crashed has only the findings and what passed: it starts again with the rest.
func TestAfterACrashTheRestIsSearchedWithoutTheKnownBadIds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t, 20, 60)
		drawBlame(t, b, false)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "crash seed"), 4))
		crash := errors.New("crash")
		roles, users := upTo(b.roles), upTo(b.users)
		for len(roles) > 0 && len(users) > 0 {
			pick := func(from, at []int) []int {
				var out []int
				for _, i := range at {
					out = append(out, from[i])
				}
				return out
			}
			first, _ := b.send(context.Background(), roles, users)
			if first.Passed {
				break
			}
			got, err := isolate.Run(context.Background(), len(roles), len(users), first, isolate.Options{Found: func(f isolate.Finding) {
				if f.Role >= 0 {
					f.Role = roles[f.Role]
				}
				if f.User >= 0 {
					f.User = users[f.User]
				}
				b.found(f)
			}}, func(ctx context.Context, r, u []int) (isolate.Answer, error) {
				if random.IntN(20) == 0 {
					return isolate.Answer{}, crash
				}
				return b.send(ctx, pick(roles, r), pick(users, u))
			})
			var restRoles, restUsers []int
			for i, id := range roles {
				if _, isBad := got.BadRoles[i]; !isBad {
					restRoles = append(restRoles, id)
				}
			}
			for i, id := range users {
				if _, isBad := got.BadUsers[i]; !isBad {
					restUsers = append(restUsers, id)
				}
			}
			roles, users = restRoles, restUsers
			if err == nil {
				break
			}
		}
		for _, s := range b.trouble {
			t.Error(s)
		}
		if pairs := b.harmed(); len(pairs) > 0 {
			t.Errorf("good pairs that never passed: %v", pairs)
		}
		for _, f := range b.known {
			if f.Kind == isolate.BadUser && !b.badUsers[f.User] || f.Kind == isolate.BadRole && !b.badRoles[f.Role] {
				t.Errorf("%v is good", f)
			}
		}
	})
}

// Whatever the answers are, even without any sense: the search ends, and calls nobody bad who was not in a refused call
// with ids only that have passed some time.
func TestNonsenseEndsAndHarmsNobodyWithoutProof(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBatch(rapid.IntRange(1, 20).Draw(t, "roles"), rapid.IntRange(1, 40).Draw(t, "users"))
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 5))
		passes := rapid.Float64Range(0, 1).Draw(t, "share that passes")
		blames := rapid.SampledFrom([][]isolate.Blame{
			{isolate.BlameAny}, {isolate.BlameUser}, {isolate.BlameRole}, {isolate.BlameUser, isolate.BlameRole},
			{isolate.BlameUser, isolate.BlameRole, isolate.BlameAny},
		}).Draw(t, "codes")
		first := isolate.Answer{Blame: blames[0], Cause: 0}
		b.note(upTo(b.roles), upTo(b.users), first)
		got, err := isolate.Run(context.Background(), b.roles, b.users, first, isolate.Options{},
			func(_ context.Context, roles, users []int) (isolate.Answer, error) {
				answer := isolate.Answer{Passed: true}
				if random.Float64() >= passes {
					answer = isolate.Answer{Blame: blames[random.IntN(len(blames))], Cause: len(b.calls)}
				}
				b.note(roles, users, answer)
				return answer, nil
			})
		if err != nil && !errors.Is(err, isolate.ErrInconsistent) {
			t.Fatal(err)
		}
		if most := 4*b.roles*b.users + 20*(b.roles+b.users); got.Probes > most {
			t.Errorf("%d probes for %d roles × %d users, want at most %d", got.Probes, b.roles, b.users, most)
		}
		if got.NothingPassed {
			return
		}
		for id, cause := range got.BadUsers {
			if !proves(b, b.calls[cause.(int)].users, id, func(c call) []int { return c.users }) {
				t.Errorf("user %d was called bad for call %d of users %v, not all of which passed", id, cause, b.calls[cause.(int)].users)
			}
		}
		for id, cause := range got.BadRoles {
			if !proves(b, b.calls[cause.(int)].roles, id, func(c call) []int { return c.roles }) {
				t.Errorf("role %d was called bad for call %d of roles %v, not all of which passed", id, cause, b.calls[cause.(int)].roles)
			}
		}
		for p, cause := range got.BadPairs {
			if c := b.calls[cause.(int)]; len(c.roles) != 1 || len(c.users) != 1 || c.roles[0] != p.Role || c.users[0] != p.User {
				t.Errorf("pair %v was called bad for a call of %v × %v", p, c.roles, c.users)
			}
		}
	})
}

func proves(b *batch, company []int, id int, of func(call) []int) bool {
	if !slices.Contains(company, id) {
		return false
	}
	for _, other := range company {
		passed := slices.ContainsFunc(b.calls, func(c call) bool { return c.answer.Passed && slices.Contains(of(c), other) })
		if other != id && !passed {
			return false
		}
	}
	return true
}

func TestNewRefusesWhatIsNoSearch(t *testing.T) {
	for _, c := range []struct {
		roles, users int
		first        isolate.Answer
	}{{0, 1, isolate.Answer{}}, {1, 0, isolate.Answer{}}, {1, 1, isolate.Answer{Passed: true}}} {
		if _, err := isolate.New(c.roles, c.users, c.first, isolate.Options{}); err == nil {
			t.Errorf("New(%d, %d, %+v) is no error", c.roles, c.users, c.first)
		}
	}
}
