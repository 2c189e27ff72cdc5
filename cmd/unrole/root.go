package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/run/config"
)

// main runs the command line and returns the exit code; everything has been said when it returns.
func (a *app) main(ctx context.Context, args []string) exitCode {
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	code := codeOf(ctx, err)
	if code != exitDone {
		a.say(err, code)
	}
	return code
}

const (
	groupRemove  = "remove"
	groupOperate = "operate"
	groupTry     = "try"
)

func (a *app) rootCommand() *cobra.Command {
	var lang string
	root := &cobra.Command{
		Use:   "unrole",
		Short: "Remove DingTalk roles from employees, in bulk and reliably",
		Long: `unrole removes DingTalk roles from employees, in bulk and reliably.

Removals come from a CSV or JSONL file, from flags or over HTTP. They become the fewest possible API calls, keep to
DingTalk's limits and survive its faults; exactly the ids that DingTalk never accepts are set aside as dead letters.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if lang != "" {
				var err error
				if a.lang, err = texts.Named(lang); err != nil {
					return usageError(cmd, texts.T("%s: %v", "--lang", err))
				}
			}
			return a.checkOutput(cmd)
		},
	}
	root.PersistentFlags().StringVarP(&a.output, "output", "o", outputText, "what results look like on stdout: text or json")
	root.PersistentFlags().StringVar(&lang, "lang", "", "language of what HR and auditors read: en or zh (by LC_ALL or LANG unless given)")
	complete(root, "lang", []string{"en", "zh"})
	complete(root, "output", []string{outputText, outputJSON})
	addConfigFlags(root.PersistentFlags(), "UNROLE_LOG_LEVEL", "UNROLE_LOG_FORMAT")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError(cmd, flagError(err)) })
	root.AddGroup(
		&cobra.Group{ID: groupRemove, Title: "Remove roles:"},
		&cobra.Group{ID: groupOperate, Title: "Operate:"},
		&cobra.Group{ID: groupTry, Title: "Try it:"},
	)
	for _, c := range []struct {
		group string
		cmd   *cobra.Command
	}{
		{groupRemove, a.runCommand()},
		{groupRemove, a.planCommand()},
		{groupRemove, a.enqueueCommand()},
		{groupRemove, a.restoreCommand()},
		{groupRemove, a.rolesCommand()},
		{groupRemove, a.whoCommand()},
		{groupRemove, a.leaversCommand()},
		{groupOperate, a.workerCommand()},
		{groupOperate, a.jobsCommand()},
		{groupOperate, a.deadletterCommand()},
		{groupOperate, a.withJobs(a.verifyCommand())},
		{groupOperate, a.statusCommand()},
		{groupOperate, a.uiCommand()},
		{groupOperate, a.doctorCommand()},
		{groupOperate, a.apiCommand()},
		{groupOperate, a.webhookCommand()},
		{groupTry, a.demoCommand()},
		{groupTry, a.simulatorCommand()},
		{"", a.versionCommand()},
		{"", a.healthCommand()},
	} {
		c.cmd.GroupID = c.group
		root.AddCommand(c.cmd)
	}
	return root
}

func usageError(cmd *cobra.Command, err error) error {
	return exitWith(exitUsage, texts.T("%v\nsee %s --help", err, cmd.CommandPath()))
}

// flagError says in the catalogue's words what is wrong with a flag.
func flagError(err error) error {
	var unknown *pflag.NotExistError
	var bare *pflag.ValueRequiredError
	var wrong *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		return texts.T("unknown flag: %s", "--"+unknown.GetSpecifiedName())
	case errors.As(err, &bare):
		return texts.T("flag needs an argument: %s", "--"+bare.GetFlag().Name)
	case errors.As(err, &wrong):
		return texts.T("invalid argument %q for %s: %v", wrong.GetValue(), "--"+wrong.GetFlag().Name, wrong.Unwrap())
	}
	return err
}

// noArgs, exactArgs and maxArgs are like cobra's checks, but say more and end with exitUsage.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		return usageError(cmd, texts.T("unknown command %q%s", args[0], didYouMean(cmd, args[0])))
	}
	return usageError(cmd, texts.T("unexpected argument %q", args[0]))
}

func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return usageError(cmd, texts.T("%s is missing", names[len(args)]))
		}
		return maxArgs(len(names))(cmd, args)
	}
}

func maxArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := cobra.MaximumNArgs(n)(cmd, args); err != nil {
			return usageError(cmd, texts.T("unexpected argument %q", args[n]))
		}
		return nil
	}
}

func didYouMean(cmd *cobra.Command, typed string) texts.Text {
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(typed); len(near) > 0 {
		return texts.T(", did you mean %s?", strings.Join(near, " / "))
	}
	return texts.Text{}
}

// envAnnotation ties a flag to the variable of the same meaning.
const envAnnotation = "unrole_env"

// addConfigFlags adds the flags of the named variables; loadConfig collects them.
func addConfigFlags(flags *pflag.FlagSet, names ...string) {
	for _, name := range names {
		v, ok := config.Lookup(name)
		if !ok || v.Flag == "" {
			panic("no flag for " + name)
		}
		usage := strings.ReplaceAll(v.Meaning, "`", "") + " (" + v.Name
		if v.Default != "" {
			usage += ", " + v.Default
		}
		flags.String(v.Flag, "", usage+")")
		flags.SetAnnotation(v.Flag, envAnnotation, []string{name})
	}
}

// loadConfig reads the environment and the flags of the command that were given.
func (a *app) loadConfig(cmd *cobra.Command) (*config.Config, error) {
	given := map[string]string{}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if env := f.Annotations[envAnnotation]; len(env) == 1 {
			given[env[0]] = f.Value.String()
		}
	})
	if a.environ != nil {
		warnings, err := config.CheckNames(a.environ())
		if err != nil {
			return nil, err
		}
		for _, warning := range warnings {
			a.note(warning)
		}
	}
	return config.Load(a.getenv, given)
}
