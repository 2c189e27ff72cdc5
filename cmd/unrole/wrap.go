package main

import (
	"strings"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/text"
)

// wrapped breaks a text into lines of at most width columns, at blanks and between Chinese characters, but not before the sign
// that ends a clause. A word that is wider than a line is broken where the line ends. Width is at least 2.
func wrapped(s string, width int) []string {
	var lines []string
	rest := []rune(s)
	for len(rest) > 0 {
		end, columns := 0, 0 // as much as fits
		for end < len(rest) && columns+text.RuneWidth(rest[end]) <= width {
			columns += text.RuneWidth(rest[end])
			end++
		}
		if end < len(rest) {
			for at := end; at > 0; at-- {
				if mayBreak(rest[at-1], rest[at]) {
					end = at
					break
				}
			}
		}
		lines = append(lines, strings.TrimRight(string(rest[:end]), " "))
		for rest = rest[end:]; len(rest) > 0 && rest[0] == ' '; rest = rest[1:] {
		}
	}
	return lines
}

// mayBreak reports whether a line may end between two characters.
func mayBreak(before, after rune) bool {
	if after == ' ' || before == ' ' {
		return true
	}
	wide := text.RuneWidth(before) == 2 || text.RuneWidth(after) == 2
	return wide && !strings.ContainsRune("，。；：、！？）》”’」…,.;:)!?", after) && !strings.ContainsRune("（《“‘「(", before) && !unicode.Is(unicode.Mn, after)
}
