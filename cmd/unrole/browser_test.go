package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/unrole/unrole/enqueue"
	engine "github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/internal/test/simtest"
)

// requireChromium is the environment variable that turns a missing Chromium from a skipped test into a failed one.
const requireChromium = "UNROLE_REQUIRE_CHROMIUM"

// browser is a headless Chromium that is driven over its DevTools pipe.
type browser struct {
	testing.TB
	to      io.Writer
	from    *bufio.Reader
	session string
	id      int
}

func openBrowser(t testing.TB) *browser {
	t.Helper()
	bin, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv(requireChromium) != "" {
			t.Fatalf("chromium is not installed and %s is set: install Debian's chromium", requireChromium)
		}
		t.Skip("chromium is not installed (apt-get install chromium)")
	}
	theirIn, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: Chromium's helpers outlive it by a moment and still write there.
	profile, err := os.MkdirTemp("", "unrole-chromium-*")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic",
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--window-size=1400,900", "--user-data-dir="+profile, "--remote-debugging-pipe", "about:blank")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // Chromium reads 3 and writes 4
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirIn.Close()
	theirOut.Close()
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
		to.Close()
		from.Close()
		for tries := 0; os.RemoveAll(profile) != nil && tries < 100; tries++ {
			runtime.Gosched()
		}
	})
	b := &browser{TB: t, to: to, from: bufio.NewReader(from)}
	timer := time.AfterFunc(5*time.Minute, func() { cmd.Process.Kill() })
	t.Cleanup(func() { timer.Stop() })
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	return b
}

// call makes one call of the DevTools protocol and waits for its answer.
func (b *browser) call(method string, params, result any) {
	b.Helper()
	b.id++
	message := map[string]any{"id": b.id, "method": method, "params": params}
	if b.session != "" {
		message["sessionId"] = b.session
	}
	data, err := json.Marshal(message)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := b.to.Write(append(data, 0)); err != nil {
		b.Fatalf("%s: %v", method, err)
	}
	for {
		data, err := b.from.ReadBytes(0)
		if err != nil {
			b.Fatalf("%s: chromium ended: %v", method, err)
		}
		var answer struct {
			ID     int
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		if err := json.Unmarshal(data[:len(data)-1], &answer); err != nil {
			b.Fatal(err)
		}
		if answer.ID != b.id {
			continue // an event
		}
		if answer.Error != nil {
			if method == "Runtime.evaluate" && strings.Contains(answer.Error.Message, "navigated") {
				return // the page was left while the script waited
			}
			b.Fatalf("%s: %s", method, answer.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(answer.Result, result); err != nil {
				b.Fatal(err)
			}
		}
		return
	}
}

func (b *browser) open(url string) {
	b.Helper()
	b.call("Page.navigate", map[string]any{"url": url}, nil)
}

// await waits in the page until the expression is true, and fails with the page's text when it does not become so.
func (b *browser) await(expression string) {
	b.Helper()
	script := fmt.Sprintf(`new Promise((done) => {
		const began = Date.now();
		const look = () => {
			let ok = false;
			try { ok = %s } catch (e) {}
			if (ok) { done(""); return }
			if (Date.now() - began > 20000) { done(document.body ? document.body.innerText : "no page"); return }
			requestAnimationFrame(look);
		};
		look();
	})`, expression)
	var got struct {
		Result struct{ Value *string }
	}
	// A page that is left while the script waits ends the script; it begins anew on the next page.
	for range 5 {
		b.call("Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true, "returnByValue": true}, &got)
		if got.Result.Value != nil {
			break
		}
	}
	if v := got.Result.Value; v == nil || *v != "" {
		b.Fatalf("%s did not become true; the page says: %v", expression, orNothing(v))
	}
}

func orNothing(s *string) string {
	if s == nil {
		return "nothing"
	}
	return *s
}

func TestInTheBrowserRunOnADeadLetterRemovesTheRole(t *testing.T) {
	b := openBrowser(t)
	taken := make(chan simulator.Call, 100)
	sim := simtest.Start(t, simulator.Options{Observe: func(c simulator.Call) { taken <- c }})
	sim.Grant("leaver", 1507113578)
	sim.SetUser(simulator.Gone, "leaver")
	_, rdb := redistest.Memory(t)
	e, err := engine.New(&config.Config{DingTalk: config.DingTalk{BaseURL: sim.URL, AppKey: sim.AppKey, AppSecret: sim.AppSecret}, QPS: 20,
		RetryBase: time.Second, RetryCap: time.Minute, HoldProbe: time.Second}, engine.Parts{Redis: rdb})
	if err != nil {
		t.Fatal(err)
	}
	worked := make(chan error, 1)
	ctx := t.Context() // ends before the cleanups
	go func() { worked <- e.Run(ctx) }()
	t.Cleanup(func() {
		if err := <-worked; err != nil {
			t.Error(err)
		}
	})
	client, err := enqueue.NewClient(enqueue.Config{Redis: rdb})
	if err != nil {
		t.Fatal(err)
	}
	removals, err := enqueue.FromLists([]string{"leaver"}, []int64{1507113578})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Submit(ctx, enqueue.Submission{JobID: "browsed", Removals: removals}); err != nil {
		t.Fatal(err)
	}
	job, err := e.Ledger.Watch(ctx, "browsed", 10*time.Millisecond, func(ledger.Job, error) error { return nil })
	if err != nil || job.Pairs.Dead != 1 {
		t.Fatalf("%v %+v", err, job)
	}
	a, _, _ := testApp("", false, nil)
	ui, err := a.webPages(&config.Config{QPS: 20}, rdb, uiOptions{prefix: "/unrole", allowActions: true}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(ui)
	t.Cleanup(server.Close)

	b.open(server.URL + "/unrole/queues/")
	b.await(`document.querySelector('a[href$="/unrole/queues/queues/dead-letter"]') !== null`)
	b.open(server.URL + "/unrole/queues/queues/dead-letter?status=scheduled")
	b.await(`document.body.innerText.includes('"user_gone"') && document.body.innerText.includes("leaver")`)
	sim.SetUser(simulator.Accepted, "leaver") // back in the directory
	for len(taken) > 0 {
		<-taken
	}
	if name := os.Getenv("UNROLE_SCREENSHOT"); name != "" {
		b.screenshot(name)
	}
	b.await(`(() => { const box = document.querySelector('tbody input[type=checkbox]'); if (!box.checked) { box.click() } return box.checked })()`)
	const run = `[...document.querySelectorAll('button')].find((b) => /^run$/i.test(b.title || b.getAttribute('aria-label') || b.innerText.trim()))`
	b.await(run + ` !== undefined`)
	b.call("Runtime.evaluate", map[string]any{"expression": run + ".click()"}, nil)

	select {
	case call := <-taken:
		if strings.Join(call.Users, ",") != "leaver" {
			t.Errorf("called for %v", call.Users)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("Run reached nobody")
	}
	if sim.Holds("leaver", 1507113578) {
		t.Error("the role is still there")
	}
}

func (b *browser) screenshot(name string) {
	b.Helper()
	var shot struct{ Data []byte }
	b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	if err := os.WriteFile(name, shot.Data, 0o600); err != nil {
		b.Fatal(err)
	}
}
