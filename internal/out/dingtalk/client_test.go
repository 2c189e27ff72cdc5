package dingtalk_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/simtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect returns a client for a simulator that it reaches in memory.
func connect(t *testing.T, sim *simulator.Simulator, change ...func(*dingtalk.Config)) *dingtalk.Client {
	t.Helper()
	cfg := dingtalk.Config{
		BaseURL:   "http://dingtalk.invalid",
		AppKey:    simulator.AppKey,
		AppSecret: simulator.AppSecret,
		HTTP:      &http.Client{Transport: sim.Transport()},
	}
	for _, f := range change {
		f(&cfg)
	}
	return connectTo(t, cfg)
}

func connectTo(t *testing.T, cfg dingtalk.Config) *dingtalk.Client {
	t.Helper()
	c, err := dingtalk.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// refusal calls and returns the error as an *Error, after making sure that it leaks nothing.
func refusal(t *testing.T, err error, secrets ...string) *dingtalk.Error {
	t.Helper()
	var e *dingtalk.Error
	if !errors.As(err, &e) {
		t.Fatalf("want a *dingtalk.Error, have %v", err)
	}
	noSecret(t, err, append(secrets, simulator.AppSecret)...)
	return e
}

// noSecret asserts that neither the error, nor anything it wraps or holds, shows one of the secrets.
func noSecret(t *testing.T, err error, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		for wrapped := err; wrapped != nil; wrapped = errors.Unwrap(wrapped) {
			for _, text := range []string{wrapped.Error(), fmt.Sprintf("%+v", wrapped), fmt.Sprintf("%#v", wrapped)} {
				if strings.Contains(text, secret) {
					t.Errorf("the error shows a secret: %s", strings.ReplaceAll(text, secret, "<SECRET>"))
				}
			}
		}
	}
}

func TestOneCallRemovesTheWholeMatrixAndNothingElse(t *testing.T) {
	server := simtest.Start(t, simulator.Options{})
	for _, user := range []string{"007", "Zoë", "张三"} {
		server.Grant(user, 11, 12, 13)
	}
	c := connectTo(t, dingtalk.Config{BaseURL: server.URL + "/", AppKey: server.AppKey, AppSecret: server.AppSecret})
	reply, err := c.RemoveRoles(t.Context(), []int64{11, 12}, []string{"007", "张三"})
	if err != nil {
		t.Fatal(err)
	}
	if reply.RequestID == "" {
		t.Error("the request id is missing")
	}
	for user, want := range map[string][]bool{"007": {false, false, true}, "张三": {false, false, true}, "Zoë": {true, true, true}} {
		if have := []bool{server.Holds(user, 11), server.Holds(user, 12), server.Holds(user, 13)}; !cmp.Equal(have, want) {
			t.Errorf("%s holds 11, 12, 13: %v, want %v", user, have, want)
		}
	}
	if n := server.Stats().RemovedPairs; n != 4 {
		t.Errorf("%d pairs removed, want 4", n)
	}
}

func TestTheCallIsAsDocumented(t *testing.T) {
	var seen *http.Request
	var form string
	c := connect(t, nil, func(cfg *dingtalk.Config) {
		cfg.AppKey, cfg.AppSecret, cfg.AccessToken = "", "", "to+ken/=="
		cfg.HTTP = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			body := new(strings.Builder)
			_, _ = copyTo(body, r)
			seen, form = r, body.String()
			return answering(200, `{"errcode":0,"request_id":"r1"}`), nil
		})}
	})
	reply, err := c.RemoveRoles(t.Context(), []int64{1507113578, 2}, []string{"user100", "0012", "a&b=c"})
	if err != nil || reply.RequestID != "r1" {
		t.Fatalf("%v, %v", reply, err)
	}
	for what, pair := range map[string][2]string{
		"method":       {seen.Method, "POST"},
		"path":         {seen.URL.Path, "/topapi/role/removerolesforemps"},
		"query":        {seen.URL.RawQuery, "access_token=to%2Bken%2F%3D%3D"},
		"content type": {seen.Header.Get("Content-Type"), "application/x-www-form-urlencoded;charset=utf-8"},
		"form":         {form, "roleIds=1507113578%2C2&userIds=user100%2C0012%2Ca%26b%3Dc"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %q, want %q", what, pair[0], pair[1])
		}
	}
}

func TestACallOutsideTheLimitsIsNeverSent(t *testing.T) {
	sim := simulator.New(simulator.Options{Open: true})
	c := connect(t, sim)
	roles := func(n int) (ids []int64) {
		for i := range n {
			ids = append(ids, int64(i+1))
		}
		return ids
	}
	users := func(n int) (ids []string) {
		for i := range n {
			ids = append(ids, fmt.Sprint("u", i))
		}
		return ids
	}
	for name, call := range map[string]struct {
		roles []int64
		users []string
	}{
		"21 roles":        {roles(21), users(1)},
		"101 users":       {roles(1), users(101)},
		"no roles":        {nil, users(1)},
		"no users":        {roles(1), nil},
		"a role twice":    {[]int64{5, 6, 5}, users(1)},
		"a user twice":    {roles(1), []string{"a", "b", "a"}},
		"role 0":          {[]int64{0}, users(1)},
		"a negative role": {[]int64{-1}, users(1)},
		"an empty user":   {roles(1), []string{""}},
		"a comma":         {roles(1), []string{"a,b"}},
		"a blank":         {roles(1), []string{"a b"}},
	} {
		if _, err := c.RemoveRoles(t.Context(), call.roles, call.users); !errors.Is(err, dingtalk.ErrNotSent) {
			t.Errorf("%s: have %v, want ErrNotSent", name, err)
		}
	}
	if n := sim.Stats().Calls; n != 0 {
		t.Errorf("%d calls were sent", n)
	}
	if _, err := c.RemoveRoles(t.Context(), roles(20), users(100)); err != nil {
		t.Errorf("20 roles and 100 users: %v", err)
	}
}

// Every refusal that the simulator knows, in every shape of the gateway.
func TestEachRefusalOfTheSimulatorHasItsClass(t *testing.T) {
	fault := func(kind simulator.FaultKind) simulator.Options {
		return simulator.Options{Open: true, Faults: []simulator.Fault{{Kind: kind}}}
	}
	cases := map[string]struct {
		opt   simulator.Options
		class dingtalk.Class
		limit dingtalk.Limit
		named string
	}{
		"unknown user":  {opt: simulator.Options{}, class: dingtalk.ClassInvalidRole},
		"bad user":      {opt: simulator.Options{Open: true, BadUsers: []string{"u"}}, class: dingtalk.ClassInvalidUser},
		"gone user":     {opt: simulator.Options{Open: true, GoneUsers: []string{"u"}}, class: dingtalk.ClassUserGone},
		"out of scope":  {opt: simulator.Options{Open: true, OutOfScopeUsers: []string{"u"}}, class: dingtalk.ClassUserOutOfScope},
		"bad role":      {opt: simulator.Options{Open: true, BadRoles: []int64{7}}, class: dingtalk.ClassInvalidRole},
		"system role":   {opt: simulator.Options{Open: true, SystemRoles: []int64{7}}, class: dingtalk.ClassSystemRole},
		"busy":          {opt: simulator.Options{Open: true, Capacity: simulator.ConstantCapacity(0)}, class: dingtalk.ClassBusy},
		"dropped":       {opt: simulator.Options{Open: true, DropBefore: 1}, class: dingtalk.ClassBusy},
		"dropped after": {opt: simulator.Options{Open: true, DropAfter: 1}, class: dingtalk.ClassBusy},
		"proxy pages":   {opt: simulator.Options{Open: true, ProxyPages: 1}, class: dingtalk.ClassBusy},
		"truncated":     {opt: simulator.Options{Open: true, Truncated: 1}, class: dingtalk.ClassBusy},
		"outage":        {opt: fault(simulator.FaultOutage), class: dingtalk.ClassBusy},
		"unreachable":   {opt: fault(simulator.FaultUnreachable), class: dingtalk.ClassBusy},
		"permission":    {opt: fault(simulator.FaultPermission), class: dingtalk.ClassPermission, named: "qyapi_manage_addresslist"},
		"white list":    {opt: fault(simulator.FaultIPNotAllowed), class: dingtalk.ClassIPNotAllowed, named: "192.0.2.7"},
		"disabled":      {opt: fault(simulator.FaultDisabled), class: dingtalk.ClassDisabled},
		"ban":           {opt: fault(simulator.FaultIPBan), class: dingtalk.ClassThrottled, limit: dingtalk.LimitIPBan},
		"quota":         {opt: fault(simulator.FaultQuota), class: dingtalk.ClassThrottled, limit: dingtalk.LimitQuota},
		"throttled":     {opt: fault(simulator.FaultThrottled), class: dingtalk.ClassThrottled, limit: dingtalk.LimitGlobal},
		"token":         {opt: fault(simulator.FaultToken), class: dingtalk.ClassToken},
		"credentials":   {opt: fault(simulator.FaultCredentials), class: dingtalk.ClassCredentials},
		"other org":     {opt: fault(simulator.FaultRefusesUsers), class: dingtalk.ClassInvalidUser},
		"bad request":   {opt: fault(simulator.FaultBadRequest), class: dingtalk.ClassBadRequest},
	}
	for name, tc := range cases {
		for _, shape := range []simulator.Shape{simulator.ShapeWrapped, simulator.ShapeText, simulator.ShapePlain, simulator.ShapeMixed} {
			for _, text := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/%v", name, shape.String(), text), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						tc.opt.Shape, tc.opt.StringErrCode = shape, text
						sim := simulator.New(tc.opt)
						c := connect(t, sim)
						defer c.Close()
						_, err := c.RemoveRoles(t.Context(), []int64{7}, []string{"u"})
						e := refusal(t, err, sim.Token())
						if e.Class != tc.class || e.Limit != tc.limit || e.Named != tc.named {
							t.Errorf("have %v %v %q, want %v %v %q: %v", e.Class, e.Limit, e.Named, tc.class, tc.limit, tc.named, e)
						}
					})
				})
			}
		}
	}
}

func TestCancellingACallIsNotBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := simulator.New(simulator.Options{Open: true, Latency: time.Second})
		c := connect(t, sim)
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond) // gettoken takes the first second
		defer cancel()
		_, err := c.RemoveRoles(ctx, []int64{1}, []string{"u"})
		var e *dingtalk.Error
		if !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &e) {
			t.Errorf("have %v, want the context's error", err)
		}
		noSecret(t, err, sim.Token(), simulator.AppSecret)
	})
}

// overLate is a context that is over for whoever asks once a connection is there.
type overLate struct {
	context.Context
	connected *atomic.Bool
}

func (c overLate) Err() error {
	if c.connected.Load() {
		return context.Canceled
	}
	return c.Context.Err()
}

// Who may not call any more when the request could be written does not call.
func TestARequestIsNotWrittenWhenItsContextIsOver(t *testing.T) {
	var calls atomic.Int32
	sim := simtest.Start(t, simulator.Options{Open: true, Observe: func(c simulator.Call) {
		if len(c.Users) > 0 { // headers alone name nobody
			calls.Add(1)
		}
	}})
	c := connectTo(t, dingtalk.Config{BaseURL: sim.URL, AppKey: sim.AppKey, AppSecret: sim.AppSecret})
	if _, err := c.RemoveRoles(t.Context(), []int64{1}, []string{"before"}); err != nil {
		t.Fatal(err)
	}
	var connected atomic.Bool
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	_, err := c.RemoveRoles(overLate{ctx, &connected}, []int64{1}, []string{"after"})
	if !errors.Is(err, context.Canceled) || !connected.Load() || calls.Load() != 1 {
		t.Errorf("%d calls, connected %t, %v; want the first call alone", calls.Load(), connected.Load(), err)
	}
}

func TestASlowAnswerIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := simulator.New(simulator.Options{Open: true, Latency: 3 * time.Second})
		c := connect(t, sim, func(cfg *dingtalk.Config) { cfg.Timeout = 4 * time.Second })
		defer c.Close()
		if _, err := c.RemoveRoles(t.Context(), []int64{1}, []string{"u"}); err != nil {
			t.Fatalf("within the timeout: %v", err)
		}
		c = connect(t, sim, func(cfg *dingtalk.Config) { cfg.Timeout = 2 * time.Second })
		defer c.Close()
		_, err := c.RemoveRoles(t.Context(), []int64{1}, []string{"u"})
		if e := refusal(t, err, sim.Token()); e.Class != dingtalk.ClassBusy || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("have %v", e)
		}
	})
}

func TestConnectionsAreReused(t *testing.T) {
	server := simtest.Start(t, simulator.Options{Open: true, Latency: 2 * time.Millisecond})
	c := connectTo(t, dingtalk.Config{BaseURL: server.URL, AppKey: server.AppKey, AppSecret: server.AppSecret})
	const callers, rounds = 64, 10
	for range rounds {
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				if _, err := c.RemoveRoles(t.Context(), []int64{1}, []string{fmt.Sprint(i)}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	if n := server.Connections(); n > 2*callers {
		t.Errorf("%d connections for %d calls by %d callers", n, callers*rounds, callers)
	}
}
