package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/unrole/unrole/internal/test/simtest"
)

// environment is that of a command whose files are in dir, at this Redis and this DingTalk; nothing of the machine's own.
func environment(dir, redisURL string, sim *simtest.Server) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir, "REDIS_URL=" + redisURL, "DINGTALK_BASE_URL=" + sim.URL,
		"DINGTALK_APP_KEY=" + sim.AppKey, "DINGTALK_APP_SECRET=" + sim.AppSecret, "UNROLE_RETRY_BASE=100ms", "UNROLE_RETRY_CAP=2s",
		"UNROLE_LOG_LEVEL=debug", "UNROLE_LOG_FORMAT=json"}
}

// process is one running command, a worker usually.
type process struct {
	cmd   *exec.Cmd
	log   string // file with all it said
	began time.Time
	ended chan struct{}
	err   error // of Wait, once ended is closed
	asked sync.Once
}

// start starts the command with the environment and keeps what it says in a file in dir. Whoever starts it ends it.
func start(dir string, env []string, args ...string) (*process, error) {
	file, err := os.CreateTemp(dir, args[0]+"-*.log")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	p := &process{cmd: exec.Command(binary, args...), log: file.Name(), began: time.Now(), ended: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, file, file
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// endsWithin reports whether the process has ended before d has passed.
func (p *process) endsWithin(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.ended:
		return true
	case <-timer.C:
		return false
	}
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// askToEnd sends SIGTERM, once: a worker takes a second one for impatience, and ends at once.
func (p *process) askToEnd() { p.asked.Do(func() { p.signal(syscall.SIGTERM) }) }

func (p *process) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// output is what the process has said so far.
func (p *process) output() []byte {
	b, _ := os.ReadFile(p.log)
	return b
}

// files is how many descriptors the process has open, -1 where that is not known.
func (p *process) files() int {
	entries, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "fd"))
	if err != nil {
		return -1
	}
	return len(entries)
}

// said is how a command ended.
type said struct {
	code           int
	stdout, stderr string
}

func (s said) String() string { return fmt.Sprintf("exit %d\n%s%s", s.code, s.stdout, s.stderr) }

// run runs the command to its end; -1 is the code of one that was ended by ctx.
func run(ctx context.Context, env []string, args ...string) (said, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &stdout, &stderr
	err := cmd.Run()
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return said{-1, stdout.String(), stderr.String()}, nil // ended before it began, or just when it had ended
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return said{}, fmt.Errorf("unrole %s: %w", strings.Join(args, " "), err)
	}
	return said{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}, nil
}
