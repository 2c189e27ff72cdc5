package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/out/outcome"
	"github.com/unrole/unrole/internal/out/pace"
)

func paceStatusOf(p pace.Status) paceStatus {
	s := paceStatus{Ceiling: p.Ceiling, Rate: p.Rate, Why: p.Why, Granted: p.Granted, Accepted: p.Accepted}
	if p.Pause != nil {
		s.Pause = &pauseStatus{p.Pause.Until, p.Pause.Limit, p.Pause.Why}
	}
	if h := p.Hold; h != nil {
		s.Hold = &holdStatus{Kind: h.Kind, Message: h.Message, Named: h.Named, Since: h.Since, Remedy: outcome.RemedyOf(h.Kind).String()}
		if !h.NextProbe.IsZero() {
			s.Hold.NextProbe = &h.NextProbe
		}
	}
	if p.Outage != nil {
		s.OutageSince = &p.Outage.Since
	}
	if s.Pause != nil || s.Hold != nil || s.OutageSince != nil {
		s.Rate = 0
	}
	return s
}

// printStatus prints the JSON object, or one screen.
func (a *app) printStatus(s fleetStatus) error {
	if a.output == outputJSON {
		return a.printJSON(s)
	}
	t := a.newTable()
	t.row("pace", paceWords(s))
	rowsOfHold(t, "hold", s.Pace.Hold)
	rowsOfHold(t, "hold of restores", s.Adding.Hold)
	t.row("lookups", lookupWords(s.Lookups))
	t.row("staff numbers", s.indexWords)
	t.row("workers", workerWords(s.Workers))
	backlog := counted(s.Backlog, "part", "parts")
	if s.Backlog > 0 {
		backlog += ", the oldest waits " + duration(s.OldestSeconds).String()
	}
	t.row("backlog", backlog)
	for _, q := range s.Unserved {
		t.row("nobody serves", fmt.Sprintf("queue %s, and %s in it", q.Queue, counted(q.Tasks, "task", "tasks")))
	}
	letters := "none"
	if s.DeadLetters > 0 {
		letters = thousands(s.DeadLetters) + "; unrole deadletter list shows them"
	}
	if s.Retried > 0 {
		letters += fmt.Sprintf("; %s tried again", thousands(s.Retried))
	}
	t.row("dead letters", letters)
	if err := t.print(); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout)
	if err := a.printLanes(s); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout)
	return a.printMinutes(s)
}

func rowsOfHold(t *alignedTable, name string, h *holdStatus) {
	if h == nil {
		return
	}
	t.row(name, pace.HoldReason{Kind: h.Kind, Message: h.Message, Named: h.Named}.Words())
	since := "since " + clockTime(h.Since)
	if h.NextProbe != nil {
		since += ", probed next at " + clockTime(*h.NextProbe)
	}
	t.row("", since)
	t.row("", "remedy: "+h.Remedy)
}

func (a *app) printLanes(s fleetStatus) error {
	t := a.newTable("lane", "pending", "active", "retry", "scheduled", "oldest", "")
	for _, l := range s.Lanes {
		var notes []string
		if l.Paused {
			notes = append(notes, "paused in the web UI")
		}
		if l.Archived > 0 {
			notes = append(notes, thousands(l.Archived)+" archived")
		}
		oldest := "-"
		if l.Pending+l.Active > 0 {
			oldest = duration(l.OldestSeconds).String()
		}
		t.row(l.Lane, thousands(l.Pending), thousands(l.Active), thousands(l.Retry), thousands(l.Scheduled), oldest, strings.Join(notes, ", "))
	}
	return t.print()
}

// printMinutes shows the calls of the last minutes, the newest first, with only the outcomes that happened.
func (a *app) printMinutes(s fleetStatus) error {
	total := map[pace.AnswerKind]int64{}
	for _, m := range s.Minutes {
		for kind, n := range m.Calls {
			total[kind] += n
		}
	}
	header := []string{"calls in the minute of"}
	var shown []pace.AnswerKind
	for _, kind := range pace.AnswerKinds() {
		if kind == pace.Accepted || total[kind] > 0 {
			shown = append(shown, kind)
			header = append(header, strings.ReplaceAll(string(kind), "_", " "))
		}
	}
	t := a.newTable(cellsOf(header)...)
	for i := len(s.Minutes) - 1; i >= 0; i-- {
		m := s.Minutes[i]
		row := []string{m.Start.Local().Format("15:04")}
		for _, kind := range shown {
			row = append(row, thousands(int(m.Calls[kind])))
		}
		t.row(cellsOf(row)...)
	}
	return t.print()
}

// paceWords is the pace now, and why it is not the ceiling.
func paceWords(s fleetStatus) string {
	p := s.Pace
	ceiling := fmt.Sprintf("ceiling %.4g calls/s", p.Ceiling)
	switch {
	case p.Hold != nil:
		return "nobody calls: hold (" + ceiling + ")"
	case p.OutageSince != nil:
		return fmt.Sprintf("nobody calls: DingTalk has not answered since %s; it is probed (%s)", clockTime(*p.OutageSince), ceiling)
	case p.Pause != nil:
		return fmt.Sprintf("nobody calls: throttled (%s, %s) until %s (%s)", p.Pause.Scope, p.Pause.Why, clockTime(p.Pause.Until), ceiling)
	case p.Why == pace.Slowed:
		return fmt.Sprintf("%.3g calls/s, slowed by busy or throttled answers (%s)", p.Rate, ceiling)
	case p.Why == pace.Testing:
		return fmt.Sprintf("%.3g calls/s, lowered to see whether busy answers come from the pace (%s)", p.Rate, ceiling)
	}
	return fmt.Sprintf("%.3g calls/s (%s)", p.Rate, ceiling)
}

// mostWorkers is how many workers are named.
const mostWorkers = 5

func workerWords(workers []workerStatus) string {
	if len(workers) == 0 {
		return "none: nothing is removed; start one with unrole worker"
	}
	var names []string
	for i, w := range workers {
		if i == mostWorkers {
			names = append(names, "…")
			break
		}
		name := fmt.Sprintf("%s:%d", w.Host, w.PID)
		switch {
		case w.Leads && w.Stopping:
			name += " (has the lead, stopping)"
		case w.Leads:
			name += " (has the lead)"
		case w.Stopping:
			name += " (stopping)"
		}
		names = append(names, name)
	}
	return fmt.Sprintf("%s (%s)", thousands(len(workers)), strings.Join(names, ", "))
}

func clockTime(t time.Time) string { return t.Local().Format(time.TimeOnly) }
