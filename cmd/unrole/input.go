package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/protect"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/in/preflight"
	"github.com/unrole/unrole/internal/record/report"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/tasks"
)

// inputFlags say which removals a command works on: FILE, - for stdin, or --user and --role.
type inputFlags struct {
	users, roles []string
	columns      []string
	sheet        string
	skipInvalid  string
	plan         string
	// list, when set, keeps the rows of FILE for a report. passBad leaves out bad rows unsaid.
	list    *lists.Kept
	passBad bool
	// look says what is looked up in DingTalk.
	look lookFlags
}

const inputHelp = `FILE is a list as you have it, .xlsx, CSV or JSONL; - is stdin. Its columns are known by their usual headings (user_id,
员工UserID, role_id, role_ids, 角色ID …); --column names one that is called otherwise. Where FILE has no roles (or no
people), --role (or --user) says them for all its rows. Without FILE every --user loses every --role.

With the app's credentials people may also be named by mobile number, staff number, union id, e-mail address or name, and
roles by name or GROUP/NAME: in columns, or as mobile:…, job:…, union:…, email:…, name:…. They are looked up in DingTalk
before anything is sent, and so is who holds what (--preflight): only pairs that are held are sent. Whoever is not named
for certain is refused, never guessed. docs/input.md has all that is read.`

func (f *inputFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	f.addReading(flags)
	f.look.add(cmd)
	flags.StringVar(&f.skipInvalid, "skip-invalid", "", "write bad rows with the reason to this file and go on with the good ones")
}

// forReport keeps what a report has of the list.
func (f *inputFlags) forReport() { f.list, f.look.named = &lists.Kept{}, true }

// addReading adds the flags that say how FILE is to be understood.
func (f *inputFlags) addReading(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.users, "user", nil, "people, separated by commas, by user id or as mobile:…, job:…, union:…, email:…, name:…: instead of FILE, or for a FILE that has roles only")
	flags.StringArrayVar(&f.roles, "role", nil, "roles, separated by commas, by id, name or GROUP/NAME: instead of FILE, or for a FILE that has people only")
	flags.StringArrayVar(&f.columns, "column", nil, "what a column of FILE is, such as user_id=HEADING or role_ids=HEADING (may be repeated)")
	flags.StringVar(&f.sheet, "sheet", "", "the sheet of a workbook (the only one with a list unless given)")
}

// readsStdin reports whether the input is stdin, so that nobody can be asked anything there.
func (f *inputFlags) readsStdin(args []string) bool { return len(args) == 1 && args[0] == "-" }

// read reads and checks the removals, and says on stderr what a person would want to know about the input. Errors end
// with exitUsage unless reading itself failed.
func (f *inputFlags) read(cmd *cobra.Command, a *app, args []string) (*enqueue.Removals, error) {
	opt, err := f.options(cmd)
	if err != nil {
		return nil, err
	}
	switch {
	case len(args) == 0 && (len(f.columns) > 0 || f.sheet != "" || f.skipInvalid != ""):
		return nil, usageError(cmd, texts.T("--column, --sheet and --skip-invalid are for FILE"))
	case len(args) == 0 && len(opt.People)+len(opt.Roles) == 0:
		return nil, usageError(cmd, texts.T("what to remove is missing: name a FILE, - for stdin, or --user and --role"))
	case opt.AllRoles && len(opt.Roles) > 0:
		return nil, usageError(cmd, texts.T("--all-roles and --role exclude each other"))
	case len(args) == 0:
		return f.fromLists(cmd, a, opt)
	case len(opt.People) > 0 && (len(opt.Roles) > 0 || opt.AllRoles):
		return nil, usageError(cmd, texts.T("FILE cannot be combined with both --user and --role"))
	}
	name, in := args[0], a.stdin
	if name == "-" {
		name = "stdin"
		if a.isTerminal(a.stdin) {
			a.note(texts.T("reading removals from the terminal, up to Ctrl-D"))
		}
	} else {
		file, err := openInput(name)
		if err != nil {
			return nil, exitWith(exitUsage, err)
		}
		defer file.Close()
		in = file
	}

	opt.Name, opt.Cells = name, f.list != nil
	if f.passBad {
		opt.Reject = io.Discard
	}
	var rejected *replacement
	if f.skipInvalid != "" {
		if rejected, err = newReplacement("--skip-invalid", f.skipInvalid); err != nil {
			return nil, err
		}
		defer rejected.discard()
		opt.Reject, opt.Lang = rejected, a.lang
	}
	kept := f.list
	if opt.Lookup && kept == nil {
		kept = &lists.Kept{}
	}
	removals, read, err := readRemovals(cmd.Context(), in, opt, kept)
	if rejected != nil {
		if keep := rejected.keep(); keep != nil && err == nil {
			err = keep
		}
	}
	if read.Rejected > 0 && rejected != nil {
		a.note(texts.T("%s: %s", name, texts.T("%d bad rows written to %s", read.Rejected, f.skipInvalid)))
	}
	if err != nil {
		var refused *lists.Refused
		if errors.As(err, &refused) {
			return nil, exitWith(exitUsage, err)
		}
		return nil, texts.T("%s could not be read: %v", name, err)
	}
	for _, note := range read.Notes {
		a.note(texts.T("%s: %s", name, note))
	}
	if opt.Lookup {
		if removals, err = f.look.at(cmd.Context(), a, name, kept); err != nil {
			return nil, err
		}
	}
	if n := removals.Duplicates(); n > 0 {
		a.note(texts.T("%s: %s", name, texts.T("%d pairs stand there more than once and count once", n)))
	}
	return removals, nil
}

// options are what the flags say of the input.
func (f *inputFlags) options(cmd *cobra.Command) (lists.Options, error) {
	opt := lists.Options{Sheet: f.sheet, Lookup: f.look.directory != nil, AllRoles: f.look.allRoles}
	for _, column := range f.columns {
		field, heading, found := strings.Cut(column, "=")
		if !found || strings.TrimSpace(heading) == "" || !slices.Contains(lists.FieldNames(), field) {
			return opt, usageError(cmd, texts.T("--column %q is not FIELD=HEADING with a field of %s", column, strings.Join(lists.FieldNames(), ", ")))
		}
		if opt.Columns == nil {
			opt.Columns = make(map[string]string)
		}
		opt.Columns[field] = heading
	}
	for _, text := range items(f.users) {
		person, err := lists.ParsePerson(text, opt.Lookup)
		if err != nil {
			return opt, exitWith(exitUsage, texts.T("%s: %v", "--user", err))
		}
		opt.People = append(opt.People, person)
	}
	for _, text := range items(f.roles) {
		role, err := lists.ParseRole(text)
		if err == nil && role.ID == 0 && !opt.Lookup {
			err = texts.T("%q is the name of a role, which has to be looked up in DingTalk: that takes the app's credentials (see unrole roles for the ids)", text)
		}
		if err != nil {
			return opt, exitWith(exitUsage, texts.T("%s: %v", "--role", err))
		}
		opt.Roles = append(opt.Roles, role)
	}
	return opt, nil
}

// readRemovals reads a list; kept, if not nil, keeps its rows. Where something may have to be looked up, it does nothing else.
func readRemovals(ctx context.Context, r io.Reader, opt lists.Options, kept *lists.Kept) (*enqueue.Removals, *lists.Report, error) {
	set := &enqueue.Removals{}
	read, err := lists.Read(contextReader{ctx, r}, opt, func(row lists.Row) error {
		if !opt.Lookup {
			if err := addIDs(set, row); err != nil {
				return err
			}
		}
		if kept != nil {
			kept.Add(row)
		}
		return nil
	})
	if kept != nil && read != nil {
		kept.Header = read.Header
	}
	return set, read, err
}

// addIDs adds the pairs of a row all of which are ids.
func addIDs(set *enqueue.Removals, row lists.Row) error {
	// One row may ask for more than a file could.
	if len(row.Roles) > (enqueue.MaxPairs-set.Pairs())/len(row.People) {
		return texts.T("more than %d pairs are asked for: split the input into several", enqueue.MaxPairs)
	}
	for user, role := range row.IDs() {
		set.Add(user, role)
	}
	return nil
}

// listed is what a report of the removals needs of their list, for a reader of the language.
func (f *inputFlags) listed(lang texts.Lang) *listed {
	seen := f.look.seen
	return &listed{rowsOf(f.list, func(r lists.Row, row *report.ListRow) {
		if seen == nil {
			asWritten(r, row)
			return
		}
		var why []preflight.Problem
		row.Users, row.Roles, why = seen.Row(r)
		row.Unresolved, row.Reason, row.Detail, row.NoneHeld = len(why) > 0, "", "", nil
		if !row.Unresolved {
			row.NoneHeld = seen.NoneHeld(r)
			return
		}
		var details []string
		for _, w := range why {
			details = append(details, w.Why.In(lang))
		}
		row.Reason, row.Detail = why[0].Reason, strings.Join(details, "; ")
	}), f.look.known}
}

// asWritten are the pairs of a row all of which are ids.
func asWritten(r lists.Row, row *report.ListRow) {
	for _, person := range r.People {
		row.Users = append(row.Users, person.Text)
	}
	for _, role := range r.Roles {
		row.Roles = append(row.Roles, role.ID)
	}
}

// rowsOf are the rows that were kept, as a report has them; pairs says which pairs a row means.
func rowsOf(kept *lists.Kept, pairs func(lists.Row, *report.ListRow)) *report.List {
	if kept == nil || kept.Len() == 0 {
		return nil
	}
	return &report.List{Header: kept.Header, Rows: func(yield func(report.ListRow) bool) {
		var row report.ListRow
		for r := range kept.All() {
			row.Line, row.Cells, row.Users, row.Roles = r.Line, r.Cells, row.Users[:0], row.Roles[:0]
			pairs(r, &row)
			if !yield(row) {
				return
			}
		}
	}}
}

// readOrPlan reads the plan of --plan where that is given, with what was seen when it was made, else the removals.
func (f *inputFlags) readOrPlan(cmd *cobra.Command, a *app, args []string, jobID string) (*enqueue.Removals, []tasks.Part, *enqueue.Snapshot, error) {
	if f.plan == "" {
		removals, err := f.read(cmd, a, args)
		return removals, nil, nil, err
	}
	if len(args)+len(f.users)+len(f.roles)+len(f.columns) > 0 || f.skipInvalid+f.sheet != "" || f.look.allRoles {
		return nil, nil, nil, usageError(cmd, texts.T("--plan stands alone: the plan has the removals"))
	}
	if cmd.Flags().Changed("preflight") && f.look.want == "true" {
		return nil, nil, nil, usageError(cmd, texts.T("--plan submits what was shown when the plan was made: --preflight goes with plan --save"))
	}
	file, err := openInput(f.plan)
	if err != nil {
		return nil, nil, nil, exitWith(exitUsage, texts.T("%s: %v", "--plan", err))
	}
	defer file.Close()
	removals, parts, seen, err := enqueue.ReadPlan(contextReader{cmd.Context(), file}, jobID)
	if err != nil {
		return nil, nil, nil, exitWith(exitUsage, texts.T("%s: %v", f.plan, err))
	}
	return removals, parts, seen, nil
}

// fromLists are the removals of --user and --role alone.
func (f *inputFlags) fromLists(cmd *cobra.Command, a *app, opt lists.Options) (*enqueue.Removals, error) {
	if len(opt.People) == 0 || len(opt.Roles) == 0 && !opt.AllRoles {
		return nil, usageError(cmd, texts.T("--user and --role (or --all-roles) go together where there is no FILE"))
	}
	if opt.Lookup {
		kept := cmp.Or(f.list, &lists.Kept{})
		for _, person := range opt.People { // each by itself: one who is nobody takes no other along
			kept.Add(lists.Row{People: []lists.Person{person}, Roles: opt.Roles})
		}
		return f.look.at(cmd.Context(), a, "--user", kept)
	}
	var users []string
	for _, person := range opt.People {
		users = append(users, person.Text)
		if doubt, is := lists.Doubt(person.Text); is {
			a.note(texts.T("%s: %s", "--user", doubt))
		}
	}
	var roles []int64
	for _, role := range opt.Roles {
		roles = append(roles, role.ID)
	}
	removals, err := enqueue.FromLists(users, roles)
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
		return nil, texts.T("%s does not exist", name)
	case err != nil:
		return nil, err
	}
	if info, err := file.Stat(); err == nil && info.IsDir() {
		file.Close()
		return nil, texts.T("%s is a directory: name a file", name)
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
