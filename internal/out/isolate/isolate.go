// Package isolate finds which ids of a refused batch are bad, in the fewest calls, and gets everything else removed on
// the way.
//
// DingTalk refuses a whole call for one bad id and does not say which. A Search asks a callback, the Probe, to send
// smaller rectangles; each is a real removal, so what passes is done. Group sizes are those of the best nested
// group-testing procedure for a share of bad ids that is learned as the answers come in (see plan).
//
// A search ends with every pair in exactly one of these: part of a passed call, a pair of a bad id, or a bad pair.
package isolate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/unrole/unrole/internal/base/pairs"
)

// Blame is what a refusal says is wrong.
type Blame int

const (
	// BlameAny: something is, no telling what (bad request, an unknown code, a batch that stays busy). The zero value,
	// since it assumes the least.
	BlameAny Blame = iota
	// BlameUser: some user of the call is bad; its roles may be bad or good.
	BlameUser
	// BlameRole: some role of the call is bad; its users may be bad or good.
	BlameRole
)

// Answer is the outcome of one call.
type Answer struct {
	// Passed: the call was accepted, all of its pairs are removed.
	Passed bool
	// Blame and Cause describe a refusal. Cause is handed back with the ids that this refusal proved bad.
	Blame Blame
	Cause any
	// TakenIn, when set, is called once Run has learned from the answer, after what it proved was Found.
	TakenIn func()
}

// Probe sends one call, exactly the rectangle (positions in the batch, neither list empty), and reports what came of it.
// An error ends Run: return one for whatever says nothing about the ids, such as a throttled call that was not waited
// out, a hold, a shutdown, or a busy answer that should be tried again later. Where Width is more than 1 it is called from
// several goroutines. ctx ends also for a call that nobody wants any more: one that waits for its turn should return an
// error then, which does not end Run, and one that has begun go on.
type Probe func(ctx context.Context, call pairs.Rectangle) (Answer, error)

// Culprit says what a Finding is about.
type Culprit int

const (
	BadUser Culprit = iota
	BadRole
	BadPair
)

func (k Culprit) String() string {
	switch k {
	case BadUser:
		return "user"
	case BadRole:
		return "role"
	case BadPair:
		return "pair"
	}
	return fmt.Sprintf("Kind(%d)", int(k))
}

// Finding is one proven culprit. User or Role is -1 where the finding is not about it.
type Finding struct {
	Culprit Culprit
	User    pairs.User
	Role    pairs.Role
	Cause   any // of the refusal that proved it
}

// Result is what a search knows. The values of the maps are the causes of the proving refusals.
type Result struct {
	// BadUsers and BadRoles were proven bad: some refused call held only the id and ids that passed in other calls.
	// With BlameAny two calls that share nothing but the id were refused, if the other axis has two good ids.
	// When everybody is bad on one axis, bad ids of the other can stay unproven: no pair depends on them.
	BadUsers map[pairs.User]any
	BadRoles map[pairs.Role]any
	// BadPairs were refused alone, with BlameAny, although user and role both passed with others.
	BadPairs map[pairs.Pair]any
	// NothingPassed: refusals with BlameAny only, and no call passed although every user and every role was tried on its
	// own. Nobody can tell then whose fault it is; the axis with fewer ids was given the blame (the users if equal).
	NothingPassed bool
	// Probes is the number of calls answered, the first refusal not included.
	Probes int
}

// ErrInconsistent is returned by Run when the answers contradict each other again and again: an id was refused, passed,
// and was refused again. What passed is done and what was found stays; the rest is worth another try later.
var ErrInconsistent = errors.New("isolate: the answers contradict each other")

// Options are the optional inputs of a search.
type Options struct {
	// Learned is what earlier batches of the job have shown, and learns from this one. Nil starts from nothing.
	Learned *Learned
	// Suspects are ids of the batch that somebody has reason to think bad. Everybody else is asked about before them, together;
	// that is all: right, it saves most of the search, wrong, it costs a call or two. Nil lists suspect nobody.
	Suspects pairs.Rectangle
	// Width, when set, is how many probes may be under way at once, asked before each; without it, or below 2, they go one by
	// one, which takes the fewest calls.
	Width func() int
	// Found is called for every culprit as soon as it is proven, before the next probe, so that it can be kept.
	Found func(Finding)
}

// Run searches a batch of that size whose call was refused with first. It is New and Search.Run in one.
func Run(ctx context.Context, batch pairs.Size, first Answer, opts Options, probe Probe) (Result, error) {
	s, err := New(batch, first, opts)
	if err != nil {
		return Result{}, err
	}
	return s.Run(ctx, probe)
}

// New begins the search of a batch of that size, the call with all of it having been refused with first. It fails if
// there is no user or no role, or if first is not a refusal. No known bad id may be part of the batch.
func New(batch pairs.Size, first Answer, opts Options) (*Search, error) {
	if batch.Users < 1 || batch.Roles < 1 {
		return nil, fmt.Errorf("isolate: a batch of %d users × %d roles has nothing to search", batch.Users, batch.Roles)
	}
	if first.Passed {
		return nil, errors.New("isolate: the first answer must be a refusal, this one passed")
	}
	s := &Search{
		learned: opts.Learned,
		found:   opts.Found,
		width:   opts.Width,
		removed: pairs.None(batch),
		tried:   pairs.None(batch),
		result: Result{
			BadUsers: map[pairs.User]any{},
			BadRoles: map[pairs.Role]any{},
			BadPairs: map[pairs.Pair]any{},
		},
	}
	if s.width == nil {
		s.width = func() int { return 1 }
	}
	s.users = newAxis(batch.Users, func() distribution { return s.learned.users() }, s.reportUser)
	s.roles = newAxis(batch.Roles, func() distribution { return s.learned.roles() }, s.reportRole)
	mark(s.users.suspect, opts.Suspects.Users, true)
	mark(s.roles.suspect, opts.Suspects.Roles, true)
	s.refused(batch.Whole(), first)
	return s, nil
}

// Run goes on with the search until every pair is accounted for, the probe returns an error, or ctx ends. After an
// error Run may be called again and goes on where it stopped. The result holds all that is known so far, with or
// without an error. It returns when no probe is under way.
func (s *Search) Run(ctx context.Context, probe Probe) (Result, error) {
	defer s.teach()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	answers := make(chan answered)
	var failed error
	for {
		for failed == nil && len(s.underWay) < max(1, s.width()) {
			q, ok := s.next()
			if !ok {
				break
			}
			if failed = ctx.Err(); failed == nil {
				asking, withdraw := context.WithCancel(ctx)
				q.withdraw, q.sent = withdraw, s.result.Probes
				s.ask(&q, true)
				go func() { answers <- send(asking, probe, &q) }()
			}
		}
		if len(s.underWay) == 0 {
			return s.snapshot(), failed
		}
		a := <-answers
		a.withdraw()
		s.ask(a.question, false)
		switch {
		case a.panic != nil:
			defer panic(a.panic)
			a.err = errPanicked
		case a.err == nil:
			s.result.Probes++
			if a.err = s.learn(a.question, a.answer); a.answer.TakenIn != nil {
				a.answer.TakenIn()
			}
			s.withdraw()
		case a.needless:
			a.err = nil
		}
		if a.err != nil && failed == nil {
			failed = a.err
			stop()
		}
	}
}

// withdraw takes back what is under way and would call an id that has been found bad.
func (s *Search) withdraw() {
	for _, q := range s.underWay {
		if s.explained(q.Rectangle) {
			q.needless = true
			q.withdraw()
		}
	}
}

// errPanicked ends the other probes where one panicked; Run panics then itself.
var errPanicked = errors.New("isolate: a probe panicked")

// answered is a question with its answer.
type answered struct {
	*question
	answer Answer
	err    error
	panic  any
}

// send probes. The probe gets lists of its own: what it does with them is not the search's business.
func send(ctx context.Context, probe Probe, q *question) (a answered) {
	a.question = q
	defer func() { a.panic = recover() }()
	a.answer, a.err = probe(ctx, pairs.Rectangle{Users: slices.Clone(q.Users), Roles: slices.Clone(q.Roles)})
	return a
}

// ask notes that a question is under way, or not any more.
func (s *Search) ask(q *question, now bool) {
	if now {
		s.underWay = append(s.underWay, q)
	} else {
		s.underWay = slices.DeleteFunc(s.underWay, func(x *question) bool { return x == q })
	}
	if q.ofUsers {
		mark(s.users.asked, q.Users, now)
	}
	if q.ofRoles {
		mark(s.roles.asked, q.Roles, now)
	}
}

func mark[ID pairs.User | pairs.Role](flags []bool, ids []ID, value bool) {
	for _, id := range ids {
		flags[id] = value
	}
}
