package isolate_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/out/isolate"
	"pgregory.net/rapid"
)

// Somebody leaves the company while the search goes on, may be after having passed.
func TestAUserWhoLeavesMeanwhileHarmsNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t, pairs.Size{Users: 60, Roles: 20})
		drawBlame(t, b, rapid.Bool().Draw(t, "vague"))
		first := b.whole()
		if first.Passed {
			return
		}
		leaver := pairs.User(rapid.IntRange(0, b.size.Users-1).Draw(t, "leaver"))
		last := rapid.IntRange(0, 30).Draw(t, "leaves after")
		got, err := isolate.Run(context.Background(), b.size, first, isolate.Options{Found: b.found},
			func(ctx context.Context, sent pairs.Rectangle) (isolate.Answer, error) {
				if len(b.calls) > last {
					b.badUsers[leaver] = true
				}
				return b.send(ctx, sent)
			})
		if err != nil {
			t.Fatal(err)
		}
		if harmed := b.harmed(); len(harmed) > 0 && !got.NothingPassed {
			t.Errorf("good pairs that never passed: %v", harmed)
		}
		for _, s := range b.trouble {
			t.Error(s)
		}
	})
}

// User 0 passes with some roles and leaves. Whoever is refused in a call with them is not bad for that.
func TestWhoIsRefusedBesideSomebodyWhoHasLeftIsHeardAlone(t *testing.T) {
	b := newBatch(pairs.Size{Users: 60, Roles: 20})
	b.badRoles[9], b.badRoles[12] = true, true
	want := []pairs.User{0, 1, 2, 4, 5, 9, 11, 13, 14, 20, 21, 22, 23, 24, 28, 30, 33, 35, 38, 40}
	for _, user := range want[1:] {
		b.badUsers[user] = true
	}
	got, err := isolate.Run(context.Background(), b.size, b.whole(), isolate.Options{Found: b.found},
		func(ctx context.Context, sent pairs.Rectangle) (isolate.Answer, error) {
			b.badUsers[0] = len(b.calls) > 10
			return b.send(ctx, sent)
		})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ids(got.BadUsers), want) || len(b.harmed()) > 0 {
		t.Errorf("found users %v, want %v; %d good pairs never passed", ids(got.BadUsers), want, len(b.harmed()))
	}
}

// Three roles, the last one bad: the first passes with both users, then user 1 leaves.
func TestAUserWhoPassedAndThenLeftIsFound(t *testing.T) {
	b := newBatch(pairs.Size{Users: 2, Roles: 3})
	b.badRoles[2] = true
	got, err := isolate.Run(context.Background(), b.size, b.whole(), isolate.Options{},
		func(ctx context.Context, sent pairs.Rectangle) (isolate.Answer, error) {
			answer, err := b.send(ctx, sent)
			if answer.Passed {
				b.badUsers[1] = true
			}
			return answer, err
		})
	if err != nil || !slices.Equal(ids(got.BadUsers), []pairs.User{1}) || !slices.Equal(ids(got.BadRoles), []pairs.Role{2}) {
		t.Errorf("found %+v, %v; want user 1 and role 2", got, err)
	}
}

// The same user is refused by name, passes, and is refused again: somebody else has to look at this.
func TestAnswersThatContradictEachOtherAgainAndAgainAreAnError(t *testing.T) {
	refuse := true
	got, err := isolate.Run(context.Background(), full, isolate.Answer{Blame: isolate.BlameRole}, isolate.Options{},
		func(context.Context, pairs.Rectangle) (isolate.Answer, error) {
			refuse = !refuse
			return isolate.Answer{Passed: !refuse, Blame: isolate.BlameUser}, nil
		})
	if err != nil && !errors.Is(err, isolate.ErrInconsistent) {
		t.Fatal(err)
	}
	if got.Probes > 1000 {
		t.Errorf("%d probes until the search ended with %v", got.Probes, err)
	}
}

// The refusal was a passing whim: nothing is bad, and everything passes when it is split.
func TestARefusalThatDoesNotComeAgainCondemnsNobodyIfItWasVague(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBatch(drawSize(t, full))
		if b.size.Pairs() == 1 {
			return
		}
		got, err := isolate.Run(context.Background(), b.size, isolate.Answer{}, isolate.Options{Found: b.found}, b.send)
		if err != nil {
			t.Fatal(err)
		}
		verify(t, b, got)
		if got.Probes > 20 {
			t.Errorf("%d probes where everything passes", got.Probes)
		}
	})
}

// DingTalk takes fewer ids per call than it says, and says so with a code nobody knows.
func TestCallsThatAreTooLargeCondemnNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBatch(full)
		most := rapid.IntRange(1, 1999).Draw(t, "pairs that pass")
		got, err := isolate.Run(context.Background(), b.size, isolate.Answer{}, isolate.Options{Found: b.found},
			func(ctx context.Context, sent pairs.Rectangle) (isolate.Answer, error) {
				if sent.Size().Pairs() > most {
					return isolate.Answer{}, nil
				}
				return b.send(ctx, sent)
			})
		if err != nil {
			t.Fatal(err)
		}
		if len(b.known) > 0 || b.passed.Len() < b.size.Pairs() {
			t.Errorf("found %+v after %d probes", got, got.Probes)
		}
	})
}

func TestTheSearchStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	b := newBatch(full)
	b.badUsers[70] = true
	got, err := isolate.Run(ctx, full, b.whole(), isolate.Options{},
		func(ctx context.Context, sent pairs.Rectangle) (isolate.Answer, error) {
			cancel()
			return b.send(ctx, sent)
		})
	if !errors.Is(err, context.Canceled) || got.Probes != 1 {
		t.Errorf("%d probes, %v; want 1 and the context's error", got.Probes, err)
	}
}
