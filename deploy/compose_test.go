package deploy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// composeFile is what the tests look at in docker-compose.yml.
type composeFile struct {
	Services map[string]struct {
		User        string
		ReadOnly    bool     `yaml:"read_only"`
		CapDrop     []string `yaml:"cap_drop"`
		SecurityOpt []string `yaml:"security_opt"`
		Restart     string
		Environment map[string]string
		Secrets     []string
		Ports       []string
		Healthcheck struct{ Test []string }
		Deploy      struct {
			Resources struct {
				Limits struct {
					CPUs   string `yaml:"cpus"`
					Memory string
					Pids   int
				}
			}
		}
	}
	Secrets map[string]struct{ File string }
}

func readCompose(t *testing.T) composeFile { return readComposeFile(t, "../docker-compose.yml") }

func readComposeFile(t *testing.T, name string) composeFile {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var c composeFile
	if err := yaml.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Services) == 0 || len(c.Secrets) == 0 {
		t.Fatal(name, "has no services or no secrets")
	}
	return c
}

func TestPeopleTakeThePlaceOfTheOnePassword(t *testing.T) {
	all, people := readCompose(t), readComposeFile(t, "compose-people.yml")
	ui := people.Services["ui"]
	if all.Services["ui"].Environment["UNROLE_UI_PASSWORD_FILE"] == "" || ui.Environment["UNROLE_UI_PASSWORD_FILE"] != "" {
		t.Error("the console refuses a password beside people")
	}
	if ui.Environment["UNROLE_UI_USERS_FILE"] != "/run/secrets/ui-users" || !slices.Contains(ui.Secrets, "ui-users") || people.Secrets["ui-users"].File == "" {
		t.Errorf("the file of people: %+v, %+v", ui, people.Secrets)
	}
}

func TestEveryContainerIsConfined(t *testing.T) {
	for name, s := range readCompose(t).Services {
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s: its root file system can be written, or it keeps capabilities, or can gain privileges", name)
		}
		if s.User == "" || s.User == "root" || strings.HasPrefix(s.User, "0") {
			t.Errorf("%s runs as %q", name, s.User)
		}
		if l := s.Deploy.Resources.Limits; l.CPUs == "" || l.Memory == "" || l.Pids == 0 {
			t.Errorf("%s: CPU, memory or processes have no limit: %+v", name, l)
		}
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: port %s is reached from other machines", name, port)
			}
		}
		// unrole is for single commands, which end.
		if name == "unrole" {
			continue
		}
		if s.Restart != "unless-stopped" || len(s.Healthcheck.Test) == 0 {
			t.Errorf("%s: restart is %q, health check %q", name, s.Restart, s.Healthcheck.Test)
		}
	}
}

func TestComposeKeepsSecretsInFiles(t *testing.T) {
	c := readCompose(t)
	for name, s := range c.Services {
		for variable, value := range s.Environment {
			isFile := strings.HasPrefix(value, "/run/secrets/")
			for _, secret := range []string{"SECRET", "PASSWORD", "TOKEN", "REDIS_URL"} {
				if strings.Contains(variable, secret) && !isFile {
					t.Errorf("%s: %s is given as a value", name, variable)
				}
			}
			if isFile && !slices.Contains(s.Secrets, filepath.Base(value)) {
				t.Errorf("%s: %s is %s, which the service does not get", name, variable, value)
			}
		}
		for _, secret := range s.Secrets {
			if _, ok := c.Secrets[secret]; !ok {
				t.Errorf("%s: there is no secret %s", name, secret)
			}
		}
	}
}

// settings are the files of a settings folder, without the line end; hidden ones are left out.
func settings(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, file := range files(t, filepath.Join(dir, "[^.]*")) {
		if info, err := os.Stat(file); err == nil && info.IsDir() {
			found[filepath.Base(file)] = ""
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found[filepath.Base(file)] = strings.TrimSuffix(string(data), "\n")
	}
	return found
}

// checkSettings holds for the demo's settings and for those that setup makes.
func checkSettings(t *testing.T, got map[string]string) {
	t.Helper()
	for name := range readCompose(t).Secrets {
		if got[name] == "" {
			t.Errorf("the secret %s has no file, or an empty one", name)
		}
	}
	password, ok := strings.CutPrefix(got["redis.conf"], "requirepass ")
	if want := "redis://:" + password + "@redis:6379/0"; !ok || got["redis-url"] != want {
		t.Error("redis.conf and redis-url have different passwords")
	}
	hash := sha256.Sum256([]byte(got["api-token"]))
	if _, line, _ := strings.Cut(got["api-tokens"], ":"); line != hex.EncodeToString(hash[:]) {
		t.Error("api-token is not the one in api-tokens")
	}
}

func TestDemoSettingsAreWhole(t *testing.T) {
	checkSettings(t, settings(t, "demo"))
}

// setUp runs deploy/setup in a fresh checkout and returns the checkout.
func setUp(t *testing.T, env ...string) (checkout string, run func() (output string, err error)) {
	t.Helper()
	checkout = t.TempDir()
	script, err := os.ReadFile("setup")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(checkout, "deploy"), 0o755); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(checkout, "deploy", "setup")
	if err := os.WriteFile(copied, script, 0o644); err != nil {
		t.Fatal(err)
	}
	return checkout, func() (string, error) {
		cmd := exec.Command("sh", copied)
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
}

func TestSetupMakesWhatComposeReads(t *testing.T) {
	const secret = "a secret with $dollar 'quotes' and \\n"
	secretFile := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secretFile, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	checkout, run := setUp(t, "DINGTALK_APP_KEY=dingabc", "DINGTALK_APP_SECRET_FILE="+secretFile)
	if out, err := run(); err != nil || strings.Contains(out, secret) {
		t.Fatalf("%v, or shows the secret: %s", err, out)
	}

	dir := filepath.Join(checkout, "settings")
	got := settings(t, dir)
	checkSettings(t, got)
	demo := settings(t, "demo")
	if want := slices.Sorted(maps.Keys(demo)); !slices.Equal(slices.Sorted(maps.Keys(got)), want) {
		t.Errorf("files are %q, the demo's %q", slices.Sorted(maps.Keys(got)), want)
	}
	for _, name := range []string{"redis.conf", "redis-url", "api-token", "api-tokens", "ui-password"} {
		if got[name] == demo[name] {
			t.Errorf("%s is the demo's", name)
		}
	}
	if got["app-secret"] != secret {
		t.Errorf("the app secret became %q", got["app-secret"])
	}
	if !strings.Contains(got["unrole.env"], "DINGTALK_APP_KEY=dingabc\n") || strings.Contains(got["unrole.env"], secret) {
		t.Errorf("unrole.env:\n%s", got["unrole.env"])
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("settings: %v, %v", info.Mode(), err)
	}
	env, err := os.ReadFile(filepath.Join(checkout, ".env"))
	if err != nil || !bytes.Contains(env, []byte("UNROLE_SETTINGS=./settings\n")) {
		t.Errorf(".env: %v\n%s", err, env)
	}

	out, err := run()
	if err == nil || !strings.Contains(out, "settings is already there") {
		t.Errorf("a second run: %v, %s", err, out)
	}
	if again := settings(t, dir); !maps.Equal(again, got) {
		t.Error("a second run changed the settings")
	}
}

func TestSetupRefusesAKeyThatIsNone(t *testing.T) {
	secretFile := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secretFile, []byte("s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"ding abc", "ding$HOME", "ding\nUNROLE_QPS=1000"} {
		t.Run(fmt.Sprintf("%q", key), func(t *testing.T) {
			checkout, run := setUp(t, "DINGTALK_APP_KEY="+key, "DINGTALK_APP_SECRET_FILE="+secretFile)
			if out, err := run(); err == nil || !strings.Contains(out, "the app's key has other characters") {
				t.Errorf("%v, %s", err, out)
			}
			if _, err := os.Stat(filepath.Join(checkout, "settings")); !os.IsNotExist(err) {
				t.Error("settings were made")
			}
		})
	}
}
