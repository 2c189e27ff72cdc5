package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
	"pgregory.net/rapid"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/internal/test/redistest"
)

// testApp is an app in a world of its own: a clock that stands, an environment that is empty but for env, and a
// terminal when somebody types.
func testApp(typed string, terminal bool, env map[string]string) (a *app, stdout, stderr *bytes.Buffer) {
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	return &app{
		stdin: strings.NewReader(typed), stdout: stdout, stderr: stderr,
		getenv:     func(name string) string { return env[name] },
		isTerminal: func(any) bool { return terminal },
		now:        func() time.Time { return time.Date(2026, 12, 31, 10, 0, 0, 0, time.UTC) },
	}, stdout, stderr
}

func TestSomebodySaysYesOnATerminal(t *testing.T) {
	removals, err := enqueue.FromLists([]string{"a", "b", "c"}, []int64{1})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		typed    string
		terminal bool
		canAsk   bool
		flags    submissionFlags
		want     exitCode
		asked    bool
	}{
		{"few users are asked for, too", "yes\n", true, true, submissionFlags{maxUsers: 3}, exitDone, true},
		{"yes goes on", "yes\n", true, true, submissionFlags{maxUsers: 2}, exitDone, true},
		{"yes in capitals goes on", " YES \n", true, true, submissionFlags{maxUsers: 2}, exitDone, true},
		{"y goes on", "y\n", true, true, submissionFlags{maxUsers: 2}, exitDone, true},
		{"return is no", "\n", true, true, submissionFlags{maxUsers: 3}, exitGuard, true},
		{"end of input is no", "", true, true, submissionFlags{maxUsers: 3}, exitGuard, true},
		{"--yes is not asked", "", true, true, submissionFlags{maxUsers: 2, yes: true}, exitDone, false},
		{"no terminal, few users: no question", "", false, true, submissionFlags{maxUsers: 3}, exitDone, false},
		{"no terminal, many users: no question", "yes\n", false, true, submissionFlags{maxUsers: 2}, exitGuard, false},
		{"input from stdin, no question", "yes\n", true, false, submissionFlags{maxUsers: 2}, exitGuard, false},
		{"a guard of none lets nobody pass", "", false, true, submissionFlags{maxUsers: 0}, exitGuard, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, stdout, stderr := testApp(c.typed, c.terminal, nil)
			err := c.flags.guard(t.Context(), a, removals, func() (texts.Text, error) {
				return texts.T("DingTalk %s, app %s", "https://oapi.dingtalk.io", "dingapp"), nil
			}, c.canAsk, false)
			if got := codeOf(t.Context(), err); got != c.want {
				t.Errorf("exit %d (%v), want %d", got, err, c.want)
			}
			question := "3 pairs of 3 users and 1 role will be removed, in 1 call\nDingTalk https://oapi.dingtalk.io, app dingapp\nGo on? [y/N] "
			if asked := strings.Contains(stderr.String(), question); asked != c.asked {
				t.Errorf("stderr %q", stderr)
			}
			if stdout.Len() > 0 {
				t.Errorf("the question went to stdout: %q", stdout)
			}
		})
	}
}

func TestCtrlCAtAQuestionEndsAtOnce(t *testing.T) {
	a, _, _ := testApp("", true, nil)
	silent, typist := io.Pipe() // nobody types
	defer typist.Close()
	a.stdin = silent
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errInterrupted)
	if code := codeOf(ctx, a.confirmed(ctx, texts.T("Go on?"))); code != exitInterrupted {
		t.Errorf("exit %d, want %d", code, exitInterrupted)
	}
}

func TestExitCodes(t *testing.T) {
	interrupted, cancel := context.WithCancelCause(t.Context())
	cancel(errInterrupted)
	for _, c := range []struct {
		ctx  context.Context
		err  error
		want exitCode
	}{
		{t.Context(), nil, 0},
		{t.Context(), errors.New("x"), 1},
		{t.Context(), fmt.Errorf("load: %w", &config.Error{}), 2},
		{t.Context(), fmt.Errorf("x: %w", exitWith(exitDeadLetters, nil)), 3},
		{t.Context(), context.Canceled, 1},
		{interrupted, fmt.Errorf("x: %w", context.Canceled), 130},
		{interrupted, fmt.Errorf("x: %w", errInterrupted), 130},
		{interrupted, errors.New("something else"), 1},
		{interrupted, exitWith(exitCancelled, nil), 7},
	} {
		if got := codeOf(c.ctx, c.err); got != c.want {
			t.Errorf("%v: exit %d, want %d", c.err, got, c.want)
		}
	}
}

func TestLastLineSaysWhatTheExitCodeMeans(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{exitWith(exitDeadLetters, nil), "exit 3: done, with dead letters\n"},
		{errors.New("redis is away"), "unrole: redis is away\nexit 1: it failed\n"},
		{exitf(exitGuard, "not confirmed"), "unrole: not confirmed\nexit 6: stopped by the guard; nothing was sent\n"},
	} {
		a, _, stderr := testApp("", false, nil)
		a.say(c.err, codeOf(t.Context(), c.err))
		if stderr.String() != c.want {
			t.Errorf("got %q, want %q", stderr, c.want)
		}
	}
}

// A rule for leavers in the environment is for workers: who asks for a list or a demo gets nothing else removed.
func TestOnlyAWorkerActsByTheRuleForLeavers(t *testing.T) {
	env := map[string]string{"UNROLE_LEAVERS_FILE": "/there/is/no/such/file", "DINGTALK_APP_KEY": "k", "DINGTALK_APP_SECRET": "s", "UNROLE_ADMIN_LISTEN": ""}
	for _, args := range [][]string{{"run", "--simulate", "--user", "a", "--role", "7"}, {"demo", "--for", "100ms", "--hour", "50ms"}} {
		a, _, stderr := testApp("", false, env)
		if code := a.main(t.Context(), args); code != exitDone {
			t.Errorf("%v: %v, %s", args, code, stderr)
		}
	}
	_, rdb := redistest.Memory(t)
	env["REDIS_URL"] = "redis://" + rdb.Options().Addr + "/0"
	a, _, stderr := testApp("", false, env)
	if a.main(t.Context(), []string{"worker"}); !strings.Contains(stderr.String(), "UNROLE_LEAVERS_FILE: ") {
		t.Errorf("a worker begins without its rule: %s", stderr)
	}
}

func TestEveryExitCodeIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/exit-codes.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []exitCode{exitDone, exitError, exitUsage, exitDeadLetters, exitCredentials, exitJobTaken, exitGuard, exitCancelled, exitInterrupted} {
		if !strings.Contains(string(doc), fmt.Sprintf("| %d | %s |", int(code), code)) {
			t.Errorf("docs/exit-codes.md has no line for %d | %s", int(code), code)
		}
	}
}

func TestFirstSignalStopsSecondEnds(t *testing.T) {
	said := &bytes.Buffer{}
	ended := make(chan int, 1)
	ctx, stop := withSignals(t.Context(), func(text texts.Text) { fmt.Fprintln(said, text) }, func(code int) { ended <- code })
	defer stop()
	raise := func() {
		t.Helper()
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	raise()
	<-ctx.Done()
	if !errors.Is(context.Cause(ctx), errInterrupted) {
		t.Errorf("cause %v", context.Cause(ctx))
	}
	raise()
	if code := <-ended; code != 130 {
		t.Errorf("exit %d", code)
	}
	if !strings.Contains(said.String(), "once more stops at once") {
		t.Errorf("said %q", said)
	}
}

func TestFlagWinsOverEnvironment(t *testing.T) {
	a, _, _ := testApp("", false, map[string]string{"UNROLE_QPS": "3", "DINGTALK_APP_KEY": "k"})
	cmd := a.workerCommand()
	if err := cmd.ParseFlags([]string{"--qps", "7"}); err != nil {
		t.Fatal(err)
	}
	c, err := a.loadConfig(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if c.QPS != 7 || c.DingTalk.AppKey != "k" || c.MaxAttempts != 12 {
		t.Errorf("%+v", c)
	}
}

func TestLogIsJSONExceptOnATerminal(t *testing.T) {
	for _, c := range []struct {
		terminal bool
		format   string
		json     bool
	}{{false, "", true}, {true, "", false}, {true, "json", true}, {false, "console", false}} {
		a, _, stderr := testApp("", c.terminal, nil)
		log := a.logger(&config.Config{LogLevel: "warn", LogFormat: c.format})
		log.Info().Msg("hidden")
		log.Warn().Str("job", "j").Msg("shown")
		if got := strings.HasPrefix(stderr.String(), "{"); got != c.json || !strings.Contains(stderr.String(), "shown") || strings.Contains(stderr.String(), "hidden") {
			t.Errorf("terminal %v, format %q: %q", c.terminal, c.format, stderr)
		}
	}
}

func TestTableAlignsChineseAndNumbers(t *testing.T) {
	a, out, _ := testApp("", false, nil)
	table := a.newTable("role", "users", "why")
	table.row("财务经理", "1,204", "gone")
	table.row("hr", "7", "\x1b[31mred")
	if err := table.print(); err != nil {
		t.Fatal(err)
	}
	want := "" +
		"role      users  why\n" +
		"财务经理  1,204  gone\n" +
		"hr            7   [31mred\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
}

// Whatever the cells: no line of a table is wider than the terminal but for an id that is, which is never cut, and no
// text is lost.
func TestATableFitsTheTerminal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, out, _ := testApp("", false, nil)
		table := a.newTable()
		id := rapid.StringMatching(`[a-z0-9-]{1,64}`).Draw(t, "id")
		state := rapid.StringMatching(`[a-z]{1,12}`).Draw(t, "state")
		said := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"role", "不合法的UserID", "the", "not", "找不到该用户", "60121"}), 1, 40).Draw(t, "said"), " ")
		table.row(id, state, said)
		if err := table.print(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if line = strings.TrimRight(line, "\n"); text.StringWidth(line) > standardWidth {
				t.Errorf("%d wide: %q", text.StringWidth(line), line)
			}
		}
		if !strings.Contains(out.String(), id) {
			t.Errorf("the id is cut:\n%s", out)
		}
		_, below, _ := strings.Cut(out.String(), id)
		squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
		if squeeze(below) != squeeze(state+said) {
			// The second column stands between the lines of the wrapped last one only on the first line.
			t.Errorf("got %q, want %q", squeeze(below), squeeze(state+said))
		}
	})
}

func TestColourIsForTerminalsAndHeedsNoColor(t *testing.T) {
	for _, c := range []struct {
		terminal bool
		env      map[string]string
		want     string
	}{
		{true, nil, "\x1b[31mred\x1b[0m\n"},
		{false, nil, "red\n"},
		{true, map[string]string{"NO_COLOR": "1"}, "red\n"},
	} {
		a, out, _ := testApp("", c.terminal, c.env)
		table := a.newTable()
		table.row(cell{"red", text.FgRed})
		if err := table.print(); err != nil || out.String() != c.want {
			t.Errorf("%+v: %q", c, out)
		}
	}
}

func TestNumbersForPeople(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
	for s, want := range map[float64]string{0.05: "0.1 s", 9.94: "9.9 s", 12.4: "12 s", 200: "3 min 20 s", 7500: "2 h 5 min"} {
		if got := duration(s).String(); got != want {
			t.Errorf("%v: %q, want %q", s, got, want)
		}
	}
}

func TestProgressIsSilentWithoutATerminal(t *testing.T) {
	a, _, stderr := testApp("", false, nil)
	p := a.newProgress(10, texts.T("pairs"))
	p.set(5)
	p.describe("paused")
	p.done()
	if stderr.Len() > 0 {
		t.Errorf("%q", stderr)
	}
	a, stdout, stderr := testApp("", true, nil)
	p = a.newProgress(10, texts.T("pairs"))
	p.set(5)
	p.done()
	if stderr.Len() == 0 || stdout.Len() > 0 {
		t.Errorf("stderr %q, stdout %q", stderr, stdout)
	}
}
