package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/report"
)

// replacement is a file that takes the place of an older one only when it is complete, so that it may even have the
// name of the input. A pipe or a device is written as it is.
type replacement struct {
	*os.File
	flag, name string
	direct     bool
	kept       bool
}

// newReplacement begins a file and fails, with exitUsage, where it could not be completed later.
func newReplacement(flag, name string) (*replacement, error) {
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target
	}
	switch info, err := os.Stat(name); {
	case err == nil && info.IsDir():
		return nil, exitWith(exitUsage, texts.T("%s: %s is a directory: name a file in it", flag, name))
	case err == nil && !info.Mode().IsRegular():
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return nil, exitWith(exitUsage, texts.T("%s: %v", flag, err))
		}
		return &replacement{File: f, flag: flag, name: name, direct: true}, nil
	}
	if _, err := os.Stat(filepath.Dir(name)); err != nil {
		return nil, exitWith(exitUsage, texts.T("%s: %v", flag, err))
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return nil, exitWith(exitUsage, texts.T("%s: %v", flag, err))
	}
	return &replacement{File: f, flag: flag, name: name}, nil
}

// keep completes the file under its name. Where that cannot be had, such as of a file that a spreadsheet has open, what
// was written stays beside it.
func (r *replacement) keep() error {
	r.kept = true
	if err := r.Close(); err != nil {
		return texts.T("%s: %v", r.flag, err)
	}
	if r.direct {
		return nil
	}
	if err := os.Rename(r.File.Name(), r.name); err != nil {
		return texts.T("%s: %v; it is in %s", r.flag, err, r.File.Name())
	}
	return nil
}

// discard removes what was not completed.
func (r *replacement) discard() {
	r.Close()
	if !r.kept && !r.direct {
		os.Remove(r.File.Name())
	}
}

// reportTarget is the file of a report in the form of its name.
type reportTarget struct {
	*replacement
	write report.Format
}

// newReportTarget checks a --report before the list is read and DingTalk is asked anything: what cannot be written is noticed now.
// input is the file of the list, which a report must not replace. Without a name there is none.
func (a *app) newReportTarget(flag, name, input string) (*reportTarget, error) {
	if name == "" {
		return nil, nil
	}
	write, err := report.FormatOf(name)
	if err != nil {
		return nil, exitWith(exitUsage, texts.T("%s: %v", flag, err))
	}
	if there, err := os.Stat(name); err == nil {
		if list, err := os.Stat(input); err == nil && os.SameFile(there, list) {
			return nil, exitWith(exitUsage, texts.T("%s: %s is the list itself: give the report another name", flag, name))
		}
	}
	out, err := newReplacement(flag, name)
	if err != nil {
		return nil, err
	}
	return &reportTarget{out, write}, nil
}

// writeReport completes the report of a job, and says where it is.
func (a *app) writeReport(ctx context.Context, out *reportTarget, l *ledger.Ledger, job ledger.Job, from *listed) error {
	if err := out.write(ctx, l, job, out, a.reportOptions(job, from)); err != nil {
		return err
	}
	if err := out.keep(); err != nil {
		return err
	}
	a.note(texts.T("report: %s", out.name))
	if list := from.list(); list != nil && list.Strange > 0 {
		a.note(texts.Count(list.Strange, "%d row of the list names no pair of the job", "%d rows of the list name no pair of the job"))
	}
	return nil
}

// reportOptions are those of a report for people.
func (a *app) reportOptions(job ledger.Job, from *listed) report.Options {
	return report.Options{Words: true, Lang: a.lang, Zone: a.now().Location(), List: from.list(), Known: from.known(), Simulated: job.Simulated,
		Page: report.Page{Now: a.now(), Version: readBuildInfo().Version}}
}

// listed is what a report says besides what the record knows: the rows of the list, and who and what was found in DingTalk. Either
// may be nil, and so may the whole.
type listed struct {
	rows  *report.List
	names *report.Known
}

func (l *listed) list() *report.List {
	if l == nil {
		return nil
	}
	return l.rows
}

func (l *listed) known() *report.Known {
	if l == nil {
		return nil
	}
	return l.names
}
