package httpapi

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// requireGenerators and requireNPM, set to 1, have the public generators of clients fetched and tried; without them the tests are
// skipped, since tests need no network.
const (
	requireGenerators = "UNROLE_REQUIRE_GENERATORS"
	requireNPM        = "UNROLE_REQUIRE_NPM"
)

// generated is a client that is being made.
type generated struct {
	*testing.T
	dir string
}

func newGenerated(t *testing.T, require, what, program, as string) *generated {
	if os.Getenv(require) == "" {
		t.Skip("it fetches " + what + ": set " + require + "=1")
	}
	g := &generated{t, t.TempDir()}
	for from, to := range map[string]string{"openapi.yaml": "openapi.yaml", "testdata/clients/" + program: as} {
		data, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(filepath.Join(g.dir, to), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return g
}

func (g *generated) run(name string, args ...string) (stdout string) {
	g.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = g.dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		exit, _ := err.(*exec.ExitError)
		g.Fatalf("%s %s: %v\n%s%s", name, args, err, out, exit.Stderr)
	}
	return string(out)
}

// submits runs the client against an intake: a removal of two roles, the second of which no double can hold.
func (g *generated) submits(name string, args ...string) {
	g.Helper()
	w := memoryWorld(g.T, nil)
	if got := g.run(name, append(args, w.server.URL, w.token)...); got != "made 2 true\n" {
		g.Errorf("it prints %q", got)
	}
	if body := w.get("/v1/removals/made/report").body; !strings.Contains(body, "9007199254740993") {
		g.Errorf("the role's id did not survive: %s", body)
	}
}

func TestTheClientsThatGoGeneratorsMakeWork(t *testing.T) {
	for generator, args := range map[string][]string{
		"ogen":         {"run", "github.com/ogen-go/ogen/cmd/ogen@v1.24.0", "--target", "api", "--package", "api", "openapi.yaml"},
		"oapi-codegen": {"run", "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.5.0", "-generate", "types,client", "-package", "api", "-o", "api/api.go", "openapi.yaml"},
	} {
		t.Run(generator, func(t *testing.T) {
			g := newGenerated(t, requireGenerators, generator, generator+".go.txt", "main.go")
			if err := os.Mkdir(filepath.Join(g.dir, "api"), 0o700); err != nil {
				t.Fatal(err)
			}
			g.run("go", "mod", "init", "example.com/client")
			g.run("go", args...)
			g.run("go", "mod", "tidy")
			g.run("go", "vet", "./...")
			g.submits("go", "run", ".")
		})
	}
}

func TestTheClientThatOpenAPITypeScriptMakesWorks(t *testing.T) {
	g := newGenerated(t, requireNPM, "openapi-typescript", "typescript.mts", "client.mts")
	g.run("npm", "install", "--no-audit", "--no-fund", "--prefix", g.dir, "openapi-typescript@7.13.0", "openapi-fetch@0.17.0", "typescript@5.9.3", "@types/node@20")
	g.run("npx", "openapi-typescript", "openapi.yaml", "-o", "schema.ts")
	g.run("npx", "tsc", "--strict", "--target", "es2022", "--module", "nodenext", "client.mts")
	g.submits("node", "client.mjs")
}
