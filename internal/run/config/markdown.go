package config

import (
	"fmt"
	"io"
	"strings"
)

// WriteMarkdown writes the reference of all variables, which is docs/configuration.md.
func WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString(`# Configuration

Every setting is an environment variable; most have a flag of the same meaning, which wins. An empty variable counts as
not set. A secret has no flag, because everybody on the machine can read the arguments of a process (so give --redis no
URL with a password); it may come from a file instead: where NAME is a secret, NAME_FILE names a file that holds it.
Durations are written 500ms, 30s, 5m, 24h.
All faults are reported at once, and no secret is ever shown.

This page is generated from the code.
`)
	group := ""
	for _, v := range variables {
		if v.Group != group {
			group = v.Group
			fmt.Fprintf(&b, "\n## %s\n\n| variable | flag | default | meaning |\n|---|---|---|---|\n", group)
		}
		name := "`" + v.Name + "`"
		if v.Secret {
			name += " or `" + v.Name + "_FILE`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", name, code(v.Flag, "--"), code(v.Default, ""), strings.ReplaceAll(v.Meaning, "|", `\|`))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func code(s, prefix string) string {
	if s == "" {
		return ""
	}
	return "`" + prefix + s + "`"
}
