package console

import (
	"strconv"
	"time"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/run/fleet"
	"github.com/unrole/unrole/tasks"
)

// fleetView is what the page of the fleet shows.
type fleetView struct {
	Pace    texts.Text
	Class   string
	Ceiling string
	Hold    *heldView
	Lanes   []laneLine
	Workers []fleet.Worker
	Minutes []minuteLine
	Letters int64
	Oldest  time.Duration
}

type laneLine struct {
	fleet.Queue
	Title texts.Text
}

type minuteLine struct {
	Start          time.Time
	Accepted, Else int64
}

func (c *Console) fleetPage(v *visit) error {
	ctx := v.r.Context()
	status, err := c.cfg.Pacer.Status(ctx)
	if err != nil {
		return err
	}
	queues, err := c.fleet.Queues(ctx)
	if err != nil {
		return err
	}
	page := &fleetView{Hold: heldOf(status.Hold), Ceiling: decimal(status.Ceiling)}
	page.Pace, page.Class = paceOf(status)
	for _, q := range queues {
		if q.Name == tasks.QueueDeadLetter {
			page.Letters = int64(q.Scheduled)
			continue
		}
		page.Lanes = append(page.Lanes, laneLine{q, laneOf(q.Name)})
		page.Oldest = max(page.Oldest, q.Oldest)
	}
	if page.Workers, err = c.fleet.Workers(ctx); err != nil {
		return err
	}
	for _, m := range status.Minutes {
		l := minuteLine{Start: m.Start}
		for kind, n := range m.Calls {
			if kind == pace.Accepted {
				l.Accepted += n
			} else {
				l.Else += n
			}
		}
		page.Minutes = append([]minuteLine{l}, page.Minutes...)
	}
	v.Page, v.Here, v.Title, v.Reload = page, "fleet", texts.T("Fleet"), 10
	return v.show("fleet.html", 200)
}

// paceOf says how fast DingTalk is called, and why not faster.
func paceOf(s pace.Status) (texts.Text, string) {
	switch {
	case s.Hold != nil:
		return texts.T("nobody calls DingTalk: the fleet holds"), "bad"
	case s.Outage != nil:
		return texts.T("nobody calls DingTalk: it does not answer, and is probed"), "bad"
	case s.Pause != nil:
		return texts.T("nobody calls DingTalk: it asked for a pause"), "wait"
	case s.Why == pace.Slowed:
		return texts.T("%s calls a second, slowed by busy or throttled answers", decimal(s.Rate)), "wait"
	case s.Why == pace.Testing:
		return texts.T("%s calls a second, lowered to see whether busy answers come from the pace", decimal(s.Rate)), "wait"
	}
	return texts.T("up to %s calls a second", decimal(s.Rate)), "good"
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'g', 3, 64) }
