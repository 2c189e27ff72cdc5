package doctor

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/internal/test/simtest"
)

// examine runs the doctor and returns the worst finding of each check.
func examine(t *testing.T, c Config) map[string]Finding {
	t.Helper()
	rank := map[Level]int{OK: 1, Warning: 2, Failure: 3}
	worst := map[string]Finding{}
	Examine(t.Context(), c, func(f Finding) {
		if rank[f.Level] == 0 || f.Says == "" || (f.Level != OK) != (f.Remedy != "") {
			t.Errorf("a finding needs a level, words, and a remedy unless it is ok: %+v", f)
		}
		for _, secret := range []string{simulator.AppSecret, "wrong-secret", "p4ssword"} {
			if strings.Contains(f.Says+f.Remedy, secret) {
				t.Errorf("a secret is shown: %+v", f)
			}
		}
		if rank[f.Level] > rank[worst[f.Check].Level] {
			worst[f.Check] = f
		}
	})
	return worst
}

func healthy(t *testing.T, opt simulator.Options) (Config, *simtest.Server) {
	sim := simtest.Start(t, opt)
	sim.Grant("u", 7)
	return Config{RedisURL: redistest.Start(t).URL(), Proxy: direct,
		DingTalk: dingtalk.Config{BaseURL: sim.URL, AppKey: sim.AppKey, AppSecret: sim.AppSecret}}, sim
}

func direct(*http.Request) (*url.URL, error) { return nil, nil }

func levels(t *testing.T, found map[string]Finding, want map[string]Level) {
	t.Helper()
	for check, level := range want {
		if found[check].Level != level {
			t.Errorf("%s: %+v, want %s", check, found[check], level)
		}
	}
}

func TestAllIsWellAndNothingIsRemoved(t *testing.T) {
	c, sim := healthy(t, simulator.Options{})
	c.Pace = func(context.Context, redis.UniversalClient) (pace.Status, error) {
		return pace.Status{Accepted: 3}, nil
	}
	levels(t, examine(t, c), map[string]Level{"redis": OK, "redis server": OK, "redis settings": OK, "clock of redis": OK, "proxy": OK,
		"dingtalk": OK, "clock of dingtalk": OK, "encryption": Warning, "credentials": OK, "permission to read": OK, "permission to remove": OK})
	if n := sim.Stats().Removals; n != 0 || !sim.Holds("u", 7) {
		t.Errorf("%d removals", n)
	}
}

func TestWhatCannotBeKnownIsSaid(t *testing.T) {
	c, _ := healthy(t, simulator.Options{})
	f := examine(t, c)["permission to remove"]
	if f.Level != Warning || !strings.Contains(f.Says, "not known before the first removal") {
		t.Errorf("%+v", f)
	}
	c.Pace = func(context.Context, redis.UniversalClient) (pace.Status, error) {
		return pace.Status{Hold: &pace.Hold{HoldReason: pace.HoldReason{Kind: pace.HoldPermission, Named: "qyapi_manage_addresslist"}}}, nil
	}
	if f := examine(t, c)["permission to remove"]; f.Level != Failure || !f.Credentials || !strings.Contains(f.Says, "qyapi_manage_addresslist") {
		t.Errorf("%+v", f)
	}
}

func TestEachFaultOfDingTalkIsNamed(t *testing.T) {
	for _, c := range []struct {
		fault       simulator.FaultKind
		check       string
		level       Level
		credentials bool
	}{
		{simulator.FaultCredentials, "credentials", Failure, true},
		{simulator.FaultToken, "credentials", Failure, true},
		{simulator.FaultPermission, "permission to read", Failure, true},
		{simulator.FaultIPNotAllowed, "ip white list", Failure, true},
		{simulator.FaultDisabled, "app", Failure, true},
		{simulator.FaultThrottled, "permission to read", Warning, false},
		{simulator.FaultOutage, "dingtalk", Failure, false},
		{simulator.FaultUnreachable, "dingtalk", Failure, false},
	} {
		t.Run(string(c.fault), func(t *testing.T) {
			conf, sim := healthy(t, simulator.Options{})
			sim.Fail(c.fault, 0)
			if f := examine(t, conf)[c.check]; f.Level != c.level || f.Credentials != c.credentials {
				t.Errorf("%+v", f)
			}
		})
	}
}

func TestTheWayToDingTalk(t *testing.T) {
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>welcome</html>")) }))
	defer foreign.Close()
	late := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		w.Write([]byte(`{"errcode":40035}`))
	}))
	defer late.Close()
	base := Config{RedisURL: "redis://:p4ssword@127.0.0.1:1/0", Proxy: direct, MissingCredentials: errors.New("DINGTALK_APP_KEY: missing")}

	c := base
	c.DingTalk.BaseURL = foreign.URL
	levels(t, examine(t, c), map[string]Level{"redis": Failure, "dingtalk": Failure})

	c.DingTalk.BaseURL = late.URL
	found := examine(t, c)
	levels(t, found, map[string]Level{"dingtalk": OK, "clock of dingtalk": Warning, "credentials": Failure})
	if !found["credentials"].Credentials {
		t.Error("missing credentials are no matter of credentials")
	}

	c.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse("http://user:p4ssword@proxy:3128") }
	if f := examine(t, c)["proxy"]; f.Level != OK || !strings.Contains(f.Says, "proxy:3128") {
		t.Errorf("%+v", f)
	}
	c.Proxy = func(*http.Request) (*url.URL, error) { return nil, errors.New("bad") }
	levels(t, examine(t, c), map[string]Level{"proxy": Failure})
}

func TestARedisThatLosesRemovalsFails(t *testing.T) {
	s := redistest.Start(t, "--maxmemory-policy", "allkeys-lru", "--maxmemory", "1gb")
	c := Config{RedisURL: s.URL(), Proxy: direct, DingTalk: dingtalk.Config{BaseURL: "http://127.0.0.1:1"}}
	levels(t, examine(t, c), map[string]Level{"redis": OK, "redis settings": Failure, "dingtalk": Failure})
}

func TestClocksThatDifferAreAWarning(t *testing.T) {
	s := redistest.Start(t)
	c := Config{RedisURL: s.URL(), Proxy: direct, DingTalk: dingtalk.Config{BaseURL: "http://127.0.0.1:1"},
		Now: func() time.Time { return time.Now().Add(time.Minute) }}
	levels(t, examine(t, c), map[string]Level{"clock of redis": Warning})
}

func TestTheAuditFileIsTriedWithoutBeingMade(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "there.jsonl")
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file  string
		keep  time.Duration
		level Level
		says  string
	}{
		{"", time.Hour, OK, "keeps all audit trails for good"},
		{there, 0, OK, "keeps all audit trails for good besides"},
		{there, time.Hour, OK, "keeps for 1h0m0s what is there"},
		{filepath.Join(dir, "new.jsonl"), time.Hour, OK, "can be written"},
		{filepath.Join(dir, "nowhere", "audit.jsonl"), time.Hour, Failure, "cannot be written"},
		{dir, time.Hour, Failure, "cannot be written"},
	} {
		if f := (Config{AuditFile: c.file, AuditKeep: c.keep}).auditWords(); f.Level != c.level || !strings.Contains(f.Says, c.says) {
			t.Errorf("%q: %+v", c.file, f)
		}
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("%v %v", names, err)
	}
}
