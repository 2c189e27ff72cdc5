package deploy

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// object is one of Kubernetes' objects.
type object map[string]any

func (o object) name() string { return o["kind"].(string) + " " + o.at("metadata", "name").(string) }

// at follows keys down.
func (o object) at(keys ...string) any {
	var v any = map[string]any(o)
	for _, k := range keys {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	return v
}

func objects(t *testing.T, what, text string) map[string]object {
	t.Helper()
	found := map[string]object{}
	for doc := range strings.SplitSeq(text, "\n---\n") {
		var read map[string]any
		if err := yaml.Unmarshal([]byte(doc), &read); err != nil {
			t.Fatalf("%s: %v\n%s", what, err, doc)
		}
		if len(read) == 0 {
			continue
		}
		o := object(read)
		if found[o.name()] != nil {
			t.Errorf("%s has %s twice", what, o.name())
		}
		found[o.name()] = o
	}
	return found
}

func plain(t *testing.T, names ...string) map[string]object {
	t.Helper()
	all := map[string]object{}
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join("kubernetes", name))
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(all, objects(t, name, string(data)))
	}
	return all
}

// renders is what the templates of the chart use of Helm, which itself is far larger than unrole.
func renders(all *template.Template) template.FuncMap {
	toJSON := func(v any) (string, error) {
		b, err := json.Marshal(v)
		return string(b), err
	}
	return template.FuncMap{
		"include": func(name string, with any) (string, error) {
			var out strings.Builder
			err := all.ExecuteTemplate(&out, name, with)
			return out.String(), err
		},
		"nindent": func(n int, s string) string {
			return "\n" + strings.Repeat(" ", n) + strings.ReplaceAll(s, "\n", "\n"+strings.Repeat(" ", n))
		},
		"quote":     func(v any) string { return fmt.Sprintf("%q", fmt.Sprint(v)) },
		"trim":      strings.TrimSpace,
		"toJson":    toJSON,
		"sha256sum": func(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) },
		"int":       func(v any) int { return v.(int) },
		"list":      func(v ...any) []any { return v },
		"prepend":   func(list []any, v any) []any { return append([]any{v}, list...) },
		"dict": func(kv ...any) map[string]any {
			d := map[string]any{}
			for i := 0; i < len(kv); i += 2 {
				d[kv[i].(string)] = kv[i+1]
			}
			return d
		},
		"default": func(otherwise, v any) any {
			if v == nil || v == "" {
				return otherwise
			}
			return v
		},
	}
}

const chart = "helm/unrole"

// render is the chart's objects in the order of the plain file; set changes its values.
func render(t *testing.T, set func(values map[string]any)) string {
	t.Helper()
	read := func(name string) (v map[string]any) {
		data, err := os.ReadFile(filepath.Join(chart, name))
		if err == nil {
			err = yaml.Unmarshal(data, &v)
		}
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	values, about := read("values.yaml"), read("Chart.yaml")
	if set != nil {
		set(values)
	}
	all := template.New("").Option("missingkey=error")
	all.Funcs(renders(all))
	if err := fs.WalkDir(os.DirFS(chart), "templates", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(chart, name))
		if err == nil {
			_, err = all.New(name).Parse(string(data))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	with := map[string]any{"Values": values, "Chart": map[string]any{"AppVersion": about["appVersion"]},
		"Release": map[string]any{"Name": "unrole", "Namespace": "unrole"}, "Template": map[string]any{"BasePath": "templates"}}
	var out strings.Builder
	for _, name := range []string{"config", "worker", "api", "ui", "podmonitor", "NOTES"} {
		var text bytes.Buffer
		file := "templates/" + name + ".yaml"
		if name == "NOTES" {
			file = "templates/NOTES.txt"
		}
		if err := all.ExecuteTemplate(&text, file, with); err != nil {
			t.Fatal(err)
		}
		if s := strings.Trim(text.String(), "\n"); name != "NOTES" && strings.TrimSpace(s) != "" {
			out.WriteString("---\n" + s + "\n")
		}
	}
	return out.String()
}

// withoutChecksums drops what makes pods start anew when helm changes the configuration.
func withoutChecksums(text string) string {
	return regexp.MustCompile(`(?m)^ +annotations: \{checksum.*\n`).ReplaceAllString(text, "")
}

// TestTheChartMakesThePlainFiles compares the chart with deploy/kubernetes; UPDATE_DOCS=1 rewrites unrole.yaml below its head.
func TestTheChartMakesThePlainFiles(t *testing.T) {
	const file = "kubernetes/unrole.yaml"
	if os.Getenv("UPDATE_DOCS") != "" {
		old, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(string(old), "---\n")
		if err := os.WriteFile(file, []byte(head+withoutChecksums(render(t, nil))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got := objects(t, "the chart", withoutChecksums(render(t, nil)))
	if diff := cmp.Diff(plain(t, "unrole.yaml"), got); diff != "" {
		t.Errorf("deploy/%s (-) and the chart (+) differ; UPDATE_DOCS=1 go test ./deploy -run Chart rewrites it:\n%s", file, diff)
	}
	got = objects(t, "the chart", withoutChecksums(render(t, func(values map[string]any) {
		values["podMonitor"].(map[string]any)["enabled"] = true
		values["api"].(map[string]any)["autoscaling"].(map[string]any)["enabled"] = true
	})))
	want := plain(t, "unrole.yaml", "monitoring.yaml", "autoscaling.yaml")
	delete(want["Deployment unrole-api"].at("spec").(map[string]any), "replicas")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("deploy/kubernetes (-) and the chart with everything on (+) differ:\n%s", diff)
	}
}

func TestWhatIsSwitchedOffIsNotThere(t *testing.T) {
	got := objects(t, "the chart", render(t, func(values map[string]any) {
		values["api"].(map[string]any)["enabled"] = false
		values["ui"].(map[string]any)["enabled"] = false
		values["worker"].(map[string]any)["replicas"] = 1
	}))
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, []string{"ConfigMap unrole", "Deployment unrole-worker"}) {
		t.Errorf("%q", names)
	}
}

func TestTheRuleForLeaversReachesTheWorkersAlone(t *testing.T) {
	const rule = "departments: [研发部]\nkeep: [\"财务/出纳\"]\n"
	got := objects(t, "the chart", render(t, func(values map[string]any) { values["worker"].(map[string]any)["leavers"] = rule }))
	if have := got["ConfigMap unrole-leavers"].at("data", "rule.yaml"); have != rule {
		t.Errorf("the rule is %q", have)
	}
	for name, o := range got {
		if o["kind"] != "Deployment" {
			continue
		}
		text := fmt.Sprint(o)
		for _, piece := range []string{"UNROLE_LEAVERS_FILE value:/etc/unrole/leavers/rule.yaml", "mountPath:/etc/unrole/leavers", "configMap:map[name:unrole-leavers optional:true]"} {
			if has := strings.Contains(text, piece); has != (name == "Deployment unrole-worker") {
				t.Errorf("%s has %q: %v", name, piece, has)
			}
		}
	}
	if _, there := objects(t, "the chart", render(t, nil))["ConfigMap unrole-leavers"]; there {
		t.Error("there is a rule that nobody gave")
	}
}

func TestTheIntakeOfTheChartTakesTheMessagesOfHRSystems(t *testing.T) {
	got := objects(t, "the chart", render(t, func(values map[string]any) { values["api"].(map[string]any)["adapters"] = "hr.yaml" }))
	api := fmt.Sprint(got["Deployment unrole-api"])
	for _, piece := range []string{"UNROLE_ADAPTERS_FILE value:/etc/unrole/adapters/hr.yaml", "mountPath:/etc/unrole/adapters", "optional:true secretName:unrole-adapters"} {
		if !strings.Contains(api, piece) {
			t.Errorf("the intake has no %q: %s", piece, api)
		}
	}
	if api := fmt.Sprint(objects(t, "the chart", render(t, nil))["Deployment unrole-api"]); strings.Contains(api, "UNROLE_ADAPTERS_FILE") {
		t.Errorf("unless it is asked for: %s", api)
	}
}

func TestEveryValueOfTheChartHasItsSchema(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(chart, "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var schema object
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	data, err = os.ReadFile(filepath.Join(chart, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.Unmarshal(data, &values); err != nil {
		t.Fatal(err)
	}
	for name, v := range values {
		known := object(schema.at("properties", name).(map[string]any))
		fields, isMap := v.(map[string]any)
		if !isMap || known["properties"] == nil {
			continue
		}
		for field := range fields {
			if known.at("properties", field) == nil {
				t.Errorf("values.schema.json does not know %s.%s", name, field)
			}
		}
	}
}

// Every process runs without rights, on a file system that it cannot change but for /tmp, and sees no secret that it does not need.
func TestEveryPodIsConfined(t *testing.T) {
	for name, o := range plain(t, "unrole.yaml") {
		if o["kind"] != "Deployment" {
			continue
		}
		var pod struct {
			AutomountServiceAccountToken *bool `yaml:"automountServiceAccountToken"`
			SecurityContext              struct {
				RunAsNonRoot bool `yaml:"runAsNonRoot"`
			} `yaml:"securityContext"`
			Containers []struct {
				Env []struct{ Name, Value string }

				Resources       struct{ Limits map[string]string }
				SecurityContext struct {
					AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
					ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
					Capabilities             struct{ Drop []string }
				} `yaml:"securityContext"`
				VolumeMounts []struct {
					MountPath string `yaml:"mountPath"`
					ReadOnly  bool   `yaml:"readOnly"`
				} `yaml:"volumeMounts"`
			}
			Volumes []struct {
				Secret struct{ Items []struct{ Key string } }
			}
		}
		data, err := yaml.Marshal(o.at("spec", "template", "spec"))
		if err == nil {
			err = yaml.Unmarshal(data, &pod)
		}
		if err != nil {
			t.Fatal(err)
		}
		c := pod.Containers[0]
		sc := c.SecurityContext
		if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken || !pod.SecurityContext.RunAsNonRoot ||
			sc.AllowPrivilegeEscalation == nil || *sc.AllowPrivilegeEscalation || !sc.ReadOnlyRootFilesystem || !slices.Equal(sc.Capabilities.Drop, []string{"ALL"}) {
			t.Errorf("%s has rights: %s", name, data)
		}
		var writable []string
		for _, m := range c.VolumeMounts {
			if !m.ReadOnly {
				writable = append(writable, m.MountPath)
			}
		}
		if c.Resources.Limits["memory"] == "" || !slices.Equal(writable, []string{"/tmp"}) {
			t.Errorf("%s lacks a limit of memory, or may write to %q", name, writable)
		}
		if spec := string(data); !strings.Contains(spec, "livenessProbe:") || !strings.Contains(spec, "readinessProbe:") {
			t.Errorf("%s lacks a probe", name)
		}
		given := map[string]bool{}
		for _, item := range pod.Volumes[0].Secret.Items {
			given[item.Key] = true
		}
		reads := map[string]bool{"redis-url": true}
		for _, e := range c.Env {
			if file, is := strings.CutPrefix(e.Value, "/run/secrets/unrole/"); is {
				reads[file] = true
			}
		}
		if !maps.Equal(given, reads) {
			t.Errorf("%s reads %v and is given %v", name, reads, given)
		}
	}
}
