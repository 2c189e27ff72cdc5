package house

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every module that go.mod asks for directly has its reason in docs/dependencies.md, and the page names no other.
func TestEveryDependencyHasItsReason(t *testing.T) {
	read := func(name string) string {
		data, err := os.ReadFile("../../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	var required, explained []string
	for _, m := range regexp.MustCompile(`(?m)^(?:require|\t) ?(\S+\.\S+) v\S+$`).FindAllStringSubmatch(read("go.mod"), -1) {
		required = append(required, m[1])
	}
	for line := range strings.Lines(read("docs/dependencies.md")) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		first, _, _ := strings.Cut(line[2:], " | ")
		for name := range strings.SplitSeq(first, ", ") {
			explained = append(explained, strings.Trim(name, "`"))
		}
	}
	slices.Sort(required)
	slices.Sort(explained)
	if len(required) < 10 || !slices.Equal(required, explained) {
		t.Errorf("go.mod requires\n%s\ndocs/dependencies.md explains\n%s", strings.Join(required, "\n"), strings.Join(explained, "\n"))
	}
}
