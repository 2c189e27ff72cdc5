package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/internal/test/simtest"
)

// command is an app that runs in this process; its standard output is read line by line.
type command struct {
	*testing.T
	out  *bufio.Reader
	err  *strings.Builder
	stop func() exitCode
}

func start(t *testing.T, env map[string]string, args ...string) *command {
	t.Helper()
	a, _, _ := testApp("", false, env)
	r, w := io.Pipe()
	said := &strings.Builder{}
	a.stdout, a.stderr = w, said
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan exitCode, 1)
	go func() {
		ended <- a.main(ctx, args)
		w.Close()
	}()
	var code exitCode
	stopped := false
	c := &command{T: t, out: bufio.NewReader(r), err: said}
	c.stop = func() exitCode {
		if !stopped {
			stopped = true
			cancel(errInterrupted)
			go io.Copy(io.Discard, c.out)
			code = <-ended
		}
		return code
	}
	t.Cleanup(func() { c.stop() })
	return c
}

func (c *command) line() string {
	c.Helper()
	line, err := c.out.ReadString('\n')
	if err != nil {
		c.Fatalf("output ended: %v; stderr: %s", err, c.err)
	}
	return line
}

func (c *command) decode(v any) {
	c.Helper()
	line := c.line()
	if err := json.Unmarshal([]byte(line), v); err != nil {
		c.Fatalf("%q: %v", line, err)
	}
}

func body(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestUIServesUntilTheSignal(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := start(t, map[string]string{"REDIS_URL": redistest.Start(t).URL(), "UNROLE_UI_PASSWORD_FILE": secret},
		"ui", "--ui-listen", "127.0.0.1:0", "--prefix", "/unrole", "-o", "json")
	var ready uiReady
	c.decode(&ready)
	if !ready.Password || ready.AllowActions || !strings.HasSuffix(ready.URL, "/unrole/") {
		t.Errorf("%+v", ready)
	}
	if code, _ := body(t, ready.URL); code != 401 {
		t.Errorf("without the password: %d", code)
	}
	if code, page := body(t, strings.Replace(ready.URL, "http://", "http://unrole:s3cret@", 1)); code != 200 || !strings.Contains(page, "<h1>Removals</h1>") {
		t.Errorf("with the password: %d %.200s", code, page)
	}
	if code := c.stop(); code != exitDone {
		t.Errorf("exit %d: %s", code, c.err)
	}
	if strings.Contains(c.err.String(), "s3cret") {
		t.Error("the password is in the log")
	}
}

func TestWorkerServesHealthAndMetrics(t *testing.T) {
	sim := simtest.Start(t, simulator.Options{Open: true})
	e := map[string]string{"REDIS_URL": redistest.Start(t).URL(), "DINGTALK_BASE_URL": sim.URL, "DINGTALK_APP_KEY": sim.AppKey,
		"DINGTALK_APP_SECRET": sim.AppSecret, "UNROLE_ADMIN_LISTEN": "127.0.0.1:0"}
	a, _, _ := testApp("", false, e)
	r, w := io.Pipe()
	a.stderr = w
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan exitCode, 1)
	go func() { ended <- a.main(ctx, []string{"worker"}); w.Close() }()
	lines := bufio.NewScanner(r)
	var address string
	for address == "" && lines.Scan() {
		var line struct{ Address string }
		if json.Unmarshal(lines.Bytes(), &line) == nil {
			address = line.Address
		}
	}
	go io.Copy(io.Discard, r)
	if code, page := body(t, "http://"+address+"/readyz"); code != 200 || !strings.Contains(page, "hold: none") {
		t.Errorf("%d %s", code, page)
	}
	_, page := body(t, "http://"+address+"/metrics")
	for _, want := range []string{"unrole_fleet_ceiling_calls_per_second 20\n", `asynq_tasks_enqueued_total{queue="bulk",state="pending"} 0`, "unrole_redis_up 1\n"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in the metrics", want)
		}
	}
	if strings.Contains(page, sim.AppSecret) || strings.Contains(page, sim.AppKey) {
		t.Error("credentials are in the metrics")
	}
	cancel()
	if code := <-ended; code != exitDone {
		t.Errorf("exit %d", code)
	}
}

func TestADayAtTheCompanyPlaysByItself(t *testing.T) {
	// No credentials or Redis of the environment may be touched: these would fail.
	c := start(t, map[string]string{"REDIS_URL": "redis://127.0.0.1:1/0", "DINGTALK_BASE_URL": "http://127.0.0.1:1", "DINGTALK_APP_KEY": "real",
		"DINGTALK_APP_SECRET": "real"}, "demo", "--hour", "200ms")
	var seen strings.Builder
	var ui string
	for !strings.Contains(seen.String(), "day 2, 09:00") {
		line := c.line()
		if fields := strings.Fields(line); ui == "" && len(fields) > 1 && fields[0] == "open" {
			ui = fields[1]
			if code, _ := body(t, ui+"queues/api/queues"); code != 200 {
				t.Errorf("the web UI answers %d", code)
			}
		}
		seen.WriteString(line)
	}
	for _, want := range []string{"people leave", "a department closes: 4,800 pairs", "dead letters", "DingTalk is busy", "permission", "the day is over"} {
		if !strings.Contains(seen.String(), want) {
			t.Errorf("the day had no %q", want)
		}
	}
	if code := c.stop(); code != exitDone {
		t.Errorf("exit %d: %s", code, c.err)
	}
	if c.err.Len() > 0 {
		t.Errorf("stderr: %s", c.err)
	}
}
