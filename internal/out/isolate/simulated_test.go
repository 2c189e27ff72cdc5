package isolate_test

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/unrole/unrole/internal/out/isolate"
)

// batch is a DingTalk that knows the truth about one batch, and watches what is sent.
type batch struct {
	roles, users       int
	badRoles, badUsers map[int]bool
	badPairs           map[isolate.Pair]bool
	// blame picks the code of a refusal from the kinds of culprits in the call.
	blame func(role, user, pair bool) isolate.Blame

	calls   []call
	passed  []bool // by role*users+user
	known   []isolate.Finding
	trouble []string // what must not happen
}

type call struct {
	roles, users []int
	answer       isolate.Answer
}

func newBatch(roles, users int) *batch {
	return &batch{
		roles: roles, users: users,
		badRoles: map[int]bool{}, badUsers: map[int]bool{}, badPairs: map[isolate.Pair]bool{},
		passed: make([]bool, roles*users),
		blame: func(role, user, pair bool) isolate.Blame {
			switch {
			case user:
				return isolate.BlameUser
			case role:
				return isolate.BlameRole
			}
			return isolate.BlameAny
		},
	}
}

func upTo(n int) []int {
	ids := make([]int, n)
	for i := range ids {
		ids[i] = i
	}
	return ids
}

// whole sends the batch in one call, as a worker does first.
func (b *batch) whole() isolate.Answer {
	answer, _ := b.send(context.Background(), upTo(b.roles), upTo(b.users))
	return answer
}

func (b *batch) send(_ context.Context, roles, users []int) (isolate.Answer, error) {
	b.check("role", roles, b.roles)
	b.check("user", users, b.users)
	for _, f := range b.known {
		_, role := slices.BinarySearch(roles, f.Role)
		_, user := slices.BinarySearch(users, f.User)
		if f.Kind == isolate.BadRole && role || f.Kind == isolate.BadUser && user || f.Kind == isolate.BadPair && role && user {
			b.trouble = append(b.trouble, fmt.Sprintf("call %d holds the known bad %v: %+v", len(b.calls), f.Kind, f))
		}
	}
	badRole := slices.ContainsFunc(roles, func(r int) bool { return b.badRoles[r] })
	badUser := slices.ContainsFunc(users, func(u int) bool { return b.badUsers[u] })
	badPair := false
	for p := range b.badPairs {
		badPair = badPair || slices.Contains(roles, p.Role) && slices.Contains(users, p.User)
	}
	answer := isolate.Answer{Passed: true}
	if badRole || badUser || badPair {
		answer = isolate.Answer{Blame: b.blame(badRole, badUser, badPair), Cause: len(b.calls)}
	}
	b.note(roles, users, answer)
	return answer, nil
}

func (b *batch) note(roles, users []int, answer isolate.Answer) {
	b.calls = append(b.calls, call{slices.Clone(roles), slices.Clone(users), answer})
	if answer.Passed {
		for _, r := range roles {
			for _, u := range users {
				b.passed[r*b.users+u] = true
			}
		}
	}
}

func (b *batch) check(kind string, ids []int, n int) {
	if len(ids) == 0 {
		b.trouble = append(b.trouble, "a call without a "+kind)
	}
	for i, id := range ids {
		if id < 0 || id >= n || i > 0 && ids[i-1] >= id {
			b.trouble = append(b.trouble, fmt.Sprintf("%s list %v is not ascending within 0…%d", kind, ids, n-1))
		}
	}
}

func (b *batch) found(f isolate.Finding) { b.known = append(b.known, f) }

// unaccounted lists pairs that are not exactly one of passed, of a bad id, and bad.
func (b *batch) unaccounted(got isolate.Result) []isolate.Pair {
	var pairs []isolate.Pair
	for r := range b.roles {
		for u := range b.users {
			p := isolate.Pair{Role: r, User: u}
			_, badRole := got.BadRoles[r]
			_, badUser := got.BadUsers[u]
			_, badPair := got.BadPairs[p]
			if b.passed[r*b.users+u] == (badRole || badUser || badPair) || badPair && (badRole || badUser) {
				pairs = append(pairs, p)
			}
		}
	}
	return pairs
}

// harmed lists good pairs that did not pass.
func (b *batch) harmed() []isolate.Pair {
	var pairs []isolate.Pair
	for r := range b.roles {
		for u := range b.users {
			p := isolate.Pair{Role: r, User: u}
			if !b.badRoles[r] && !b.badUsers[u] && !b.badPairs[p] && !b.passed[r*b.users+u] {
				pairs = append(pairs, p)
			}
		}
	}
	return pairs
}

func ids(m map[int]any) []int  { return slices.Sorted(maps.Keys(m)) }
func set(m map[int]bool) []int { return slices.Sorted(maps.Keys(m)) }
