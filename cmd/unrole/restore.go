package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/in/restore"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/tasks"
)

func (a *app) restoreCommand() *cobra.Command {
	var f restoreFlags
	cmd := &cobra.Command{
		Use:   "restore --report FILE",
		Short: "Give back now what a report says was removed, without Redis",
		Long: `restore gives back exactly what was really removed by a report that unrole wrote of it (.csv, .xlsx or .json), with the
management scopes that were held before. Like run it does everything in one process and needs no Redis: the report of a run
is enough to undo it. Whatever the report does not call removed (dead letters, cancelled, not held) is left alone.

It says first what would be given back and what not, and asks. A report does not know what happened since: where the job is
in Redis, unrole jobs restore JOB leaves alone what a later job removed on purpose.

A report of a removal without a preflight does not say who held the roles before. --from-removed gives back what DingTalk said
it removed, which may be more.`,
		Example: `  unrole restore --report removed.xlsx --why "wrong list, HR-1234" --result restored.xlsx
  unrole restore --report removed.xlsx --user manager4220
  unrole restore --report removed.csv --simulate`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.restoreReport(cmd, &f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.report, "report", "", "the report of the removal: .csv, .xlsx or .json")
	flags.StringVar(&f.sheet, "sheet", "", "the sheet of a workbook (the only one with a list unless given)")
	flags.StringSliceVar(&f.wish.Users, "user", nil, "give back the roles of these users only")
	flags.Int64SliceVar(&f.roles, "role", nil, "give back these roles only")
	flags.BoolVar(&f.wish.FromRemoved, "from-removed", false, "where nobody looked before: give back what DingTalk said it removed")
	flags.StringVar(&f.why, "why", "", "why, for the records")
	flags.StringVar(&f.result, "result", "", "write what became of each pair to this file: .csv, .xlsx, .html or .json")
	flags.BoolVar(&f.simulate, "simulate", false, "call the built-in simulator instead of DingTalk")
	addVerifyFlag(cmd, &f.verify)
	flags.BoolVarP(&f.yes, "yes", "y", false, "do not ask for a confirmation")
	addConfigFlags(flags, "DINGTALK_BASE_URL", "DINGTALK_APP_KEY", "UNROLE_QPS", "UNROLE_CONCURRENCY",
		"UNROLE_MAX_ATTEMPTS", "UNROLE_RETRY_BASE", "UNROLE_RETRY_CAP", "UNROLE_BUSY_MAX_AGE", "UNROLE_HOLD_PROBE",
		"UNROLE_PROTECTED_USERS", "UNROLE_PROTECTED_ROLES")
	return cmd
}

type restoreFlags struct {
	report, sheet, result, why string
	wish                       restore.Wish
	roles                      []int64
	simulate, yes, verify      bool
}

// restoreReport gives back what a report says was removed.
func (a *app) restoreReport(cmd *cobra.Command, f *restoreFlags) error {
	if f.report == "" {
		return usageError(cmd, texts.T("%s is missing", "--report"))
	}
	out, err := a.newReportTarget("--result", f.result, f.report)
	if err != nil {
		return err
	}
	if out != nil {
		defer out.discard()
	}
	c, err := a.loadConfig(cmd)
	if err != nil {
		return err
	}
	var sim *simulator.Simulator
	var place texts.Text
	if f.simulate {
		asSimulated(c)
		if sim, err = simulatorOf(c, f.report); err != nil {
			return err
		}
	} else if place, err = dingTalkOf(c); err != nil {
		return err
	}
	plan, list, err := a.planOfReport(cmd, f)
	if err != nil {
		return err
	}
	if err := checkProtected(c, plan.Removals); err != nil {
		return err
	}
	a.notePlan(plan)
	if !f.simulate {
		a.note(place)
		if err := a.confirmedPlan(cmd.Context(), plan, f.yes); err != nil {
			return err
		}
	}
	req := &request{submission: submission{JobID: tasks.NewJobID(a.now()), Reason: strings.TrimSpace(f.why), Lane: tasks.QueueDefault}, config: c,
		removals: plan.Removals, restore: plan}
	return a.run(cmd.Context(), req, runOptions{simulator: sim, report: out, list: list, verify: f.verify, quiet: !logLevelGiven(a, cmd)})
}

// planOfReport reads the report and says of it what a person would want to know.
func (a *app) planOfReport(cmd *cobra.Command, f *restoreFlags) (*restore.Plan, *listed, error) {
	file, err := openInput(f.report)
	if err != nil {
		return nil, nil, exitWith(exitUsage, err)
	}
	defer file.Close()
	f.wish.Roles = f.roles
	kept := &lists.Kept{}
	take := kept.Add
	if f.result == "" {
		take = nil
	}
	plan, read, err := restore.OfReport(contextReader{cmd.Context(), file}, lists.Options{Name: f.report, Sheet: f.sheet, Simulated: f.simulate}, f.wish, take)
	if err == nil || errors.As(err, new(*restore.NothingError)) {
		for _, note := range read.Notes {
			a.note(texts.T("%s: %s", f.report, note))
		}
	}
	switch {
	case errors.As(err, new(*restore.NoSnapshotError)):
		return nil, nil, exitWith(exitUsage, texts.T("%v\n--from-removed gives back what DingTalk said it removed: also roles that somebody did not hold", err))
	case errors.As(err, new(*lists.Refused)), errors.As(err, new(*restore.StrangersError)), errors.As(err, new(*restore.NothingError)):
		return nil, nil, exitWith(exitUsage, err)
	case err != nil:
		return nil, nil, texts.T("%s could not be read: %v", f.report, err)
	}
	kept.Header = read.Header
	return plan, &listed{rows: rowsOf(kept, asWritten)}, nil
}
