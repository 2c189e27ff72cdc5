package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/protect"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/tasks"
)

// inputFlags say which removals a command works on: FILE, - for stdin, or --user and --role.
type inputFlags struct {
	users, roles []string
	skipInvalid  string
	plan         string
}

const inputHelp = `FILE is CSV with a header (user_id and role_id or role_ids) or JSONL ({"user_id":"u","role_ids":[1,2]}); - is stdin.
Instead of a file, --user and --role name the ids: every one of these users loses every one of these roles.`

func (f *inputFlags) add(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.users, "user", nil, "user ids, separated by commas, instead of FILE; with --role")
	flags.StringArrayVar(&f.roles, "role", nil, "role ids, separated by commas, instead of FILE; with --user")
	flags.StringVar(&f.skipInvalid, "skip-invalid", "", "write bad rows with the reason to this file and go on with the good ones")
}

// readsStdin reports whether the input is stdin, so that nobody can be asked anything there.
func (f *inputFlags) readsStdin(args []string) bool { return len(args) == 1 && args[0] == "-" }

// read reads and checks the removals, and says on stderr what a person would want to know about the input. Errors end
// with exitUsage unless reading itself failed.
func (f *inputFlags) read(cmd *cobra.Command, a *app, args []string) (*enqueue.Removals, error) {
	lists := len(f.users)+len(f.roles) > 0
	switch {
	case lists && len(args) > 0:
		return nil, usageError(cmd, errors.New("FILE and --user/--role cannot be combined"))
	case lists && f.skipInvalid != "":
		return nil, usageError(cmd, errors.New("--skip-invalid is for FILE"))
	case lists:
		return f.fromLists(cmd)
	case len(args) == 0:
		return nil, usageError(cmd, errors.New("what to remove is missing: name a FILE, - for stdin, or --user and --role"))
	}

	name, in := args[0], a.stdin
	if name == "-" {
		name = "stdin"
		if a.isTerminal(a.stdin) {
			fmt.Fprintln(a.stderr, "reading removals from the terminal, up to Ctrl-D")
		}
	} else {
		file, err := openInput(name)
		if err != nil {
			return nil, exitWith(exitUsage, err)
		}
		defer file.Close()
		in = file
	}

	opt := enqueue.ReadOptions{Name: name}
	var rejected *replacement
	if f.skipInvalid != "" {
		var err error
		if rejected, err = newReplacement("--skip-invalid", f.skipInvalid); err != nil {
			return nil, err
		}
		defer rejected.discard()
		opt.Reject = rejected
	}
	removals, report, err := enqueue.Read(contextReader{cmd.Context(), in}, opt)
	if rejected != nil {
		if keep := rejected.keep(); keep != nil && err == nil {
			err = keep
		}
	}
	if report.Rejected > 0 && rejected != nil {
		fmt.Fprintf(a.stderr, "%s: %s bad rows written to %s\n", name, thousands(report.Rejected), f.skipInvalid)
	}
	if err != nil {
		var invalid *enqueue.InvalidInputError
		if errors.As(err, &invalid) {
			return nil, exitWith(exitUsage, err)
		}
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if report.Duplicates > 0 {
		fmt.Fprintf(a.stderr, "%s: %s pairs stand there more than once and count once\n", name, thousands(report.Duplicates))
	}
	if len(report.Ignored) > 0 {
		fmt.Fprintf(a.stderr, "%s: columns not used: %s\n", name, strings.Join(report.Ignored, ", "))
	}
	return removals, nil
}

// readOrPlan reads the plan of --plan where that is given, else the removals.
func (f *inputFlags) readOrPlan(cmd *cobra.Command, a *app, args []string, jobID string) (*enqueue.Removals, []tasks.Part, error) {
	if f.plan == "" {
		removals, err := f.read(cmd, a, args)
		return removals, nil, err
	}
	if len(args)+len(f.users)+len(f.roles) > 0 || f.skipInvalid != "" {
		return nil, nil, usageError(cmd, errors.New("--plan stands alone: the plan has the removals"))
	}
	file, err := openInput(f.plan)
	if err != nil {
		return nil, nil, exitf(exitUsage, "--plan: %w", err)
	}
	defer file.Close()
	removals, parts, err := enqueue.ReadPlan(contextReader{cmd.Context(), file}, jobID)
	if err != nil {
		return nil, nil, exitf(exitUsage, "%s: %w", f.plan, err)
	}
	return removals, parts, nil
}

func (f *inputFlags) fromLists(cmd *cobra.Command) (*enqueue.Removals, error) {
	if len(f.users) == 0 || len(f.roles) == 0 {
		return nil, usageError(cmd, errors.New("--user and --role go together"))
	}
	var roles []int64
	for _, text := range items(f.roles) {
		id, err := enqueue.ParseRoleID(text)
		if err != nil {
			return nil, exitf(exitUsage, "--role: %w", err)
		}
		roles = append(roles, id)
	}
	removals, err := enqueue.FromLists(items(f.users), roles)
	if err != nil {
		return nil, exitWith(exitUsage, err)
	}
	return removals, nil
}

// items are the values of a flag that may be repeated and may list several, separated by commas.
func items(values []string) []string {
	var all []string
	for _, v := range values {
		for item := range strings.SplitSeq(v, ",") {
			all = append(all, strings.TrimSpace(item))
		}
	}
	return all
}

func openInput(name string) (*os.File, error) {
	file, err := os.Open(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s does not exist", name)
	case err != nil:
		return nil, err
	}
	if info, err := file.Stat(); err == nil && info.IsDir() {
		file.Close()
		return nil, fmt.Errorf("%s is a directory: name a CSV or JSONL file", name)
	}
	return file, nil
}

// contextReader ends with the cause of the context once that is over, so that Ctrl-C ends the reading of a long file.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}

// checkProtected refuses removals that touch protected users or roles.
func checkProtected(c *config.Config, removals *enqueue.Removals) error {
	set, err := protect.Parse(c.ProtectedUsers, c.ProtectedRoles)
	if err != nil {
		return exitWith(exitUsage, err)
	}
	if err := removals.CheckProtected(set); err != nil {
		return exitWith(exitUsage, err)
	}
	return nil
}
