package texts

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

func TestATextIsSaidInTheLanguageOfItsReader(t *testing.T) {
	text := T("job %s: %s", "j-1507113578", Count(1640, "%d pair", "%d pairs"))
	if got := text.In(English); got != "job j-1507113578: 1,640 pairs" {
		t.Errorf("English %q", got)
	}
	if got := Count(1640, "%d pair", "%d pairs").In(Chinese); got != "1,640 条" {
		t.Errorf("Chinese %q", got)
	}
	if got := Count(1, "%d pair", "%d pairs"); got.In(English) != "1 pair" || got.In(Chinese) != "1 条" {
		t.Errorf("one is %q, %q", got.In(English), got.In(Chinese))
	}
}

func TestAnErrorIsSaidWhereverItIsWrapped(t *testing.T) {
	inner := fmt.Errorf("away: %w", os.ErrNotExist)
	err := fmt.Errorf("leavers.csv: %w", T("%d pairs", 3))
	if got := Say(Chinese, err); got != "leavers.csv: 3 条" {
		t.Errorf("said %q", got)
	}
	if text := T("cannot be read: %v", inner); !errors.Is(text, os.ErrNotExist) {
		t.Errorf("%v wraps nothing", text)
	}
	if got := Say(Chinese, inner); got != inner.Error() {
		t.Errorf("said %q", got)
	}
}

func TestTheLocaleNamesTheLanguage(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want Lang
	}{
		{nil, English},
		{map[string]string{"LANG": "zh_CN.UTF-8"}, Chinese},
		{map[string]string{"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, English},
		{map[string]string{"LANG": "en_US.UTF-8", "LC_ALL": "zh_CN"}, Chinese},
		{map[string]string{"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_TW.UTF-8"}, Chinese},
		{map[string]string{"LANG": "de_DE.UTF-8@euro"}, English},
		{map[string]string{"LANG": "POSIX"}, English},
	} {
		if got := OfEnvironment(func(name string) string { return c.env[name] }); got != c.want {
			t.Errorf("%v: %v", c.env, got)
		}
	}
	for name, want := range map[string]string{"zh": "zh-CN", "zh-CN": "zh-CN", "zh_CN": "zh-CN", "en": "en", "EN-us": "en"} {
		if l, err := Named(name); err != nil || l.Tag() != want {
			t.Errorf("%s: %v, %v", name, l.Tag(), err)
		}
	}
	if _, err := Named("klingon"); err == nil {
		t.Error("an unknown language is taken")
	}
}

// said collects the formats that the product says, by the place of each: arguments of T and Count, and of t in templates, and the
// errors of package tasks about ids, which knows of no catalogue.
func said(t *testing.T) map[string]string {
	t.Helper()
	formats := map[string]string{}
	root := "../../.."
	inTemplate := regexp.MustCompile(`\(t "([^"]*)"|\(count \S+ "[^"]*" "([^"]*)"`)
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "testdata", "texts", "test"}, d.Name()):
			return fs.SkipDir
		case strings.HasSuffix(name, ".html"):
			page, err := os.ReadFile(name)
			for _, m := range inTemplate.FindAllStringSubmatch(string(page), -1) {
				formats[m[1]+m[2]] = name
			}
			return err
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, name, nil, 0)
		if err != nil {
			return err
		}
		if name == filepath.Join(root, "tasks/tasks.go") {
			for format, at := range aboutIDs(file) {
				formats[format] = files.Position(at).String()
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, isCall := n.(*ast.CallExpr)
			if !isCall {
				return true
			}
			sel, isSel := call.Fun.(*ast.SelectorExpr)
			if !isSel {
				return true
			}
			if room, isName := sel.X.(*ast.Ident); !isName || room.Name != "texts" {
				return true
			}
			at := map[string]int{"T": 0, "Count": 2}
			if i, says := at[sel.Sel.Name]; says {
				format, literal := literalOf(call.Args[i])
				if !literal {
					t.Errorf("%v: the format is no literal, so nobody can see whether it is translated", files.Position(call.Pos()))
				}
				formats[format] = files.Position(call.Pos()).String()
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return formats
}

// aboutIDs are the errors that ValidateUserID, ValidateRoleID and ValidateJobID say.
func aboutIDs(file *ast.File) map[string]token.Pos {
	formats := map[string]token.Pos{}
	for _, d := range file.Decls {
		f, is := d.(*ast.FuncDecl)
		if !is || !slices.Contains([]string{"ValidateUserID", "ValidateRoleID", "ValidateJobID"}, f.Name.Name) {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, is := n.(*ast.BasicLit); is && lit.Kind == token.STRING {
				formats[strings.Trim(lit.Value, `"`)] = lit.Pos()
			}
			return true
		})
	}
	return formats
}

// literalOf is a string literal, or several that are added.
func literalOf(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil
	case *ast.BinaryExpr:
		left, ok := literalOf(e.X)
		right, also := literalOf(e.Y)
		return left + right, ok && also && e.Op == token.ADD
	}
	return "", false
}

func TestNoTextLacksItsTranslation(t *testing.T) {
	formats := said(t)
	for format, place := range formats {
		hasWords := strings.ContainsFunc(verb.ReplaceAllString(format, ""), unicode.IsLetter)
		if hasWords && inChinese[format] == "" {
			t.Errorf("%s: no Chinese for %q", place, format)
		}
	}
	for format := range inChinese {
		if formats[format] == "" {
			t.Errorf("the catalogue has %q, which nobody says", format)
		}
	}
}

var verb = regexp.MustCompile(`%(?:\[(\d+)\])?([-+# 0]*[\d.]*)([a-zA-Z%])`)

// verbsOf are the verbs of a format by the number of the argument.
func verbsOf(format string) map[int]string {
	verbs := map[int]string{}
	next := 1
	for _, m := range verb.FindAllStringSubmatch(format, -1) {
		if m[3] == "%" {
			continue
		}
		if n, err := strconv.Atoi(m[1]); err == nil {
			next = n
		}
		verbs[next] = m[2] + m[3]
		next++
	}
	return verbs
}

func TestATranslationSaysWhatTheTextSays(t *testing.T) {
	for english, chinese := range inChinese {
		if want, got := fmt.Sprint(verbsOf(english)), fmt.Sprint(verbsOf(chinese)); got != want {
			t.Errorf("%q has %s, its translation %q %s", english, want, chinese, got)
		}
	}
}
