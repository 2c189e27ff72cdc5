// Package doctor looks at everything unrole needs, Redis and DingTalk and the way to them, and says what is wrong and
// what to do about it, without removing anything.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/redisconn"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/run/fleet"
)

// Level is how bad a finding is.
type Level string

const (
	OK      Level = "ok"
	Warning Level = "warning"
	Failure Level = "failure"
)

// Finding is one line of the examination.
type Finding struct {
	// Check names what was looked at; names stay the same between versions.
	Check string `json:"check"`
	Level Level  `json:"level"`
	// Says is what was found; Remedy what to do, empty for OK.
	Says   string `json:"says"`
	Remedy string `json:"remedy,omitempty"`
	// Credentials is set where the failure is one of credentials or permission.
	Credentials bool `json:"-"`
}

// Config says what to examine.
type Config struct {
	RedisURL string
	DingTalk dingtalk.Config
	// MissingCredentials is why DingTalk cannot be asked at all; nil where credentials are there.
	MissingCredentials error
	// Pace reads what the fleet of this app has been through; nil, or an error, where that cannot be known.
	Pace func(context.Context, redis.UniversalClient) (pace.Status, error)
	// Lookups reads how the fleet of this app looks people and roles up; nil where nobody is to be told.
	Lookups func(context.Context, redis.UniversalClient) (fleet.Lookups, error)
	// AuditFile is where the audit trails are copied to, if anywhere, and AuditKeep how long Redis keeps what is there.
	AuditFile string
	AuditKeep time.Duration
	// Proxy is the proxy for a request, as http.ProxyFromEnvironment, which is used where it is nil.
	Proxy func(*http.Request) (*url.URL, error)
	// Now is the clock that is compared; nil means time.Now.
	Now func() time.Time
}

// mostDrift is how far clocks may differ before it is worth a warning: scheduled times and logs are off by that much.
// DingTalk's Date header has whole seconds.
const mostDrift = 5 * time.Second

// patience bounds each of the two examinations.
const patience = 20 * time.Second

// Examine makes every check and reports each finding as soon as it is there. A check that cannot be made because an
// earlier one failed is left out.
func Examine(ctx context.Context, c Config, report func(Finding)) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Proxy == nil {
		c.Proxy = http.ProxyFromEnvironment
	}
	fleet := c.examineRedis(ctx, report)
	report(c.auditWords())
	c.examineProxy(report)
	c.examineDingTalk(ctx, fleet, report)
}

// auditWords says what becomes of the audit trails, and whether the file can be written.
func (c Config) auditWords() Finding {
	f := Finding{Check: "audit", Level: OK}
	switch {
	case c.AuditFile == "":
		f.Says = "no audit file here: Redis keeps all audit trails for good, some 200 bytes a batch (UNROLE_AUDIT_FILE, UNROLE_AUDIT_KEEP)"
		return f
	case c.AuditKeep == 0:
		f.Says = fmt.Sprintf("%s can be written; Redis keeps all audit trails for good besides (UNROLE_AUDIT_KEEP)", c.AuditFile)
	default:
		f.Says = fmt.Sprintf("%s can be written; Redis keeps for %s what is there", c.AuditFile, c.AuditKeep)
	}
	file, err := os.OpenFile(c.AuditFile, os.O_WRONLY|os.O_APPEND, 0)
	if errors.Is(err, fs.ErrNotExist) {
		var folder fs.FileInfo
		if folder, err = os.Stat(filepath.Dir(c.AuditFile)); err == nil && folder.IsDir() {
			return f // a worker makes it
		}
	}
	if err != nil {
		return Finding{Check: "audit", Level: Failure, Says: "the audit file cannot be written: " + err.Error(),
			Remedy: "make it writable for the worker's user: the fleet holds as long as it is not"}
	}
	file.Close()
	return f
}

// examineRedis returns what the fleet has been through, or nil where that is not known.
func (c Config) examineRedis(ctx context.Context, report func(Finding)) *pace.Status {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	target, err := redisconn.Parse(c.RedisURL)
	if err != nil {
		report(Finding{Check: "redis", Level: Failure, Says: err.Error(), Remedy: "correct REDIS_URL"})
		return nil
	}
	client := target.Client()
	defer client.Close()
	found, err := redisconn.Check(ctx, target, client)
	if err != nil {
		report(Finding{Check: "redis", Level: Failure, Says: err.Error(), Remedy: "until Redis can be reached nothing is accepted and nothing is removed"})
		return nil
	}
	report(Finding{Check: "redis", Level: OK, Says: fmt.Sprintf("%s answers", target)})
	for _, s := range found.Servers {
		report(Finding{Check: "redis server", Level: OK, Says: serverWords(s)})
	}
	for _, p := range found.Problems {
		report(Finding{Check: "redis settings", Level: Failure, Says: p, Remedy: "unrole refuses to work with it until that is changed"})
	}
	for _, w := range found.Warnings {
		report(Finding{Check: "redis settings", Level: Warning, Says: w, Remedy: "see docs/operate.md, Redis"})
	}
	if len(found.Problems)+len(found.Warnings) == 0 {
		report(Finding{Check: "redis settings", Level: OK, Says: "version, scripts, eviction policy, persistence and memory are fine"})
	}
	if len(found.Problems) == 0 {
		examineRights(ctx, client, report)
	}
	c.compareRedisClock(ctx, client, report)
	c.examineLookups(ctx, client, report)
	if c.Pace == nil {
		return nil
	}
	status, err := c.Pace(ctx, client)
	if err != nil {
		return nil
	}
	return &status
}

// examineLookups says at what pace the fleet looks people and roles up, and how it knows staff numbers. Redis that does not tell it was
// found fault with before.
func (c Config) examineLookups(ctx context.Context, client redis.UniversalClient, report func(Finding)) {
	if c.Lookups == nil {
		return
	}
	all, err := c.Lookups(ctx, client)
	if err != nil {
		return
	}
	pace := Finding{Check: "lookups", Level: OK, Says: fmt.Sprintf("%d of DingTalk's reading APIs were asked within the last hour, none is throttled", len(all.APIs))}
	for _, api := range all.APIs {
		if p := api.Pause; p != nil {
			pace.Level, pace.Says = Warning, fmt.Sprintf("%s is throttled (%s) until %s", api.Name, p.Why, p.Until.Format(time.RFC3339))
			pace.Remedy = "nothing: it goes on by itself; another program that uses the same app may ask, too"
		}
	}
	report(pace)
	index := Finding{Check: "staff numbers", Level: OK, Says: all.IndexWords(c.Now())}
	if x := all.Index; x != nil && !x.FailedAt.IsZero() {
		index.Level, index.Remedy = Warning, "see to what is named; until then no staff number and no e-mail address is found anew"
	}
	report(index)
}

// examineRights tries what unrole does in Redis, without harm.
func examineRights(ctx context.Context, client redis.UniversalClient, report func(Finding)) {
	const check = "redis rights"
	missing, err := redisconn.MissingRights(ctx, client)
	needed := slices.ContainsFunc(missing, func(rule string) bool { return !strings.Contains(rule, "&") })
	switch {
	case err != nil:
		report(Finding{Check: check, Level: Failure, Says: err.Error(), Remedy: "until then nothing is accepted and nothing is removed"})
	case len(missing) == 0:
		report(Finding{Check: check, Level: OK, Says: "this user may do everything that unrole does: commands, keys and channels were tried"})
	case needed:
		report(Finding{Check: check, Level: Failure, Says: "this user may not do what unrole needs: " + strings.Join(missing, ", "),
			Remedy: "ACL SETUSER NAME " + strings.Join(missing, " ") + "; docs/operate.md, Redis, has the smallest user that works"})
	default:
		report(Finding{Check: check, Level: Warning, Says: "this user may not use channels (" + strings.Join(missing, ", ") + "): workers hear of pauses and of new tasks a second later",
			Remedy: "ACL SETUSER NAME " + strings.Join(missing, " ")})
	}
}

func serverWords(s redisconn.Server) string {
	words := s.Name + " " + s.Version
	if s.Addr != "" {
		words += " at " + s.Addr
	}
	if s.Role != "" {
		words += ", " + s.Role
	}
	if s.Policy != "" {
		words += ", maxmemory-policy " + s.Policy
	}
	switch {
	case s.AOF:
		words += ", append-only file on"
	case s.PersistenceKnown:
		words += ", append-only file off"
	}
	words += fmt.Sprintf(", %s used", megabytes(s.UsedMemory))
	switch {
	case s.MaxMemory > 0:
		words += fmt.Sprintf(" of %s", megabytes(s.MaxMemory))
	case s.MemoryKnown:
		words += ", no limit of memory"
	}
	return words
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/(1<<20)) }

func (c Config) compareRedisClock(ctx context.Context, client redis.UniversalClient, report func(Finding)) {
	before := c.Now()
	at, err := client.Time(ctx).Result()
	if err != nil {
		report(Finding{Check: "clock of redis", Level: Warning, Says: "Redis does not tell its time: " + err.Error(), Remedy: "allow the TIME command"})
		return
	}
	report(drift("clock of redis", at.Sub(middle(before, c.Now()))))
}

func middle(a, b time.Time) time.Time { return a.Add(b.Sub(a) / 2) }

func drift(check string, d time.Duration) Finding {
	f := Finding{Check: check, Level: OK, Says: fmt.Sprintf("differs from this machine's by %s", d.Abs().Round(time.Millisecond))}
	if d.Abs() > mostDrift {
		f.Level, f.Remedy = Warning, "set the clocks by NTP: scheduled removals begin, and pauses end, by them"
	}
	return f
}

// errorOf is an error of the client as DingTalk's answer.
func errorOf(err error) *dingtalk.Error {
	var e *dingtalk.Error
	errors.As(err, &e)
	return e
}
