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
	"github.com/unrole/unrole/internal/base/texts"
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
		Long: `list shows the dead letters that wait: by reason, with what it means and what to do, the id that each is about. Text output is paged by --limit and --offset; JSON output is whole,
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
	flags.add(a, cmd)
	page.add(cmd, "letters", 50)
	addConfigFlags(cmd.Flags(), "REDIS_URL")
	return cmd
}

// errPageFull ends the reading of letters once a page is full and it is known whether there are more.
var errPageFull = errors.New("the page is full")

func (a *app) listLetters(ctx context.Context, q *deadletter.Queue, f deadletter.Filter, page pageFlags) error {
	byReason := map[tasks.Reason]*alignedTable{}
	var order []tasks.Reason
	matched := 0
	err := q.Each(ctx, f, func(l deadletter.Letter) error {
		switch matched++; {
		case matched <= page.offset:
		case matched > page.offset+page.limit:
			return errPageFull
		default:
			t := byReason[l.Reason]
			if t == nil {
				t = a.newTable()
				byReason[l.Reason], order = t, append(order, l.Reason)
			}
			t.row("  "+l.ID, subjectOf(l), pairsOf(l.Pairs), strings.TrimSpace(report.CodeText(l.ErrCode, l.SubCode)+" "+words.Clip(l.ErrMsg, 60)))
		}
		return nil
	})
	full := errors.Is(err, errPageFull)
	if err != nil && !full {
		return err
	}
	for i, reason := range order {
		if i > 0 {
			a.line(texts.T(""))
		}
		if err := a.printReason(reason); err != nil {
			return err
		}
		if err := byReason[reason].print(); err != nil {
			return err
		}
	}
	counts, err := q.Counts(ctx)
	if err != nil {
		return err
	}
	switch {
	case full:
		a.note(texts.T("there are more: --offset %s shows the next; %s of all jobs wait", strconv.Itoa(page.offset+page.limit),
			texts.Count(counts.Waiting, "%d letter", "%d letters")))
	case matched == 0 && f.All():
		a.note(texts.T("no dead letter waits"))
	case matched == 0:
		a.note(texts.T("no dead letter waits that matches"))
	case matched <= page.offset:
		a.note(texts.T("only %s there, fewer than --offset %s", texts.Count(matched, "%d letter", "%d letters"), strconv.Itoa(page.offset)))
	}
	a.sayInMotion(counts)
	return nil
}

// subjectOf names the id that a letter is about, or how many ids it holds.
func subjectOf(l deadletter.Letter) texts.Text {
	switch {
	case report.AboutRole(l.Reason) && len(l.RoleIDs) == 1:
		return report.Subject(true, words.RoleIDs(l.RoleIDs)[0])
	case len(l.UserIDs) == 1:
		return report.Subject(false, l.UserIDs[0])
	}
	return texts.T("%s × %s", usersOf(len(l.UserIDs)), rolesOf(len(l.RoleIDs)))
}

// sayInMotion mentions the letters that are not listed because they are being tried again.
func (a *app) sayInMotion(c deadletter.Counts) {
	if n := c.InMotion(); n > 0 {
		a.note(texts.Count(n, "%d letter of all jobs is being tried again just now", "%d letters of all jobs are being tried again just now"))
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
		a.note(texts.T("%s left out, whose users and roles cannot be read: unrole deadletter list --reason %s",
			texts.Count(without, "%d letter is", "%d letters are"), string(tasks.ReasonBadPayload)))
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
				return usageError(cmd, texts.T("ID is missing: unrole deadletter list shows the ids"))
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
	t := a.newTable()
	t.row(texts.T("dead letter"), l.ID)
	t.row(texts.T("job"), l.JobID)
	t.row(texts.T("state"), string(l.State))
	t.row(texts.T("reason"), texts.T("%s: %s", string(l.Reason), report.Means(l.Reason)))
	t.row(texts.T("what to do"), report.Remedy(l.Reason))
	t.row(texts.T("what DingTalk said"), strings.TrimSpace(report.CodeText(l.ErrCode, l.SubCode)+" "+l.ErrMsg))
	if l.RequestID != "" {
		t.row(texts.T("request id"), l.RequestID)
	}
	t.row(texts.T("attempts"), thousands(l.Attempts))
	t.row(texts.T("since"), moment(l.FailedAt))
	t.row(texts.T("priority"), l.Lane)
	t.row(texts.T("pairs"), thousands(l.Pairs))
	if l.Payload != "" {
		t.row(texts.T("payload"), l.Payload)
	}
	t.row(texts.T("roles"), strings.Join(words.RoleIDs(l.RoleIDs), " "))
	t.row(texts.T("users"), strings.Join(l.UserIDs, " "))
	return t.print()
}
