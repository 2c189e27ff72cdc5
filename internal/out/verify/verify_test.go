package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// directory is a DingTalk that lists holders; before, when set, may change it before each page is read, or fail.
type directory struct {
	holders map[int64][]string
	scopes  map[string][]int64
	before  func(d *directory, call int, role int64) error
	calls   int
}

func (d *directory) RoleHolders(_ context.Context, role int64, offset, size int) (dingtalk.HoldersPage, error) {
	d.calls++
	if d.before != nil {
		if err := d.before(d, d.calls, role); err != nil {
			return dingtalk.HoldersPage{}, err
		}
	}
	all := d.holders[role]
	from, to := min(offset, len(all)), min(offset+size, len(all))
	page := dingtalk.HoldersPage{HasMore: to < len(all), NextOffset: to}
	for _, u := range all[from:to] {
		page.Holders = append(page.Holders, dingtalk.Person{UserID: u, Scope: d.scopes[u]})
	}
	return page, nil
}

// pacer grants at once and remembers what it was told.
type pacer struct {
	probe bool
	told  []pace.AnswerKind
}

func (p *pacer) Reserve(ctx context.Context) (pace.Grant, error) {
	return pace.Grant{Probe: p.probe}, ctx.Err()
}
func (p *pacer) Report(_ context.Context, _ pace.Grant, o pace.Answer) {
	p.told = append(p.told, o.Kind)
}

// submit makes a job of users × roles whose outcome is settled as given, user by user.
func submit(t *testing.T, rdb *redis.Client, users []string, roles []int64, outcome map[string]ledger.Kind) *ledger.Ledger {
	t.Helper()
	l := ledger.New(rdb, time.Hour)
	p := tasks.Part{JobID: "j", Part: "0", UserIDs: users, RoleIDs: roles}
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := l.Create(ctx, ledger.NewJob{JobID: "j", CreatedAt: time.Now(), Pairs: p.Pairs(), Content: "c", Plan: "p", Parts: 1})
	must(err)
	_, err = l.PutParts(ctx, "j", "p", []tasks.Part{p})
	must(err)
	must(l.Planned(ctx, "j", "p", 1))
	claims, err := l.Claim(ctx, ledger.Request{Part: &p, Lane: "default"})
	must(err)
	for i, u := range users {
		kind := outcome[u]
		if kind == "" {
			kind = ledger.Removed
		}
		if kind != ledger.Pending {
			_, err := l.Settle(ctx, claims[0], ledger.Settlement{Pairs: pairs.Rectangle{Users: []pairs.User{pairs.User(i)}}, Outcome: ledger.Outcome{Kind: kind, RequestID: "req-" + u}})
			must(err)
		}
	}
	return l
}

func verdictsOf(t *testing.T, l *ledger.Ledger) map[string]ledger.Verdict {
	t.Helper()
	found := map[string]ledger.Verdict{}
	err := l.VerifiedRows(t.Context(), "j", func(r ledger.VerifiedRow) error {
		found[fmt.Sprintf("%s/%d", r.UserID, r.RoleID)] = r.Verified
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestEveryPairIsGoneStillHeldOrUnknown(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		l := submit(t, rdb, []string{"a", "b", "dead"}, []int64{1, 2, 3}, map[string]ledger.Kind{"dead": ledger.Dead})
		d := &directory{holders: map[int64][]string{1: {"dead", "else"}, 2: {"a", "dead", "x"}},
			before: func(_ *directory, _ int, role int64) error {
				if role == 3 {
					return &dingtalk.Error{Class: dingtalk.ClassInvalidRole, Message: "no such role"}
				}
				return nil
			}}
		p := &pacer{}
		res, err := Job(t.Context(), Config{Directory: d, Pacer: p, Ledger: l, By: "me"}, "j")
		if err != nil {
			t.Fatal(err)
		}
		if res.Gone != 3 || res.StillHeld != 3 || res.Unknown != 3 || res.Total != 9 || res.Contrary.Pairs != 1 || res.Dead.Pairs != 2 || res.Denied {
			t.Errorf("got %+v", res)
		}
		if len(res.Contrary.First) != 1 || res.Contrary.First[0].UserID != "a" || res.Contrary.First[0].RoleID != 2 || res.Contrary.First[0].Outcome.RequestID != "req-a" {
			t.Errorf("held although removed: %+v", res.Contrary.First)
		}
		if !strings.HasPrefix(res.Why, "of role 3: ") {
			t.Errorf("why %q", res.Why)
		}
		said := verdictsOf(t, l)
		for pair, want := range map[string]ledger.Verdict{"a/1": ledger.Gone, "a/2": ledger.StillHeld, "dead/1": ledger.StillHeld,
			"b/2": ledger.Gone, "b/3": ledger.VerdictUnknown} {
			if said[pair] != want {
				t.Errorf("%s: %s, want %s", pair, said[pair], want)
			}
		}
		kept, ok, err := l.Verification(t.Context(), "j")
		if err != nil || !ok || kept.StillHeld != 3 || kept.By != "me" {
			t.Errorf("kept %+v, %v, %v", kept, ok, err)
		}
		// A read is no accepted removal: it must neither end a hold nor count for one.
		if slices.ContainsFunc(p.told, func(k pace.AnswerKind) bool { return k != pace.Unused }) {
			t.Errorf("the pacer was told %v", p.told)
		}
	})
}

// People lose the role while its holders are read: whoever moves up across the edge of a page is not missed.
func TestAListThatChangesIsReadAgain(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := submit(t, rdb, []string{"u150"}, []int64{1}, nil)
	all := make([]string, 250)
	for i := range all {
		all[i] = fmt.Sprintf("u%d", i)
	}
	d := &directory{holders: map[int64][]string{1: all}, before: func(d *directory, call int, role int64) error {
		if call == 2 { // u150 stood on the second page, and is on the first one now
			d.holders[role] = d.holders[role][60:]
		}
		return nil
	}}
	res, err := Job(t.Context(), Config{Directory: d, Pacer: &pacer{}, Ledger: l}, "j")
	if err != nil || res.StillHeld != 1 {
		t.Errorf("got %+v, %v", res, err)
	}

	d.before = func(d *directory, _ int, role int64) error {
		slices.Reverse(d.holders[role]) // never the same twice
		return nil
	}
	d.holders[1] = all
	res, err = Job(t.Context(), Config{Directory: d, Pacer: &pacer{}, Ledger: l}, "j")
	if err != nil || res.Unknown != 1 || !strings.Contains(res.Why, "changed while it was read") {
		t.Errorf("got %+v, %v", res, err)
	}
}

func TestBusyIsAskedAgainAndWhatIsDeniedIsNot(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := submit(t, rdb, []string{"a"}, []int64{1, 2, 3}, nil)
	busy := &dingtalk.Error{Class: dingtalk.ClassBusy, Message: "system busy"}
	throttled := &dingtalk.Error{Class: dingtalk.ClassThrottled, Limit: dingtalk.LimitAPI, SubCode: "90018"}
	for _, c := range []struct {
		name    string
		fail    func(call int) error
		probe   bool
		unknown int64
		calls   int
		denied  bool
	}{
		{name: "busy twice", fail: func(n int) error { return when(n <= 2, busy) }, calls: 5},
		{name: "always busy", fail: func(int) error { return busy }, calls: 9, unknown: 3},
		{name: "throttled costs no attempt", fail: func(n int) error { return when(n <= 9, throttled) }, calls: 12},
		{name: "no permission", fail: func(int) error { return &dingtalk.Error{Class: dingtalk.ClassPermission} }, calls: 1, unknown: 3, denied: true},
		{name: "an address that is banned", fail: func(int) error {
			return &dingtalk.Error{Class: dingtalk.ClassThrottled, Limit: dingtalk.LimitIPBan, Wait: 5 * time.Minute}
		}, calls: 1, unknown: 3, denied: true},
		{name: "always throttled", fail: func(int) error { return throttled }, calls: 93, unknown: 3},
		{name: "no answer has a result", fail: func(int) error {
			return &dingtalk.Error{Class: dingtalk.ClassThrottled, Limit: dingtalk.LimitWide, HTTPStatus: 200}
		}, calls: 93, unknown: 3},
		{name: "quota", fail: func(int) error { return &dingtalk.Error{Class: dingtalk.ClassThrottled, Limit: dingtalk.LimitQuota} }, calls: 1, unknown: 3, denied: true},
		{name: "the fleet holds", probe: true, fail: func(int) error { return nil }, calls: 0, unknown: 3, denied: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &directory{before: func(_ *directory, call int, _ int64) error { return c.fail(call) }}
			p := &pacer{probe: c.probe}
			res, err := Job(t.Context(), Config{Directory: d, Pacer: p, Ledger: l, Attempts: 3, RetryBase: time.Microsecond}, "j")
			if err != nil || res.Unknown != c.unknown || res.Denied != c.denied || d.calls != c.calls {
				t.Errorf("%d calls, %+v, %v", d.calls, res, err)
			}
			// A question declares no outage, pause or hold, and ends none, whatever comes back.
			if slices.ContainsFunc(p.told, func(k pace.AnswerKind) bool { return k != pace.Unused }) || len(p.told) == 0 {
				t.Errorf("the pacer was told %v", p.told)
			}
		})
	}
}

func when(yes bool, err error) error {
	if yes {
		return err
	}
	return nil
}

func TestVerificationEndsWithItsContextAndKnowsNoForeignJob(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := submit(t, rdb, []string{"a"}, []int64{1}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	d := &directory{before: func(*directory, int, int64) error { cancel(); return context.Canceled }}
	if _, err := Job(ctx, Config{Directory: d, Pacer: &pacer{}, Ledger: l}, "j"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	var unknown *ledger.NotFoundError
	if _, err := Job(t.Context(), Config{Directory: d, Pacer: &pacer{}, Ledger: l}, "nowhere"); !errors.As(err, &unknown) {
		t.Errorf("got %v", err)
	}
}

// What a restore gave back is to be held, over the departments of before.
func TestWhatARestoreGaveBackIsToBeHeld(t *testing.T) {
	_, rdb := redistest.Memory(t)
	ctx := t.Context()
	l := ledger.New(rdb, time.Hour)
	p := tasks.Part{V: tasks.Add.Version(), Action: tasks.Add, JobID: "back", Part: "0", UserIDs: []string{"dead", "held", "none", "other", "scoped"}, RoleIDs: []int64{1}}
	for _, user := range []string{"other", "scoped"} {
		p.Scopes = append(p.Scopes, tasks.Scope{UserID: user, RoleID: 1, Departments: []int64{7, 8}})
	}
	_, err := l.Create(ctx, ledger.NewJob{JobID: "back", CreatedAt: time.Now(), Pairs: 5, Content: "c", Plan: "p", Parts: 1, Action: tasks.Add})
	if err == nil {
		_, err = l.PutParts(ctx, "back", "p", []tasks.Part{p})
	}
	if err == nil {
		err = l.Planned(ctx, "back", "p", 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	claims, err := l.Claim(ctx, ledger.Request{Part: &p, Lane: "default"})
	if err != nil {
		t.Fatal(err)
	}
	for i, user := range p.UserIDs {
		kind := ledger.Restored
		if user == "dead" {
			kind = ledger.Dead
		}
		if _, err := l.Settle(ctx, claims[0], ledger.Settlement{Pairs: pairs.Rectangle{Users: []pairs.User{pairs.User(i)}}, Outcome: ledger.Outcome{Kind: kind}}); err != nil {
			t.Fatal(err)
		}
	}
	d := &directory{holders: map[int64][]string{1: {"held", "other", "scoped", "stranger"}}, scopes: map[string][]int64{"scoped": {8, 7}, "other": {7}, "held": {9}}}
	res, err := Job(ctx, Config{Directory: d, Pacer: &pacer{}, Ledger: l}, "back")
	if err != nil {
		t.Fatal(err)
	}
	if res.Held != 2 || res.NotHeld != 2 || res.OtherScope != 1 || res.Total != 5 || res.Contrary.Pairs != 2 || res.Dead.Pairs != 1 {
		t.Errorf("got %+v", res)
	}
	said := map[string]ledger.Verdict{}
	if err := l.VerifiedRows(ctx, "back", func(r ledger.VerifiedRow) error { said[r.UserID] = r.Verified; return nil }); err != nil {
		t.Fatal(err)
	}
	for user, want := range map[string]ledger.Verdict{"dead": ledger.NotHeld, "held": ledger.Held, "none": ledger.NotHeld, "other": ledger.OtherScope, "scoped": ledger.Held} {
		if said[user] != want {
			t.Errorf("%s: %s, want %s", user, said[user], want)
		}
	}
	if kept, ok, err := l.Verification(ctx, "back"); err != nil || !ok || kept.Held != 2 || kept.Action != tasks.Add {
		t.Errorf("kept %+v, %v, %v", kept, ok, err)
	}
}
