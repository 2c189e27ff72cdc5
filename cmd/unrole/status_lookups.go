package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/run/fleet"
)

// lookupStatus is the pace of one of DingTalk's APIs that read.
type lookupStatus struct {
	API     string          `json:"api"`
	Ceiling float64         `json:"ceiling"`
	Rate    float64         `json:"rate"`
	Why     pace.RateReason `json:"why"`
	Pause   *pauseStatus    `json:"pause"`
	Granted int64           `json:"granted"`
}

// indexStatus is how the index of the directory is.
type indexStatus struct {
	ReadAt    *time.Time `json:"read_at"`
	People    int        `json:"people"`
	Reading   bool       `json:"reading"`
	ReadSoFar int        `json:"read_so_far"`
	Wanted    bool       `json:"wanted"`
	FailedAt  *time.Time `json:"failed_at"`
	FailedWhy string     `json:"failed_because"`
}

func lookupsStatusOf(l fleet.Lookups) []lookupStatus {
	all := []lookupStatus{}
	for _, api := range l.APIs {
		p := paceStatusOf(api.Status)
		all = append(all, lookupStatus{api.Name, p.Ceiling, p.Rate, p.Why, p.Pause, p.Granted})
	}
	return all
}

func indexStatusOf(l fleet.Lookups) *indexStatus {
	x := l.Index
	if x == nil {
		return nil
	}
	s := &indexStatus{People: x.People, Reading: x.Reading, ReadSoFar: x.SoFar, Wanted: x.Wanted, FailedWhy: x.Why}
	if !x.ReadAt.IsZero() {
		s.ReadAt = &x.ReadAt
	}
	if !x.FailedAt.IsZero() {
		s.FailedAt = &x.FailedAt
	}
	return s
}

// lookupWords is how people and roles are looked up now.
func lookupWords(lookups []lookupStatus) string {
	if len(lookups) == 0 {
		return "none within the last hour"
	}
	words := fmt.Sprintf("%s asked within the last hour, at %.4g calls/s each", counted(len(lookups), "API", "APIs"), lookups[0].Ceiling)
	var but []string
	for _, l := range lookups {
		switch {
		case l.Pause != nil:
			but = append(but, fmt.Sprintf("%s is throttled (%s, %s) until %s", l.API, l.Pause.Scope, l.Pause.Why, clockTime(l.Pause.Until)))
		case l.Why != pace.AtCeiling:
			but = append(but, fmt.Sprintf("%s at %.3g calls/s, slowed by throttled answers", l.API, l.Rate))
		}
	}
	if but == nil {
		return words
	}
	return words + "; " + strings.Join(but, "; ")
}
