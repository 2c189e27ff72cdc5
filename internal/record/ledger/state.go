package ledger

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/tasks"
)

// Kind is what became of a pair.
type Kind string

const (
	Pending Kind = "pending"
	Removed Kind = "removed"
	// Restored is what Rows calls a pair of a part that adds, where the state of the part has Removed.
	Restored  Kind = "restored"
	Dead      Kind = "dead_letter"
	Cancelled Kind = "cancelled"
)

// Outcome is what became of some pairs of a part, with what DingTalk said about it.
type Outcome struct {
	Kind      Kind         `json:"k"`
	Reason    tasks.Reason `json:"why,omitempty"`
	ErrCode   int          `json:"code,omitempty"`
	SubCode   string       `json:"sub,omitempty"`
	ErrMsg    string       `json:"msg,omitempty"`
	RequestID string       `json:"req,omitempty"`
	Attempts  int          `json:"n,omitempty"`
	At        time.Time    `json:"at"`
	// Letter names the dead letter that holds the pairs (Dead), or that is tried again and will settle them (Pending).
	Letter string `json:"letter,omitempty"`
	// Given says that the role was given back and its management scope was not yet (Pending).
	Given bool `json:"given,omitempty"`
}

// PartState is what the ledger knows about one part besides its pairs. The zero value is a part that nobody has begun.
type PartState struct {
	version int64
	write   string // names the write of this version, so that one whose reply was lost is told from somebody else's
	// Children is the number of parts that this one was split into; its pairs are theirs then.
	Children int
	// Tries are those that were answered "busy".
	Tries Tries

	// What became of each pair of the part, user by user: 0 is nothing, n is outcomes[n-1]. While all have the same, which
	// is usual, pairs is nil and it stands in all.
	pairs    []uint16
	all      uint16
	outcomes []Outcome
}

// stored is the form of a PartState in Redis. Runs are pairs of (outcome, how many pairs in a row).
type stored struct {
	Write    string `json:"w,omitempty"`
	Children int    `json:"children,omitempty"`
	Tries
	Runs     [][2]int  `json:"runs,omitempty"`
	Outcomes []Outcome `json:"outcomes,omitempty"`
}

// decodeState reads "VERSION|JSON" of a part of so many pairs; the empty string is the zero state.
func decodeState(s string, total int) (PartState, error) {
	if s == "" {
		return PartState{}, nil
	}
	head, body, _ := strings.Cut(s, "|")
	version, err := strconv.ParseInt(head, 10, 64)
	if err != nil {
		return PartState{}, fmt.Errorf("part state: %w", err)
	}
	var st stored
	if err := json.Unmarshal([]byte(body), &st); err != nil {
		return PartState{}, fmt.Errorf("part state: %w", err)
	}
	ps := PartState{version: version, write: st.Write, Children: st.Children, Tries: st.Tries, outcomes: st.Outcomes}
	for _, run := range st.Runs {
		if run[0] < 0 || run[0] > min(len(st.Outcomes), math.MaxUint16) {
			return PartState{}, fmt.Errorf("part state: run %v of %d outcomes", run, len(st.Outcomes))
		}
	}
	switch {
	case len(st.Runs) == 0:
	case len(st.Runs) == 1 && st.Runs[0][1] == total:
		ps.all = uint16(st.Runs[0][0])
	default:
		if ps.pairs, err = pairs.Unrolled(func(yield func(uint16, int) bool) {
			for _, run := range st.Runs {
				if !yield(uint16(run[0]), run[1]) {
					return
				}
			}
		}, total); err != nil {
			return PartState{}, fmt.Errorf("part state: %w", err)
		}
	}
	return ps, nil
}

// encode returns the stored form, under the given version, of the state of a part of so many pairs.
func (s *PartState) encode(version int64, total int) (string, error) {
	st := stored{Write: s.write, Children: s.Children, Tries: s.Tries, Outcomes: s.outcomes}
	if s.all != 0 {
		st.Runs = [][2]int{{int(s.all), total}}
	}
	for o, n := range pairs.Runs(s.pairs) {
		st.Runs = append(st.Runs, [2]int{int(o), n})
	}
	if len(st.Runs) == 1 && st.Runs[0][0] == 0 {
		st.Runs = nil // nothing happened to any of them
	}
	body, err := json.Marshal(st)
	if err != nil {
		return "", fmt.Errorf("part state: %w", err)
	}
	return strconv.FormatInt(version, 10) + "|" + string(body), nil
}

// of returns the outcome of pair i, not to be changed.
func (s *PartState) of(i int) *Outcome {
	o := s.all
	if s.pairs != nil {
		o = s.pairs[i]
	}
	if o == 0 {
		return &untouched
	}
	return &s.outcomes[o-1]
}

// same returns the outcome that all pairs have, if they have the same, not to be changed.
func (s *PartState) same() (o *Outcome, ok bool) {
	if s.pairs != nil {
		return nil, false
	}
	return s.of(0), true
}

// spread gives each of so many pairs an entry of its own.
func (s *PartState) spread(total int) {
	if s.pairs == nil {
		s.pairs = make([]uint16, total)
		for i := range s.pairs {
			s.pairs[i] = s.all
		}
		s.all = 0
	}
}

// untouched is the outcome of a pair that nothing has happened to.
var untouched = Outcome{Kind: Pending}

// Delta is a change of a job's counts; what leaves one kind enters another.
type Delta struct{ Removed, Dead, Cancelled int64 }

func (d *Delta) add(k Kind, n int64) {
	switch k {
	case Removed:
		d.Removed += n
	case Dead:
		d.Dead += n
	case Cancelled:
		d.Cancelled += n
	}
}

// allowed says which changes of a pair there are: a pending one ends, a dead one is opened again by its letter, or moves
// to another one. What is given and waits for its scope is not cancelled: somebody would have a role and not its scope.
func allowed(from, to *Outcome) bool {
	switch from.Kind {
	case Pending:
		if from.Given {
			return to.Kind == Removed || to.Kind == Dead
		}
		return to.Kind != Pending || to.Given
	case Dead:
		return to.Kind == Pending || to.Kind == Dead && to.Letter != from.Letter
	default:
		return false
	}
}

// Settlement gives one outcome to some pairs of a part: those of a rectangle of its users and roles, nil meaning all of
// them.
type Settlement struct {
	Pairs   pairs.Rectangle
	Outcome Outcome
}

// apply changes the owned pairs named by the settlement where the change is allowed, and returns what it changed.
func (s *PartState) apply(p *tasks.Part, st Settlement) Delta {
	var d Delta
	if s.Children > 0 {
		return d // the pairs are the children's
	}
	size := pairs.SizeOf(p)
	rect := size.Whole()
	if st.Pairs.Users != nil {
		rect.Users = st.Pairs.Users
	}
	if st.Pairs.Roles != nil {
		rect.Roles = st.Pairs.Roles
	}
	if from, ok := s.same(); ok && p.Own == nil && rect.Size() == size {
		if allowed(from, &st.Outcome) {
			d.add(from.Kind, -int64(p.Pairs()))
			d.add(st.Outcome.Kind, int64(p.Pairs()))
			s.outcomes = append(s.outcomes, st.Outcome)
			s.all = uint16(len(s.outcomes))
		}
		return d
	}
	index := uint16(0)
	for u, r := range rect.All() {
		i := size.Number(u, r)
		from := s.of(i)
		if !p.Own.Has(i) || !allowed(from, &st.Outcome) {
			continue
		}
		if index == 0 {
			s.spread(p.Pairs())
			s.outcomes = append(s.outcomes, st.Outcome)
			index = uint16(len(s.outcomes))
		}
		d.add(from.Kind, -1)
		d.add(st.Outcome.Kind, 1)
		s.pairs[i] = index
	}
	return d
}

// compact drops outcomes that no pair has any more, so that a dead letter may be tried again any number of times.
func (s *PartState) compact() {
	used := make([]uint16, len(s.outcomes)+1)
	used[s.all] = 1
	for _, o := range s.pairs {
		used[o] = 1
	}
	var kept []Outcome
	for o := 1; o < len(used); o++ {
		if used[o] != 0 {
			kept = append(kept, s.outcomes[o-1])
			used[o] = uint16(len(kept))
		}
	}
	used[0] = 0
	if len(kept) == len(s.outcomes) {
		return
	}
	for i, o := range s.pairs {
		s.pairs[i] = used[o]
	}
	s.all = used[s.all]
	s.outcomes = kept
}

// clone returns a copy that shares nothing that apply changes.
func (s *PartState) clone() PartState {
	c := *s
	c.pairs = append([]uint16(nil), s.pairs...)
	c.outcomes = append([]Outcome(nil), s.outcomes...)
	return c
}
