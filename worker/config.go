package worker

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/base/defaults"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/tasks"
)

// Config says what a worker works with. Redis and the credentials of DingTalk are required; a field that is zero has its
// default, and a negative one is refused. Every worker of a fleet should have the same configuration.
type Config struct {
	// Redis is where removals are submitted to: a server, a cluster, or a master found by sentinels, from 6.2 on, with
	// maxmemory-policy noeviction. It stays the caller's to close, after Run.
	Redis redis.UniversalClient

	// DingTalk is the app that removes the roles.
	DingTalk DingTalk

	// ProtectedUsers and ProtectedRoles are never touched, whoever asks: their pairs end as dead letters with the reason
	// "protected". Give a submitter the same ones (enqueue.Config), so that it refuses them at once. Default nobody.
	ProtectedUsers []string
	ProtectedRoles []int64

	// QPS is how many calls per second the whole fleet makes at most, from 0.01 to 10000. DingTalk grants an app 20 for each
	// API, which is the default; the fleet goes slower by itself while DingTalk asks for it.
	QPS float64

	// Concurrency bounds this worker's calls in flight. It is worth setting only where DingTalk takes so long to answer that
	// QPS is not reached. Default 64.
	Concurrency int

	// MaxAttempts is how often a batch is tried in all that DingTalk is too busy for, before what poisons it is searched
	// for. A try counts only if some call of the fleet was accepted since the one before it: an outage spends none. Default
	// 12.
	MaxAttempts int

	// RetryBase and RetryCap are the first and the longest wait between two tries of a busy batch. It doubles from the one to
	// the other, and is drawn anew each time between zero and that. RetryBase must not be longer than RetryCap. Default one
	// second and five minutes.
	RetryBase, RetryCap time.Duration

	// BusyMaxAge is how long a batch may be answered busy, by DingTalk itself, while nothing else succeeds either; after that
	// it is searched as if its attempts were spent. Default 24 hours.
	BusyMaxAge time.Duration

	// HoldProbe is the time between two calls that try whether what the fleet holds for has been mended: credentials, a
	// permission, the IP white list. Default 30 seconds.
	HoldProbe time.Duration

	// CheckInterval is how often an idle worker looks for tasks that are due, and for new ones where Redis does not tell it of
	// them at once (BLMOVE): the most that a removal waits on an idle system, against load on Redis. Default one second.
	CheckInterval time.Duration

	// Retention is how long the record of a job is kept after its end; one with dead letters is kept as long as those. Default
	// 30 days.
	Retention time.Duration

	// Log takes what happens; a secret is never in it. The zero value logs nothing.
	Log zerolog.Logger
}

// DingTalk is how DingTalk is reached: AppKey and AppSecret, or AccessToken.
type DingTalk struct {
	// AppKey and AppSecret are the credentials of an app of the organisation that may manage roles.
	AppKey, AppSecret string

	// AccessToken is used instead of them. DingTalk ends it after two hours and nothing renews it: the fleet holds then.
	AccessToken string

	// BaseURL is where the API is. Default https://oapi.dingtalk.io; in China https://oapi.dingtalk.com.
	BaseURL string

	// Transport carries the calls, through a proxy say. Default one of the worker's own.
	Transport http.RoundTripper
}

// withDefaults returns a copy with every field set, or an error that names all that is wrong.
func (c Config) withDefaults() (Config, error) {
	d := defaults.Of("worker")
	defaults.Fill(d, "QPS", &c.QPS, 20)
	defaults.Fill(d, "Concurrency", &c.Concurrency, 64)
	defaults.Fill(d, "MaxAttempts", &c.MaxAttempts, 12)
	defaults.Fill(d, "RetryBase", &c.RetryBase, time.Second)
	defaults.Fill(d, "RetryCap", &c.RetryCap, 5*time.Minute)
	defaults.Fill(d, "BusyMaxAge", &c.BusyMaxAge, 24*time.Hour)
	defaults.Fill(d, "HoldProbe", &c.HoldProbe, 30*time.Second)
	defaults.Fill(d, "CheckInterval", &c.CheckInterval, time.Second)
	defaults.Fill(d, "Retention", &c.Retention, 30*24*time.Hour)
	return c, errors.Join(d.Err(), c.validate())
}

// validate names everything that is wrong with a configuration that has its defaults.
func (c Config) validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf("worker: "+format, args...)) }
	if c.Redis == nil {
		wrong("Redis is required")
	}
	switch d := c.DingTalk; {
	case d.AccessToken != "" && d.AppKey+d.AppSecret != "":
		wrong("DingTalk.AccessToken is used instead of AppKey and AppSecret: set one or the other")
	case d.AccessToken == "" && (d.AppKey == "" || d.AppSecret == ""):
		wrong("DingTalk.AppKey and DingTalk.AppSecret are required, or DingTalk.AccessToken")
	}
	if c.QPS > 0 && c.QPS < 0.01 || c.QPS > 10_000 || math.IsNaN(c.QPS) {
		wrong("QPS is %v: from 0.01 to 10000 calls per second are possible", c.QPS)
	}
	if c.RetryBase > c.RetryCap && c.RetryCap > 0 {
		wrong("RetryBase (%s) is longer than RetryCap (%s)", c.RetryBase, c.RetryCap)
	}
	for i, id := range c.ProtectedUsers {
		if err := tasks.ValidateUserID(id); err != nil {
			wrong("ProtectedUsers[%d]: %w", i, err)
		}
	}
	for i, id := range c.ProtectedRoles {
		if err := tasks.ValidateRoleID(id); err != nil {
			wrong("ProtectedRoles[%d]: %w", i, err)
		}
	}
	return errors.Join(errs...)
}

// engine is the configuration as the commands have it.
func (c Config) engine() *config.Config {
	// Each list begins with a comma, so that an id with an @ in front is not taken for the name of a file.
	roles := make([]string, len(c.ProtectedRoles))
	for i, id := range c.ProtectedRoles {
		roles[i] = strconv.FormatInt(id, 10)
	}
	list := func(ids []string) string { return strings.Join(slices.Concat([]string{""}, ids), ",") }
	return &config.Config{
		DingTalk: config.DingTalk{BaseURL: c.DingTalk.BaseURL, AppKey: c.DingTalk.AppKey, AppSecret: c.DingTalk.AppSecret, AccessToken: c.DingTalk.AccessToken},
		QPS:      c.QPS, Concurrency: c.Concurrency, MaxAttempts: c.MaxAttempts, RetryBase: c.RetryBase, RetryCap: c.RetryCap,
		BusyMaxAge: c.BusyMaxAge, HoldProbe: c.HoldProbe, CheckInterval: c.CheckInterval, Retention: c.Retention,
		ProtectedUsers: list(c.ProtectedUsers), ProtectedRoles: list(roles)}
}
