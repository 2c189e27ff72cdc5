package simulator

import (
	"maps"
	"time"
)

// Codes of answers that are not DingTalk's, as Call.Code and Stats.ByCode name them.
const (
	CodeDropped   = "dropped"
	CodeProxyPage = "proxy page"
	CodeBan       = "ip ban"
)

// Call is one removal, or one call that gives roles, that reached the simulator.
type Call struct {
	// Number counts all calls, those to other APIs too, from 1.
	Number uint64
	// Arrived is by the simulator's clock.
	Arrived time.Time
	Roles   []int64
	Users   []string
	// Code is what was decided: "0", "33012", "90018", or one of CodeDropped, CodeProxyPage, CodeBan. An answer that
	// is lost or cut on its way has the code "0" and Lost set.
	Code string
	// Lost is set when the caller did not get the answer whole.
	Lost bool
	// Applied is how many pairs of the call were considered removed, or given: all, none, or the good ones of a refused call.
	Applied int
	// Violation is set for a call that breaks a documented limit.
	Violation bool
}

// Stats are counters of everything since the start.
type Stats struct {
	// Calls is all calls; Removals those to removerolesforemps; Tokens the answers of gettoken that brought a token.
	Calls    int
	Removals int
	Tokens   int
	// ByCode counts the removals by Call.Code.
	ByCode map[string]int
	// TokenCodes counts the calls to gettoken by code.
	TokenCodes map[string]int
	// RemovedPairs is how many pairs really left the directory.
	RemovedPairs int
	// Violations counts removals, and calls that give roles, that broke a documented limit.
	Violations int
	// PeakPerSecond is the most removals that arrived in one calendar second, whatever the answer.
	PeakPerSecond int
}

// Stats returns the counters so far.
func (s *Simulator) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.ByCode = maps.Clone(st.ByCode)
	st.TokenCodes = maps.Clone(st.TokenCodes)
	return st
}

// Calls returns the removals that are remembered, in the order of their arrival. The slices in it are shared.
func (s *Simulator) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Call, 0, len(s.calls))
	for _, c := range s.calls {
		all = append(all, *c)
	}
	return all
}

// Gifts returns the calls that gave roles and are remembered, in the order of their arrival. The slices in it are shared.
func (s *Simulator) Gifts() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Call, 0, len(s.gifts))
	for _, c := range s.gifts {
		all = append(all, *c)
	}
	return all
}

type pair struct {
	user string
	role int64
}

// tally is what became of one pair.
type tally struct{ called, taken int }

// Called is how many of the remembered removals covered the pair, whatever the answer.
func (s *Simulator) Called(userID string, roleID int64) int {
	return s.tallyOf(userID, roleID).called
}

// Taken is how many of the remembered removals covered the pair and were accepted, whether or not the answer arrived.
func (s *Simulator) Taken(userID string, roleID int64) int {
	return s.tallyOf(userID, roleID).taken
}

func (s *Simulator) tallyOf(userID string, roleID int64) tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index()
	return s.tallies[pair{userID, roleID}]
}

// CalledPairs is how many different pairs the remembered removals covered.
func (s *Simulator) CalledPairs() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index()
	return len(s.tallies)
}

// index counts the calls that came since it was last asked, so that a run that never asks does not pay; s.mu is held.
func (s *Simulator) index() {
	if s.tallies == nil || s.indexed > 0 && s.forgot {
		s.tallies, s.indexed, s.forgot = make(map[pair]tally), 0, false
	}
	for ; s.indexed < len(s.calls); s.indexed++ {
		c := s.calls[s.indexed]
		for _, u := range c.Users {
			for _, r := range c.Roles {
				t := s.tallies[pair{u, r}]
				t.called++
				if c.Code == "0" {
					t.taken++
				}
				s.tallies[pair{u, r}] = t
			}
		}
	}
}

// remember keeps a removal and counts it; s.mu is held.
func (s *Simulator) remember(c *Call) {
	s.stats.Removals++
	if c.Violation {
		s.stats.Violations++
	}
	if second := c.Arrived.Unix(); second != s.peakSecond {
		s.peakSecond, s.peakCount = second, 0
	}
	s.peakCount++
	s.stats.PeakPerSecond = max(s.stats.PeakPerSecond, s.peakCount)
	switch keep := s.opt.KeepCalls; {
	case keep < 0:
		return
	case keep > 0 && len(s.calls) >= 2*keep:
		s.calls = append(s.calls[:0], s.calls[len(s.calls)-keep+1:]...)
		s.forgot = true
	}
	s.calls = append(s.calls, c)
}

// rememberGift keeps a call that gives roles; s.mu is held.
func (s *Simulator) rememberGift(c *Call) {
	if c.Violation {
		s.stats.Violations++
	}
	switch keep := s.opt.KeepCalls; {
	case keep < 0:
		return
	case keep > 0 && len(s.gifts) >= 2*keep:
		s.gifts = append(s.gifts[:0], s.gifts[len(s.gifts)-keep+1:]...)
	}
	s.gifts = append(s.gifts, c)
}
