package config

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDocumentIsCurrent compares docs/configuration.md with the table; UPDATE_DOCS=1 rewrites it.
func TestDocumentIsCurrent(t *testing.T) {
	const name = "../../../docs/configuration.md"
	want := reference()
	if os.Getenv("UPDATE_DOCS") != "" {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/configuration.md is not what the code says; UPDATE_DOCS=1 go test ./internal/run/config rewrites it\n%s", diff)
	}
}

// reference is that of all variables, which is docs/configuration.md.
func reference() string {
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
	return b.String()
}

func code(s, prefix string) string {
	if s == "" {
		return ""
	}
	return "`" + prefix + s + "`"
}
