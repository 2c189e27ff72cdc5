// Package words writes numbers, ids and foreign text as people read them.
package words

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// Thousands is a number with a comma before every three digits: 1,234,567.
func Thousands[N ~int | ~int64](n N) string {
	digits := strconv.FormatInt(int64(n), 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// Clip is the text if it has at most so many characters, else that many of them and an ellipsis.
func Clip(text string, most int) string {
	if len(text) <= most || utf8.RuneCountInString(text) <= most {
		return text
	}
	n := 0
	for i := range text {
		if n++; n > most {
			return text[:i] + "…"
		}
	}
	return text
}

// RoleIDs are role ids in decimal digits.
func RoleIDs(ids []int64) []string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = strconv.FormatInt(id, 10)
	}
	return texts
}

// Moment is a time to the second with the zone that it is told in: 2026-12-31 18:00:00 UTC+8.
func Moment(t time.Time) string { return t.Format(time.DateTime) + " " + Zone(t) }

// Zone names the zone of a time by its distance from UTC, which unlike CST says just one thing: UTC+8, UTC-3:30.
func Zone(t time.Time) string {
	_, east := t.Zone()
	minutes := east / 60
	switch {
	case minutes == 0:
		return "UTC"
	case minutes%60 == 0:
		return fmt.Sprintf("UTC%+d", minutes/60)
	}
	return fmt.Sprintf("UTC%+d:%02d", minutes/60, max(minutes, -minutes)%60)
}
