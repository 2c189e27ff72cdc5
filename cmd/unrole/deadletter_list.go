package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/unrole/unrole/internal/base/sheet"
	"github.com/unrole/unrole/internal/base/words"
	"github.com/unrole/unrole/internal/record/deadletter"
	"github.com/unrole/unrole/internal/record/report"
	"github.com/unrole/unrole/tasks"
)

func (a *app) lettersListCommand() *cobra.Command {
	var flags letterFlags
	var page pageFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the dead letters that wait",
		Long: `list shows the dead letters that wait, by job and part. Text output is paged by --limit and --offset; JSON output is whole,
one letter a line. CSV output is whole too, one line for each user and role: correct the ids in a spreadsheet and submit
the file as a new job with unrole enqueue, which ignores the other columns.

` + letterFilterHelp,
		Example: `  unrole deadletter list --job 20261231-180000-k3x9q2ab
  unrole deadletter list --reason invalid_user,user_gone --output csv > refused.csv`,
		Args:        noArgs,
		Annotations: map[string]string{outputsAnnotation: outputCSV},
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		filter, err := flags.filter(cmd, a.now())
		if err != nil {
			return err
		}
		if err := page.check(cmd, a); err != nil {
			return err
		}
		return a.withRecords(func(ctx context.Context, _ *cobra.Command, r *records, _ []string) error {
			q := deadletter.New(r.rdb, r.ledger)
			switch a.output {
			case outputJSON:
				return a.listLettersJSON(ctx, q, filter)
			case outputCSV:
				return a.listLettersCSV(ctx, q, filter)
			}
			return a.listLetters(ctx, q, filter, page)
		})(cmd, args)
	}
	flags.add(cmd)
	page.add(cmd, "letters", 50)
	addConfigFlags(cmd.Flags(), "REDIS_URL")
	return cmd
}

// errPageFull ends the reading of letters once a page is full and it is known whether there are more.
var errPageFull = errors.New("the page is full")

func (a *app) listLetters(ctx context.Context, q *deadletter.Queue, f deadletter.Filter, page pageFlags) error {
	t := newTable("id", "reason", "code", "pairs", "users", "roles", "attempts", "since", "DingTalk said")
	matched := 0
	err := q.Each(ctx, f, func(l deadletter.Letter) error {
		switch matched++; {
		case matched <= page.offset:
		case matched > page.offset+page.limit:
			return errPageFull
		default:
			t.row(l.ID, string(l.Reason), report.CodeText(l.ErrCode, l.SubCode), thousands(l.Pairs), firstOf(l.UserIDs), firstOf(words.RoleIDs(l.RoleIDs)),
				thousands(l.Attempts), letterTime(l.FailedAt), words.Clip(l.ErrMsg, 60))
		}
		return nil
	})
	full := errors.Is(err, errPageFull)
	if err != nil && !full {
		return err
	}
	if matched > page.offset {
		if err := t.print(a.stdout); err != nil {
			return err
		}
	}
	counts, err := q.Counts(ctx)
	if err != nil {
		return err
	}
	switch {
	case full:
		fmt.Fprintf(a.stderr, "there are more: --offset %d shows the next; %s of all jobs wait\n", page.offset+page.limit, counted(counts.Waiting, "letter", "letters"))
	case matched == 0:
		fmt.Fprintf(a.stderr, "no dead letter waits%s\n", map[bool]string{true: " that matches"}[!f.Any()])
	case matched <= page.offset:
		fmt.Fprintf(a.stderr, "only %s there, fewer than --offset %d\n", counted(matched, "letter is", "letters are"), page.offset)
	}
	a.sayInMotion(counts)
	return nil
}

// sayInMotion mentions the letters that are not listed because they are being tried again.
func (a *app) sayInMotion(c deadletter.Counts) {
	if n := c.InMotion(); n > 0 {
		fmt.Fprintf(a.stderr, "%s of all jobs being tried again just now\n", counted(n, "letter is", "letters are"))
	}
}

func (a *app) listLettersJSON(ctx context.Context, q *deadletter.Queue, f deadletter.Filter) error {
	out := bufio.NewWriter(a.stdout)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	if err := q.Each(ctx, f, func(l deadletter.Letter) error { return enc.Encode(l) }); err != nil {
		return err
	}
	return out.Flush()
}

// letterColumns begin with what enqueue reads.
var letterColumns = []string{"user_id", "role_id", "reason", "errcode", "sub_code", "errmsg", "request_id", "attempts", "failed_at",
	"dead_letter", "job_id"}

func (a *app) listLettersCSV(ctx context.Context, q *deadletter.Queue, f deadletter.Filter) error {
	without, err := writeLettersCSV(a.stdout, func(visit func(deadletter.Letter) error) error { return q.Each(ctx, f, visit) })
	if err != nil {
		return err
	}
	if without > 0 {
		fmt.Fprintf(a.stderr, "%s left out, whose users and roles cannot be read: unrole deadletter list --reason %s\n",
			counted(without, "letter is", "letters are"), tasks.ReasonBadPayload)
	}
	return nil
}

// writeLettersCSV writes a line per pair and returns how many letters have none.
func writeLettersCSV(w io.Writer, each func(func(deadletter.Letter) error) error) (without int, err error) {
	out := csv.NewWriter(w)
	if err := out.Write(letterColumns); err != nil {
		return 0, err
	}
	err = each(func(l deadletter.Letter) error {
		if l.Pairs == 0 {
			without++
		}
		var failed error
		l.EachPair(func(user string, role int64) {
			if failed == nil {
				failed = out.Write([]string{sheet.Cell(user), strconv.FormatInt(role, 10), string(l.Reason), strconv.Itoa(l.ErrCode),
					sheet.Cell(l.SubCode), sheet.Cell(l.ErrMsg), sheet.Cell(l.RequestID), strconv.Itoa(l.Attempts),
					l.FailedAt.Format(time.RFC3339), l.ID, l.JobID})
			}
		})
		return failed
	})
	if err != nil {
		return without, err
	}
	out.Flush()
	return without, out.Error()
}

func (a *app) lettersShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show ID...",
		Short:   "Show everything about dead letters",
		Example: `  unrole deadletter show 20261231-180000-k3x9q2ab:3-u17`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError(cmd, errors.New("ID is missing: unrole deadletter list shows the ids"))
			}
			return nil
		},
		RunE: a.withRecords(func(ctx context.Context, _ *cobra.Command, r *records, args []string) error {
			q := deadletter.New(r.rdb, r.ledger)
			for i, id := range args {
				l, err := q.Get(ctx, id)
				if err != nil {
					return err
				}
				if err := a.printLetter(l, i > 0); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	addConfigFlags(cmd.Flags(), "REDIS_URL")
	return cmd
}

func (a *app) printLetter(l deadletter.Letter, further bool) error {
	if a.output == outputJSON {
		return a.printJSON(l)
	}
	if further {
		fmt.Fprintln(a.stdout)
	}
	t := newTable()
	t.row("dead letter", l.ID)
	t.row("job", l.JobID)
	t.row("state", string(l.State))
	t.row("reason", string(l.Reason))
	t.row("code", report.CodeText(l.ErrCode, l.SubCode))
	t.row("DingTalk said", l.ErrMsg)
	if l.RequestID != "" {
		t.row("request id", l.RequestID)
	}
	t.row("attempts", thousands(l.Attempts))
	t.row("since", letterTime(l.FailedAt))
	t.row("lane", l.Lane)
	t.row("pairs", thousands(l.Pairs))
	if l.Payload != "" {
		t.row("payload", l.Payload)
	}
	for i, role := range words.RoleIDs(l.RoleIDs) {
		t.row(map[bool]string{true: "roles"}[i == 0], role)
	}
	for i, user := range l.UserIDs {
		t.row(map[bool]string{true: "users"}[i == 0], user)
	}
	return t.print(a.stdout)
}

func letterTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return localTime(t)
}

// firstOf is the first of a list, with how many more there are.
func firstOf(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return fmt.Sprintf("%s +%s", list[0], thousands(len(list)-1))
}
