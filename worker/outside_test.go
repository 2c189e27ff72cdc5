package worker_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// What a reader of the package documentation copies must work where the reader is: in another module, which has nothing of
// internal.
func TestTheExamplesRunOutsideThisModule(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	write := func(name string, text []byte) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(outside, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(outside, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) []byte {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	// The versions are this module's, so that nothing has to be downloaded.
	write("go.mod", append(bytes.Replace(read("go.mod"), []byte("module github.com/unrole/unrole"), []byte("module example.com/hr"), 1),
		"\nrequire github.com/unrole/unrole v0.0.0\n\nreplace github.com/unrole/unrole => "+root+"\n"...))
	write("go.sum", read("go.sum"))
	for _, name := range []string{"worker/example_test.go", "enqueue/example_test.go", "tasks/example_test.go"} {
		write(name, read(name))
	}
	test := exec.Command("go", "test", "-count=1", "-run", "^Example", "./...")
	test.Dir = outside
	test.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	if out, err := test.CombinedOutput(); err != nil || bytes.Count(out, []byte("ok ")) != 3 {
		t.Fatalf("%v\n%s", err, out)
	}
}
