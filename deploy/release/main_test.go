package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// The release of this machine's platform, built twice from the same commit: the same bytes, an archive whose binary runs
// and says its version, and an SBOM that names every module in it.
func TestAReleaseIsWholeAndTheSameEveryTime(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the archive is a zip there")
	}
	t.Chdir("../..")
	if _, err := run(nil, "git", "rev-parse", "HEAD"); err != nil {
		t.Skip("a release is built from a git checkout")
	}
	platform := runtime.GOOS + "/" + runtime.GOARCH
	out := []string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")}
	var list [2]string
	for i := range out {
		if err := release(options{version: "v1.2.3", out: out[i], platforms: platform, dirty: true}); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(out[i], sums))
		if err != nil {
			t.Fatal(err)
		}
		list[i] = string(data)
	}
	if list[0] != list[1] {
		t.Errorf("two builds differ:\n%s\n%s", list[0], list[1])
	}

	top := "unrole_1.2.3_" + strings.ReplaceAll(platform, "/", "_")
	archive, err := os.ReadFile(filepath.Join(out[0], top+".tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%x  %s.tar.gz\n", sha256.Sum256(archive), top); !strings.Contains(list[0], want) {
		t.Errorf("%s lacks %s", sums, want)
	}
	members := untar(t, archive)
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md", "man/unrole.1", "completions/unrole.bash", "completions/unrole.zsh"} {
		if len(members[top+"/"+name]) == 0 {
			t.Errorf("the archive lacks %s", name)
		}
	}
	binary := filepath.Join(t.TempDir(), "unrole")
	if err := os.WriteFile(binary, members[top+"/unrole"], 0o755); err != nil {
		t.Fatal(err)
	}
	said, err := exec.Command(binary, "version").Output()
	if err != nil || !strings.HasPrefix(string(said), "unrole v1.2.3 ") {
		t.Errorf("version says %q, %v", said, err)
	}

	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"std@" + info.GoVersion}
	for _, m := range info.Deps {
		want = append(want, m.Path+"@"+m.Version)
	}
	body, err := os.ReadFile(filepath.Join(out[0], top+".cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bom struct {
		BOMFormat  string
		Components []struct{ Name, Version string }
	}
	if err := json.Unmarshal(body, &bom); err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, c := range bom.Components {
		have = append(have, c.Name+"@"+c.Version)
	}
	slices.Sort(want)
	slices.Sort(have)
	if bom.BOMFormat != "CycloneDX" || !slices.Equal(have, want) {
		t.Errorf("the SBOM (%s) names\n%q\nthe binary holds\n%q", bom.BOMFormat, have, want)
	}
}

func TestAFolderThatIsNoReleaseIsLeftAlone(t *testing.T) {
	out := t.TempDir()
	keep := filepath.Join(out, "letter.txt")
	if err := os.WriteFile(keep, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := empty(out); err == nil || !strings.Contains(err.Error(), out) {
		t.Errorf("%v: want an error that names the folder", err)
	}
	if _, err := os.Stat(keep); err != nil {
		t.Error(err)
	}
}

func untar(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	zipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	members := map[string][]byte{}
	for r := tar.NewReader(zipped); ; {
		header, err := r.Next()
		if err == io.EOF {
			return members
		}
		if err != nil {
			t.Fatal(err)
		}
		if members[header.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}
