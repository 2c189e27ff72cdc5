package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/webhook"
)

func (a *app) webhookCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "webhook",
		Short: "Look at messages that the receiver of the webhook has not taken",
		Long: `webhook is about the messages that tell UNROLE_WEBHOOK_URL when a job ends. Each is tried for a day; one that was not taken
by then waits until somebody sends it again.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.webhookListCommand(), a.webhookRetryCommand())
	return cmd
}

func (a *app) webhookListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the messages that wait, with the receiver's last answer",
		Example: `  unrole webhook list`,
		Args:    noArgs,
		RunE: a.withRecords(func(_ context.Context, _ *cobra.Command, r *records, _ []string) error {
			list, err := webhook.NewWaiting(r.rdb).List()
			if err != nil {
				return err
			}
			if a.output == outputJSON {
				for _, m := range list {
					if err := a.printJSON(m); err != nil {
						return err
					}
				}
				return nil
			}
			if len(list) == 0 {
				a.note(texts.T("no message waits"))
				return nil
			}
			t := a.newTable(texts.T("message"), texts.T("job"), texts.T("attempts"), texts.T("next"), texts.T("why"))
			for _, m := range list {
				var next any = texts.T("nobody tries it any more")
				switch {
				case m.Next != nil:
					next = moment(*m.Next)
				case m.State != "archived":
					next = texts.T("at once")
				}
				t.row(m.ID, m.JobID, fmt.Sprint(m.Attempts), next, m.LastError)
			}
			return t.print()
		}),
	}
	addConfigFlags(cmd.Flags(), "REDIS_URL")
	return cmd
}

func (a *app) webhookRetryCommand() *cobra.Command {
	var all bool
	retry := a.withRecords(func(_ context.Context, _ *cobra.Command, r *records, ids []string) error {
		w := webhook.NewWaiting(r.rdb)
		if all {
			list, err := w.List()
			if err != nil {
				return err
			}
			for _, m := range list {
				if m.State == "archived" || m.Next != nil {
					ids = append(ids, m.ID)
				}
			}
		}
		sent, err := retryMessages(w.Retry, ids, all)
		if err != nil {
			return err
		}
		if a.output == outputJSON {
			return a.printJSON(map[string]int{"sent_again": sent})
		}
		_, err = fmt.Fprintf(a.stdout, "due again: %s\n", counted(sent, "message", "messages"))
		return err
	})
	cmd := &cobra.Command{
		Use:   "retry [ID...]",
		Short: "Send messages again that wait",
		Long: `retry makes messages due that wait for their next attempt, or that nobody tries any more. A worker or intake that has
UNROLE_WEBHOOK_URL sends them, each under the webhook-id that it always had.`,
		Example: `  unrole webhook retry --all
  unrole webhook retry 20261231-180000-k3x9q2ab.finished.1798711200000000`,
		RunE: func(cmd *cobra.Command, ids []string) error {
			if all == (len(ids) > 0) {
				return usageError(cmd, errors.New("name the messages (unrole webhook list shows them), or say --all"))
			}
			return retry(cmd, ids)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "every message that waits")
	addConfigFlags(cmd.Flags(), "REDIS_URL")
	return cmd
}

// retryMessages counts the messages that are due again. Where nobody named them, one that a worker took meanwhile is none of
// them, and no fault.
func retryMessages(retry func(id string) error, ids []string, all bool) (sent int, err error) {
	for _, id := range ids {
		err := retry(id)
		var taken *webhook.NotWaitingError
		switch {
		case err == nil:
			sent++
		case !all || !errors.As(err, &taken):
			return sent, err
		}
	}
	return sent, nil
}
