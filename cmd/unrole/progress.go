package main

import (
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress is a bar on stderr where that is a terminal, and nothing elsewhere. A nil progress does nothing.
type progress struct{ bar *progressbar.ProgressBar }

// newProgress starts a bar of total steps; total -1 is for work of unknown size.
func (a *app) newProgress(total int, unit string) *progress {
	if !a.isTerminal(a.stderr) {
		return nil
	}
	return &progress{progressbar.NewOptions(total,
		progressbar.OptionSetWriter(a.stderr),
		progressbar.OptionSetItsString(unit),
		progressbar.OptionShowIts(), progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetWidth(24), progressbar.OptionClearOnFinish(),
	)}
}

// set says how many steps are done.
func (p *progress) set(done int) {
	if p != nil {
		p.bar.Set(done)
	}
}

// describe puts a word in front of the bar, such as why the fleet waits.
func (p *progress) describe(s string) {
	if p != nil {
		p.bar.Describe(s)
	}
}

// done takes the bar off the terminal, so that what follows stands on a line of its own.
func (p *progress) done() {
	if p != nil {
		p.bar.Finish()
	}
}
