package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/base/redisconn"
)

// Variable is one environment variable.
type Variable struct {
	Name string
	// Group is the heading it stands under in the documentation.
	Group string
	// Meaning is a phrase for the documentation and for the help of the flag, without the default.
	Meaning string
	// Default is used when nothing is set; empty where there is none.
	Default string
	// Flag is the command line flag of the same meaning, without dashes; empty where there is none. A secret has no
	// flag, since everybody on the machine can read the arguments of a process.
	Flag string
	// Secret values are never shown, and may come from the file that NAME_FILE names.
	Secret bool

	set func(c *Config, value string) error
}

// Lookup finds a variable by its name.
func Lookup(name string) (Variable, bool) {
	for _, v := range variables {
		if v.Name == name {
			return v, true
		}
	}
	return Variable{}, false
}

const (
	groupRedis    = "Redis"
	groupDingTalk = "DingTalk"
	groupPace     = "Pace and retries"
	groupSafety   = "Safety and records"
	groupLog      = "Logs"
	groupServe    = "Addresses"
)

var variables = []Variable{
	{Name: "REDIS_URL", Group: groupRedis, Flag: "redis", Secret: true, Default: redisconn.Default,
		Meaning: "Redis: `redis://`, `redis-sentinel://HOSTS/0?master=NAME` or `redis-cluster://HOSTS`; with TLS `rediss://` and so on; every form and parameter: operate.md, Redis",
		set: func(c *Config, s string) error {
			c.RedisURL = s
			_, err := redisconn.Parse(s)
			return errors.Unwrap(err)
		}},

	{Name: "DINGTALK_BASE_URL", Group: groupDingTalk, Flag: "base-url", Default: "https://oapi.dingtalk.io",
		Meaning: "where DingTalk's API is; in China `https://oapi.dingtalk.com`",
		set:     webURL(func(c *Config) *string { return &c.DingTalk.BaseURL }, "https://oapi.dingtalk.io")},
	{Name: "DINGTALK_APP_KEY", Group: groupDingTalk, Flag: "app-key",
		Meaning: "key of the app that removes roles; it goes with the secret",
		set:     text(func(c *Config) *string { return &c.DingTalk.AppKey })},
	{Name: "DINGTALK_APP_SECRET", Group: groupDingTalk, Secret: true,
		Meaning: "secret of the app",
		set:     text(func(c *Config) *string { return &c.DingTalk.AppSecret })},
	{Name: "DINGTALK_ACCESS_TOKEN", Group: groupDingTalk, Secret: true,
		Meaning: "access token instead of key and secret; it ends after two hours and is not renewed",
		set:     text(func(c *Config) *string { return &c.DingTalk.AccessToken })},

	{Name: "UNROLE_QPS", Group: groupPace, Flag: "qps", Default: "20",
		Meaning: "ceiling of DingTalk calls per second, of all workers together",
		set: func(c *Config, s string) error {
			f, err := strconv.ParseFloat(s, 64)
			if err != nil || math.IsNaN(f) || f < 0.01 || f > 10000 {
				return fmt.Errorf("%q is not a number of calls per second from 0.01 to 10000, such as 20", s)
			}
			c.QPS = f
			return nil
		}},
	{Name: "UNROLE_CONCURRENCY", Group: groupPace, Flag: "concurrency",
		Meaning: "DingTalk calls in flight at most, of one worker; 64 unless set",
		set:     count(func(c *Config) *int { return &c.Concurrency }, 1, 10000)},
	{Name: "UNROLE_MAX_ATTEMPTS", Group: groupPace, Flag: "max-attempts", Default: "12",
		Meaning: "how often a batch is tried in all when DingTalk is busy",
		set:     count(func(c *Config) *int { return &c.MaxAttempts }, 1, 1000)},
	{Name: "UNROLE_RETRY_BASE", Group: groupPace, Flag: "retry-base", Default: "1s",
		Meaning: "first backoff of a busy batch; it doubles, with jitter",
		set:     duration(func(c *Config) *time.Duration { return &c.RetryBase }, time.Millisecond)},
	{Name: "UNROLE_RETRY_CAP", Group: groupPace, Flag: "retry-cap", Default: "5m",
		Meaning: "longest backoff of a busy batch",
		set:     duration(func(c *Config) *time.Duration { return &c.RetryCap }, time.Millisecond)},
	{Name: "UNROLE_BUSY_MAX_AGE", Group: groupPace, Flag: "busy-max-age", Default: "24h",
		Meaning: "how long DingTalk may answer a batch busy while nothing else succeeds either; then the pair that keeps it busy is searched for",
		set:     duration(func(c *Config) *time.Duration { return &c.BusyMaxAge }, time.Second)},
	{Name: "UNROLE_HOLD_PROBE", Group: groupPace, Flag: "hold-probe", Default: "30s",
		Meaning: "time between two probe calls while the fleet holds",
		set:     duration(func(c *Config) *time.Duration { return &c.HoldProbe }, 100*time.Millisecond)},

	{Name: "UNROLE_CHECK_INTERVAL", Group: groupPace, Flag: "check-interval", Default: "1s",
		Meaning: "how often an idle worker looks for tasks that are due, and for new ones where Redis does not tell it of them at once (BLMOVE): how long a removal may wait on an idle system, against load on Redis",
		set:     duration(func(c *Config) *time.Duration { return &c.CheckInterval }, time.Millisecond)},

	{Name: "UNROLE_PREFLIGHT", Group: groupSafety, Flag: "preflight",
		Meaning: "`true`: look in DingTalk who exists and who holds what before anything is sent; `false`: only where a list takes it; unless set, `plan` looks where there are credentials, and the others where a list takes it",
		set: func(c *Config, s string) error {
			on, err := strconv.ParseBool(s)
			if err != nil {
				return fmt.Errorf("%q is neither true nor false", s)
			}
			c.Preflight = strconv.FormatBool(on)
			return nil
		}},
	{Name: "UNROLE_MAX_SHARE", Group: groupSafety, Flag: "max-share", Default: "0.5",
		Meaning: "share of the holders of a role, of 10 or more, above which a removal that was looked at needs a confirmation or `--yes`",
		set: func(c *Config, s string) error {
			f, err := strconv.ParseFloat(s, 64)
			if err != nil || !(f > 0 && f <= 1) {
				return fmt.Errorf("%q is not a share above 0 and up to 1, such as 0.5", s)
			}
			c.MaxShare = f
			return nil
		}},
	{Name: "UNROLE_PROTECTED_USERS", Group: groupSafety, Flag: "protected-users",
		Meaning: "users whose roles are never removed: ids separated by commas, or `@FILE`",
		set:     text(func(c *Config) *string { return &c.ProtectedUsers })},
	{Name: "UNROLE_PROTECTED_ROLES", Group: groupSafety, Flag: "protected-roles",
		Meaning: "roles that are never removed from anybody: ids separated by commas, or `@FILE`",
		set:     text(func(c *Config) *string { return &c.ProtectedRoles })},
	{Name: "UNROLE_MAX_USERS_PER_DAY", Group: groupSafety, Flag: "max-users-per-day",
		Meaning: "distinct users that one source (of the HTTP intake, or of `enqueue --source`) may submit in 24 hours; above it jobs wait for approval",
		set:     count(func(c *Config) *int { return &c.MaxUsersPerDay }, 1, math.MaxInt32)},
	{Name: "UNROLE_APPROVE_ABOVE", Group: groupSafety, Flag: "approve-above",
		Meaning: "distinct users above which a removal or a restore (of `enqueue`, `jobs restore` and the console) waits until another person than its submitter approves it",
		set:     count(func(c *Config) *int { return &c.ApproveAbove }, 1, math.MaxInt32)},
	{Name: "UNROLE_DIRECTORY_TTL", Group: groupSafety, Flag: "directory-ttl", Default: "1h",
		Meaning: "how long Redis keeps who has which staff number and e-mail address, as keyed hashes, after the directory was read for one, see input.md; `0` keeps nothing of it, and has the directory read for each list that has one",
		set:     zeroOr(func(c *Config) *time.Duration { return &c.DirectoryTTL }, time.Minute)},
	{Name: "UNROLE_LEAVERS_FILE", Group: groupSafety, Flag: "leavers-file",
		Meaning: "rule by which workers take the roles of people who are leaving, by DingTalk's own HR, see leavers.md; without it they do not ask",
		set:     text(func(c *Config) *string { return &c.LeaversFile })},
	{Name: "UNROLE_RETENTION", Group: groupSafety, Flag: "retention", Default: "720h",
		Meaning: "how long the record of a finished job is kept",
		set:     duration(func(c *Config) *time.Duration { return &c.Retention }, time.Minute)},
	{Name: "UNROLE_AUDIT_FILE", Group: groupSafety, Flag: "audit-file",
		Meaning: "file that the audit trail is appended to, one JSON object per line",
		set:     text(func(c *Config) *string { return &c.AuditFile })},
	{Name: "UNROLE_AUDIT_KEEP", Group: groupSafety, Flag: "audit-keep", Default: "8760h",
		Meaning: "how long Redis keeps those entries of audit trails that the audit file has; `0` keeps them for good, and so does a fleet without the file",
		set:     zeroOr(func(c *Config) *time.Duration { return &c.AuditKeep }, 24*time.Hour)},
	{Name: "UNROLE_WEBHOOK_URL", Group: groupSafety, Flag: "webhook-url",
		Meaning: "address that is told when a job ends",
		set:     webURL(func(c *Config) *string { return &c.WebhookURL }, "https://hr.example.com/unrole")},
	{Name: "UNROLE_WEBHOOK_SECRET", Group: groupSafety, Secret: true,
		Meaning: "secret that signs the webhook messages (Standard Webhooks, `whsec_…`)",
		set:     text(func(c *Config) *string { return &c.WebhookSecret })},

	{Name: "UNROLE_LOG_LEVEL", Group: groupLog, Flag: "log-level", Default: "info",
		Meaning: "least important level that is logged: `debug`, `info`, `warn` or `error`",
		set:     oneOf(func(c *Config) *string { return &c.LogLevel }, "debug", "info", "warn", "error")},
	{Name: "UNROLE_LOG_FORMAT", Group: groupLog, Flag: "log-format",
		Meaning: "`json` or `console`; console on a terminal and JSON elsewhere unless set",
		set:     oneOf(func(c *Config) *string { return &c.LogFormat }, "json", "console")},

	{Name: "UNROLE_ADMIN_LISTEN", Group: groupServe, Flag: "admin-listen",
		Meaning: "address of health, readiness and metrics of worker and api; off unless set",
		set:     listen(func(c *Config) *string { return &c.AdminListen })},
	{Name: "UNROLE_API_LISTEN", Group: groupServe, Flag: "api-listen", Default: "127.0.0.1:8080",
		Meaning: "address of the HTTP intake",
		set:     listen(func(c *Config) *string { return &c.APIListen })},
	{Name: "UNROLE_API_TOKENS_FILE", Group: groupServe, Flag: "api-tokens-file",
		Meaning: "file with the names and hashes of the tokens that the HTTP intake accepts",
		set:     text(func(c *Config) *string { return &c.APITokensFile })},
	{Name: "UNROLE_ADAPTERS_FILE", Group: groupServe, Flag: "adapters-file",
		Meaning: "how the HTTP intake reads what HR systems send that do not speak its JSON, see adapters.md; without it they are not heard",
		set:     text(func(c *Config) *string { return &c.AdaptersFile })},
	{Name: "UNROLE_UI_LISTEN", Group: groupServe, Flag: "ui-listen", Default: "127.0.0.1:8081",
		Meaning: "address of the console",
		set:     listen(func(c *Config) *string { return &c.UIListen })},
	{Name: "UNROLE_UI_USERS_FILE", Group: groupServe, Flag: "ui-users-file",
		Meaning: "file of the people who may sign in to the console, a line each: `NAME:HASH:ROLE`, see console.md",
		set:     text(func(c *Config) *string { return &c.UIUsersFile })},
	{Name: "UNROLE_UI_PASSWORD", Group: groupServe, Secret: true,
		Meaning: "one password of the console for everybody, instead of names; without either it listens on loopback only",
		set:     text(func(c *Config) *string { return &c.UIPassword })},
}

func text(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, s string) error {
		*field(c) = s
		return nil
	}
}

func count(field func(*Config) *int, least, most int) func(*Config, string) error {
	return func(c *Config, s string) error {
		n, err := strconv.Atoi(s)
		if err != nil || n < least || n > most {
			return fmt.Errorf("%q is not a whole number from %d to %d", s, least, most)
		}
		*field(c) = n
		return nil
	}
}

func duration(field func(*Config) *time.Duration, least time.Duration) func(*Config, string) error {
	return func(c *Config, s string) error {
		d, err := time.ParseDuration(s)
		if err != nil {
			return fmt.Errorf("%q is not a duration such as 500ms, 30s, 5m or 24h", s)
		}
		if d < least {
			return fmt.Errorf("%s is too short: at least %s", s, least)
		}
		*field(c) = d
		return nil
	}
}

// zeroOr takes 0 besides.
func zeroOr(field func(*Config) *time.Duration, least time.Duration) func(*Config, string) error {
	return func(c *Config, s string) error {
		if s == "0" {
			*field(c) = 0
			return nil
		}
		return duration(field, least)(c, s)
	}
}

func oneOf(field func(*Config) *string, allowed ...string) func(*Config, string) error {
	return func(c *Config, s string) error {
		for _, a := range allowed {
			if strings.EqualFold(s, a) {
				*field(c) = a
				return nil
			}
		}
		return fmt.Errorf("%q is not one of %s", s, strings.Join(allowed, ", "))
	}
}

func listen(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, s string) error {
		_, port, err := net.SplitHostPort(s)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil {
			return fmt.Errorf("%q is not an address to listen on such as 127.0.0.1:8080 or :8080", s)
		}
		*field(c) = s
		return nil
	}
}

// webURL accepts an http or https URL. The text of a wrong one is not shown: it may hold a token.
func webURL(field func(*Config) *string, example string) func(*Config, string) error {
	return func(c *Config, s string) error {
		u, err := url.Parse(s)
		switch {
		case err != nil:
			return fmt.Errorf("it is not a URL: write one like %s", example)
		case u.Scheme == "" || u.Host == "" && u.Opaque != "":
			return fmt.Errorf("it has no scheme: write it like %s", example)
		case u.Scheme != "http" && u.Scheme != "https":
			return fmt.Errorf("its scheme is neither http nor https: write it like %s", example)
		case u.Hostname() == "":
			return fmt.Errorf("it has no host: write it like %s", example)
		case u.User != nil:
			return errors.New("it holds a user name: take it out")
		}
		*field(c) = s
		return nil
	}
}
