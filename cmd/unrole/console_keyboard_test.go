package main

import (
	"fmt"
	"strings"
)

// keys are those that a page is walked with.
var keys = map[string]map[string]any{
	"Tab":     {"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9},
	"Enter":   {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"},
	"Space":   {"key": " ", "code": "Space", "windowsVirtualKeyCode": 32, "text": " "},
	"ArrowUp": {"key": "ArrowUp", "code": "ArrowUp", "windowsVirtualKeyCode": 38},
}

// press presses a key and lets it go.
func (b *browser) press(key string) {
	b.Helper()
	for _, kind := range []string{"keyDown", "keyUp"} {
		event := map[string]any{"type": kind}
		for name, value := range keys[key] {
			event[name] = value
		}
		b.call("Input.dispatchKeyEvent", event, nil)
	}
}

// types types a text where the focus is.
func (b *browser) types(text string) {
	b.Helper()
	b.call("Input.insertText", map[string]any{"text": text}, nil)
}

// mostTabs is more than any page of the console has places for the focus.
const mostTabs = 150

// tabTo goes on with the tab key until the focus is on what is looked for.
func (b *browser) tabTo(selector string) {
	b.Helper()
	for range mostTabs {
		b.press("Tab")
		if b.text("document.activeElement.matches("+quoted(selector)+")") == "true" {
			return
		}
	}
	b.Fatalf("the tab key does not lead to %s on %s", selector, b.text("location.pathname"))
}

// walk goes once around the page with the tab key: it comes by everything that can be used, in the order in which it stands
// there, shows where it is, and comes out at the end.
func (b *browser) walk() {
	b.Helper()
	b.do(`window.scrollTo(0, 0); document.activeElement.blur();
		window.stops = [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]")].filter((e) =>
			!e.disabled && e.tabIndex >= 0 && e.checkVisibility({ visibilityProperty: true }) && !(e.type === "radio" && !e.checked && e.form.querySelector("[name='" + e.name + "']:checked")));
		window.came = [];`)
	// The first one is where a reload would put it, too: the walk begins before it.
	b.do(`{ const start = document.createElement("span"); start.tabIndex = -1; document.body.prepend(start); start.focus(); start.remove(); }`)
	for range mostTabs {
		b.press("Tab")
		switch at := b.text(`(() => {
			const e = document.activeElement;
			if (e === window.came.at(-1) && e.type.startsWith("date")) return ""; // year, month, day
			if (!e || e === document.body || window.came.includes(e)) return "out";
			window.came.push(e);
			const style = getComputedStyle(e);
			const ringed = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
			if (!e.matches(":focus-visible") || !ringed) return "unseen: " + e.outerHTML.slice(0, 120);
			const box = e.getBoundingClientRect();
			if (box.bottom < 0 || box.top > innerHeight) return "out of sight: " + e.outerHTML.slice(0, 120);
			return "";
		})()`); {
		case at == "out":
			missed := b.text(`window.stops.filter((e) => !window.came.includes(e)).map((e) => e.outerHTML.slice(0, 120)).join("\n")`)
			if missed != "" {
				b.Errorf("%s: the tab key does not come by\n%s", b.text("location.pathname"), missed)
			}
			if astray := b.text(`window.came.filter((e, i) => i > 0 && !(window.came[i-1].compareDocumentPosition(e) & Node.DOCUMENT_POSITION_FOLLOWING)).map((e) => e.outerHTML.slice(0, 120)).join("\n")`); astray != "" {
				b.Errorf("%s: out of order\n%s", b.text("location.pathname"), astray)
			}
			if n := b.text("window.came.length"); n == "0" {
				b.Errorf("%s: the tab key reaches nothing", b.text("location.pathname"))
			}
			return
		case at != "":
			b.Errorf("%s: the focus is %s", b.text("location.pathname"), at)
		}
	}
	b.Errorf("%s: the tab key does not come out; it is on %s", b.text("location.pathname"), strings.TrimSpace(fmt.Sprint(b.text("document.activeElement.outerHTML.slice(0, 120)"))))
}
