package console

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/tasks"
)

var (
	colourOf = regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{3,6});`)
	tag      = regexp.MustCompile(`<(/?)(label|input|select|textarea|h1|h2|h3|th|main|button)\b([^>]*)>([^<]*)`)
)

// luminance is that of WCAG 2.
func luminance(t *testing.T, colour string) float64 {
	hex := strings.TrimPrefix(colour, "#")
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	var rgb [3]uint8
	if _, err := fmt.Sscanf(hex, "%02x%02x%02x", &rgb[0], &rgb[1], &rgb[2]); err != nil {
		t.Fatal(colour, err)
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		c := float64(rgb[i]) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

func TestInkCanBeReadOnItsGroundInTheLightAndInTheDark(t *testing.T) {
	css, err := static.ReadFile("static/console.css")
	if err != nil {
		t.Fatal(err)
	}
	light, dark, found := strings.Cut(string(css), "@media (prefers-color-scheme: dark)")
	dark, _, found2 := strings.Cut(dark, "\n* {")
	if !found || !found2 {
		t.Fatal("the colours stand elsewhere")
	}
	for name, part := range map[string]string{"light": light, "dark": dark} {
		colours := map[string]string{}
		for _, m := range colourOf.FindAllStringSubmatch(part, -1) {
			colours[m[1]] = m[2]
		}
		for _, pair := range []string{"ink paper", "ink back", "soft paper", "soft back", "link paper", "link back", "bad paper", "good paper", "wait paper", "on-fill fill",
			"good good-back", "bad bad-back", "wait wait-back", "off off-back", "run run-back", "ask ask-back"} {
			ink, ground, _ := strings.Cut(pair, " ")
			if colours[ink] == "" || colours[ground] == "" {
				t.Fatalf("%s: no colour of %q", name, pair)
			}
			a, b := luminance(t, colours[ink]), luminance(t, colours[ground])
			if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < 4.5 {
				t.Errorf("%s: %s has %.2f:1, needs 4.5:1", name, pair, ratio)
			}
		}
	}
}

// What axe finds besides needs a browser: UNROLE_AXE=axe.min.js go test ./cmd/unrole -run BrowserPeople.
func TestPagesHaveLabelsHeadingsAndLandmarks(t *testing.T) {
	d := memoryDesk(t)
	d.submit(enqueue.Submission{JobID: "job", AwaitApproval: true}, []string{"u1"}, 7)
	d.submit(enqueue.Submission{JobID: "refused", Snapshot: seenBefore()}, []string{"u2", "u3"}, 7)
	d.refuse("refused", "u2", tasks.ReasonUserGone)
	d.submit(enqueue.Submission{JobID: "done", Snapshot: seenBefore()}, []string{"u4"}, 7)
	d.remove("done")
	preview, page := d.give("", nil, map[string]string{"text": "user_id,role_id\nu1,7\nu2,x\n"})
	if preview == "" {
		t.Fatal(page)
	}
	for _, path := range []string{"/", "/jobs/job", "/jobs/refused", "/jobs/done", "/jobs/done/restore", "/letters", "/fleet", "/removals/new", preview} {
		page := d.see(path)
		h1, mains, level, labelled := 0, 0, 0, false
		for _, m := range tag.FindAllStringSubmatch(page, -1) {
			closes, name, attributes, text := m[1] != "", m[2], m[3], strings.TrimSpace(m[4])
			switch {
			case name == "label":
				labelled = !closes
			case closes:
			case name == "main":
				mains++
			case name == "th" && text == "":
				t.Errorf("%s: a column without a heading", path)
			case name[0] == 'h':
				now := int(name[1] - '0')
				if now > level+1 {
					t.Errorf("%s: h%d after h%d", path, now, level)
				}
				if level = now; now == 1 {
					h1++
				}
			case (name == "input" || name == "select" || name == "textarea") && !labelled && !strings.Contains(attributes, "aria-label") && !strings.Contains(attributes, `type="hidden"`):
				t.Errorf("%s: a field without a label: %s", path, m[0])
			}
		}
		if h1 != 1 || mains != 1 || !strings.Contains(page, `<html lang="en"`) {
			t.Errorf("%s: %d first headings, %d mains", path, h1, mains)
		}
	}
}
