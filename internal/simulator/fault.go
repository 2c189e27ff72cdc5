package simulator

import (
	"fmt"
	"strings"
	"time"
)

// FaultKind is something that no call succeeds under.
type FaultKind string

const (
	// FaultPermission answers 60011: the app lacks the permission.
	FaultPermission FaultKind = "permission"
	// FaultIPNotAllowed answers 60020: the caller is not on the white list.
	FaultIPNotAllowed FaultKind = "ip-not-allowed"
	// FaultDisabled answers 50003: the app is switched off.
	FaultDisabled FaultKind = "disabled"
	// FaultIPBan answers without an errcode: the ban's JSON, or its HTML page.
	FaultIPBan FaultKind = "ip-ban"
	// FaultQuota answers 90020: the monthly quota is spent.
	FaultQuota FaultKind = "quota"
	// FaultThrottled answers 90002: this app calls too much in all.
	FaultThrottled FaultKind = "throttled"
	// FaultBusy answers -1.
	FaultBusy FaultKind = "busy"
	// FaultOutage answers with a proxy's error page.
	FaultOutage FaultKind = "outage"
	// FaultUnreachable drops every connection.
	FaultUnreachable FaultKind = "unreachable"
	// FaultToken refuses every token, fresh ones too.
	FaultToken FaultKind = "token"
	// FaultCredentials makes gettoken refuse the secret and the tokens so far invalid.
	FaultCredentials FaultKind = "credentials"
	// FaultRefusesUsers refuses every user as invalid: the credentials of another organisation.
	FaultRefusesUsers FaultKind = "refuses-users"
	// FaultBadRequest refuses every call as malformed.
	FaultBadRequest FaultKind = "bad-request"
)

var faultKinds = []FaultKind{FaultPermission, FaultIPNotAllowed, FaultDisabled, FaultIPBan, FaultQuota, FaultThrottled,
	FaultBusy, FaultOutage, FaultUnreachable, FaultToken, FaultCredentials, FaultRefusesUsers, FaultBadRequest}

func faultNames() []string {
	var names []string
	for _, kind := range faultKinds {
		names = append(names, string(kind))
	}
	return names
}

// Fault is a fault and its time: it begins After the simulator's start and lasts For; 0 means to the end.
type Fault struct {
	Kind  FaultKind
	After time.Duration
	For   time.Duration
}

func (f Fault) validate() error {
	for _, kind := range faultKinds {
		if f.Kind == kind {
			if f.After < 0 || f.For < 0 {
				return fmt.Errorf("%s: its time is negative", f.Kind)
			}
			return nil
		}
	}
	return fmt.Errorf("%q is not one of %s", f.Kind, strings.Join(faultNames(), ", "))
}

func (f Fault) activeAt(since time.Duration) bool {
	return since >= f.After && (f.For == 0 || since < f.After+f.For)
}

// String is the fault as ParseFault reads it.
func (f Fault) String() string {
	s := string(f.Kind)
	if f.For > 0 || f.After > 0 {
		s += "=" + f.For.String()
	}
	if f.After > 0 {
		s += "@" + f.After.String()
	}
	return s
}

// ParseFault reads KIND, KIND=FOR or KIND=FOR@AFTER; a FOR of 0 means to the end.
func ParseFault(s string) (Fault, error) {
	kind, times, timed := strings.Cut(s, "=")
	f := Fault{Kind: FaultKind(kind)}
	if timed {
		lasts, after, later := strings.Cut(times, "@")
		var err error
		if f.For, err = time.ParseDuration(lasts); err != nil {
			return Fault{}, fmt.Errorf("%q is not a time such as 15s", lasts)
		}
		if later {
			if f.After, err = time.ParseDuration(after); err != nil {
				return Fault{}, fmt.Errorf("%q is not a time such as 5s", after)
			}
		}
	}
	return f, f.validate()
}

// faultList is Options.Faults as a flag that may be repeated.
type faultList []Fault

func (l *faultList) String() string {
	var all []string
	for _, f := range *l {
		all = append(all, f.String())
	}
	return strings.Join(all, ",")
}

func (l *faultList) Set(s string) error {
	f, err := ParseFault(s)
	if err != nil {
		return err
	}
	*l = append(*l, f)
	return nil
}

func (l *faultList) Type() string { return "fault" }

// Fail makes a fault begin now and last for d, or until Recover when d is 0.
func (s *Simulator) Fail(kind FaultKind, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := Fault{Kind: kind, After: s.now().Sub(s.began), For: d}
	if err := f.validate(); err != nil {
		panic("simulator: " + err.Error())
	}
	s.faults = append(s.faults, f)
}

// Recover ends every fault of Options.Faults and of Fail, and those yet to come.
func (s *Simulator) Recover() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// failing reports whether a fault is active; s.mu is held.
func (s *Simulator) failing(kind FaultKind, now time.Time) bool {
	for _, f := range s.faults {
		if f.Kind == kind && f.activeAt(now.Sub(s.began)) {
			return true
		}
	}
	return false
}
