package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// healthCommand is for health checks in containers, which have no curl.
func (a *app) healthCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "health URL",
		Short:  "Ask an address whether it answers with success",
		Hidden: true,
		Args:   exactArgs("URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 3*time.Second)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, args[0], nil)
			if err != nil {
				return usageError(cmd, err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			// What a readiness endpoint says is for the person who reads the health log.
			body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
			if err != nil {
				return err
			}
			if resp.StatusCode >= 300 {
				return fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(body)))
			}
			_, err = fmt.Fprintln(a.stdout, strings.TrimSpace(string(body)))
			return err
		},
	}
}
