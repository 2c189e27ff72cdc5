package isolate_test

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/out/isolate"
)

// batch is a DingTalk that knows the truth about one batch, and watches what is sent.
type batch struct {
	size     pairs.Size
	badUsers map[pairs.User]bool
	badRoles map[pairs.Role]bool
	badPairs map[pairs.Pair]bool
	suspects pairs.Rectangle // what the search is told, right or wrong
	// blame picks the code of a refusal from the kinds of culprits in the call.
	blame func(role, user, pair bool) isolate.Blame

	calls   []call
	passed  pairs.Set
	known   []isolate.Finding
	trouble []string // what must not happen
}

type call struct {
	pairs.Rectangle
	answer isolate.Answer
}

// full is the size of a full call.
var full = pairs.Size{Users: 100, Roles: 20}

func newBatch(size pairs.Size) *batch {
	return &batch{
		size:     size,
		badUsers: map[pairs.User]bool{}, badRoles: map[pairs.Role]bool{}, badPairs: map[pairs.Pair]bool{},
		passed: pairs.None(size),
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

// whole sends the batch in one call, as a worker does first.
func (b *batch) whole() isolate.Answer {
	answer, _ := b.send(context.Background(), b.size.Whole())
	return answer
}

func (b *batch) send(_ context.Context, sent pairs.Rectangle) (isolate.Answer, error) {
	users, roles := sent.Users, sent.Roles
	check(b, "user", users, b.size.Users)
	check(b, "role", roles, b.size.Roles)
	for _, f := range b.known {
		_, role := slices.BinarySearch(roles, f.Role)
		_, user := slices.BinarySearch(users, f.User)
		if f.Culprit == isolate.BadRole && role || f.Culprit == isolate.BadUser && user || f.Culprit == isolate.BadPair && role && user {
			b.trouble = append(b.trouble, fmt.Sprintf("call %d holds the known bad %v: %+v", len(b.calls), f.Culprit, f))
		}
	}
	badRole := slices.ContainsFunc(roles, func(r pairs.Role) bool { return b.badRoles[r] })
	badUser := slices.ContainsFunc(users, func(u pairs.User) bool { return b.badUsers[u] })
	badPair := false
	for p := range b.badPairs {
		badPair = badPair || slices.Contains(roles, p.Role) && slices.Contains(users, p.User)
	}
	answer := isolate.Answer{Passed: true}
	if badRole || badUser || badPair {
		answer = isolate.Answer{Blame: b.blame(badRole, badUser, badPair), Cause: len(b.calls)}
	}
	b.note(sent, answer)
	return answer, nil
}

func (b *batch) note(sent pairs.Rectangle, answer isolate.Answer) {
	b.calls = append(b.calls, call{pairs.Rectangle{Users: slices.Clone(sent.Users), Roles: slices.Clone(sent.Roles)}, answer})
	if answer.Passed {
		for u, r := range sent.All() {
			b.passed.Add(u, r)
		}
	}
}

func check[ID pairs.User | pairs.Role](b *batch, kind string, ids []ID, n int) {
	if len(ids) == 0 {
		b.trouble = append(b.trouble, "a call without a "+kind)
	}
	for i, id := range ids {
		if id < 0 || int(id) >= n || i > 0 && ids[i-1] >= id {
			b.trouble = append(b.trouble, fmt.Sprintf("%s list %v is not ascending within 0…%d", kind, ids, n-1))
		}
	}
}

func (b *batch) found(f isolate.Finding) { b.known = append(b.known, f) }

// unaccounted lists pairs that are not exactly one of passed, of a bad id, and bad.
func (b *batch) unaccounted(got isolate.Result) []pairs.Pair {
	var list []pairs.Pair
	for u, r := range b.size.Whole().All() {
		p := pairs.Pair{User: u, Role: r}
		_, badRole := got.BadRoles[r]
		_, badUser := got.BadUsers[u]
		_, badPair := got.BadPairs[p]
		if b.passed.Has(u, r) == (badRole || badUser || badPair) || badPair && (badRole || badUser) {
			list = append(list, p)
		}
	}
	return list
}

// harmed lists good pairs that did not pass.
func (b *batch) harmed() []pairs.Pair {
	var list []pairs.Pair
	for u, r := range b.size.Whole().All() {
		if p := (pairs.Pair{User: u, Role: r}); !b.badRoles[r] && !b.badUsers[u] && !b.badPairs[p] && !b.passed.Has(u, r) {
			list = append(list, p)
		}
	}
	return list
}

func ids[ID pairs.User | pairs.Role, V any](m map[ID]V) []ID { return slices.Sorted(maps.Keys(m)) }
