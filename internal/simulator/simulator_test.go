package simulator_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/simtest"
)

// caller speaks HTTP to a simulator as a client would, without one.
type caller struct {
	t     *testing.T
	http  *http.Client
	base  string
	token string
}

// clock is a simulator's time, moved by the test.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func start(t *testing.T, opt simulator.Options) (*simulator.Simulator, *caller, *clock) {
	t.Helper()
	c := &clock{at: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}
	opt.Now = c.now
	sim := simulator.New(opt)
	call := &caller{t: t, http: &http.Client{Transport: sim.Transport()}, base: "http://sim"}
	return sim, call, c
}

// do sends a form and returns the answer's fields, or the body, or the error, as one comparable line besides.
func (c *caller) do(path string, form url.Values) (map[string]any, string) {
	c.t.Helper()
	resp, err := c.http.PostForm(c.base+path+"?access_token="+c.token, form)
	if err != nil {
		return nil, "error: " + errors.Unwrap(err).Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Sprintf("%d broken off", resp.StatusCode)
	}
	var fields map[string]any
	if json.Unmarshal(body, &fields) != nil {
		return nil, fmt.Sprintf("%d %s", resp.StatusCode, body)
	}
	return fields, fmt.Sprintf("%d %v %v", resp.StatusCode, fields["errcode"], fields["sub_code"])
}

func (c *caller) login() map[string]any {
	c.t.Helper()
	resp, err := c.http.Get(c.base + "/gettoken?appkey=" + simulator.AppKey + "&appsecret=" + simulator.AppSecret)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	var fields map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&fields); err != nil {
		c.t.Fatal(err)
	}
	c.token, _ = fields["access_token"].(string)
	return fields
}

func (c *caller) remove(roles, users string) string {
	c.t.Helper()
	_, line := c.do("/topapi/role/removerolesforemps", url.Values{"roleIds": {roles}, "userIds": {users}})
	return line
}

const (
	accepted  = "200 0 <nil>"
	throttled = "200 88 90018"
	busy      = "200 -1 <nil>"
)

func TestEveryLimitIsEnforced(t *testing.T) {
	sim, c, _ := start(t, simulator.Options{Open: true})
	c.login()
	many := func(n int) string {
		var ids []string
		for i := range n {
			ids = append(ids, fmt.Sprint(i+1))
		}
		return strings.Join(ids, ",")
	}
	if line := c.remove(many(20), many(100)); line != accepted {
		t.Errorf("a full call: %s", line)
	}
	bad := [][2]string{{many(21), "u"}, {"1", many(101)}, {"", "u"}, {"1", ""}, {"1,1", "u"}, {"1", "u,u"}, {"x", "u"}, {"0", "u"},
		{"1,", "u"}, {"1", "u,"}, {"1", strings.Repeat("x", 65)}}
	for _, ids := range bad {
		if line := c.remove(ids[0], ids[1]); line != "200 400002 <nil>" {
			t.Errorf("%.20q %.20q: %s", ids[0], ids[1], line)
		}
	}
	if _, line := c.do("/topapi/role/removerolesforemps", url.Values{"roleIds": {"1"}}); line != "200 40035 <nil>" {
		t.Errorf("without users: %s", line)
	}
	if _, line := c.do("/topapi/role/addrolesforemps", url.Values{"roleIds": {"1"}, "userIds": {many(21)}}); line != "200 400002 <nil>" {
		t.Errorf("21 users to add to: %s", line)
	}
	if n := sim.Stats().Violations; n != len(bad)+2 {
		t.Errorf("%d violations counted, want %d", n, len(bad)+2)
	}
}

func TestTheLimitIsPerCalendarSecondAndAPI(t *testing.T) {
	sim, c, clock := start(t, simulator.Options{Open: true, QPS: 3})
	c.login()
	clock.at = clock.at.Add(900 * time.Millisecond)
	for i, want := range []string{accepted, accepted, accepted, throttled, throttled} {
		if line := c.remove("1", "u"); line != want {
			t.Errorf("call %d: %s, want %s", i, line, want)
		}
	}
	if _, line := c.do("/topapi/role/list", nil); line != accepted {
		t.Errorf("another API: %s", line)
	}
	clock.at = clock.at.Add(100 * time.Millisecond)
	if line := c.remove("1", "u"); line != accepted {
		t.Errorf("the next second: %s", line)
	}
	if st := sim.Stats(); st.PeakPerSecond != 5 || st.ByCode["90018"] != 2 {
		t.Errorf("%+v", st)
	}
}

func TestTheHiddenCapacityFollowsItsSchedule(t *testing.T) {
	var capacity simulator.Capacity
	if err := capacity.Set("2,4 every 20s"); err != nil {
		t.Fatal(err)
	}
	_, c, clock := start(t, simulator.Options{Open: true, Capacity: capacity})
	c.login()
	began := clock.at
	for after, want := range map[int]int{0: 2, 19: 2, 20: 4, 39: 4, 40: 2, 61: 4} {
		clock.at = began.Add(time.Duration(after) * time.Second)
		passed := 0
		for range 6 {
			switch line := c.remove("1", "u"); line {
			case accepted:
				passed++
			case busy:
			default:
				t.Fatal(line)
			}
		}
		if passed != want {
			t.Errorf("after %d s: %d passed, want %d", after, passed, want)
		}
	}
}

func TestTokensAreExtendedExpireAndAreRevoked(t *testing.T) {
	sim, c, clock := start(t, simulator.Options{Open: true, TokenTTL: 10 * time.Second, TokenAnnounced: time.Hour})
	first := c.login()
	if first["expires_in"] != 3600.0 || len(c.token) != 32 {
		t.Errorf("have %v", first)
	}
	old := c.token
	clock.at = clock.at.Add(9 * time.Second)
	if c.login(); c.token != old {
		t.Error("asking again gave another token")
	}
	clock.at = clock.at.Add(9 * time.Second)
	if line := c.remove("1", "u"); line != accepted {
		t.Errorf("an extended token: %s", line)
	}
	clock.at = clock.at.Add(time.Second)
	if line := c.remove("1", "u"); line != "200 88 42001" {
		t.Errorf("an expired token: %s", line)
	}
	if c.login(); c.token == old {
		t.Error("the expired token came again")
	}
	sim.RevokeToken()
	if line := c.remove("1", "u"); line != "200 88 40014" {
		t.Errorf("a revoked token: %s", line)
	}
	c.token = ""
	if line := c.remove("1", "u"); line != "200 88 40000" {
		t.Errorf("a blank token: %s", line)
	}
}

func TestBadIDsAreRefusedAndTheGoodOnesAsAskedFor(t *testing.T) {
	for _, tc := range []struct {
		blames simulator.Blames
		apply  simulator.ApplyGood
		code   string
		holds  bool
	}{
		{simulator.BlamesRole, simulator.ApplyNever, "200 23004 <nil>", true},
		{simulator.BlamesUser, simulator.ApplyNever, "200 33012 <nil>", true},
		{simulator.BlamesRole, simulator.ApplyAlways, "200 23004 <nil>", false},
	} {
		sim, c, _ := start(t, simulator.Options{Blames: tc.blames, ApplyGood: tc.apply, SystemRoles: []int64{7}})
		sim.Grant("good", 5, 7)
		c.login()
		if line := c.remove("5,7", "good,nobody"); line != tc.code {
			t.Errorf("%s: %s, want %s", tc.blames.String(), line, tc.code)
		}
		if sim.Holds("good", 5) != tc.holds || !sim.Holds("good", 7) {
			t.Errorf("apply %s: holds 5 %v, 7 %v", tc.apply.String(), sim.Holds("good", 5), sim.Holds("good", 7))
		}
	}
}

func TestRandomBlameNamesBothKinds(t *testing.T) {
	_, c, _ := start(t, simulator.Options{Open: true, Blames: simulator.BlamesRandom, BadUsers: []string{"u"}, SystemRoles: []int64{7}})
	c.login()
	seen := map[string]int{}
	for range 50 {
		seen[c.remove("7", "u")]++
	}
	if len(seen) != 2 {
		t.Errorf("have %v", seen)
	}
}

func TestStandingChangesAtRunTime(t *testing.T) {
	sim, c, _ := start(t, simulator.Options{Open: true, UserCodes: map[string]int{"poison": -1}, RoleCodes: map[int64]int{9: 400002}})
	c.login()
	for _, step := range []struct {
		standing simulator.Standing
		want     string
	}{{simulator.Invalid, "200 33012 <nil>"}, {simulator.OutOfScope, "200 50002 <nil>"}, {simulator.Accepted, accepted}} {
		sim.SetUser(step.standing, "u")
		if line := c.remove("1", "u"); line != step.want {
			t.Errorf("standing %d: %s, want %s", step.standing, line, step.want)
		}
	}
	if line := c.remove("1", "a,poison"); line != busy {
		t.Errorf("a poisoned batch: %s", line)
	}
	if line := c.remove("1,9", "a"); line != "200 400002 <nil>" {
		t.Errorf("a role with a code of its own: %s", line)
	}
}

// The same seed and calls give the same answers; another seed others. Both over a network and in memory.
func TestFaultsRepeatBySeed(t *testing.T) {
	run := func(seed uint64, network bool) []string {
		opt := simulator.Options{Seed: seed, Open: true, Busy: 0.1, DropBefore: 0.1, DropAfter: 0.1, ProxyPages: 0.1, Truncated: 0.1,
			BadUserShare: 0.2, BadRoleShare: 0.05, Shape: simulator.ShapeMixed}
		_, c, _ := start(t, opt)
		if network {
			server := simtest.Start(t, opt)
			c.base, c.http = server.URL, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		}
		var lines []string
		for i := range 150 {
			_, line := c.do("/topapi/role/removerolesforemps", url.Values{"roleIds": {fmt.Sprint(1 + i%7)}, "userIds": {fmt.Sprint("u", i)}})
			if strings.HasPrefix(line, "error:") {
				line = "error" // EOF or a reset, as the network likes
			}
			lines = append(lines, line)
		}
		return lines
	}
	first := run(1, false)
	if d := cmp.Diff(first, run(1, false)); d != "" {
		t.Errorf("the same seed differs: %s", d)
	}
	if d := cmp.Diff(first, run(1, true)); d != "" {
		t.Errorf("the network makes a difference: %s", d)
	}
	if slices.Equal(first, run(2, false)) {
		t.Error("another seed makes no difference")
	}
}

func TestSharesAreWhatTheySay(t *testing.T) {
	const calls = 1500
	opt := simulator.Options{Open: true, Busy: 0.2, DropBefore: 0.05, DropAfter: 0.05, ProxyPages: 0.05, Truncated: 0.05, BadUserShare: 0.1}
	for seed := range uint64(2) {
		opt.Seed = seed
		sim, c, _ := start(t, opt)
		for c.token == "" {
			c.http.Transport = quiet{sim.Transport()}
			c.login()
		}
		refused := 0
		for i := range calls {
			c.remove("1", fmt.Sprint("u", i))
		}
		lost := 0
		for _, call := range sim.Calls() {
			if call.Code == "33012" {
				refused++
			}
			if call.Lost {
				lost++
			}
		}
		by := sim.Stats().ByCode
		within(t, "busy", by["-1"], calls*0.95*0.975, 0.2)
		within(t, "dropped before", by[simulator.CodeDropped], calls, 0.05)
		within(t, "bad users", refused, calls*0.95*0.975*0.8, 0.1)
		within(t, "answers lost on the way back", lost, calls, 0.95*(0.025+0.975*0.05+0.926*0.05)+0.05+0.025)
	}
}

func within(t *testing.T, what string, have int, of, share float64) {
	t.Helper()
	sigma := math.Sqrt(of * share * (1 - share))
	if math.Abs(float64(have)-of*share) > 4*sigma+of*share*0.02 {
		t.Errorf("%s: %d of %.0f, want %.0f", what, have, of, of*share)
	}
}

// quiet answers what is lost by an empty object, so that a login can be tried again.
type quiet struct{ http.RoundTripper }

func (q quiet) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := q.RoundTripper.RoundTrip(r)
	if err == nil {
		if body, readErr := io.ReadAll(resp.Body); readErr == nil && json.Valid(body) {
			resp.Body = io.NopCloser(strings.NewReader(string(body)))
			return resp, nil
		}
	}
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}"))}, nil
}

func TestWhatIsLostOnTheWayBackHasTakenEffect(t *testing.T) {
	for name, tc := range map[string]struct {
		opt  simulator.Options
		held bool
	}{
		"dropped before": {simulator.Options{DropBefore: 1}, true},
		"dropped after":  {simulator.Options{DropAfter: 1}, false},
		"truncated":      {simulator.Options{Truncated: 1}, false},
	} {
		sim, c, _ := start(t, tc.opt)
		c.http.Transport = quiet{sim.Transport()}
		c.login() // it is lost, too, unless it was dropped before
		c.http.Transport = sim.Transport()
		c.token = sim.Token()
		sim.Grant("u", 1)
		if line := c.remove("1", "u"); line == accepted {
			t.Errorf("%s: %s", name, line)
		}
		if sim.Holds("u", 1) != tc.held {
			t.Errorf("%s: the user holds the role: %v", name, !tc.held)
		}
		if calls := sim.Calls(); len(calls) != 1 || !calls[0].Lost {
			t.Errorf("%s: %+v", name, calls)
		}
	}
}

func TestFaultsComeAndGo(t *testing.T) {
	fault, err := simulator.ParseFault("permission=15s@5s")
	if err != nil {
		t.Fatal(err)
	}
	sim, c, clock := start(t, simulator.Options{Open: true, Faults: []simulator.Fault{fault}})
	c.login()
	began := clock.at
	for after, want := range map[time.Duration]string{0: accepted, 4999 * time.Millisecond: accepted, 5 * time.Second: "200 88 60011",
		19 * time.Second: "200 88 60011", 20 * time.Second: accepted} {
		clock.at = began.Add(after)
		if line := c.remove("1", "u"); line != want {
			t.Errorf("after %v: %s, want %s", after, line, want)
		}
	}
	sim.Fail(simulator.FaultIPNotAllowed, 0)
	clock.at = clock.at.Add(24 * time.Hour)
	if c.login(); c.remove("1", "u") != "200 88 60020" {
		t.Error("a fault without an end ended")
	}
	sim.Recover()
	if line := c.remove("1", "u"); line != accepted {
		t.Errorf("recovered: %s", line)
	}
}

func TestTheRecordTellsWhatWasCalled(t *testing.T) {
	var observed []string
	sim, c, _ := start(t, simulator.Options{Open: true, BadUsers: []string{"bad"},
		Observe: func(call simulator.Call) { observed = append(observed, fmt.Sprint(call.Code, call.Users)) }})
	c.login()
	sim.Grant("a", 1, 2)
	c.remove("1,2", "a,bad")
	c.remove("1", "a")
	c.remove("1", "a")
	for _, want := range []struct {
		user          string
		role          int64
		called, taken int
	}{{"a", 1, 3, 2}, {"a", 2, 1, 0}, {"bad", 1, 1, 0}, {"b", 1, 0, 0}} {
		if sim.Called(want.user, want.role) != want.called || sim.Taken(want.user, want.role) != want.taken {
			t.Errorf("%s %d: called %d, taken %d, want %+v", want.user, want.role,
				sim.Called(want.user, want.role), sim.Taken(want.user, want.role), want)
		}
	}
	st := sim.Stats()
	if st.RemovedPairs != 1 || st.Removals != 3 || st.Calls != 4 || st.Tokens != 1 || sim.CalledPairs() != 4 || sim.Assignments() != 1 {
		t.Errorf("%+v, %d pairs called, %d assignments left", st, sim.CalledPairs(), sim.Assignments())
	}
	if d := cmp.Diff([]string{"33012[a bad]", "0[a]", "0[a]"}, observed); d != "" {
		t.Error(d)
	}
}

func TestABoundedRecordForgetsTheOldest(t *testing.T) {
	sim, c, _ := start(t, simulator.Options{Open: true, KeepCalls: 10})
	c.login()
	for i := range 100 {
		c.remove("1", fmt.Sprint("u", i))
		if sim.Called(fmt.Sprint("u", i), 1) != 1 {
			t.Fatalf("call %d is not remembered", i)
		}
	}
	calls := sim.Calls()
	if len(calls) < 10 || len(calls) > 20 || calls[len(calls)-1].Users[0] != "u99" || sim.Called("u5", 1) != 0 {
		t.Errorf("%d calls are remembered", len(calls))
	}
}

func TestFlagsSetEveryOption(t *testing.T) {
	var opt simulator.Options
	fs := pflag.NewFlagSet("simulator", pflag.ContinueOnError)
	opt.AddFlags(fs)
	err := fs.Parse([]string{"--seed=7", "--app-key=k", "--app-secret=s", "--any-credentials", "--token-ttl=2s", "--token-announced=2h",
		"--open", "--bad-users=a,b", "--gone-users=c", "--out-of-scope-users=d", "--bad-roles=1,2", "--system-roles=3",
		"--user-codes=x=-1", "--bad-user-share=0.1", "--bad-role-share=0.2", "--blames=random", "--apply-good=always", "--limit=20",
		"--capacity=7,15 every 20s", "--busy=0.3", "--latency=50ms", "--jitter=10ms", "--drop-before=0.01", "--drop-after=0.02",
		"--proxy-pages=0.03", "--truncated=0.04", "--fault=permission=15s@5s", "--fault=outage", "--shape=mixed", "--string-errcode", "--quirks",
		"--keep-calls=5"})
	if err != nil {
		t.Fatal(err)
	}
	want := simulator.Options{Seed: 7, AppKey: "k", AppSecret: "s", AnyCredentials: true, TokenTTL: 2 * time.Second,
		TokenAnnounced: 2 * time.Hour, Open: true, BadUsers: []string{"a", "b"}, GoneUsers: []string{"c"}, OutOfScopeUsers: []string{"d"},
		BadRoles: []int64{1, 2}, SystemRoles: []int64{3}, UserCodes: map[string]int{"x": -1}, BadUserShare: 0.1, BadRoleShare: 0.2,
		Blames: simulator.BlamesRandom, ApplyGood: simulator.ApplyAlways, QPS: 20,
		Capacity: simulator.Capacity{Steps: []int{7, 15}, Every: 20 * time.Second}, Busy: 0.3, Latency: 50 * time.Millisecond,
		Jitter: 10 * time.Millisecond, DropBefore: 0.01, DropAfter: 0.02, ProxyPages: 0.03, Truncated: 0.04,
		Faults: []simulator.Fault{{Kind: simulator.FaultPermission, For: 15 * time.Second, After: 5 * time.Second}, {Kind: simulator.FaultOutage}},
		Shape:  simulator.ShapeMixed, StringErrCode: true, Quirks: true, KeepCalls: 5}
	if d := cmp.Diff(want, opt); d != "" {
		t.Error(d)
	}
	if err := opt.Validate(); err != nil {
		t.Error(err)
	}
	fs.VisitAll(func(f *pflag.Flag) {
		if !f.Changed {
			t.Errorf("--%s is not in this test", f.Name)
		}
	})
}

func TestBadFlagsAreRefused(t *testing.T) {
	for _, arg := range []string{"--blames=both", "--apply-good=maybe", "--shape=round", "--capacity=x", "--capacity=-1", "--capacity=7,15",
		"--capacity=7 every soon", "--fault=rain", "--fault=outage=soon", "--fault=outage=5s@later", "--fault=outage=-5s",
		"--busy=1.5", "--drop-after=-0.1", "--latency=-1s", "--limit=-1", "--keep-calls=-2", "--busy=NaN"} {
		var opt simulator.Options
		fs := pflag.NewFlagSet("simulator", pflag.ContinueOnError)
		fs.SetOutput(io.Discard)
		opt.AddFlags(fs)
		err := fs.Parse([]string{arg})
		if err == nil {
			err = opt.Validate()
		}
		if err == nil {
			t.Errorf("%s was taken", arg)
		}
	}
}
