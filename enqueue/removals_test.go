package enqueue

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestFromListsMakesEveryPair(t *testing.T) {
	r, err := FromLists([]string{"b", "a", "b"}, []int64{2, 1})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b 2", "b 1", "a 2", "a 1"}, pairsOf(r)); diff != "" {
		t.Errorf("pairs (-want +got):\n%s", diff)
	}
	if r.Pairs() != 4 || r.Duplicates() != 2 {
		t.Errorf("%d pairs, %d duplicates; want 4 and 2", r.Pairs(), r.Duplicates())
	}
}

func TestFromListsNamesEveryBadID(t *testing.T) {
	tests := []struct {
		users []string
		roles []int64
		want  string
	}{
		{[]string{"a", "b c", ""}, []int64{1, -1}, "user 2: user id \"b c\" has a blank\nuser 3: user id is empty\nrole 2: role id -1 is not positive"},
		{nil, nil, "no user is given\nno role is given"},
	}
	for _, tt := range tests {
		_, err := FromLists(tt.users, tt.roles)

		if err == nil || err.Error() != tt.want {
			t.Errorf("FromLists(%q, %v): %v; want %s", tt.users, tt.roles, err, tt.want)
		}
	}
}

func TestFromListsHasALimit(t *testing.T) {
	if _, err := FromLists(make([]string, 10_000), make([]int64, 10_000)); err == nil || err.Error() != "more than 20,000,000 pairs are asked for: split them into several submissions" {
		t.Errorf("FromLists: %v", err)
	}
}

// pairsOf lists the pairs of a set as "user role", by user and in order of first appearance.
func pairsOf(r *Removals) []string {
	var pairs []string
	for u, user := range r.Users() {
		for role := range r.RolesOf(u) {
			pairs = append(pairs, fmt.Sprintf("%s %d", user, role))
		}
	}
	return pairs
}

// TestRemovalsIsASet compares Removals with a map, also for users with so many roles that they are kept another way.
func TestRemovalsIsASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type pair struct {
			user string
			role int64
		}
		many := rapid.Bool().Draw(t, "many roles")
		seed := rapid.Uint64().Draw(t, "seed")
		rng := rand.New(rand.NewPCG(seed, 0))
		users, roles, adds := 5, int64(8), 60
		if many {
			users, roles, adds = 2, 4*crowdedAt, 6*crowdedAt
		}
		var r Removals
		want := map[pair]bool{}
		var log []pair
		for range adds {
			p := pair{fmt.Sprint("u", rng.IntN(users)), 1 + rng.Int64N(roles)}
			if r.Add(p.user, p.role) == want[p] {
				t.Fatalf("Add(%v) = %v", p, want[p])
			}
			want[p] = true
			log = append(log, p)
		}
		if r.Pairs() != len(want) || r.Duplicates() != adds-len(want) {
			t.Fatalf("%d pairs, %d duplicates; want %d, %d", r.Pairs(), r.Duplicates(), len(want), adds-len(want))
		}
		n := 0
		matrix := r.matrix()
		for u, user := range r.Users() {
			if !slices.IsSorted(matrix.Roles[u]) {
				t.Fatalf("roles of %s: %v", user, matrix.Roles[u])
			}
			for role := range r.RolesOf(u) {
				if !want[pair{user, role}] {
					t.Fatalf("stranger: %s %d", user, role)
				}
				n++
			}
		}
		if n != len(want) || matrix.NumRoles != len(r.Roles()) {
			t.Fatalf("%d pairs, %d roles; want %d, %d", n, matrix.NumRoles, len(want), len(r.Roles()))
		}

		var other Removals
		rng.Shuffle(len(log), func(i, j int) { log[i], log[j] = log[j], log[i] })
		for _, p := range log {
			other.Add(p.user, p.role)
			other.Add(p.user, p.role)
		}
		if r.Digest() != other.Digest() {
			t.Fatal("the digest depends on the order of the pairs")
		}
		other.Add("stranger", 1)
		if r.Digest() == other.Digest() {
			t.Fatal("one more pair has the same digest")
		}
	})
}

// TestDigestIsPinned keeps the form that is written into jobs.
func TestDigestIsPinned(t *testing.T) {
	var r Removals
	if got, want := r.Digest(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"; got != want {
		t.Errorf("of nothing: %s", got)
	}
	r.Add("user100", 1507113578)
	r.Add("张三", 7)
	r.Add("user100", 2)
	if got, want := r.Digest(), "268b021f245a389196e974a0b0d33233e883e4c56714a8986bd73641d717713a"; got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

func TestDigestTellsApartWhatJoinsAlike(t *testing.T) {
	var a, b Removals
	a.Add("x", 1)
	a.Add("xy", 1)
	b.Add("xx", 1)
	b.Add("y", 1)
	if a.Digest() == b.Digest() {
		t.Error("the same digest")
	}
}
