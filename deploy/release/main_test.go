package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

var long = flag.Bool("long", false, "build a release twice, too")

// The release of this machine's platform, built twice from the same commit, the second time by somebody whose environment
// asks for another processor: the same bytes, an archive whose binary runs
// and says its version, and an SBOM that names every module in it.
func TestAReleaseIsWholeAndTheSameEveryTime(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the archive is a zip there")
	}
	if !*long {
		t.Skip("it builds everything twice: -long does")
	}
	t.Chdir("../..")
	if _, err := run(nil, "git", "rev-parse", "HEAD"); err != nil {
		t.Skip("a release is built from a git checkout")
	}
	platform := runtime.GOOS + "/" + runtime.GOARCH
	out := []string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")}
	var list [2]string
	for i := range out {
		if i == 1 {
			t.Setenv("GOAMD64", "v3")
			t.Setenv("GOARM64", "v9.0")
			t.Setenv("GOFLAGS", "-tags=mine")
		}
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

func TestOnlyAReleaseIsReplaced(t *testing.T) {
	const sumOfA = "00  a.tar.gz\n"
	for name, tt := range map[string]struct {
		files map[string]string
		named string // in the error; empty: it is replaced
	}{
		"nothing":         {nil, ""},
		"a release":       {map[string]string{sums: sumOfA, "a.tar.gz": "a"}, ""},
		"half a release":  {map[string]string{sums: sumOfA}, ""},
		"no release":      {map[string]string{"letter.txt": "mine"}, sums},
		"a release, more": {map[string]string{sums: sumOfA, "a.tar.gz": "a", "letter.txt": "mine"}, "letter.txt"},
	} {
		t.Run(name, func(t *testing.T) {
			out := t.TempDir()
			for name, text := range tt.files {
				if err := os.WriteFile(filepath.Join(out, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			err := empty(out)
			left, _ := os.ReadDir(out)
			switch {
			case tt.named == "" && (err != nil || len(left) > 0):
				t.Errorf("%d files are left: %v", len(left), err)
			case tt.named != "" && (err == nil || !strings.Contains(err.Error(), out) || !strings.Contains(err.Error(), tt.named)):
				t.Errorf("%v: want an error that names the folder and %s", err, tt.named)
			case tt.named != "" && len(left) != len(tt.files):
				t.Errorf("%d of %d files are left", len(left), len(tt.files))
			}
		})
	}
}

func TestUncommittedChangesAreNoRelease(t *testing.T) {
	t.Chdir(t.TempDir())
	if _, err := run(nil, "git", "init", "-q"); err != nil {
		t.Skip(err)
	}
	if err := os.WriteFile("new.go", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := release(options{version: "v1.2.3", out: "dist"}); err == nil || !strings.Contains(err.Error(), "new.go") || !strings.Contains(err.Error(), "-dirty") {
		t.Errorf("%v: want an error that names the file and -dirty", err)
	}
	if _, err := os.Stat("dist"); err == nil {
		t.Error("something was written")
	}
}

func TestAZipHoldsWhatATarHolds(t *testing.T) {
	files := []file{{"top/unrole.exe", 0o755, []byte("program")}, {"top/LICENSE", 0o644, []byte("licence")}}
	var packed bytes.Buffer
	if err := packZip(&packed, files, time.Unix(1_700_000_000, 0).UTC()); err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(bytes.NewReader(packed.Bytes()), int64(packed.Len()))
	if err != nil || len(r.File) != len(files) {
		t.Fatalf("%d files, %v", len(r.File), err)
	}
	for i, member := range r.File {
		in, err := member.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(in)
		if err != nil || member.Name != files[i].name || !bytes.Equal(data, files[i].data) || member.Mode() != os.FileMode(files[i].mode) {
			t.Errorf("%s %v: %q, %v", member.Name, member.Mode(), data, err)
		}
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
