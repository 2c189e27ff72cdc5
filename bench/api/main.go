// Command api measures the HTTP intake on this machine: the time from POST to 202 at a steady rate, and on an idle
// system the time from POST to the moment DingTalk sees the call.
//
//	go run ./bench/api
//
// Client, intake, worker and Redis share the machine, so the figures are upper bounds. It ends after -seconds and -idle
// requests.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/bench/internal/rig"
	"github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/internal/run/httpserve"
)

func main() {
	url := rig.RedisFlag()
	rate := flag.Int("rate", 200, "requests a second")
	seconds := flag.Int("seconds", 20, "how long to keep the rate")
	idle := flag.Int("idle", 50, "requests on the idle system, one after the other")
	flag.Parse()
	rig.MainWithRedis(*url, func(ctx context.Context, _ *rig.Redis, rdb *redis.Client) error {
		return measure(ctx, rdb, *rate, *seconds, *idle)
	}, "--appendonly", "yes")
}

func measure(ctx context.Context, rdb *redis.Client, rate, seconds, idle int) error {
	if rate < 1 || seconds < 1 || idle < 1 {
		return errors.New("-rate, -seconds and -idle must be at least 1")
	}
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	address, err := serve(ctx, &running, rdb, float64(2*rate))
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	run := time.Now().UnixNano()
	submit := func(id string) (time.Duration, error) {
		began := time.Now()
		resp, err := client.Post(address+"/v1/removals", "application/json", strings.NewReader(fmt.Sprintf(
			`{"job_id":"%s","source":"bench","reason":"bench","removals":[{"user_ids":["%s"],"role_ids":[1507113578,1507113579]}]}`, id, id)))
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != http.StatusAccepted {
			return 0, fmt.Errorf("answered %s", resp.Status)
		}
		return time.Since(began), nil
	}

	took, err := steady(rate, seconds, func(i int) (time.Duration, error) { return submit(fmt.Sprintf("load-%d-%d", run, i)) })
	if err != nil {
		return err
	}
	fmt.Printf("POST to 202, %d requests/s for %d s: %s\n", rate, seconds, rig.Times(took))

	calls := &seen{at: make(chan time.Time, 1)}
	if err := rig.Engines(ctx, &running, rdb, 1, rig.QPS, "", calls); err != nil {
		return err
	}
	l := ledger.New(rdb, 0)
	fmt.Printf("waiting for the worker to finish the %d removals\n", len(took))
	for id := len(took) - 1; id >= 0; id-- {
		if _, err := l.Watch(ctx, fmt.Sprintf("load-%d-%d", run, id), 50*time.Millisecond, func(ledger.Job, error) error { return nil }); err != nil {
			return err
		}
	}
	calls.watch()
	var reach []time.Duration
	for i := range idle {
		// Apart by an odd time, so that requests fall anywhere between two looks of the worker.
		time.Sleep(211 * time.Millisecond)
		began := time.Now()
		if _, err := submit(fmt.Sprintf("idle-%d-%d", run, i)); err != nil {
			return err
		}
		reach = append(reach, (<-calls.at).Sub(began))
	}
	fmt.Printf("POST to DingTalk's call, idle system, %d requests: %s\n", idle, rig.Times(reach))
	return nil
}

// serve starts an intake without keys on loopback.
func serve(ctx context.Context, running *sync.WaitGroup, rdb redis.UniversalClient, rate float64) (address string, err error) {
	intake, err := app.NewIntake(&config.Config{}, app.Parts{Redis: rdb}, app.Admission{Rate: rate})
	if err != nil {
		return "", err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	running.Go(func() { httpserve.Serve(ctx, l, intake.Handler, time.Second, zerolog.Nop()) })
	return "http://" + l.Addr().String(), nil
}

// seen stands for DingTalk: it takes every call, and says when once it is watched.
type seen struct {
	mu      sync.Mutex
	watched bool
	at      chan time.Time
}

func (s *seen) watch() {
	s.mu.Lock()
	s.watched = true
	s.mu.Unlock()
}

func (s *seen) RoundTrip(r *http.Request) (*http.Response, error) {
	now := time.Now()
	s.mu.Lock()
	watched := s.watched && !strings.HasSuffix(r.URL.Path, "/gettoken")
	s.mu.Unlock()
	if watched {
		s.at <- now
	}
	answer := `{"errcode":0,"errmsg":"ok","access_token":"bench","expires_in":7200,"request_id":"bench"}`
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
}

// steady makes requests at a rate whether earlier ones have ended or not, so that a slow answer delays no later request
// and hides none.
func steady(rate, seconds int, request func(i int) (time.Duration, error)) ([]time.Duration, error) {
	n := rate * seconds
	took := make([]time.Duration, n)
	errs := make([]error, n)
	var all sync.WaitGroup
	began := time.Now()
	for i := range n {
		time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(rate))))
		all.Go(func() { took[i], errs[i] = request(i) })
	}
	all.Wait()
	return took, errors.Join(errs...)
}
