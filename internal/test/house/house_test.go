package house

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/unrole/unrole"

// maxLines is the longest source file that somebody reads in one go; generated and test files may be longer.
const maxLines = 400

// room is a package of the module; name is its folder, "internal/in/cover".
type room struct {
	name, doc string
	// imports are those of its files, tests left out; lines counts those of each file.
	imports []string
	lines   map[string]int
}

// floors are those of the house, from the roof to the ground. A room imports rooms of lower floors, and on its own floor
// those that are named after it. A name that ends in a slash stands for every room below it that has no name of its own, none
// of which imports another.
var floors = [][]string{
	{"cmd/", "bench/", "examples", "deploy/", "deploy", "internal/test/"},
	{"bench/internal/rig"},
	{"worker"},
	{"internal/app"},
	{"enqueue/enqueuetest"},
	{"internal/run/console", "internal/run/httpapi", "internal/run/webui", "internal/run/signin", "internal/run/doctor", "internal/run/metrics", "internal/run/admin", "internal/run/fleet",
		"internal/run/config", "internal/run/httpserve"},
	{"internal/in/resolver"},
	{"internal/in/adapter", "internal/in/leavers", "internal/in/preflight", "internal/in/restore"},
	{"internal/in/asked"},
	{"enqueue"},
	{"internal/in/resolve"},
	{"internal/in/directory"},
	{"internal/in/cover/covertest", "internal/in/cover", "internal/in/lists"},
	{"internal/in/jsonwalk"},
	{"internal/out/worker", "internal/out/verify", "internal/out/outcome", "internal/out/combine", "internal/out/isolate", "internal/out/pace", "internal/out/dingtalk"},
	{"internal/record/erase", "internal/record/hooks", "internal/record/index", "internal/record/audit", "internal/record/report", "internal/record/deadletter", "internal/record/webhook", "internal/record/producer", "internal/record/ledger", "internal/record/snapshot"},
	{"internal/simulator"},
	{"internal/base/queue", "internal/base/protect", "internal/base/"},
	{"tasks"},
}

// place is where a room stands: its floor, counted from the roof, and its place on it.
func place(name string) (floor, at int, known bool) {
	longest := 0
	for f, names := range floors {
		for i, n := range names {
			if (name == n || strings.HasSuffix(n, "/") && strings.HasPrefix(name, n)) && len(n) > longest {
				floor, at, known, longest = f, i, true, len(n)
			}
		}
	}
	return floor, at, known
}

// pure rooms import nothing but the standard library and each other.
var pure = []string{"internal/in/cover", "internal/out/isolate", "internal/base/pairs", "tasks"}

// forTests are rooms that only tests and measurements may import.
var forTests = "internal/test/"

func TestImportsPointOneWay(t *testing.T) {
	for _, r := range rooms(t) {
		floor, at, known := place(r.name)
		if !known {
			t.Errorf("%s has no floor: add it to floors, where the design says", r.name)
			continue
		}
		isPure := slices.Contains(pure, r.name)
		for _, path := range r.imports {
			other, ours := strings.CutPrefix(path, module+"/")
			if !ours {
				if isPure && strings.Contains(path, ".") {
					t.Errorf("%s imports %s, but may import the standard library and pure rooms only", r.name, path)
				}
				continue
			}
			otherFloor, otherAt, known := place(other)
			switch {
			case isPure && !slices.Contains(pure, other):
				t.Errorf("%s imports %s, but may import the standard library and pure rooms only", r.name, other)
			case strings.HasPrefix(other, forTests) && !strings.HasPrefix(r.name, forTests) && !strings.HasPrefix(r.name, "bench/"):
				t.Errorf("%s imports %s, which is for tests and measurements", r.name, other)
			case known && (otherFloor < floor || otherFloor == floor && otherAt <= at && !strings.HasPrefix(r.name, forTests)):
				t.Errorf("%s imports %s: imports point downwards, see floors", r.name, other)
			}
		}
	}
}

func TestCommandsLinkNoTestCode(t *testing.T) {
	all := map[string]room{}
	for _, r := range rooms(t) {
		all[r.name] = r
	}
	seen := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		for _, path := range all[name].imports {
			if path == "testing" {
				t.Errorf("%s is part of a command and imports %s, which adds its flags to it", name, path)
			}
			if other, ours := strings.CutPrefix(path, module+"/"); ours {
				visit(other)
			}
		}
	}
	for name := range all {
		if strings.HasPrefix(name, "cmd/") {
			visit(name)
		}
	}
}

func TestEveryRoomSaysWhatItIsFor(t *testing.T) {
	for _, r := range rooms(t) {
		start := "Package " + path.Base(r.name) + " "
		if strings.HasPrefix(r.name, "cmd/") || strings.HasPrefix(r.doc, "Command ") {
			start = "Command " + path.Base(r.name) + " "
		}
		if !strings.HasPrefix(r.doc, start) || !strings.Contains(r.doc, ".") {
			t.Errorf("%s needs a package comment that begins with %q and says in a sentence what it is for; it has %q", r.name, start, r.doc)
		}
	}
}

func TestNoFileIsTooLongToRead(t *testing.T) {
	for _, r := range rooms(t) {
		for file, lines := range r.lines {
			if lines > maxLines {
				t.Errorf("%s has %d lines, more than %d: split it by what it does", file, lines, maxLines)
			}
		}
	}
}

// Whoever reads what is asked of a contribution learns of the same limit as whoever runs the tests.
func TestOneLimitOfLinesIsSaidAndKept(t *testing.T) {
	page, err := os.ReadFile("../../../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile(`(\d+) lines`).FindAllStringSubmatch(string(page), -1)
	if len(said) != 1 || said[0][1] != strconv.Itoa(maxLines) {
		t.Errorf("CONTRIBUTING.md says %v, kept is %d", said, maxLines)
	}
}

// What a property test leaves when it fails is of one machine; a case that is worth keeping becomes a test.
func TestFailedPropertyRunsAreNotCommitted(t *testing.T) {
	ignored, err := os.ReadFile("../../../.gitignore")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(strings.Fields(string(ignored)), "testdata/rapid/") {
		t.Error(".gitignore does not name testdata/rapid/")
	}
}

func TestTheArchitecturePageNamesEveryRoomAndNoFileThatIsGone(t *testing.T) {
	page, err := os.ReadFile("../../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rooms(t) {
		if strings.HasPrefix(r.name, "bench/") || strings.HasPrefix(r.name, "deploy") || strings.HasPrefix(r.name, "examples") {
			continue
		}
		if !strings.Contains(string(page), "`"+r.name+"`") {
			t.Errorf("docs/architecture.md does not name %s", r.name)
		}
	}
	// A file without a path is one of the worker's, as the page says.
	for _, named := range regexp.MustCompile("`([a-z_/]+\\.(go|lua))`").FindAllStringSubmatch(string(page), -1) {
		file := named[1]
		if !strings.Contains(file, "/") {
			file = "internal/out/worker/" + file
		}
		if _, err := os.Stat("../../../" + file); err != nil {
			t.Errorf("docs/architecture.md names a file that is not there: %s", named[1])
		}
	}
}

// rooms reads every package of the module; nested modules and testdata are left out.
func rooms(t *testing.T) []room {
	t.Helper()
	root := os.DirFS("../../..")
	byName := map[string]*room{}
	err := fs.WalkDir(root, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, nested := fs.Stat(root, path.Join(file, "go.mod"))
			base := d.Name()
			if file != "." && (nested == nil || base == "testdata" || base[0] == '.' || base[0] == '_') {
				return fs.SkipDir
			}
			return nil
		}
		name := path.Dir(file)
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		source, err := fs.ReadFile(root, file)
		if err != nil {
			return err
		}
		if strings.HasPrefix(string(source), "//go:build ignore") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, source, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		r := byName[name]
		if r == nil {
			r = &room{name: name, lines: map[string]int{}}
			byName[name] = r
		}
		for _, spec := range parsed.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			r.imports = append(r.imports, p)
		}
		r.lines[file] = strings.Count(string(source), "\n")
		if parsed.Doc != nil {
			r.doc += parsed.Doc.Text()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var all []room
	for _, r := range byName {
		all = append(all, *r)
	}
	if len(all) < 5 {
		t.Fatalf("found only %d rooms", len(all))
	}
	slices.SortFunc(all, func(a, b room) int { return strings.Compare(a.name, b.name) })
	return all
}

// A Lua script takes single keys and arguments out of KEYS and ARGV only where it gives them a name.
func TestLuaScriptsNameTheirKeysAndArguments(t *testing.T) {
	root := os.DirFS("../../..")
	unnamed := regexp.MustCompile(`(KEYS|ARGV)\[[0-9]`)
	err := fs.WalkDir(root, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !strings.HasSuffix(file, ".lua") {
			return nil
		}
		source, err := fs.ReadFile(root, file)
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(source), "\n") {
			if code, _, _ := strings.Cut(line, "--"); unnamed.MatchString(code) && !strings.HasPrefix(strings.TrimSpace(code), "local ") {
				t.Errorf("%s:%d uses a key or an argument by its number: %s", file, i+1, strings.TrimSpace(line))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
