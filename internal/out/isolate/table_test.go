package isolate_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/out/isolate"
)

// table is the figures to reach: calls for 100 users with a share of bad ones, the refused first call included, mean
// over many batches, each searched without having learned from another.
var table = []struct{ share, most float64 }{
	{0, 1}, {0.003, 3.6}, {0.01, 8.9}, {0.03, 22}, {0.1, 53}, {0.3, 103}, {0.6, 115}, {1, 115},
}

// randomBatch is 20 roles × 100 users, each user bad with probability share. The same seed gives the same batch.
func randomBatch(share float64, seed int) *batch {
	b := newBatch(full)
	random := rand.New(rand.NewPCG(uint64(seed), math.Float64bits(share)))
	for u := range pairs.User(full.Users) {
		if random.Float64() < share {
			b.badUsers[u] = true
		}
	}
	return b
}

// isolated is the calls for the batch when Run does the search.
func isolated(tb testing.TB, b *batch, learned *isolate.Learned) int {
	tb.Helper()
	first := b.whole()
	if first.Passed {
		learned.Passed(b.size)
		return 1
	}
	got, err := isolate.Run(context.Background(), b.size, first,
		isolate.Options{Found: b.found, Learned: learned}, b.send)
	if err != nil {
		tb.Fatal(err)
	}
	if len(got.BadUsers) != len(b.badUsers) || len(got.BadRoles) != len(b.badRoles) || len(b.trouble) > 0 {
		tb.Fatalf("found %d users and %d roles, bad are %d and %d; %v",
			len(got.BadUsers), len(got.BadRoles), len(b.badUsers), len(b.badRoles), b.trouble)
	}
	return len(b.calls)
}

// mean is the mean calls over so many batches.
func mean(tb testing.TB, share float64, batches int, calls func(*batch) int) float64 {
	tb.Helper()
	sum := 0
	for seed := range batches {
		sum += calls(randomBatch(share, seed))
	}
	return float64(sum) / float64(batches)
}

func TestCallsStayWithinTheTable(t *testing.T) {
	for _, row := range table {
		// Rare refusals need more batches until their mean stands still. TestExpectedCalls has the means without chance.
		batches := 200
		if row.share < 0.05 {
			batches = 1000
		}
		got := mean(t, row.share, batches, func(b *batch) int { return isolated(t, b, nil) })
		t.Logf("%5.1f %% bad: %6.2f calls per 100 users, at most %g", 100*row.share, got, row.most)
		if got > row.most {
			t.Errorf("%g %% bad: %.2f calls per 100 users, want at most %g", 100*row.share, got, row.most)
		}
	}
}

// One bad role of 20, with 100 good users: about log2(20) calls and one more for the rest.
func TestOneBadRoleOfTwenty(t *testing.T) {
	sum := 0
	for role := range pairs.Role(20) {
		b := newBatch(full)
		b.badRoles[role] = true
		sum += isolated(t, b, nil)
	}
	got := float64(sum) / 20
	t.Logf("%.2f calls", got)
	if got > 6.8 {
		t.Errorf("%.2f calls, want at most 6.8", got)
	}
}

func TestLearnedShareServesTheNextBatch(t *testing.T) {
	const share, jobs, batches = 0.3, 2, 8
	var alone, together int
	for job := range jobs {
		var learned isolate.Learned
		for i := range batches {
			seed := job*batches + i
			alone += isolated(t, randomBatch(share, seed), nil)
			together += isolated(t, randomBatch(share, seed), &learned)
		}
	}
	t.Logf("%.1f calls per batch, %.1f when the batches learn from each other",
		float64(alone)/(jobs*batches), float64(together)/(jobs*batches))
	if together >= alone {
		t.Errorf("%d calls with what was learned, %d without", together, alone)
	}
}

// A batch that is quite unlike those before it costs little more than it would have on its own.
func TestLearnedShareMovesFast(t *testing.T) {
	var good, dire isolate.Learned
	for range 50 {
		good.Passed(full)
	}
	for seed := range 4 {
		isolated(t, randomBatch(1, seed), &dire)
	}
	if got := isolated(t, randomBatch(1, 1), &good); got > 115 {
		t.Errorf("100 bad users after 5000 good ones: %d calls, want at most 115", got)
	}
	one := newBatch(full)
	one.badUsers[70] = true
	if got := isolated(t, one, &dire); got > 25 {
		t.Errorf("1 bad user after 400 bad ones: %d calls, want at most 25", got)
	}
}

// oneByOne tries each user alone once the batch was refused.
func oneByOne(b *batch) int {
	if !b.whole().Passed {
		for u := range pairs.User(b.size.Users) {
			b.send(context.Background(), pairs.Rectangle{Users: []pairs.User{u}, Roles: b.size.Whole().Roles})
		}
	}
	return len(b.calls)
}

// halving tries both halves of whatever was refused.
func halving(b *batch) int {
	whole := b.size.Whole()
	var try func(users []pairs.User)
	try = func(users []pairs.User) {
		answer, _ := b.send(context.Background(), pairs.Rectangle{Users: users, Roles: whole.Roles})
		if n := len(users); !answer.Passed && n > 1 {
			try(users[:n/2])
			try(users[n/2:])
		}
	}
	try(whole.Users)
	return len(b.calls)
}

// BenchmarkCallsPer100 prints the table: go test -run '^$' -bench CallsPer100 -benchtime 2000x ./internal/out/isolate
// Bound is what information theory asks for, and at least the one call.
func BenchmarkCallsPer100(b *testing.B) {
	for _, row := range table {
		b.Run(fmt.Sprintf("bad=%g%%", 100*row.share), func(b *testing.B) {
			var learned isolate.Learned
			cold := mean(b, row.share, b.N, func(x *batch) int { return isolated(b, x, nil) })
			b.StopTimer()
			b.ReportMetric(cold, "calls")
			b.ReportMetric(mean(b, row.share, min(b.N, 200), func(x *batch) int { return isolated(b, x, &learned) }), "calls-learned")
			b.ReportMetric(mean(b, row.share, b.N, oneByOne), "one-by-one")
			b.ReportMetric(mean(b, row.share, b.N, halving), "halving")
			b.ReportMetric(row.most, "at-most")
			b.ReportMetric(bound(row.share), "bound")
		})
	}
}

func bound(share float64) float64 {
	if share == 0 || share == 1 {
		return 1
	}
	return max(1, -100*(share*math.Log2(share)+(1-share)*math.Log2(1-share)))
}
