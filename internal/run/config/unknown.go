package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/unrole/unrole/internal/base/texts"
)

// kubernetes is what a cluster sets by itself in every pod beside a service of the name unrole, or unrole-ui.
var kubernetes = regexp.MustCompile(`^UNROLE_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// ofTests are read by our own tests, which start commands.
var ofTests = []string{"UNROLE_REQUIRE_REDIS", "UNROLE_REQUIRE_CHROMIUM", "UNROLE_REQUIRE_PROMTOOL", "UNROLE_REQUIRE_NPM", "UNROLE_REQUIRE_GENERATORS", "UNROLE_SCREENSHOT", "UNROLE_TEST_LOG"}

// CheckNames looks for variables that somebody believes to be ours, in an environment as os.Environ has it. One that
// begins with UNROLE_ and does not exist is a fault of the returned *Error: what it was to protect or to bound would not
// be. A name that is nearly one of DingTalk's is a warning. Empty variables count as not set.
func CheckNames(environ []string) (warnings []texts.Text, err error) {
	known := slices.Clone(ofTests)
	for _, v := range variables {
		known = append(known, v.Name)
		if v.Secret {
			known = append(known, v.Name+"_FILE")
		}
	}
	var faults Error
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if value == "" || slices.Contains(known, name) {
			continue
		}
		near, distance := nearest(name, known[len(ofTests):])
		switch {
		case strings.HasPrefix(name, "UNROLE_") && !kubernetes.MatchString(name):
			faults.add(name, fmt.Errorf("there is no such variable: did you mean %s? docs/configuration.md has all", near))
		case strings.HasPrefix(name, "DINGTALK_") && strings.HasPrefix(near, "DINGTALK_") && distance <= 3:
			warnings = append(warnings, texts.T("%s is set, which is not read: did you mean %s?", name, near))
		}
	}
	slices.SortFunc(faults.Faults, func(a, b Fault) int { return strings.Compare(a.Name, b.Name) })
	if len(faults.Faults) > 0 {
		return warnings, &faults
	}
	return warnings, nil
}

// nearest is the name that takes the fewest changes of a letter, and how many.
func nearest(name string, of []string) (near string, changes int) {
	for i, other := range of {
		if d := distance(name, other); i == 0 || d < changes {
			near, changes = other, d
		}
	}
	return near, changes
}

// distance is the number of letters to put in, take out or change (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(row[j+1]+1, row[j]+1, change)
		}
	}
	return row[len(b)]
}
