package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manPages are the man pages of a command and of those below it, by file name. Their date is not that of the build, so
// that the same commands make the same pages.
func manPages(t *testing.T, cmd *cobra.Command) map[string][]byte {
	t.Helper()
	cmd.DisableAutoGenTag = true
	dir := t.TempDir()
	date := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	if err := doc.GenManTree(cmd, &doc.GenManHeader{Section: "1", Source: "unrole", Manual: "unrole", Date: &date}, dir); err != nil {
		t.Fatal(err)
	}
	return readPages(t, dir)
}

func readPages(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string][]byte{}
	for _, name := range names {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		pages[filepath.Base(name)] = page
	}
	return pages
}

// TestManPagesAreCurrent compares docs/man with the commands; UPDATE_DOCS=1 rewrites it.
func TestManPagesAreCurrent(t *testing.T) {
	const dir = "../../docs/man"
	a := &app{stdout: io.Discard, stderr: io.Discard, getenv: func(string) string { return "" }}
	want := manPages(t, a.rootCommand())
	if os.Getenv("UPDATE_DOCS") != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name := range readPages(t, dir) {
			if want[name] == nil {
				if err := os.Remove(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
		}
		for name, page := range want {
			if err := os.WriteFile(filepath.Join(dir, name), page, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := readPages(t, dir)
	for name := range got {
		if want[name] == nil {
			t.Errorf("docs/man/%s is of no command", name)
		}
	}
	for name, page := range want {
		if !bytes.Equal(got[name], page) {
			t.Errorf("docs/man/%s is not what the code says; UPDATE_DOCS=1 go test ./cmd/unrole -run ManPages rewrites it\n%s",
				name, cmp.Diff(string(page), string(got[name])))
		}
	}
}
