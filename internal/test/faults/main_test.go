package faults

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

var (
	long      = flag.Bool("long", false, "play one history for each kind of fault; without it only what virtual time cannot show")
	histories = flag.Int("histories", 0, "random histories to play besides one for each kind of fault")
	firstSeed = flag.Uint64("seed", 1, "seed of the first random history; the others follow")
	soak      = flag.Duration("soak", 20*time.Second, "how long the worker is watched for leaks")
	recovery  = flag.Bool("recovery", false, "measure how soon calls go on after each loss of a leader, and what each refusal of Redis costs")
	detect    = flag.Bool("detect-races", false, "build the command with the race detector")

	binary string // the built command
)

func TestMain(m *testing.M) { os.Exit(mainOf(m)) }

func mainOf(m *testing.M) int {
	flag.Parse()
	// Histories wait most of the time, for leases that end and pauses that pass: more of them than processors run well.
	parallel := false
	flag.Visit(func(f *flag.Flag) { parallel = parallel || f.Name == "test.parallel" })
	if !parallel {
		_ = flag.Set("test.parallel", "12")
	}
	dir, err := os.MkdirTemp("", "faults")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "unrole")
	args := []string{"build", "-o", binary}
	if *detect {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "github.com/unrole/unrole/cmd/unrole")...)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the command: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}
