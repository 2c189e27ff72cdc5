package worker

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/out/isolate"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// A search that proves user b bad settles the letters of b that were tried again before it asked, whole or not at all.
func TestLettersOfOneIDThatAreTriedAgainTogetherAreOneQuestion(t *testing.T) {
	letter := func(users []string, roles ...int64) *tasks.Part {
		return &tasks.Part{JobID: "job", UserIDs: users, RoleIDs: roles, Failure: &tasks.Failure{Reason: tasks.ReasonUserGone}}
	}
	s := newSearches()
	part := &tasks.Part{JobID: "job", UserIDs: []string{"a", "b"}, RoleIDs: []int64{1}}
	whole := pairs.SizeOf(part).Whole()
	g := &group{users: part.UserIDs, roles: part.RoleIDs, whole: whole,
		members: []*member{{stay: &stay{visit: &visit{part: part}}, users: whole.Users, roles: whole.Roles}}}
	h := s.begin(g, isolate.BlameUser)
	for _, waits := range []*tasks.Part{letter([]string{"b"}, 1, 2), letter([]string{"a"}, 9)} {
		if s.of(waits) != h {
			t.Errorf("the letter of %v does not wait for the search", waits.UserIDs)
		}
	}
	if s.of(letter([]string{"a", "b"}, 7)) != nil {
		t.Error("a letter of a role waits for a search of users, which may settle a share of it")
	}

	asked := time.Now()
	s.found(h, ledger.UserField("b"), tasks.Failure{Reason: tasks.ReasonUserGone}, asked)
	s.end(h)
	for _, c := range []struct {
		what    string
		part    *tasks.Part
		since   time.Time
		settled bool
	}{
		{"a letter that was waiting", letter([]string{"b"}, 1, 2), asked.Add(-time.Second), true},
		{"a letter that came after DingTalk was asked", letter([]string{"b"}, 1, 2), asked.Add(time.Millisecond), false},
		{"a letter of somebody else", letter([]string{"a"}, 1, 2), asked.Add(-time.Second), false},
		{"a letter that has the id among others", letter([]string{"a", "b"}, 1), asked.Add(-time.Second), false},
		{"a batch that is no letter", part, asked.Add(-time.Second), false},
	} {
		if _, why, settled := s.settles(c.part, c.since); settled != c.settled || settled && why.Reason != tasks.ReasonUserGone {
			t.Errorf("%s: settled %t, want %t (%s)", c.what, settled, c.settled, why.Reason)
		}
	}
}

// A hint is of any job, for an hour, and until the id passes.
func TestHintsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHints()
		suspects := func() (n int) {
			of := h.of([]string{"a", "b"}, []int64{1, 2})
			return len(of.Users) + len(of.Roles)
		}
		h.found(ledger.UserField("b"))
		h.found(ledger.RoleField(1))
		part := &tasks.Part{UserIDs: []string{"b", "c"}, RoleIDs: []int64{1}}
		if likely := h.likely(part, pairs.SizeOf(part).Whole()); suspects() != 2 || len(likely.Users) != 1 || len(likely.Roles) != 1 {
			t.Errorf("%d suspects, likely %+v", suspects(), likely)
		}
		h.passed([]string{"a"}, []int64{1})
		if suspects() != 1 {
			t.Errorf("%d suspects once the role has passed", suspects())
		}
		time.Sleep(hintLasts)
		if suspects() != 0 {
			t.Error("an id is suspect for longer than an hour")
		}
	})
}
