package house

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Both READMEs name the same commands, in the same order, and the same pages.
func TestTheChineseREADMESaysWhatTheREADMESays(t *testing.T) {
	fenced := regexp.MustCompile("(?s)```sh\n(.*?)```")
	link := regexp.MustCompile(`\]\(([^)]*)\)`)
	read := func(name string) (commands, links []string) {
		text, err := os.ReadFile(filepath.Join("../../..", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range fenced.FindAllStringSubmatch(string(text), -1) {
			commands = append(commands, m[1])
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if !strings.HasPrefix(m[1], "README") && !strings.HasSuffix(m[1], ".png") {
				links = append(links, m[1])
			}
		}
		return commands, links
	}
	commands, links := read("README.md")
	chinese, chineseLinks := read("README.zh-CN.md")
	if len(commands) == 0 || !slices.Equal(commands, chinese) {
		t.Errorf("the commands differ:\n%q\n%q", commands, chinese)
	}
	slices.Sort(links)
	slices.Sort(chineseLinks)
	if !slices.Equal(links, chineseLinks) {
		t.Errorf("the links differ:\n%q\n%q", links, chineseLinks)
	}
}
