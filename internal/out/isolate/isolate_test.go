package isolate_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/out/isolate"
	"pgregory.net/rapid"
)

// drawBatch draws any bad ids: few, many, or all of them.
func drawBatch(t *rapid.T, most pairs.Size) *batch {
	b := newBatch(drawSize(t, most))
	drawBad(t, "bad roles", b.badRoles, b.size.Roles)
	drawBad(t, "bad users", b.badUsers, b.size.Users)
	if rapid.Bool().Draw(t, "some are suspects") {
		b.suspects = pairs.Rectangle{Users: drawSuspects(t, b.badUsers, b.size.Users), Roles: drawSuspects(t, b.badRoles, b.size.Roles)}
	}
	return b
}

// drawSuspects are some of the bad ids and some of the others.
func drawSuspects[ID pairs.User | pairs.Role](t *rapid.T, bad map[ID]bool, n int) (suspects []ID) {
	right, wrong := rapid.Float64Range(0, 1).Draw(t, "suspected of the bad"), rapid.SampledFrom([]float64{0, 0.05, 0.5}).Draw(t, "suspected of the good")
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "suspects"), 3))
	for id := range ID(n) {
		if bad[id] && random.Float64() < right || !bad[id] && random.Float64() < wrong {
			suspects = append(suspects, id)
		}
	}
	return suspects
}

// drawSize is up to most, the largest often, since rapid itself prefers small numbers.
func drawSize(t *rapid.T, most pairs.Size) pairs.Size {
	draw := func(label string, most int) int {
		return rapid.OneOf(rapid.Just(most), rapid.IntRange(1, most), rapid.IntRange(1, min(3, most))).Draw(t, label)
	}
	return pairs.Size{Roles: draw("roles", most.Roles), Users: draw("users", most.Users)}
}

func drawBad[ID pairs.User | pairs.Role](t *rapid.T, label string, bad map[ID]bool, n int) {
	count := rapid.OneOf(rapid.IntRange(0, min(2, n)), rapid.IntRange(0, n), rapid.IntRange(n/2, n), rapid.Just(n)).Draw(t, label)
	seed := rapid.Uint64().Draw(t, label+" seed")
	for _, id := range rand.New(rand.NewPCG(seed, 1)).Perm(n)[:count] {
		bad[ID(id)] = true
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
	got, err := isolate.Run(context.Background(), b.size, first, isolate.Options{Suspects: b.suspects, Found: b.found}, probe)
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
	if harmed := b.harmed(); len(harmed) > 0 {
		t.Errorf("good pairs that never passed: %v", harmed)
	}
	if left := b.unaccounted(got); len(left) > 0 {
		t.Errorf("pairs that are not exactly one of removed and dead: %v", left)
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
	if len(b.badUsers) < b.size.Users && len(b.badRoles) < b.size.Roles && len(b.badPairs) == 0 {
		if !slices.Equal(ids(got.BadUsers), ids(b.badUsers)) || !slices.Equal(ids(got.BadRoles), ids(b.badRoles)) {
			t.Errorf("found users %v, roles %v; bad are users %v, roles %v",
				ids(got.BadUsers), ids(got.BadRoles), ids(b.badUsers), ids(b.badRoles))
		}
	}
	if len(b.known) != len(got.BadUsers)+len(got.BadRoles)+len(got.BadPairs) {
		t.Errorf("%d findings were reported, the result has %d users, %d roles, %d pairs",
			len(b.known), len(got.BadUsers), len(got.BadRoles), len(got.BadPairs))
	}
}

func TestExactlyTheBadIdsComeOutWhicheverCodeComesFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t, full)
		drawBlame(t, b, false)
		if got, refused := search(t, b, b.send); refused {
			verify(t, b, got)
		}
	})
}

// A batch holds at most 100 users; the search itself has no such limit.
func TestMoreIdsThanOnePlanLooksAhead(t *testing.T) {
	for _, s := range []situation{{badUsers: 3}, {badUsers: 40}, {badUsers: 180}, {badUsers: 3, badRoles: 2, alternates: true}} {
		b := newBatch(pairs.Size{Users: 180, Roles: 3})
		s.spoil(b, 1)
		got, _ := search(t, b, b.send)
		verify(t, b, got)
	}
}

func TestExactlyTheBadIdsComeOutOfVagueRefusals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t, pairs.Size{Users: 30, Roles: 12})
		drawBlame(t, b, true)
		got, refused := search(t, b, b.send)
		switch {
		case !refused:
		case !got.NothingPassed:
			verify(t, b, got)
		case len(b.badRoles) == 0 && len(b.badUsers) < b.size.Users, len(b.badUsers) == 0 && len(b.badRoles) < b.size.Roles:
			t.Error("nothing is said to pass, but one axis is good and the other in part")
		default:
			if b.passed.Any() {
				t.Error("nothing is said to pass, but something did")
			}
			if left := b.unaccounted(got); len(left) > 0 {
				t.Errorf("pairs that are neither removed nor dead: %v", left)
			}
		}
	})
}

func TestABadPairHarmsNeitherItsUserNorItsRole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t, pairs.Size{Users: 30, Roles: 12})
		drawBlame(t, b, true)
		b.badPairs[pairs.Pair{
			Role: pairs.Role(rapid.IntRange(0, b.size.Roles-1).Draw(t, "pair role")),
			User: pairs.User(rapid.IntRange(0, b.size.Users-1).Draw(t, "pair user")),
		}] = true
		if got, refused := search(t, b, b.send); refused && !got.NothingPassed {
			verify(t, b, got)
		}
	})
}

func TestASearchGoesOnWhereAnErrorEndedIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t, pairs.Size{Users: 60, Roles: 20})
		drawBlame(t, b, rapid.Bool().Draw(t, "vague"))
		first := b.whole()
		if first.Passed {
			return
		}
		s, err := isolate.New(b.size, first, isolate.Options{Found: b.found})
		if err != nil {
			t.Fatal(err)
		}
		throttled := errors.New("throttled")
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "error seed"), 3))
		probe := func(ctx context.Context, sent pairs.Rectangle) (isolate.Answer, error) {
			if random.IntN(3) == 0 {
				return isolate.Answer{}, throttled
			}
			answer, err := b.send(ctx, sent)
			clear(sent.Users) // the lists are the probe's own
			clear(sent.Roles)
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
		b := drawBatch(t, pairs.Size{Users: 60, Roles: 20})
		drawBlame(t, b, false)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "crash seed"), 4))
		crash := errors.New("crash")
		rest := b.size.Whole()
		for rest.Size().Pairs() > 0 {
			first, _ := b.send(context.Background(), rest)
			if first.Passed {
				break
			}
			got, err := isolate.Run(context.Background(), rest.Size(), first, isolate.Options{Found: func(f isolate.Finding) {
				if f.Role >= 0 {
					f.Role = rest.Roles[f.Role]
				}
				if f.User >= 0 {
					f.User = rest.Users[f.User]
				}
				b.found(f)
			}}, func(ctx context.Context, sent pairs.Rectangle) (isolate.Answer, error) {
				if random.IntN(20) == 0 {
					return isolate.Answer{}, crash
				}
				return b.send(ctx, pairs.Rectangle{Users: pick(rest.Users, sent.Users), Roles: pick(rest.Roles, sent.Roles)})
			})
			rest = pairs.Rectangle{Users: without(rest.Users, got.BadUsers), Roles: without(rest.Roles, got.BadRoles)}
			if err == nil {
				break
			}
		}
		for _, s := range b.trouble {
			t.Error(s)
		}
		if harmed := b.harmed(); len(harmed) > 0 {
			t.Errorf("good pairs that never passed: %v", harmed)
		}
		for _, f := range b.known {
			if f.Culprit == isolate.BadUser && !b.badUsers[f.User] || f.Culprit == isolate.BadRole && !b.badRoles[f.Role] {
				t.Errorf("%v is good", f)
			}
		}
	})
}

// pick translates positions in from.
func pick[ID pairs.User | pairs.Role](from, at []ID) []ID {
	var out []ID
	for _, i := range at {
		out = append(out, from[i])
	}
	return out
}

// without leaves out what is bad, by position.
func without[ID pairs.User | pairs.Role](ids []ID, bad map[ID]any) []ID {
	var rest []ID
	for i, id := range ids {
		if _, isBad := bad[ID(i)]; !isBad {
			rest = append(rest, id)
		}
	}
	return rest
}

// Whatever the answers are, even without any sense: the search ends, and calls nobody bad who was not in a refused call
// with ids only that have passed some time.
func TestNonsenseEndsAndHarmsNobodyWithoutProof(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBatch(pairs.Size{Roles: rapid.IntRange(1, 20).Draw(t, "roles"), Users: rapid.IntRange(1, 40).Draw(t, "users")})
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 5))
		passes := rapid.Float64Range(0, 1).Draw(t, "share that passes")
		blames := rapid.SampledFrom([][]isolate.Blame{
			{isolate.BlameAny}, {isolate.BlameUser}, {isolate.BlameRole}, {isolate.BlameUser, isolate.BlameRole},
			{isolate.BlameUser, isolate.BlameRole, isolate.BlameAny},
		}).Draw(t, "codes")
		first := isolate.Answer{Blame: blames[0], Cause: 0}
		b.note(b.size.Whole(), first)
		got, err := isolate.Run(context.Background(), b.size, first, isolate.Options{},
			func(_ context.Context, sent pairs.Rectangle) (isolate.Answer, error) {
				answer := isolate.Answer{Passed: true}
				if random.Float64() >= passes {
					answer = isolate.Answer{Blame: blames[random.IntN(len(blames))], Cause: len(b.calls)}
				}
				b.note(sent, answer)
				return answer, nil
			})
		if err != nil && !errors.Is(err, isolate.ErrInconsistent) {
			t.Fatal(err)
		}
		if most := 4*b.size.Pairs() + 20*(b.size.Users+b.size.Roles); got.Probes > most {
			t.Errorf("%d probes for %+v, want at most %d", got.Probes, b.size, most)
		}
		if got.NothingPassed {
			return
		}
		for id, cause := range got.BadUsers {
			if !proves(b, b.calls[cause.(int)].Users, id, func(c call) []pairs.User { return c.Users }) {
				t.Errorf("user %d was called bad for call %d of users %v, not all of which passed", id, cause, b.calls[cause.(int)].Users)
			}
		}
		for id, cause := range got.BadRoles {
			if !proves(b, b.calls[cause.(int)].Roles, id, func(c call) []pairs.Role { return c.Roles }) {
				t.Errorf("role %d was called bad for call %d of roles %v, not all of which passed", id, cause, b.calls[cause.(int)].Roles)
			}
		}
		for p, cause := range got.BadPairs {
			if c := b.calls[cause.(int)]; len(c.Roles) != 1 || len(c.Users) != 1 || c.Roles[0] != p.Role || c.Users[0] != p.User {
				t.Errorf("pair %v was called bad for a call of %v × %v", p, c.Users, c.Roles)
			}
		}
	})
}

func proves[ID pairs.User | pairs.Role](b *batch, company []ID, id ID, of func(call) []ID) bool {
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
		size  pairs.Size
		first isolate.Answer
	}{
		{pairs.Size{Users: 1}, isolate.Answer{}},
		{pairs.Size{Roles: 1}, isolate.Answer{}},
		{pairs.Size{Users: 1, Roles: 1}, isolate.Answer{Passed: true}},
	} {
		if _, err := isolate.New(c.size, c.first, isolate.Options{}); err == nil {
			t.Errorf("New(%+v, %+v) is no error", c.size, c.first)
		}
	}
}
