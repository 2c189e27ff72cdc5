// Command release builds what a release consists of, from a clean checkout and without the network once the modules are
// there:
//
//	go run ./deploy/release             # into dist/
//	go run ./deploy/release -version v1.2.3 -out /tmp/release
//
// For each platform an archive with the static binary, the licence, the README, the changelog, manual pages and shell
// completions; an SBOM (CycloneDX) of exactly the modules that the binaries hold; SHA256SUMS over all of it. The same
// commit and Go version give the same bytes.
package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

var platforms = []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64"}

func main() {
	var o options
	flag.StringVar(&o.version, "version", "", "`version` to build; what git describe says by default")
	flag.StringVar(&o.out, "out", "dist", "`folder` to write to; a release that is in it is replaced")
	flag.StringVar(&o.platforms, "platforms", strings.Join(platforms, ","), "comma-separated `OS/ARCH` list")
	flag.BoolVar(&o.dirty, "dirty", false, "build uncommitted changes too; the version says so")
	flag.Parse()
	if err := release(o); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

type options struct {
	version, out, platforms string
	dirty                   bool
}

// file is one member of an archive.
type file struct {
	name string // with slashes
	mode int64
	data []byte
}

const sums = "SHA256SUMS"

func release(o options) error {
	status, err := run(nil, "git", "status", "--porcelain")
	if err != nil {
		return err
	}
	if status != "" && !o.dirty {
		return fmt.Errorf("there are uncommitted changes; commit them, or give -dirty:\n%s", status)
	}
	if o.version == "" {
		if o.version, err = run(nil, "git", "describe", "--tags", "--always"); err != nil {
			return err
		}
		if status != "" {
			o.version += "-dirty"
		}
	}
	stamp, err := run(nil, "git", "log", "-1", "--format=%cI")
	if err != nil {
		return err
	}
	at, err := time.Parse(time.RFC3339, stamp)
	if err != nil {
		return err
	}
	if err := empty(o.out); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "unrole-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)

	documents, err := documents(work)
	if err != nil {
		return err
	}
	var written []string
	for _, platform := range strings.Split(o.platforms, ",") {
		goos, arch, ok := strings.Cut(platform, "/")
		if !ok {
			return fmt.Errorf("platform %q is not OS/ARCH such as linux/amd64", platform)
		}
		binary := filepath.Join(work, "unrole-"+goos+"-"+arch)
		if err := build(binary, goos, arch, o.version); err != nil {
			return err
		}
		data, err := os.ReadFile(binary)
		if err != nil {
			return err
		}
		top := fmt.Sprintf("unrole_%s_%s_%s", strings.TrimPrefix(o.version, "v"), goos, arch)
		name, pack := top+".tar.gz", packTar
		program := file{name: "unrole", mode: 0o755, data: data}
		if goos == "windows" {
			name, pack, program.name = top+".zip", packZip, "unrole.exe"
		}
		members := append([]file{program}, documents...)
		for i := range members {
			members[i].name = path.Join(top, members[i].name)
		}
		var archive bytes.Buffer
		if err := pack(&archive, members, at.UTC()); err != nil {
			return fmt.Errorf("pack %s: %w", name, err)
		}
		info, err := buildinfo.ReadFile(binary)
		if err != nil {
			return err
		}
		bill := top + ".cdx.json"
		body, err := sbom(info, o.version, at.UTC())
		if err != nil {
			return err
		}
		for name, data := range map[string][]byte{name: archive.Bytes(), bill: body} {
			if err := os.WriteFile(filepath.Join(o.out, name), data, 0o644); err != nil {
				return err
			}
			written = append(written, name)
		}
		fmt.Printf("%s  %.1f MB\n", name, float64(archive.Len())/1e6)
	}
	slices.Sort(written)
	var list strings.Builder
	for _, name := range written {
		data, err := os.ReadFile(filepath.Join(o.out, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&list, "%x  %s\n", sha256.Sum256(data), name)
	}
	fmt.Printf("%s of %d files, commit time %s, %s\n", sums, len(written), at.UTC().Format(time.RFC3339), runtime.Version())
	return os.WriteFile(filepath.Join(o.out, sums), []byte(list.String()), 0o644)
}

// empty makes the folder, and empties it if a release and nothing else is in it.
func empty(out string) error {
	entries, err := os.ReadDir(out)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		list, err := os.ReadFile(filepath.Join(out, sums))
		if err != nil {
			return fmt.Errorf("%s has files in it and no %s: it is no release to be replaced; give another -out", out, sums)
		}
		old := map[string]bool{sums: true}
		for line := range strings.Lines(string(list)) {
			_, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
			old[name] = true
		}
		for _, e := range entries {
			if !old[e.Name()] || !e.Type().IsRegular() {
				return fmt.Errorf("%s has %s in it, which is no file of the release there; move it away, or give another -out", out, e.Name())
			}
		}
		for _, e := range entries {
			if err := os.Remove(filepath.Join(out, e.Name())); err != nil {
				return err
			}
		}
	}
	return os.MkdirAll(out, 0o755)
}

// build builds the command for the oldest processors of the platform, whatever the environment prefers: the bytes must not
// depend on who builds.
func build(binary, goos, arch, version string) error {
	_, err := run([]string{"CGO_ENABLED=0", "GOOS=" + goos, "GOARCH=" + arch, "GOFLAGS=", "GOEXPERIMENT=",
		"GOAMD64=v1", "GOARM64=v8.0", "GOFIPS140=off"}, "go", "build", "-trimpath", "-buildvcs=true",
		"-ldflags", "-s -w -buildid= -X main.version="+version, "-o", binary, "./cmd/unrole")
	return err
}

// documents are the members that every archive has: texts, manual pages, and what the host's binary says its completions
// are.
func documents(work string) ([]file, error) {
	names := []string{"LICENSE", "README.md", "CHANGELOG.md"}
	pages, err := filepath.Glob("docs/man/*.1")
	if err != nil || len(pages) == 0 {
		return nil, fmt.Errorf("no manual pages in docs/man: the command runs in the checkout's root (%v)", err)
	}
	var files []file
	for _, name := range append(names, pages...) {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		files = append(files, file{name: strings.TrimPrefix(filepath.ToSlash(name), "docs/"), mode: 0o644, data: data})
	}
	host := filepath.Join(work, "unrole-host")
	if err := build(host, runtime.GOOS, runtime.GOARCH, "host"); err != nil {
		return nil, err
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		script, err := run(nil, host, "completion", shell)
		if err != nil {
			return nil, err
		}
		files = append(files, file{name: "completions/unrole." + shell, mode: 0o644, data: []byte(script + "\n")})
	}
	return files, nil
}

func packTar(w io.Writer, files []file, at time.Time) error {
	zipped := gzip.NewWriter(w)
	t := tar.NewWriter(zipped)
	for _, f := range files {
		if err := t.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.data)), ModTime: at, Format: tar.FormatUSTAR}); err != nil {
			return err
		}
		if _, err := t.Write(f.data); err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), zipped.Close())
}

func packZip(w io.Writer, files []file, at time.Time) error {
	z := zip.NewWriter(w)
	for _, f := range files {
		header := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: at}
		header.SetMode(os.FileMode(f.mode))
		member, err := z.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := member.Write(f.data); err != nil {
			return err
		}
	}
	return z.Close()
}

// run runs a command to its end and returns what it printed, without the last line's end.
func run(env []string, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, errs.String())
	}
	return strings.TrimRight(out.String(), "\n"), nil
}
