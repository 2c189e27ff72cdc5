package main

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/record/deadletter"
	"github.com/unrole/unrole/tasks"
)

func (a *app) deadletterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deadletter",
		Short: "Look at what DingTalk refuses for good; try it again or give it up",
		Long: `A dead letter is what DingTalk refuses for good: a user or a role, with exactly its own pairs, the reason, and what DingTalk
said. It waits until somebody acts, for as long as that takes. docs/dead-letters.md explains every reason and what helps.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.lettersListCommand(), a.lettersShowCommand(), a.lettersReplayCommand(), a.lettersDiscardCommand())
	return cmd
}

// letterFlags choose dead letters.
type letterFlags struct {
	jobs, reasons, users, roles []string
	olderThan                   string
}

const letterFilterHelp = `The filters may be combined, and each may list several values, separated by commas. A letter is taken whole: the letter of
a role holds all users who were to lose it.`

func (f *letterFlags) add(a *app, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.jobs, "job", nil, "only letters of these jobs")
	flags.StringArrayVar(&f.reasons, "reason", nil, "only letters with these reasons")
	flags.StringArrayVar(&f.users, "user", nil, "only letters that hold one of these user ids")
	flags.StringArrayVar(&f.roles, "role", nil, "only letters that hold one of these role ids")
	flags.StringVar(&f.olderThan, "older-than", "", "only letters that were set apart longer ago than this, such as 36h or 7d")
	complete(cmd, "reason", named(tasks.Reasons()))
	a.withJobs(cmd, "job")
}

// filter is what the flags choose, checked.
func (f *letterFlags) filter(cmd *cobra.Command, now time.Time) (deadletter.Filter, error) {
	var out deadletter.Filter
	for _, id := range items(f.jobs) {
		if err := tasks.ValidateJobID(id); err != nil {
			return out, usageError(cmd, texts.T("%s: %v", "--job", err))
		}
		out.JobIDs = append(out.JobIDs, id)
	}
	for _, name := range items(f.reasons) {
		if !slices.Contains(tasks.Reasons(), tasks.Reason(name)) {
			return out, usageError(cmd, texts.T("%s %q is not one of %s", "--reason", name, strings.Join(named(tasks.Reasons()), ", ")))
		}
		out.Reasons = append(out.Reasons, tasks.Reason(name))
	}
	for _, id := range items(f.users) {
		if err := tasks.ValidateUserID(id); err != nil {
			return out, usageError(cmd, texts.T("%s: %v", "--user", err))
		}
		out.UserIDs = append(out.UserIDs, id)
	}
	for _, text := range items(f.roles) {
		id, err := lists.ParseRoleID(text)
		if err != nil {
			return out, usageError(cmd, texts.T("%s: %v", "--role", err))
		}
		out.RoleIDs = append(out.RoleIDs, id)
	}
	if cmd.Flags().Changed("older-than") {
		age, err := parseAge(f.olderThan)
		if err != nil {
			return out, usageError(cmd, texts.T("%s: %v", "--older-than", err))
		}
		out.Before = now.Add(-age)
	}
	return out, nil
}

// parseAge reads a duration as Go writes it, or a number of days.
func parseAge(text string) (time.Duration, error) {
	age, err := time.ParseDuration(text)
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		var n int
		n, err = strconv.Atoi(days)
		age = time.Duration(min(max(n, -1), 36500)) * 24 * time.Hour
	}
	if err != nil || age < 0 {
		return 0, texts.T("%q is not a duration such as 90m, 36h or 7d", text)
	}
	return age, nil
}

// choose selects the letters that a command acts on: those named, or those that the filters match.
func (f *letterFlags) choose(ctx context.Context, cmd *cobra.Command, q *deadletter.Queue, ids []string, now time.Time) (*deadletter.Selection, error) {
	filter, err := f.filter(cmd, now)
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return q.Select(ctx, filter)
	}
	if !filter.All() {
		return nil, usageError(cmd, texts.T("name letters by their ids or by filters, not both"))
	}
	return q.SelectIDs(ctx, ids)
}
