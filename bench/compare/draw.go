package main

import (
	"bytes"
	"fmt"
	"html"
)

// draw is the picture of the results: a bar of calls for each way of each workload, the wasted ones lighter, with what it
// took and left beside it. Colours are readable on light and dark grounds.
func draw(results []result) []byte {
	const (
		width, label, bar = 900, 150, 430
		row, title, gap   = 22, 30, 16
	)
	most := map[string]int{} // each workload has a scale of its own
	for _, r := range results {
		most[r.workload] = max(most[r.workload], r.calls)
	}
	var b bytes.Buffer
	y := 10
	last := ""
	for _, r := range results {
		if r.workload != last {
			if last != "" {
				y += gap
			}
			y += title
			fmt.Fprintf(&b, `<text class="h" x="10" y="%d">%s</text>`+"\n", y-10, html.EscapeString(r.workload))
			last = r.workload
		}
		colour := "#8a93a0"
		if r.way == "unrole" {
			colour = "#2f81f7"
		}
		whole := max(2, r.calls*bar/most[r.workload])
		wasted := r.wasted * whole / max(1, r.calls)
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", label, y+15, html.EscapeString(r.way))
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`+"\n", label+8, y+3, whole-wasted, row-6, colour)
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s" fill-opacity="0.4"/>`+"\n", label+8+whole-wasted, y+3, wasted, row-6, colour)
		text := fmt.Sprintf("%d calls, %.0f s", r.calls, r.seconds)
		if r.left > 0 {
			text += fmt.Sprintf(", %d pairs left", r.left)
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d">%s</text>`+"\n", label+16+whole, y+15, text)
		y += row
	}
	y += gap
	fmt.Fprintf(&b, `<text x="10" y="%d">lighter: calls that DingTalk did not take; pairs left: removable and still there at the end</text>`+"\n", y+8)
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="13">
<style>text { fill: #57606a } .h { font-weight: 600 } @media (prefers-color-scheme: dark) { text { fill: #b1bac4 } }</style>
%s</svg>
`, width, y+20, b.Bytes())
}
