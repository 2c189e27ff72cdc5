package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
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
		return usageError(cmd, fmt.Errorf("--output %q is not one of %s", a.output, strings.Join(allowed, ", ")))
	}
	return nil
}

// printJSON prints a result as one line of JSON.
func (a *app) printJSON(result any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(result)
}

// pageFlags page a list that is printed as text; other output is whole.
type pageFlags struct{ limit, offset int }

func (p *pageFlags) add(cmd *cobra.Command, what string, limit int) {
	cmd.Flags().IntVar(&p.limit, "limit", limit, what+" to show at most (text)")
	cmd.Flags().IntVar(&p.offset, "offset", 0, what+" to pass over first (text)")
}

func (p *pageFlags) check(cmd *cobra.Command, a *app) error {
	if p.limit < 1 || p.offset < 0 {
		return usageError(cmd, errors.New("--limit must be at least 1 and --offset at least 0"))
	}
	if a.output != outputText && (cmd.Flags().Changed("limit") || cmd.Flags().Changed("offset")) {
		return usageError(cmd, fmt.Errorf("--limit and --offset page the text output; --output %s is whole", a.output))
	}
	return nil
}
