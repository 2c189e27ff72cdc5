package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/unrole/unrole/internal/test/redistest"
)

var update = flag.Bool("update", false, "rewrite the golden parts of testdata/script")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"unrole": main})
}

// TestScripts runs testdata/script/*.txtar against the command as it is built. No script depends on anything outside
// its own directory; REDIS_URL is a port where nothing listens until the script starts a Redis. Besides testscript's
// own commands there are
//
//	redis [server arguments]  start a redis-server and set REDIS_URL; guard it by [!redis] skip
//	simulator [flags]         start `unrole simulator` on a free port and set DINGTALK_BASE_URL, _APP_KEY and _APP_SECRET
//	stopsimulator             end it with SIGTERM; its last line is stdout
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("REDIS_URL", "redis://127.0.0.1:1/0")
			return nil
		},
		Condition: func(cond string) (bool, error) {
			_, err := exec.LookPath("redis-server")
			return cond == "redis" && (err == nil || os.Getenv(redistest.RequireEnv) != ""), nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"redis": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Setenv("REDIS_URL", redistest.Start(t, args...).URL())
			},
			"simulator":     startSimulator,
			"stopsimulator": stopSimulator,
		},
	})
}

// simulatorProcess is a running `unrole simulator` of one script.
type simulatorProcess struct {
	cmd *exec.Cmd
	out *bufio.Reader
}

var simulators sync.Map // of *testscript.TestScript, since scripts run in parallel

func startSimulator(ts *testscript.TestScript, _ bool, args []string) {
	cmd := exec.Command("unrole", append([]string{"simulator", "--listen", "127.0.0.1:0", "--output", "json"}, args...)...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ts.Defer(func() { cmd.Process.Kill() })
	s := &simulatorProcess{cmd, bufio.NewReader(out)}
	simulators.Store(ts, s)
	line, err := s.out.ReadBytes('\n')
	ts.Check(err)
	var ready simulatorReady
	ts.Check(json.Unmarshal(line, &ready))
	ts.Setenv("DINGTALK_BASE_URL", ready.BaseURL)
	ts.Setenv("DINGTALK_APP_KEY", ready.AppKey)
	ts.Setenv("DINGTALK_APP_SECRET", ready.AppSecret)
}

func stopSimulator(ts *testscript.TestScript, _ bool, _ []string) {
	v, _ := simulators.Load(ts)
	s := v.(*simulatorProcess)
	ts.Check(s.cmd.Process.Signal(syscall.SIGTERM))
	io.Copy(ts.Stdout(), s.out)
	ts.Check(s.cmd.Wait())
}
