package ledger

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// pair is a requested (user, role).
type pair struct {
	user string
	role int64
}

// fate is what became of a pair; given, by its role alone so far.
type fate struct {
	Kind  Kind
	Given bool
}

// model is what a job must look like: each requested pair with what became of it, and which part owns it.
type model struct {
	*rapid.T
	l     *Ledger
	job   string
	parts map[string]*tasks.Part // those that were not split
	fate  map[pair]fate
	calls int64
	// claims are outstanding, some of them stale.
	claims    []*Claim
	cancelled bool
}

var jobNumber atomic.Int64

func newModel(t *rapid.T, rdb redis.UniversalClient) *model {
	m := &model{T: t, l: New(rdb, time.Hour), job: fmt.Sprintf("j%d", jobNumber.Add(1)), parts: map[string]*tasks.Part{},
		fate: map[pair]fate{}}
	for i := range rapid.IntRange(1, 3).Draw(t, "parts") {
		m.add(m.drawPart(fmt.Sprint(i)))
	}
	created, err := m.l.Create(context.Background(), NewJob{JobID: m.job, CreatedAt: time.Now(), Pairs: len(m.fate), Content: "c", Plan: "p", Parts: len(m.parts)})
	m.ok(err)
	if created.Existed || !created.NeedParts {
		m.Fatalf("a new job was there before: %+v", created)
	}
	var parts []tasks.Part
	for _, p := range m.parts {
		parts = append(parts, *p)
	}
	mine, err := m.l.PutParts(context.Background(), m.job, "p", parts)
	m.ok(err)
	if !mine {
		m.Fatal("the parts were not wanted")
	}
	m.ok(m.l.Planned(context.Background(), m.job, "p", len(parts)))
	m.ok(m.l.Submitted(context.Background(), m.job))
	return m
}

// drawPart draws a rectangle over a few ids, which owns what no part before it owns.
func (m *model) drawPart(name string) *tasks.Part {
	users := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}), 1, 4, rapid.ID).Draw(m.T, "users")
	roles := rapid.SliceOfNDistinct(rapid.Int64Range(1, 4), 1, 3, rapid.ID).Draw(m.T, "roles")
	p := &tasks.Part{JobID: m.job, Part: name, UserIDs: users, RoleIDs: roles}
	p.Own = pairs.SizeOf(p).Whole().Own(func(u pairs.User, r pairs.Role) bool {
		_, taken := m.fate[pair{users[u], roles[r]}]
		return !taken
	})
	return p
}

func (m *model) add(p *tasks.Part) {
	m.parts[p.Part] = p
	m.owned(p, pairs.Rectangle{}, func(k pair) { m.fate[k] = fate{Kind: Pending} })
}

// owned visits the pairs of some users × some roles that the part owns.
func (m *model) owned(p *tasks.Part, rect pairs.Rectangle, visit func(pair)) {
	size := pairs.SizeOf(p)
	if rect.Users == nil {
		rect.Users = size.Whole().Users
	}
	if rect.Roles == nil {
		rect.Roles = size.Whole().Roles
	}
	for u, r := range rect.All() {
		if p.Own.Has(size.Number(u, r)) {
			visit(pair{p.UserIDs[u], p.RoleIDs[r]})
		}
	}
}

func (m *model) ok(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

func (m *model) drawLivePart() *tasks.Part {
	return m.parts[rapid.SampledFrom(slices.Sorted(maps.Keys(m.parts))).Draw(m.T, "part")]
}

func (m *model) claimOf(p *tasks.Part, begin bool) *Claim {
	claims, err := m.l.Claim(context.Background(), Request{Part: p, Lane: "default", Begin: begin})
	m.ok(err)
	if claims[0].Cancelled != m.cancelled {
		m.Fatalf("cancelled: %v, want %v", claims[0].Cancelled, m.cancelled)
	}
	return claims[0]
}

// claim looks a part up, or a letter of it, and keeps the claim for later, when it may be stale.
func (m *model) claim() {
	p := m.drawLivePart()
	if rapid.Bool().Draw(m.T, "letter") {
		u := rapid.IntRange(0, len(p.UserIDs)-1).Draw(m.T, "u")
		letter := &tasks.Part{JobID: p.JobID, Part: tasks.UserLetter(p.Part, u), UserIDs: p.UserIDs[u : u+1], RoleIDs: p.RoleIDs,
			Failure: &tasks.Failure{Reason: tasks.ReasonUserGone}}
		m.claims = append(m.claims, m.claimOf(letter, false))
		return
	}
	m.claims = append(m.claims, m.claimOf(p, rapid.Bool().Draw(m.T, "begin")))
}

func (m *model) drawClaim() *Claim {
	if len(m.claims) == 0 {
		m.Skip("no claim")
	}
	return rapid.SampledFrom(m.claims).Draw(m.T, "claim")
}

func (m *model) drawSettlement(p *tasks.Part) Settlement {
	size := pairs.SizeOf(p)
	rect := pairs.Rectangle{Users: drawSome[pairs.User](m.T, size.Users, "users"), Roles: drawSome[pairs.Role](m.T, size.Roles, "roles")}
	kind := rapid.SampledFrom([]Kind{Removed, Dead, Cancelled, Pending}).Draw(m.T, "kind")
	given := kind == Pending && rapid.Bool().Draw(m.T, "given")
	return Settlement{Pairs: rect, Outcome: Outcome{Kind: kind, Given: given, RequestID: "r", At: time.Now()}}
}

// drawSome draws positions, nil for all of them.
func drawSome[P pairs.User | pairs.Role](t *rapid.T, n int, name string) []P {
	if rapid.Bool().Draw(t, "all "+name) {
		return nil
	}
	some := []P{}
	for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 0, n, rapid.ID).Draw(t, name) {
		some = append(some, P(i))
	}
	return some
}

// expect applies a settlement to the model and returns what it changes.
func (m *model) expect(c *Claim, st Settlement) Delta {
	var d Delta
	if m.parts[c.def.Part] == nil {
		return d // it was split: the pairs are the children's
	}
	in := c.inDef(st)
	m.owned(c.def, in.Pairs, func(k pair) {
		was := m.fate[k]
		if !allowed(&Outcome{Kind: was.Kind, Given: was.Given}, &st.Outcome) {
			return
		}
		d.add(was.Kind, -1)
		d.add(st.Outcome.Kind, 1)
		m.fate[k] = fate{Kind: st.Outcome.Kind, Given: st.Outcome.Given}
		if was.Given && st.Outcome.Kind == Cancelled {
			m.Fatalf("%v was given, and is cancelled before it has its scope", k)
		}
	})
	return d
}

// settle settles a claim that may be as old as the job, and sometimes does it again.
func (m *model) settle() {
	c := m.drawClaim()
	st := m.drawSettlement(c.Part)
	if rapid.Bool().Draw(m.T, "called") {
		c.CountCall()
		m.calls++
	}
	for range rapid.IntRange(1, 2).Draw(m.T, "times") {
		want := m.expect(c, st)
		got, err := m.l.Settle(context.Background(), c, st)
		m.ok(err)
		if got != want {
			m.Fatalf("part %s, %+v: changed %+v, want %+v", c.Part.Part, st, got, want)
		}
	}
}

// race settles the same part twice at once. Either may come first, so the model asks the ledger which did: every pair
// must have gone one of the two ways, and what both say they changed must be what has changed.
func (m *model) race() {
	p := m.drawLivePart()
	c := []*Claim{m.claimOf(p, true), m.claimOf(p, true)}
	st := []Settlement{m.drawSettlement(p), m.drawSettlement(p)}
	before := maps.Clone(m.fate)
	outcomes := [2]map[pair]fate{}
	deltas := [2]Delta{}
	for i := range outcomes { // both orders
		m.fate = maps.Clone(before)
		first, second := m.expect(c[i], st[i]), m.expect(c[1-i], st[1-i])
		deltas[i] = Delta{first.Removed + second.Removed, first.Dead + second.Dead, first.Cancelled + second.Cancelled}
		outcomes[i] = m.fate
	}
	var got [2]Delta
	var errs [2]error
	var both sync.WaitGroup
	for i := range c {
		both.Go(func() { got[i], errs[i] = m.l.Settle(context.Background(), c[i], st[i]) })
	}
	both.Wait()
	m.ok(errs[0])
	m.ok(errs[1])
	sum := Delta{got[0].Removed + got[1].Removed, got[0].Dead + got[1].Dead, got[0].Cancelled + got[1].Cancelled}
	have := m.rows()
	for i := range outcomes {
		if maps.Equal(have, outcomes[i]) && sum == deltas[i] {
			m.fate = outcomes[i]
			return
		}
	}
	m.Fatalf("two at once on part %s: %+v gave %v and deltas %+v; want %v with %+v, or %v with %+v", p.Part, st, have, sum,
		outcomes[0], deltas[0], outcomes[1], deltas[1])
}

// divide splits a part of which nothing is settled, as the worker does with one that is too large.
func (m *model) divide() {
	p := m.drawLivePart()
	untouched := len(p.UserIDs) > 1 && !m.cancelled
	m.owned(p, pairs.Rectangle{}, func(k pair) { untouched = untouched && m.fate[k] == fate{Kind: Pending} })
	if !untouched {
		m.Skip("not to be split")
	}
	var children []tasks.Part
	half := len(p.UserIDs) / 2
	for i, users := range [][2]int{{0, half}, {half, len(p.UserIDs)}} {
		child := tasks.Part{JobID: p.JobID, Part: tasks.ChildName(p.Part, i), UserIDs: p.UserIDs[users[0]:users[1]], RoleIDs: p.RoleIDs}
		child.Own = pairs.SizeOf(&child).Whole().Own(func(u pairs.User, r pairs.Role) bool {
			return p.Own.Has(pairs.SizeOf(p).Number(u+pairs.User(users[0]), r))
		})
		children = append(children, child)
	}
	m.ok(m.l.Split(context.Background(), m.claimOf(p, false), children))
	delete(m.parts, p.Part)
	for i := range children {
		m.parts[children[i].Part] = &children[i]
	}
}

// cancel cancels the job. Parts that are marked as begun are left to their claims.
func (m *model) cancel() {
	pending := false
	for _, f := range m.fate {
		pending = pending || f.Kind == Pending
	}
	begun, err := m.l.rdb.HKeys(context.Background(), keys(m.job)[keyBegun]).Result()
	m.ok(err)
	_, err = m.l.Cancel(context.Background(), m.job, "me", "test")
	if !pending && !m.cancelled {
		if _, finished := err.(*FinishedError); !finished {
			m.Fatalf("a finished job was cancelled: %v", err)
		}
		return
	}
	m.ok(err)
	m.cancelled = true
	for _, p := range m.parts {
		if !slices.Contains(begun, p.Part) {
			m.owned(p, pairs.Rectangle{}, func(k pair) {
				if m.fate[k] == (fate{Kind: Pending}) {
					m.fate[k] = fate{Kind: Cancelled}
				}
			})
		}
	}
}

// stay takes back what is not begun of one person.
func (m *model) stay() {
	job, err := m.l.Get(context.Background(), m.job)
	m.ok(err)
	user := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(m.T, "who stays")
	begun, err := m.l.rdb.HKeys(context.Background(), keys(m.job)[keyBegun]).Result()
	m.ok(err)
	want := Stays{JobID: m.job}
	for _, p := range m.parts {
		m.owned(p, pairs.Rectangle{}, func(k pair) {
			switch {
			case k.user != user:
			case m.fate[k] == fate{Kind: Pending} && !slices.Contains(begun, p.Part):
				m.fate[k] = fate{Kind: Cancelled}
				want.Cancelled++
			case m.fate[k].Kind == Pending:
				want.InFlight++
			case m.fate[k].Kind == Removed:
				want.Removed++
			case m.fate[k].Kind == Dead:
				want.Dead++
			}
		})
	}
	got, err := m.l.cancelUsers(context.Background(), job, []string{user}, `{"errmsg":"rehired"}`, "me", "rehired")
	m.ok(err)
	got.State = ""
	if got != want {
		m.Fatalf("%s stays: %+v, want %+v", user, got, want)
	}
}

func (m *model) rows() map[pair]fate {
	have := map[pair]fate{}
	m.ok(m.l.Rows(context.Background(), m.job, func(r Row) error {
		k := pair{r.UserID, r.RoleID}
		if _, twice := have[k]; twice {
			return fmt.Errorf("%v is reported twice", k)
		}
		have[k] = fate{r.Outcome.Kind, r.Outcome.Given}
		return nil
	}))
	return have
}

// check compares counts, rows and state with the model.
func (m *model) check() {
	want := Pairs{Total: int64(len(m.fate))}
	for _, f := range m.fate {
		switch f.Kind {
		case Removed:
			want.Removed++
		case Dead:
			want.Dead++
		case Cancelled:
			want.Cancelled++
		default:
			want.Pending++
		}
	}
	job, err := m.l.Get(context.Background(), m.job)
	m.ok(err)
	if job.Pairs != want {
		m.Fatalf("counts %+v, want %+v", job.Pairs, want)
	}
	if job.APICalls != m.calls {
		m.Fatalf("%d calls, want %d", job.APICalls, m.calls)
	}
	if have := m.rows(); !maps.Equal(have, m.fate) {
		m.Fatalf("rows differ (-want +got):\n%s", cmp.Diff(m.fate, have, cmp.AllowUnexported(pair{})))
	}
	if finished := want.Pending == 0; job.State.Finished() != finished || (job.FinishedAt != nil) != finished && want.Total > 0 && want.Pending != want.Total {
		m.Fatalf("state %s, finished at %v, with %+v", job.State, job.FinishedAt, want)
	}
}

func TestEveryPairIsCountedOnceWhateverHappens(t *testing.T) {
	// A check is some hundred calls of Redis; -rapid.checks asks for more.
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		flag.Set("rapid.checks", "30")
		t.Cleanup(func() { flag.Set("rapid.checks", f.DefValue) })
	}
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		rapid.Check(t, func(rt *rapid.T) {
			m := newModel(rt, rdb)
			rt.Repeat(map[string]func(*rapid.T){
				"claim":  func(*rapid.T) { m.claim() },
				"settle": func(*rapid.T) { m.settle() },
				"race":   func(*rapid.T) { m.race() },
				"split":  func(*rapid.T) { m.divide() },
				"cancel": func(*rapid.T) { m.cancel() },
				"stay":   func(*rapid.T) { m.stay() },
				"":       func(*rapid.T) { m.check() },
			})
		})
	})
}
