package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/report"
	"github.com/unrole/unrole/internal/run/config"
)

func (a *app) jobsReportCommand() *cobra.Command {
	var file, html, with string
	var in inputFlags
	cmd := &cobra.Command{
		Use:   "report JOB",
		Short: "Say what became of every requested pair",
		Long: `report writes one row for every requested pair to stdout, as CSV or as JSON lines; a million rows are no matter. With
--report it writes a file for people, as .csv, .xlsx, .html or .json by its name, with each outcome in words and what to do.

An .html file is one self-contained page for an auditor: who asked for what and why, the totals, the dead letters with
their reasons, and the pairs, searchable. It lists up to 20,000 removed pairs and everything else whole. --html FILE is
the same under any name (- is stdout).

--with names the list that the job was submitted from: the report then has its columns (name, department …) and its order.
Redis keeps ids only: people and roles that the list names otherwise are looked up in DingTalk again, which takes the app's
credentials.`,
		Example: `  unrole jobs report 20261231-180000-k3x9q2ab > removed.csv
  unrole jobs report 20261231-180000-k3x9q2ab --report removed.xlsx --with leavers.xlsx`,
		Args:        exactArgs("JOB"),
		Annotations: map[string]string{outputsAnnotation: outputCSV},
		RunE: a.withRecords(func(ctx context.Context, cmd *cobra.Command, r *records, args []string) error {
			switch {
			case html != "" && cmd.Flags().Changed("output"), file != "" && cmd.Flags().Changed("output"):
				return usageError(cmd, texts.T("--html, --report and --output cannot be combined"))
			case html != "" && file != "":
				return usageError(cmd, texts.T("--html and --report cannot be combined"))
			}
			job, err := r.ledger.Get(ctx, args[0])
			if err != nil {
				return err
			}
			out, err := a.newReportTarget("--report", file, with)
			if err != nil {
				return err
			}
			if out != nil {
				defer out.discard()
			}
			plain := report.Options{Simulated: job.Simulated}
			var list *listed
			if with != "" {
				if list, err = in.again(cmd, a, r.config, with); err != nil {
					return err
				}
				plain = a.reportOptions(job, list)
			}
			switch {
			case html == "-":
				return report.HTML(ctx, r.ledger, job, a.stdout, a.reportOptions(job, list))
			case html != "":
				out, err := newReplacement("--html", html)
				if err != nil {
					return err
				}
				defer out.discard()
				return a.writeReport(ctx, &reportTarget{out, report.HTML}, r.ledger, job, list)
			case out != nil:
				return a.writeReport(ctx, out, r.ledger, job, list)
			case a.output == outputJSON:
				return report.JSON(ctx, r.ledger, job.JobID, a.stdout, plain)
			default:
				return report.CSV(ctx, r.ledger, job.JobID, a.stdout, plain)
			}
		}),
	}
	cmd.Flags().StringVar(&file, "report", "", "write the report to this file: .csv, .xlsx, .html or .json")
	cmd.Flags().StringVar(&with, "with", "", "the list that the job was submitted from, whose columns and order the report then has")
	in.addReading(cmd.Flags())
	in.look.need(cmd.Flags())
	cmd.Flags().BoolVar(&in.look.allRoles, "all-roles", false, "the list has no roles: the job was submitted with --all-roles")
	cmd.Flags().StringVar(&html, "html", "", "write a page for an auditor to this file (- is stdout)")
	addConfigFlags(cmd.Flags(), "REDIS_URL")
	return cmd
}

// again reads the list that a job was submitted from. Bad rows of it are left out: the job has none of their pairs.
func (f *inputFlags) again(cmd *cobra.Command, a *app, c *config.Config, name string) (*listed, error) {
	f.list, f.passBad, f.look.whom = &lists.Kept{}, true, true
	if c.NeedCredentials() == nil {
		done, err := f.look.reach(cmd, a, c, looker())
		if err != nil {
			return nil, err
		}
		defer done()
	}
	_, err := f.read(cmd, a, []string{name})
	var refused *lists.Refused
	if errors.As(err, &refused) && f.look.directory == nil {
		refused.Next = append(refused.Next, texts.T("or have the report written at once next time, when it is known who is meant: run --report, enqueue --wait --report"))
	}
	if err != nil {
		return nil, err
	}
	seen := f.look.seen
	return &listed{rowsOf(f.list, func(r lists.Row, row *report.ListRow) {
		if seen != nil {
			row.Users, row.Roles = seen.Meant(r)
		} else {
			asWritten(r, row)
		}
		row.AllRoles = f.look.allRoles
	}), f.look.known}, nil
}

func (a *app) jobsAuditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit JOB",
		Short: "Print the audit trail of a job, oldest first",
		Long: `audit prints who did what to a job, when and why, and each outcome as it was counted. The trail outlives the
record of the job: it is kept for good, or for UNROLE_AUDIT_KEEP once the audit file of the workers has it. In JSON each line
is an entry as the audit file has it; as text its event and reason are in words.`,
		Args: exactArgs("JOB"),
		RunE: a.withRecords(func(ctx context.Context, _ *cobra.Command, r *records, args []string) error {
			return r.ledger.Trail(ctx, args[0], "", func(t ledger.TrailEntry) error {
				if a.output == outputJSON {
					_, err := fmt.Fprintln(a.stdout, t.JSON)
					return err
				}
				e, err := t.Entry()
				if err != nil {
					return err
				}
				return a.printEntry(e)
			})
		}),
	}
	addConfigFlags(cmd.Flags(), "REDIS_URL")
	return cmd
}

// printEntry prints an entry as it comes: a trail may be long.
func (a *app) printEntry(e ledger.Entry) error {
	line := e.At.Local().Format("2006-01-02 15:04:05.000") + "  " + text.Pad(report.EventName(e.Event).In(a.lang), 12, ' ')
	if e.Simulated {
		line += "  " + report.Simulation
	}
	for _, field := range []struct {
		name  texts.Text
		value string
	}{
		{texts.T("part"), e.Part}, {texts.T("pairs"), positive(e.Pairs)}, {texts.T("users"), positive(int64(e.Users))}, {texts.T("roles"), positive(int64(e.Roles))},
		{texts.T("removed"), changed(e.Removed)}, {texts.T("given back"), changed(e.Restored)}, {texts.T("dead"), changed(e.Dead)}, {texts.T("cancelled"), changed(e.Cancelled)},
		{texts.T("by"), e.By}, {texts.T("source"), e.Source}, {texts.T("why"), report.EventWhy(e).In(a.lang)}, {texts.T("request"), e.RequestID},
	} {
		if field.value != "" {
			line += "  " + field.name.In(a.lang) + " " + printable(field.value)
		}
	}
	_, err := fmt.Fprintln(a.stdout, line)
	return err
}

func positive(n int64) string {
	if n == 0 {
		return ""
	}
	return thousands(int(n))
}

// changed is a difference in a count, with its sign.
func changed(n int64) string {
	if n > 0 {
		return "+" + thousands(int(n))
	}
	return positive(n)
}
