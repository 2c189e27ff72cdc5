package dingtalk

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/unrole/unrole/internal/base/wait"
)

const (
	// earlyRefresh is how long before its end a token is renewed (A: asking again extends the same token).
	earlyRefresh = 10 * time.Minute
	// shortValidity is assumed for a token whose answer does not say how long it lives.
	shortValidity = 10 * time.Minute
	// busyTries is how often one flight asks a busy gettoken.
	busyTries = 3
	busyPause = 200 * time.Millisecond
	// busyMemory and the client's FailureMemory keep a failed gettoken from being asked again by every call.
	busyMemory   = time.Second
	memoryGrowth = 5
)

// token is one answer of gettoken. Tokens are compared by their number, since asking again may return the same text.
type token struct {
	text      string
	number    uint64
	refreshAt time.Time
	expiresAt time.Time
}

// tokenSource keeps one app's token: cached, renewed early by one flight at a time, and dropped only by a call that
// was refused with that very token.
type tokenSource struct {
	fetch   func(context.Context) (text string, validity time.Duration, err error)
	now     func() time.Time
	timeout time.Duration // of a whole flight
	memory  time.Duration // of the first failure for credentials
	static  string        // a given token, which cannot be renewed

	mu        sync.Mutex
	closed    bool
	cached    *token
	number    uint64
	flight    *flight
	failure   error
	failures  int // in a row, for credentials
	notBefore time.Time

	newestWorked uint64 // the number of the newest token that a call was taken with
}

type flight struct {
	done   chan struct{}
	cancel context.CancelFunc
	token  token
	err    error
}

func (s *tokenSource) renewable() bool { return s.static == "" }

// get returns a token, from memory where possible. While a token is still valid its renewal is not waited for. The
// wait ends with ctx; the flight goes on for the others.
func (s *tokenSource) get(ctx context.Context) (token, error) {
	if !s.renewable() {
		return token{text: s.static}, nil
	}
	s.mu.Lock()
	now := s.now()
	valid := s.cached != nil && now.Before(s.cached.expiresAt)
	if valid && now.Before(s.cached.refreshAt) {
		defer s.mu.Unlock()
		return *s.cached, nil
	}
	if s.flight == nil && !s.closed && !now.Before(s.notBefore) {
		s.takeOff()
	}
	f := s.flight
	if valid {
		defer s.mu.Unlock()
		return *s.cached, nil
	}
	if f == nil {
		defer s.mu.Unlock()
		if s.closed {
			return token{}, errClosed
		}
		return token{}, s.remembered(now)
	}
	s.mu.Unlock()
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		return token{}, ctx.Err()
	}
}

var errClosed = errors.New("the client is closed")

// remembered is the failure that keeps gettoken from being asked, with what is left of its wait; s.mu is held.
func (s *tokenSource) remembered(now time.Time) error {
	var e *Error
	if !errors.As(s.failure, &e) || e.Wait == 0 {
		return s.failure
	}
	left := *e
	left.Wait = s.notBefore.Sub(now)
	return &left
}

// refused drops the token that a call was refused with, unless it has been renewed since. It reports whether DingTalk
// had taken that very token before.
func (s *tokenSource) refused(t token) (hadWorked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cached != nil && s.cached.number == t.number {
		s.cached = nil
	}
	return t.number != 0 && t.number <= s.newestWorked
}

// worked notes that DingTalk took the token.
func (s *tokenSource) worked(t token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.newestWorked = max(s.newestWorked, t.number)
}

// takeOff begins a flight; s.mu is held.
func (s *tokenSource) takeOff() {
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	f := &flight{done: make(chan struct{}), cancel: cancel}
	s.flight = f
	go func() {
		defer cancel()
		text, validity, err := s.ask(ctx)
		s.mu.Lock()
		s.land(f, text, validity, err)
		s.mu.Unlock()
		close(f.done)
	}()
}

// ask asks a busy gettoken again, since a whole fleet of calls waits for the answer.
func (s *tokenSource) ask(ctx context.Context) (text string, validity time.Duration, err error) {
	pause := busyPause
	for try := 1; ; try++ {
		text, validity, err = s.fetch(ctx)
		var e *Error
		if err == nil || try == busyTries || !errors.As(err, &e) || e.Class != ClassBusy {
			return text, validity, err
		}
		if wait.For(ctx, pause) != nil {
			return text, validity, err
		}
		pause *= 3
	}
}

// land keeps what a flight brought; s.mu is held.
func (s *tokenSource) land(f *flight, text string, validity time.Duration, err error) {
	s.flight = nil
	now := s.now()
	if err != nil {
		f.err, s.failure = err, err
		s.notBefore = now.Add(s.remember(err))
		return
	}
	if validity <= 0 {
		validity = shortValidity
	}
	s.failure, s.failures, s.notBefore = nil, 0, time.Time{}
	s.number++
	f.token = token{
		text:      text,
		number:    s.number,
		refreshAt: now.Add(validity - min(earlyRefresh, validity/2)),
		expiresAt: now.Add(validity),
	}
	s.cached = &f.token
}

// remember says for how long a failure answers in place of gettoken.
func (s *tokenSource) remember(err error) time.Duration {
	var e *Error
	switch {
	case !errors.As(err, &e):
		return 0
	case e.Class == ClassBusy:
		return busyMemory
	case e.Class == ClassThrottled && e.Limit != LimitQuota:
		return e.Wait
	}
	s.failures++
	return wait.Backoff{First: s.memory, Most: memoryGrowth * s.memory}.After(s.failures)
}

// close ends a flight under way and begins no other.
func (s *tokenSource) close() {
	s.mu.Lock()
	s.closed = true
	f := s.flight
	s.mu.Unlock()
	if f != nil {
		f.cancel()
		<-f.done
	}
}
