package main

import (
	"bufio"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/alicebob/miniredis/v2"
)

// unroleRun is `unrole run --simulate` of the example with a report, not yet started.
func unroleRun(t *testing.T, flags ...string) (cmd *exec.Cmd, report string) {
	t.Helper()
	report = filepath.Join(t.TempDir(), "report.csv")
	cmd = exec.Command("unrole", append([]string{"run", "--simulate", "../../examples/leavers.csv", "--report", report}, flags...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	return cmd, report
}

func lines(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// exitOf is the exit code of a command that ended with err.
func exitOf(t *testing.T, err error) exitCode {
	t.Helper()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	if ended == nil {
		return exitDone
	}
	return exitCode(ended.ExitCode())
}

func TestTheReportIsWrittenThoughNobodyReadsTheOutput(t *testing.T) {
	cmd, report := unroleRun(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	cmd.Stdout, cmd.Stderr = w, w
	if code := exitOf(t, cmd.Run()); code != exitDeadLetters {
		t.Errorf("exit %d", code)
	}
	w.Close()
	if got := lines(t, report); len(got) != 1+1640 {
		t.Errorf("%d lines", len(got))
	}
}

func TestTheReportIsWrittenAfterCtrlC(t *testing.T) {
	cmd, report := unroleRun(t, "--qps", "1")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for said := bufio.NewScanner(stderr); said.Scan(); {
		if strings.HasPrefix(said.Text(), "job ") {
			cmd.Process.Signal(syscall.SIGINT)
		}
	}
	if code := exitOf(t, cmd.Wait()); code != exitInterrupted {
		t.Errorf("exit %d", code)
	}
	got := lines(t, report)
	if len(got) != 1+1640 || !strings.Contains(strings.Join(got, "\n"), ",pending,") {
		t.Errorf("%d lines", len(got))
	}
}

func TestAReportThatCannotBeWrittenIsRefusedBeforeAnythingIsSent(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "list.csv")
	if err := os.WriteFile(list, []byte("user_id,role_id\nu,7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for report, want := range map[string]string{
		filepath.Join(dir, "none", "r.csv"): "no such file",
		dir:                                 "is a directory",
		filepath.Join(dir, "r.pdf"):         "written as .csv, .xlsx, .html or .json",
		list:                                "is the list itself",
	} {
		a, stdout, stderr := testApp("", false, nil)
		code := a.main(t.Context(), []string{"run", "--simulate", list, "--report", report})
		if code != exitUsage || stdout.Len() > 0 || !strings.Contains(stderr.String(), want) {
			t.Errorf("%s: exit %d, %s", report, code, stderr)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("%v %v", err, left)
	}
}

func TestAReportThatCannotBeWrittenIsRefusedBeforeDingTalkIsAsked(t *testing.T) {
	dingTalk := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked for %s", r.URL.Path) }))
	defer dingTalk.Close()
	list := filepath.Join(t.TempDir(), "list.csv")
	if err := os.WriteFile(list, []byte("mobile,role_id\n13800138000,7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"REDIS_URL": "redis://" + miniredis.RunT(t).Addr(), "DINGTALK_BASE_URL": dingTalk.URL, "DINGTALK_APP_KEY": "key", "DINGTALK_APP_SECRET": "secret"}
	a, _, stderr := testApp("", false, env)
	if code := a.main(t.Context(), []string{"enqueue", "--preflight=false", "--user", "u", "--role", "7", "--job-id", "j"}); code != exitDone {
		t.Fatalf("exit %d, %s", code, stderr)
	}
	for _, command := range [][]string{
		{"run", list, "--yes"},
		{"enqueue", list, "--yes", "--wait"},
		{"verify", "j"},
		{"jobs", "report", "j", "--with", list},
	} {
		a, _, stderr := testApp("", false, env)
		code := a.main(t.Context(), append(command, "--report", "removed.pdf"))
		if code != exitUsage || !strings.Contains(stderr.String(), "written as .csv, .xlsx, .html or .json") {
			t.Errorf("%s: exit %d, %s", command, code, stderr)
		}
	}
}
