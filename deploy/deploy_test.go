// Package deploy checks the examples in this folder.
package deploy

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func files(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("%s: %v, %d files", pattern, err, len(found))
	}
	return found
}

func TestKubernetesObjectsAreWhole(t *testing.T) {
	for _, file := range files(t, "kubernetes/*.yaml") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		dec := yaml.NewDecoder(bytes.NewReader(data))
		for {
			var object struct {
				APIVersion string `yaml:"apiVersion"`
				Kind       string
				Metadata   struct{ Name string }
				Spec       map[string]any
				Data       map[string]string
			}
			err := dec.Decode(&object)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if object.APIVersion == "" || object.Kind == "" || object.Metadata.Name == "" || len(object.Spec)+len(object.Data) == 0 {
				t.Errorf("%s: %s %q lacks apiVersion, kind, name or content", file, object.Kind, object.Metadata.Name)
			}
		}
	}
}

func TestKubernetesKeepsSecretsInFiles(t *testing.T) {
	for _, file := range files(t, "kubernetes/*.yaml") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			for _, name := range []string{"DINGTALK_APP_SECRET", "UNROLE_UI_PASSWORD", "UNROLE_UI_USERS", "UNROLE_API_TOKENS", "REDIS_URL"} {
				if strings.Contains(line, name) && !strings.Contains(line, name+"_FILE") {
					t.Errorf("%s: %s is given as a value: %s", file, name, line)
				}
			}
		}
	}
}

func TestPrometheusTakesTheRules(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("UNROLE_REQUIRE_PROMTOOL") != "" {
			t.Fatal("promtool is not installed and UNROLE_REQUIRE_PROMTOOL is set: install Debian's prometheus")
		}
		t.Skip("promtool is not installed (apt-get install prometheus)")
	}
	for _, args := range [][]string{{"check", "rules", "prometheus/alerts.yml"}, {"test", "rules", "prometheus/alerts_test.yml"}} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

func TestSystemdUnitsAreWellFormed(t *testing.T) {
	for _, file := range files(t, "systemd/*.service") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		section := ""
		seen := map[string]bool{}
		for line := range strings.Lines(string(data)) {
			line = strings.TrimSpace(line)
			switch name, _, isSetting := strings.Cut(line, "="); {
			case line == "" || strings.HasPrefix(line, "#"):
			case strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]"):
				section = line
				seen[section] = true
			case !isSetting || section == "" || strings.ContainsAny(name, " \t"):
				t.Errorf("%s: %q is neither a section nor a setting", file, line)
			default:
				seen[name] = true
			}
		}
		for _, want := range []string{"[Unit]", "[Service]", "[Install]", "ExecStart", "Restart", "TimeoutStopSec", "DynamicUser"} {
			if !seen[want] {
				t.Errorf("%s has no %s", file, want)
			}
		}
	}
}

func TestSystemdTakesTheUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	binary, err := os.Executable() // the units' own is not installed here
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	args := []string{"verify", "--man=no"}
	for _, file := range files(t, "systemd/*.service") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		unit := filepath.Join(dir, filepath.Base(file))
		if err := os.WriteFile(unit, bytes.ReplaceAll(data, []byte("/usr/local/bin/unrole"), []byte(binary)), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, unit)
	}
	if out, err := exec.Command(analyze, args...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
