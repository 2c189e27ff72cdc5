// Package config is the environment of unrole: every variable once, with its meaning, default and check.
package config

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/base/texts"
)

// Config is the configuration of a process. Fields that have no default are zero where nothing was set.
type Config struct {
	RedisURL string
	// RedisGiven says that somebody said which Redis it is.
	RedisGiven bool

	DingTalk DingTalk

	// QPS is the ceiling of DingTalk calls per second of the whole fleet.
	QPS float64
	// Concurrency bounds the calls in flight of one worker; 0 lets the worker choose.
	Concurrency int
	// MaxAttempts is how often a batch that DingTalk is too busy for is tried in all.
	MaxAttempts int
	// RetryBase and RetryCap bound the backoff of a busy batch; BusyMaxAge ends it.
	RetryBase, RetryCap, BusyMaxAge time.Duration
	// HoldProbe is the time between two probe calls while the fleet holds.
	HoldProbe time.Duration
	// CheckInterval is how often an idle worker looks for tasks.
	CheckInterval time.Duration
	// Retention is how long the record of a finished job is kept.
	Retention time.Duration

	// MaxUsersPerDay is the rolling guard of one source; 0 is none.
	MaxUsersPerDay int
	// Preflight is "true" or "false" where somebody said whether DingTalk is looked at before anything is sent, else empty.
	Preflight string
	// MaxShare is the share of a role's holders above which a removal needs somebody's word.
	MaxShare float64
	// ApproveAbove is how many users a removal may concern without the approval of another person; 0 is any number.
	ApproveAbove int
	// DirectoryTTL is how long what was read of staff numbers and e-mail addresses is believed; 0 keeps nothing of it.
	DirectoryTTL time.Duration
	// LeaversFile is the rule by which a worker takes the roles of leavers; empty is none.
	LeaversFile string
	// ProtectedUsers and ProtectedRoles are lists, or @FILE, as package protect reads them.
	ProtectedUsers, ProtectedRoles string

	AuditFile string
	// AuditKeep is how long Redis keeps the entries of audit trails that the file has; 0 means for good.
	AuditKeep     time.Duration
	WebhookURL    string
	WebhookSecret string

	LogLevel string
	// LogFormat is "json", "console", or empty for console on a terminal and JSON elsewhere.
	LogFormat string

	AdminListen, APIListen, UIListen string
	APITokensFile, AdaptersFile      string
	UIPassword                       string
	UIUsersFile                      string
}

// DingTalk is how to reach and log in to DingTalk.
type DingTalk struct {
	BaseURL           string
	AppKey, AppSecret string
	// AccessToken is used instead of key and secret; it cannot be renewed.
	AccessToken string
}

// Load reads the configuration. getenv is os.Getenv or like it; an empty value counts as not set. flags holds, by the
// name of a variable, the values that were given as command line flags: they win. A secret may also come from the file
// that the variable NAME_FILE names, without its last line break. Every fault is reported at once, in an *Error; no
// value of a secret is in it.
func Load(getenv func(string) string, flags map[string]string) (*Config, error) {
	c := &Config{}
	var faults Error
	for _, v := range variables {
		value, err := v.value(getenv, flags)
		if err != nil {
			faults.add(v.Name, err)
			continue
		}
		if value == "" {
			continue
		}
		if v.Name == "REDIS_URL" {
			c.RedisGiven = flags[v.Name] != "" || getenv(v.Name) != "" || getenv(v.Name+"_FILE") != ""
		}
		if err := v.set(c, value); err != nil {
			faults.add(v.Name, err)
		}
	}
	c.check(&faults)
	if len(faults.Faults) > 0 {
		return nil, &faults
	}
	return c, nil
}

// check is for what concerns more than one variable.
func (c *Config) check(faults *Error) {
	if c.RetryCap > 0 && c.RetryBase > c.RetryCap {
		faults.add("UNROLE_RETRY_BASE", fmt.Errorf("%s is longer than UNROLE_RETRY_CAP (%s): make it shorter", c.RetryBase, c.RetryCap))
	}
}

// NeedCredentials returns an *Error that says what to set where DingTalk cannot be called with this configuration: it
// takes an app key and its secret, or an access token.
func (c *Config) NeedCredentials() error {
	d := c.DingTalk
	var faults Error
	switch {
	case d.AccessToken != "":
	case d.AppKey == "" && d.AppSecret == "":
		faults.add("DINGTALK_APP_KEY", texts.T("missing: set it and DINGTALK_APP_SECRET (or DINGTALK_APP_SECRET_FILE) to the app's credentials, or DINGTALK_ACCESS_TOKEN"))
	case d.AppKey == "":
		faults.add("DINGTALK_APP_KEY", texts.T("missing: it goes with DINGTALK_APP_SECRET"))
	case d.AppSecret == "":
		faults.add("DINGTALK_APP_SECRET", texts.T("missing: set it, or DINGTALK_APP_SECRET_FILE, to the secret of DINGTALK_APP_KEY"))
	}
	if len(faults.Faults) > 0 {
		return &faults
	}
	return nil
}

// Error lists everything that is wrong with a configuration.
type Error struct{ Faults []Fault }

// Fault is one variable with what is wrong with it and what to do.
type Fault struct {
	Name string
	Err  error
}

func (e *Error) add(name string, err error) { e.Faults = append(e.Faults, Fault{name, err}) }

// Error is In English.
func (e *Error) Error() string { return e.In(texts.English) }

// In has one line per fault.
func (e *Error) In(l texts.Lang) string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = f.Name + ": " + texts.Say(l, f.Err)
	}
	return strings.Join(lines, "\n")
}

// value finds the text of the variable: flag, environment, file, default.
func (v *Variable) value(getenv func(string) string, flags map[string]string) (string, error) {
	// An empty flag takes away what the environment says, but never a default.
	if s, ok := flags[v.Name]; ok && (s != "" || v.Default == "") {
		return s, nil
	}
	s := getenv(v.Name)
	if v.Secret {
		file := getenv(v.Name + "_FILE")
		switch {
		case file != "" && s != "":
			return "", fmt.Errorf("both it and %s_FILE are set: keep one", v.Name)
		case file != "":
			return readSecret(v.Name+"_FILE", file)
		}
	}
	if s == "" {
		s = v.Default
	}
	return s, nil
}

// maxSecretFile is far above any secret; it keeps a wrong path (a device, a log) from being read whole.
const maxSecretFile = 64 << 10

func readSecret(name, file string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", fmt.Errorf("%s cannot be read: %w", name, err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxSecretFile {
		return "", fmt.Errorf("%s names %s, which is not a file of at most %d bytes", name, file, maxSecretFile)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s cannot be read: %w", name, err)
	}
	s := strings.TrimRight(string(data), "\r\n")
	if s == "" {
		return "", fmt.Errorf("%s names %s, which is empty: write the secret into it", name, file)
	}
	return s, nil
}
