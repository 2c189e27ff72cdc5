package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func env(pairs ...string) func(string) string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(name string) string { return m[name] }
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestDefaults(t *testing.T) {
	c, err := Load(env(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		RedisURL: "redis://127.0.0.1:6379/0", DingTalk: DingTalk{BaseURL: "https://oapi.dingtalk.io"},
		QPS: 20, MaxAttempts: 12, RetryBase: time.Second, RetryCap: 5 * time.Minute, BusyMaxAge: 24 * time.Hour,
		HoldProbe: 30 * time.Second, CheckInterval: time.Second, Retention: 720 * time.Hour, AuditKeep: 8760 * time.Hour, LogLevel: "info",
		MaxShare: 0.5, DirectoryTTL: time.Hour, APIListen: "127.0.0.1:8080", UIListen: "127.0.0.1:8081",
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
}

func TestFlagsWinOverEnvironmentAndFilesHoldSecrets(t *testing.T) {
	c, err := Load(env(
		"UNROLE_QPS", "5", "UNROLE_LOG_LEVEL", "DEBUG", "UNROLE_AUDIT_FILE", "/var/log/a",
		"DINGTALK_APP_KEY", "key", "DINGTALK_APP_SECRET_FILE", write(t, " s3cret \r\n"),
		"REDIS_URL_FILE", write(t, "redis://:pw@redis:6379/1\n"),
	), map[string]string{"UNROLE_QPS": "7.5", "UNROLE_AUDIT_FILE": "", "UNROLE_RETRY_CAP": ""})
	if err != nil {
		t.Fatal(err)
	}
	if c.QPS != 7.5 || c.LogLevel != "debug" || c.AuditFile != "" || c.RetryCap != 5*time.Minute {
		t.Errorf("%+v", c)
	}
	if c.DingTalk.AppSecret != " s3cret " || c.RedisURL != "redis://:pw@redis:6379/1" {
		t.Errorf("secret %q, redis %q", c.DingTalk.AppSecret, c.RedisURL)
	}
	if err := c.NeedCredentials(); err != nil {
		t.Error(err)
	}
}

func TestEveryFaultIsNamedAtOnce(t *testing.T) {
	const secret = "Tr0ub4dor"
	empty := write(t, "\n")
	_, err := Load(env(
		"REDIS_URL", "redis://u:"+secret+"@h:x",
		"DINGTALK_BASE_URL", "ftp://oapi.dingtalk.io",
		"DINGTALK_APP_SECRET", secret, "DINGTALK_APP_SECRET_FILE", "/x",
		"DINGTALK_ACCESS_TOKEN_FILE", empty,
		"UNROLE_WEBHOOK_URL", "https://u:"+secret+"@h/",
		"UNROLE_WEBHOOK_SECRET_FILE", filepath.Join(t.TempDir(), "none"),
		"UNROLE_UI_PASSWORD_FILE", t.TempDir(),
		"UNROLE_QPS", "NaN", "UNROLE_CONCURRENCY", "0", "UNROLE_MAX_ATTEMPTS", "many",
		"UNROLE_RETRY_BASE", "10m", "UNROLE_RETRY_CAP", "1m", "UNROLE_BUSY_MAX_AGE", "-1h",
		"UNROLE_LOG_LEVEL", "loud", "UNROLE_LOG_FORMAT", "xml", "UNROLE_ADMIN_LISTEN", "9090",
	), nil)
	if err == nil {
		t.Fatal("accepted")
	}
	text := err.Error()
	for _, want := range []string{
		"REDIS_URL: its host is not of the form",
		"DINGTALK_BASE_URL: its scheme is neither http nor https",
		"DINGTALK_APP_SECRET: both it and DINGTALK_APP_SECRET_FILE are set: keep one",
		"DINGTALK_ACCESS_TOKEN: DINGTALK_ACCESS_TOKEN_FILE names " + empty + ", which is empty",
		"UNROLE_WEBHOOK_URL: it holds a user name",
		"UNROLE_WEBHOOK_SECRET: UNROLE_WEBHOOK_SECRET_FILE cannot be read",
		"UNROLE_UI_PASSWORD: UNROLE_UI_PASSWORD_FILE names",
		`UNROLE_QPS: "NaN" is not a number`,
		"UNROLE_CONCURRENCY: ", "UNROLE_MAX_ATTEMPTS: ",
		"UNROLE_RETRY_BASE: 10m0s is longer than UNROLE_RETRY_CAP",
		"UNROLE_BUSY_MAX_AGE: -1h is too short",
		`UNROLE_LOG_LEVEL: "loud" is not one of debug, info, warn, error`,
		"UNROLE_LOG_FORMAT: ", "UNROLE_ADMIN_LISTEN: ",
	} {
		if !strings.Contains("\n"+text, "\n"+want) {
			t.Errorf("no line begins with %q", want)
		}
	}
	if strings.Contains(text, secret) {
		t.Error("shows a secret")
	}
	if t.Failed() {
		t.Log("\n" + text)
	}
}

func TestBaseURLWithoutScheme(t *testing.T) {
	for _, url := range []string{"oapi.dingtalk.io", "oapi.dingtalk.io:443", "//oapi.dingtalk.io", "https://", "https:oapi.dingtalk.io", "http://[::1"} {
		_, err := Load(env("DINGTALK_BASE_URL", url), nil)
		if err == nil || !strings.Contains(err.Error(), "like https://oapi.dingtalk.io") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestMissingCredentialsSayWhatToSet(t *testing.T) {
	for _, c := range []struct {
		d    DingTalk
		want string
	}{
		{DingTalk{}, "DINGTALK_APP_KEY: missing: set it and DINGTALK_APP_SECRET (or DINGTALK_APP_SECRET_FILE)"},
		{DingTalk{AppKey: "k"}, "DINGTALK_APP_SECRET: missing"},
		{DingTalk{AppSecret: "s"}, "DINGTALK_APP_KEY: missing: it goes with"},
		{DingTalk{AppKey: "k", AppSecret: "s"}, ""},
		{DingTalk{AccessToken: "t"}, ""},
	} {
		err := (&Config{DingTalk: c.d}).NeedCredentials()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
			t.Errorf("%+v: %v", c.d, err)
		}
	}
}

func TestEveryDefaultIsAccepted(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range variables {
		if seen[v.Name] || v.Flag != "" && seen["--"+v.Flag] {
			t.Errorf("%s or its flag stands there twice", v.Name)
		}
		seen[v.Name], seen["--"+v.Flag] = true, true
		if v.Meaning == "" || v.Group == "" {
			t.Errorf("%s has no meaning or no group", v.Name)
		}
		if v.Default != "" {
			if err := v.set(&Config{}, v.Default); err != nil {
				t.Errorf("%s: %v", v.Name, err)
			}
		}
	}
}
