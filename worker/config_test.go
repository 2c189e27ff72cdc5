package worker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/protect"
	"github.com/unrole/unrole/internal/run/config"
)

func valid() Config {
	return Config{Redis: redis.NewClient(&redis.Options{}), DingTalk: DingTalk{AppKey: "key", AppSecret: "a-secret"}}
}

func TestWhatIsWrongIsSaidInTheWordsOfTheField(t *testing.T) {
	for field, spoil := range map[string]func(*Config){
		"Redis is required":                      func(c *Config) { c.Redis = nil },
		"DingTalk.AppKey and DingTalk.AppSecret": func(c *Config) { c.DingTalk.AppKey = "" },
		"DingTalk.AccessToken is used instead":   func(c *Config) { c.DingTalk.AccessToken = "token" },
		"QPS is 20000":                           func(c *Config) { c.QPS = 20_000 },
		"QPS is negative":                        func(c *Config) { c.QPS = -1 },
		"Concurrency is negative":                func(c *Config) { c.Concurrency = -1 },
		"MaxAttempts is negative":                func(c *Config) { c.MaxAttempts = -1 },
		"RetryBase (6m0s) is longer":             func(c *Config) { c.RetryBase = 6 * time.Minute },
		"RetryBase (1s) is longer":               func(c *Config) { c.RetryCap = time.Millisecond },
		"RetryCap is negative":                   func(c *Config) { c.RetryCap = -1 },
		"BusyMaxAge is negative":                 func(c *Config) { c.BusyMaxAge = -1 },
		"HoldProbe is negative":                  func(c *Config) { c.HoldProbe = -1 },
		"CheckInterval is negative":              func(c *Config) { c.CheckInterval = -1 },
		"Retention is negative":                  func(c *Config) { c.Retention = -1 },
		"ProtectedUsers[1]":                      func(c *Config) { c.ProtectedUsers = []string{"ceo", "c,fo"} },
		"ProtectedRoles[0]":                      func(c *Config) { c.ProtectedRoles = []int64{-1} },
		"base URL":                               func(c *Config) { c.DingTalk.BaseURL = "oapi" },
	} {
		c := valid()
		spoil(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), field) || strings.Contains(err.Error(), "a-secret") {
			t.Errorf("%s: got %v", field, err)
		}
	}
}

func TestDefaultsLeaveTheCallersConfigAlone(t *testing.T) {
	c := valid()
	full, err := c.withDefaults()
	if err != nil || full.QPS != 20 || full.RetryCap != 5*time.Minute {
		t.Errorf("%+v, %v", full, err)
	}
	if c.QPS != 0 || c.RetryCap != 0 {
		t.Error("the caller's own copy was changed")
	}
}

func TestAProtectedIDIsNeverTheNameOfAFile(t *testing.T) {
	c := valid()
	c.ProtectedUsers, c.ProtectedRoles = []string{"@ceo", "cfo"}, []int64{1507113578}
	e := c.engine()
	set, err := protect.Parse(e.ProtectedUsers, e.ProtectedRoles)
	if err != nil || !set.User("@ceo") || !set.User("cfo") || !set.Role(1507113578) {
		t.Errorf("%v, %v", set, err)
	}
}

// A fleet may have both: `unrole worker`, and programs with this package.
func TestDefaultsAreThoseOfTheCommand(t *testing.T) {
	full, err := valid().withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	want, err := config.Load(func(name string) string {
		return map[string]string{"DINGTALK_APP_KEY": "key", "DINGTALK_APP_SECRET": "a-secret"}[name]
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := full.engine()
	for field, pair := range map[string][2]any{
		"QPS": {got.QPS, want.QPS}, "MaxAttempts": {got.MaxAttempts, want.MaxAttempts}, "RetryBase": {got.RetryBase, want.RetryBase}, "RetryCap": {got.RetryCap, want.RetryCap},
		"BusyMaxAge": {got.BusyMaxAge, want.BusyMaxAge}, "HoldProbe": {got.HoldProbe, want.HoldProbe}, "CheckInterval": {got.CheckInterval, want.CheckInterval},
		"Retention": {got.Retention, want.Retention},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %v here and %v there", field, pair[0], pair[1])
		}
	}
	// This one is the engine's own where the variable is not set; its text says so.
	v, _ := config.Lookup("UNROLE_CONCURRENCY")
	if said := fmt.Sprintf("%d unless set", got.Concurrency); !strings.Contains(v.Meaning, said) {
		t.Errorf("UNROLE_CONCURRENCY says %q, not %q", v.Meaning, said)
	}
}

// A batch that is busy while others pass is searched after its tries, whatever its age.
func TestTheTextOfBusyMaxAgeSaysThatNothingElseSucceeds(t *testing.T) {
	v, _ := config.Lookup("UNROLE_BUSY_MAX_AGE")
	if !strings.Contains(v.Meaning, "while nothing else succeeds either") {
		t.Errorf("UNROLE_BUSY_MAX_AGE says %q", v.Meaning)
	}
}
