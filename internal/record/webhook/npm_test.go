package webhook

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unrole/unrole/internal/test/redistest"
)

// requireNPM, set to 1, has the public libraries fetched and tried; without it the test is skipped, since tests need no network.
const requireNPM = "UNROLE_REQUIRE_NPM"

func TestTheLibrariesOfReceiversTakeAMessageAndNoForgedOne(t *testing.T) {
	if os.Getenv(requireNPM) == "" {
		t.Skip("it fetches standardwebhooks and svix from npm: set " + requireNPM + "=1")
	}
	dir := t.TempDir()
	script, err := os.ReadFile("testdata/receiver.mjs")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "receiver.mjs"), script, 0o600); err != nil {
		t.Fatal(err)
	}
	npm := exec.Command("npm", "install", "--no-audit", "--no-fund", "--prefix", dir, "standardwebhooks@1.1.1", "svix@2.5.0")
	if out, err := npm.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, library := range []string{"standardwebhooks", "svix"} {
		t.Run(library, func(t *testing.T) {
			node := exec.Command("node", "receiver.mjs", library, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
			node.Dir, node.Stderr = dir, os.Stderr
			out, err := node.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := node.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				node.Process.Kill()
				node.Wait()
			})
			said := bufio.NewReader(out)
			line := func() string {
				t.Helper()
				text, err := said.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				return strings.TrimSpace(text)
			}
			n, _ := notifier(t, redistest.Start(t).Client(), line(), nil)
			end := job(t, n.cfg.Ledger, "j1")
			if err := n.Look(t.Context()); err != nil { // what ends from now on is told
				t.Fatal(err)
			}
			end()
			run(t, n)
			if got := line(); got != "job.finished j1 completed" {
				t.Error(got)
			}
		})
	}
}
