package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/internal/test/redistest"
)

func TestTheIntakeSaysWhereItListensTakesRemovalsAndStops(t *testing.T) {
	server := redistest.Start(t)
	a, _, stderr := testApp("", false, nil)
	out, in := io.Pipe()
	a.stdout, a.output = in, outputJSON
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- a.serveAPI(ctx, &config.Config{RedisURL: server.URL(), APIListen: "127.0.0.1:0", MaxUsersPerDay: 1, LogLevel: "error"},
			apiFlags{maxUsers: 500, rate: 100})
	}()
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatalf("%v; stderr %s", err, stderr)
	}
	var ready apiReady
	if err := json.Unmarshal(line, &ready); err != nil {
		t.Fatal(err)
	}
	post := func(id, user string) ledger.Job {
		t.Helper()
		resp, err := http.Post(ready.URL+"/v1/removals", "application/json", strings.NewReader(
			`{"job_id":"`+id+`","source":"hr","reason":"left","removals":[{"user_ids":["`+user+`"],"role_ids":[1]}]}`))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var job ledger.Job
		if err := json.NewDecoder(resp.Body).Decode(&job); err != nil || resp.StatusCode != http.StatusAccepted {
			t.Fatalf("%s: %v", resp.Status, err)
		}
		return job
	}
	if job := post("first", "a"); job.State != ledger.StateRunning {
		t.Errorf("%+v", job)
	}
	if job := post("second", "b"); job.Awaiting != ledger.AwaitingApproval {
		t.Errorf("a second user passed a limit of one a day: %+v", job)
	}
	operator, stdout, _ := testApp("", false, map[string]string{"REDIS_URL": server.URL(), "USER": "ann"})
	if code := operator.main(t.Context(), []string{"jobs", "approve", "second", "--why", "checked", "-o", "json"}); code != exitDone {
		t.Errorf("approve ends with %d", code)
	}
	var approved ledger.Job
	if err := json.Unmarshal(stdout.Bytes(), &approved); err != nil || approved.State != ledger.StateRunning || approved.ApprovedBy == "" {
		t.Errorf("%s: %v", stdout, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the intake ended with %v", err)
	}
}
