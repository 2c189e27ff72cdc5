package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	engine "github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/run/doctor"
	"github.com/unrole/unrole/internal/run/fleet"
)

func (a *app) doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check Redis, DingTalk and the way to them",
		Long: `doctor looks at everything unrole needs and says what is wrong and what to do: Redis (reachable, version, eviction
policy, persistence, memory, clock), how people and roles are looked up, and DingTalk (reachable, proxy, clock, credentials, permission to read). It removes
nothing, so whether the app may remove roles shows with the first removal only.

It ends with 0 when nothing failed, warnings or not, with 4 when credentials or a permission are missing or refused, and
with 1 after any other failure.`,
		Example: `  unrole doctor
  unrole doctor --output json | jq 'select(.level != "ok")'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.loadConfig(cmd)
			if err != nil {
				return err
			}
			a.logger(c) // takes over what the Redis client logs by itself
			var failures, credentials int
			var broken error
			doctor.Examine(cmd.Context(), doctor.Config{RedisURL: c.RedisURL, AuditFile: c.AuditFile, AuditKeep: c.AuditKeep, MissingCredentials: c.NeedCredentials(),
				Pace: func(ctx context.Context, rdb redis.UniversalClient) (pace.Status, error) {
					pacer, err := engine.NewPacer(c, parts(rdb, zerolog.Nop()))
					if err != nil {
						return pace.Status{}, err
					}
					return pacer.Status(ctx)
				},
				Lookups: func(ctx context.Context, rdb redis.UniversalClient) (fleet.Lookups, error) {
					return engine.ReadLookups(ctx, c, parts(rdb, zerolog.Nop()))
				},
				DingTalk: engine.Credentials(c, parts(nil, zerolog.Nop()))},
				func(f doctor.Finding) {
					broken = errors.Join(broken, a.printFinding(f))
					if f.Level == doctor.Failure {
						failures++
						if f.Credentials {
							credentials++
						}
					}
				})
			switch {
			case broken != nil:
				return broken
			case cmd.Context().Err() != nil:
				return cmd.Context().Err()
			case failures == 0:
				return nil
			case failures == credentials:
				return exitf(exitCredentials, "%s", counted(failures, "check failed", "checks failed"))
			}
			return exitf(exitError, "%s", counted(failures, "check failed", "checks failed"))
		},
	}
	addConfigFlags(cmd.Flags(), "REDIS_URL", "DINGTALK_BASE_URL", "DINGTALK_APP_KEY", "UNROLE_DIRECTORY_TTL", "UNROLE_AUDIT_FILE", "UNROLE_AUDIT_KEEP")
	return cmd
}

// printFinding prints a line as soon as it is known: a check may take seconds.
func (a *app) printFinding(f doctor.Finding) error {
	if a.output == outputJSON {
		return a.printJSON(f)
	}
	if _, err := fmt.Fprintf(a.stdout, "%-7s  %-20s  %s\n", f.Level, f.Check, printable(f.Says)); err != nil {
		return err
	}
	if f.Remedy == "" {
		return nil
	}
	_, err := fmt.Fprintf(a.stdout, "%-7s  %-20s  -> %s\n", "", "", f.Remedy)
	return err
}
