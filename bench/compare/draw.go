package main

import (
	"bytes"
	"fmt"
	"html"
)

// draw is the picture of the results: a bar of calls for each way of each workload, the wasted ones lighter, with what it
// took and left beside it. Colours are readable on light and dark grounds.
func draw(rows []row) []byte {
	const (
		width, label, bar = 900, 150, 430
		line, title, gap  = 22, 30, 16
	)
	most := map[string]float64{} // each workload has a scale of its own
	for _, r := range rows {
		calls, _ := r.figure(made)
		most[r[0].workload] = max(most[r[0].workload], calls)
	}
	var b bytes.Buffer
	y := 10
	last := ""
	for _, r := range rows {
		name, way := r[0].workload, r[0].way
		if name != last {
			if last != "" {
				y += gap
			}
			y += title
			fmt.Fprintf(&b, `<text class="h" x="10" y="%d">%s</text>`+"\n", y-10, html.EscapeString(name))
			last = name
		}
		colour := "#8a93a0"
		if way == "unrole" {
			colour = "#2f81f7"
		}
		calls, _ := r.figure(made)
		lost, _ := r.figure(wasted)
		took, _ := r.figure(seconds)
		there, _ := r.figure(left)
		whole := max(2, int(calls*bar/most[name]))
		notTaken := int(lost * float64(whole) / max(1, calls))
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", label, y+15, html.EscapeString(way))
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`+"\n", label+8, y+3, whole-notTaken, line-6, colour)
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s" fill-opacity="0.4"/>`+"\n", label+8+whole-notTaken, y+3, notTaken, line-6, colour)
		text := fmt.Sprintf("%.0f calls, %.0f s", calls, took)
		if there > 0 {
			text += fmt.Sprintf(", %.0f pairs left", there)
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d">%s</text>`+"\n", label+16+whole, y+15, text)
		y += line
	}
	y += gap
	fmt.Fprintf(&b, `<text x="10" y="%d">medians; lighter: calls that DingTalk did not take; pairs left: removable and still there at the end</text>`+"\n", y+8)
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="13">
<style>text { fill: #57606a } .h { font-weight: 600 } @media (prefers-color-scheme: dark) { text { fill: #b1bac4 } }</style>
%s</svg>
`, width, y+20, b.Bytes())
}
