package texts

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// readByHR are the rooms whose words HR and auditors read.
var readByHR = []string{"cmd/unrole", "enqueue", "internal/in/lists", "internal/in/preflight", "internal/in/resolve", "internal/in/restore",
	"internal/in/jsonwalk", "internal/record/report", "internal/base/protect", "internal/in/resolver", "internal/out/verify"}

// forOperators are files of these rooms whose words only those read who run unrole as a service, and why.
var forOperators = map[string]string{
	"api.go":            "starts the HTTP intake",
	"ui.go":             "starts the console",
	"worker.go":         "starts a worker",
	"observe.go":        "health and metrics of a service",
	"health.go":         "health of a service",
	"doctor.go":         "looks at an installation",
	"status.go":         "the fleet",
	"status_print.go":   "the fleet",
	"status_lookups.go": "the fleet",
	"webhook.go":        "messages to other programs",
	"redis.go":          "an installation",
	"version.go":        "a build",
	"demo.go":           "a demonstration in English",
	"demo_story.go":     "a demonstration in English",
	"simulator.go":      "a tool of those who try an installation",
	"planfile.go":       "a plan that a person changed by hand, beside the sentence that says so",
}

// english are sentences that stand in those rooms all the same, and why nobody in HR meets them.
var english = map[string]string{
	"the page is full":          "ends a walk, and is never said",
	"row too long":              "ends a walk, and is never said",
	"read %s after line %d: %w": "a disk or a pipe failed",
	"read the sheet: %w":        "a disk or a pipe failed",
	"write the report: %w":      "a disk or a pipe failed",
	"call %d of the plan is of job %s, the submission is job %s: plan with the submission's job id":              "a plan that a program made",
	"the plan has %d pairs of other content than the %d of the removals: plan these removals":                    "a plan that a program made",
	"format %q is not known: use csv or jsonl":                                                                   "a program's mistake",
	"resolver: Redis, Ledger, Client, Directory and Lead are required":                                           "a program's mistake",
	"verify: Directory, Pacer and Ledger are required":                                                           "a program's mistake",
	"enqueue: Config.Redis is required":                                                                          "a program's mistake",
	"enqueue: a submission needs at least one pair, or the Snapshot by which nobody holds what is to be removed": "a program's mistake",
	"two calls of the plan are named %s":                                                                         "a plan that a program made",
	"call %d of the plan: %w":                                                                                    "a plan that a program made",
	"call %d of the plan %w":                                                                                     "a plan that a program made",
	"owns %s/%d a second time":                                                                                   "a plan that a program made",
	"call %d of the plan does something else than the submission":                                                "a plan that a program made",
	"call %d of the plan is larger than a call may be":                                                           "a plan that a program made",
}

// sentence is what has words besides verbs, flags, commands, names of fields and of variables.
var noWords = regexp.MustCompile(`%[-+# 0]*[\d.]*(\[\d+\])?[a-zA-Z%]|--[a-z-]+|[A-Z][A-Z0-9_]{2,}|[a-z]+_[a-z_]+`)

func sentence(literal string) bool {
	return regexp.MustCompile(`[A-Za-z]{2,}[^%]* [A-Za-z]{2,}|[A-Za-z]{3,}:? $`).MatchString(noWords.ReplaceAllString(literal, "%"))
}

var anyWord = regexp.MustCompile(`[A-Za-z]{2,}`)

// inTable reports whether a call fills a table, where a single word counts.
func inTable(call *ast.CallExpr) bool {
	sel, is := call.Fun.(*ast.SelectorExpr)
	return is && (sel.Sel.Name == "row" || sel.Sel.Name == "newTable")
}

// A text that is said without the catalogue is English to everybody.
func TestNoTextBypassesTheCatalogue(t *testing.T) {
	used := map[string]bool{}
	for _, room := range readByHR {
		names, err := filepath.Glob(filepath.Join("../../..", room, "*.go"))
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %d files, %v", room, len(names), err)
		}
		for _, name := range names {
			base := filepath.Base(name)
			if strings.HasSuffix(name, "_test.go") || room == "cmd/unrole" && forOperators[base] != "" || room == "enqueue" && forOperators[base] != "" {
				continue
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				call, is := n.(*ast.CallExpr)
				if !is || !saysSomething(call) {
					return true
				}
				for _, arg := range call.Args {
					ast.Inspect(arg, func(n ast.Node) bool {
						if inner, is := n.(*ast.CallExpr); is && !saysSomething(inner) {
							return false // a text, or what is looked at by itself
						}
						lit, is := n.(*ast.BasicLit)
						if !is || lit.Kind != token.STRING {
							return true
						}
						said, err := strconv.Unquote(lit.Value)
						used[said] = true
						if err == nil && (sentence(said) || inTable(call) && anyWord.MatchString(said)) && english[said] == "" {
							t.Errorf("%s: %q is English to everybody: make it a texts.T", files.Position(lit.Pos()), said)
						}
						return true
					})
				}
				return true
			})
		}
	}
	for said := range english {
		if !used[said] {
			t.Errorf("%q is excused, and nobody says it", said)
		}
	}
	for name := range forOperators {
		_, command := os.Stat(filepath.Join("../../../cmd/unrole", name))
		_, library := os.Stat(filepath.Join("../../../enqueue", name))
		if command != nil && library != nil {
			t.Errorf("%s is excused, and is not there", name)
		}
	}
}

// saysSomething reports whether a call makes an error or prints.
func saysSomething(call *ast.CallExpr) bool {
	switch fun := call.Fun.(type) {
	case *ast.Ident:
		return fun.Name == "exitf"
	case *ast.SelectorExpr:
		room, is := fun.X.(*ast.Ident)
		says := map[string][]string{"fmt": {"Errorf", "Sprintf", "Sprint", "Fprint", "Fprintf", "Fprintln", "Print", "Printf", "Println"}, "errors": {"New"},
			"io": {"WriteString"}, "t": {"row"}, "a": {"newTable"}, "bar": {"describe"}}
		return is && slices.Contains(says[room.Name], fun.Sel.Name)
	}
	return false
}
