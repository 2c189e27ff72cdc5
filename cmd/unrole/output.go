package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/unrole/unrole/internal/base/redisconn"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/base/words"
	"github.com/unrole/unrole/internal/record/ledger"
)

// Values of --output.
const (
	outputText = "text"
	outputJSON = "json"
	outputCSV  = "csv"
)

// outputsAnnotation marks a command that knows more values of --output than text and json.
const outputsAnnotation = "unrole_outputs"

func (a *app) checkOutput(cmd *cobra.Command) error {
	allowed := []string{outputText, outputJSON}
	if more := cmd.Annotations[outputsAnnotation]; more != "" {
		allowed = append(allowed, strings.Fields(more)...)
	}
	if !slices.Contains(allowed, a.output) {
		return usageError(cmd, texts.T("%s %q is not one of %s", "--output", a.output, strings.Join(allowed, ", ")))
	}
	return nil
}

// line says a text on stdout, note on stderr, each on a line of its own in the reader's language.
func (a *app) line(text texts.Text) { fmt.Fprintln(a.stdout, text.In(a.lang)) }
func (a *app) note(text texts.Text) { fmt.Fprintln(a.stderr, text.In(a.lang)) }

// printJSON prints a result as one line of JSON.
func (a *app) printJSON(result any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(result)
}

// complete has a flag completed from a closed set.
func complete(cmd *cobra.Command, flag string, values []string) {
	cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// withJobs has the first argument of a command, or a flag of it, completed from the jobs that Redis knows.
func (a *app) withJobs(cmd *cobra.Command, flags ...string) *cobra.Command {
	jobs := func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		c, err := a.loadConfig(cmd)
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		rdb, _, err := redisconn.Open(ctx, c.RedisURL)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer rdb.Close()
		const most = 50
		recent, _ := ledger.New(rdb, c.Retention).List(ctx, 0, most)
		var names []string
		for _, job := range recent {
			names = append(names, cobra.CompletionWithDesc(job.JobID, a.stateInList(job).text+" "+job.Source+" "+job.Reason))
		}
		return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
	if len(flags) == 0 {
		cmd.ValidArgsFunction = jobs
	}
	for _, flag := range flags {
		cmd.RegisterFlagCompletionFunc(flag, jobs)
	}
	return cmd
}

// pageFlags page a list that is printed as text; other output is whole.
type pageFlags struct{ limit, offset int }

func (p *pageFlags) add(cmd *cobra.Command, what string, limit int) {
	cmd.Flags().IntVar(&p.limit, "limit", limit, what+" to show at most (text)")
	cmd.Flags().IntVar(&p.offset, "offset", 0, what+" to pass over first (text)")
}

func (p *pageFlags) check(cmd *cobra.Command, a *app) error {
	if p.limit < 1 || p.offset < 0 {
		return usageError(cmd, texts.T("--limit must be at least 1 and --offset at least 0"))
	}
	if a.output != outputText && (cmd.Flags().Changed("limit") || cmd.Flags().Changed("offset")) {
		return usageError(cmd, texts.T("--limit and --offset page the text output; --output %s is whole", a.output))
	}
	return nil
}

// progress is a bar on stderr where that is a terminal, and nothing elsewhere. A nil progress does nothing.
type progress struct{ bar *progressbar.ProgressBar }

// newProgress starts a bar of total steps; total -1 is for work of unknown size.
func (a *app) newProgress(total int, unit texts.Text) *progress {
	if !a.isTerminal(a.stderr) {
		return nil
	}
	return &progress{progressbar.NewOptions(total,
		progressbar.OptionSetWriter(a.stderr),
		progressbar.OptionSetItsString(unit.In(a.lang)),
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

// thousands is a number for people: 1,234,567.
func thousands(n int) string { return words.Thousands(n) }

// named are the words of a closed set.
func named[T ~string](set []T) []string {
	list := make([]string, len(set))
	for i, w := range set {
		list[i] = string(w)
	}
	return list
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// counted is a number with its noun, for operators: "1 part", "1,200 parts".
func counted(n int, one, many string) string { return thousands(n) + " " + plural(n, one, many) }

// What removals are counted in, for everybody.
func pairsOf[N ~int | ~int64](n N) texts.Text  { return texts.Count(n, "%d pair", "%d pairs") }
func usersOf[N ~int | ~int64](n N) texts.Text  { return texts.Count(n, "%d user", "%d users") }
func rolesOf[N ~int | ~int64](n N) texts.Text  { return texts.Count(n, "%d role", "%d roles") }
func callsFor[N ~int | ~int64](n N) texts.Text { return texts.Count(n, "%d call", "%d calls") }

// duration is a time for people: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min.
func duration(seconds float64) texts.Text {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < 10*time.Second:
		return texts.T("%.1f s", seconds)
	case d < time.Minute:
		return texts.T("%.0f s", seconds)
	case d < time.Hour:
		return texts.T("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return texts.T("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
}

// moment is a time in the zone of whoever reads it, with the zone: 2026-12-31 18:00:00 UTC+8.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return words.Moment(t.Local())
}
