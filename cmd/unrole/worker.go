package main

import (
	"github.com/spf13/cobra"

	engine "github.com/unrole/unrole/internal/app"
)

func (a *app) workerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Carry out what is submitted",
		Long: `worker takes removals from Redis and carries them out, any number of workers at once: they share DingTalk's pace. The
first SIGINT or SIGTERM finishes the calls in flight and puts the rest back; a second one ends it at once.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.loadConfig(cmd)
			if err != nil {
				return err
			}
			if err := c.NeedCredentials(); err != nil {
				return exitWith(exitCredentials, err)
			}
			log := a.logger(c)
			with, end, err := a.service(cmd.Context(), c, log)
			if err != nil {
				return err
			}
			defer end()
			with.Leavers = true
			e, err := engine.New(c, with)
			if err != nil {
				return err
			}
			stopAdmin, err := serveAdmin(cmd.Context(), c, e.Observed, log)
			if err != nil {
				return err
			}
			defer stopAdmin()
			return e.Run(cmd.Context())
		},
	}
	addConfigFlags(cmd.Flags(), "REDIS_URL", "DINGTALK_BASE_URL", "DINGTALK_APP_KEY", "UNROLE_QPS", "UNROLE_DIRECTORY_TTL", "UNROLE_CONCURRENCY",
		"UNROLE_MAX_ATTEMPTS", "UNROLE_RETRY_BASE", "UNROLE_RETRY_CAP", "UNROLE_BUSY_MAX_AGE", "UNROLE_HOLD_PROBE",
		"UNROLE_CHECK_INTERVAL", "UNROLE_RETENTION", "UNROLE_PROTECTED_USERS", "UNROLE_PROTECTED_ROLES", "UNROLE_LEAVERS_FILE", "UNROLE_AUDIT_FILE", "UNROLE_AUDIT_KEEP", "UNROLE_WEBHOOK_URL", "UNROLE_ADMIN_LISTEN")
	return cmd
}
