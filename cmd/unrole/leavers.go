package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/in/leavers"
	"github.com/unrole/unrole/internal/in/preflight"
	"github.com/unrole/unrole/internal/out/dingtalk"
)

func (a *app) leaversCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "leavers",
		Short: "List who is leaving, by DingTalk's own HR, and what the rule for leavers would do",
		Long: `leavers lists the people who are leaving by DingTalk's own HR (智能人事), and those who left within 30 days: their last working
day, the roles they hold, and what the rule of UNROLE_LEAVERS_FILE would do about them. It only reads, and none of what it asks
counts towards the monthly quota.

Workers that have the rule act by it: they submit a job for each leaver that takes all roles on the last working day, as a
proposal that waits for unrole jobs approve, or by themselves where the rule says mode: automatic.`,
		Example: `  unrole leavers --leavers-file rule.yaml
  unrole leavers --output json | jq .user_id`,
		Args: noArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		var rule *leavers.Rule
		if c.LeaversFile != "" {
			data, err := os.ReadFile(c.LeaversFile)
			if err != nil {
				return exitf(exitUsage, "UNROLE_LEAVERS_FILE: %w", err)
			}
			read, err := leavers.ParseRule(data)
			if err != nil {
				return exitf(exitUsage, "UNROLE_LEAVERS_FILE: %s: %w", c.LeaversFile, err)
			}
			rule = &read
		}
		return a.withDirectory(func(ctx context.Context, d *directory.Directory, _ []string) error {
			return a.leavers(ctx, d, rule)
		})(cmd, args)
	}
	addConfigFlags(cmd.Flags(), "DINGTALK_BASE_URL", "DINGTALK_APP_KEY", "UNROLE_QPS", "UNROLE_LEAVERS_FILE")
	return cmd
}

// leaverLine is somebody who is leaving, as leavers prints them in JSON.
type leaverLine struct {
	UserID string `json:"user_id"`
	Name   string `json:"name"`
	// Stage is leaving, undecided, left, rehired or staying.
	Stage      leavers.Stage `json:"stage"`
	LastDay    string        `json:"last_day"`
	Department string        `json:"department"`
	Roles      []roleLine    `json:"roles"`
	// Would is schedule, propose or nothing; empty without a rule. JobID and Due are of the job.
	Would string     `json:"would"`
	Why   string     `json:"why"`
	JobID string     `json:"job_id"`
	Due   *time.Time `json:"due"`
}

func (a *app) leavers(ctx context.Context, d *directory.Directory, rule *leavers.Rule) error {
	people, err := leavers.Look(ctx, d, a.now().Add(-leavers.FirstLook), a.now())
	if err != nil {
		return err
	}
	var kept map[int64]bool
	days := leavers.Rule{Zone: leavers.DefaultZone}
	if rule != nil {
		days = *rule
		kept, err = rule.Kept(ctx, d)
		var role *preflight.RoleError
		if errors.As(err, &role) {
			return exitWith(exitUsage, texts.T("keep_roles: %v", role))
		}
		if err != nil {
			return err
		}
	}
	t := a.newTable(texts.T("user id"), texts.T("name"), texts.T("last day"), texts.T("roles"), texts.T("what happens"))
	for _, l := range people {
		line := leaverLine{UserID: l.UserID, Name: l.Name, Stage: l.Stage, Department: l.Main(), Roles: []roleLine{}}
		l.Roles = slices.DeleteFunc(l.Roles, func(role dingtalk.Role) bool { return kept[role.ID] })
		for _, role := range l.Roles {
			line.Roles = append(line.Roles, lineOf(role))
		}
		if !l.LastDay.IsZero() {
			line.LastDay = days.Day(l.LastDay).Format(time.DateOnly)
		}
		happens := texts.T("no rule: set UNROLE_LEAVERS_FILE")
		if rule != nil {
			line.Would, happens = rule.Would(l, a.now())
			line.Why = happens.String()
			if line.Would != leavers.Nothing {
				due := rule.Due(l.LastDay)
				line.Due, line.JobID = &due, rule.JobID(l.UserID, l.LastDay)
			}
		}
		if a.output == outputJSON {
			if err := a.printJSON(line); err != nil {
				return err
			}
			continue
		}
		t.row(l.UserID, l.Name, line.LastDay, len(line.Roles), happens)
	}
	if a.output == outputJSON {
		return nil
	}
	if len(people) == 0 {
		a.note(texts.T("nobody is leaving, by DingTalk's HR"))
		return nil
	}
	return t.print()
}
