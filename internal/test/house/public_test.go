package house

import (
	"bytes"
	"encoding/json"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// public are the packages that other modules import.
var public = []string{"tasks", "enqueue", "enqueue/enqueuetest", "worker"}

// Whatever another module can reach from the public packages, by whatever field, method, parameter or result, has a name there: it
// can be written down by somebody who may not import anything of internal.
func TestWhatOthersImportNamesNothingOfInternal(t *testing.T) {
	packages := typesOf(t, public)
	named := map[types.Object]bool{}
	for _, p := range packages {
		for _, name := range p.Scope().Names() {
			if alias, is := p.Scope().Lookup(name).Type().(*types.Alias); is && token.IsExported(name) {
				if to, is := types.Unalias(alias).(*types.Named); is {
					named[to.Obj()] = true
				}
			}
		}
	}
	var strangers []string
	seen := map[types.Type]bool{}
	var reach func(way string, typ types.Type)
	reach = func(way string, typ types.Type) {
		if seen[typ] {
			return
		}
		seen[typ] = true
		switch typ := typ.(type) {
		case *types.Alias:
			reach(way, types.Unalias(typ))
		case interface{ Elem() types.Type }: // pointer, slice, array, channel, map
			if m, is := typ.(*types.Map); is {
				reach(way, m.Key())
			}
			reach(way, typ.Elem())
		case *types.Tuple:
			for v := range typ.Variables() {
				reach(way, v.Type())
			}
		case *types.Signature:
			reach(way, typ.Params())
			reach(way, typ.Results())
		case *types.Struct:
			for f := range typ.Fields() {
				if f.Exported() || f.Embedded() {
					reach(way+"."+f.Name(), f.Type())
				}
			}
		case *types.Interface:
			for m := range typ.Methods() {
				if m.Exported() {
					reach(way+"."+m.Name(), m.Signature())
				}
			}
		case *types.Named:
			from := typ.Obj().Pkg()
			if from == nil || !strings.HasPrefix(from.Path(), module+"/") {
				return
			}
			if strings.Contains(from.Path(), "/internal/") && !named[typ.Obj()] {
				strangers = append(strangers, way+" is a "+strings.TrimPrefix(typ.String(), module+"/"))
			}
			reach(way, typ.Underlying())
			for m := range typ.Methods() {
				if m.Exported() {
					reach(way+"."+m.Name(), m.Signature())
				}
			}
		}
	}
	for _, p := range packages {
		for _, name := range p.Scope().Names() {
			if token.IsExported(name) {
				reach(p.Name()+"."+name, p.Scope().Lookup(name).Type())
			}
		}
	}
	if len(seen) < 100 {
		t.Fatalf("only %d types were looked at", len(seen))
	}
	slices.Sort(strangers)
	for _, s := range strangers {
		t.Errorf("%s: nobody outside can name that", s)
	}
}

// typesOf loads packages of this module as the compiler sees them.
func typesOf(t *testing.T, names []string) []*types.Package {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-json=ImportPath,Export"}
	for _, name := range names {
		args = append(args, "./"+name)
	}
	list := exec.Command("go", args...)
	list.Dir, list.Stderr = "../../..", os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	exports := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p struct{ ImportPath, Export string }
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
	}
	load := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	var all []*types.Package
	for _, name := range names {
		p, err := load.Import(module + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}
