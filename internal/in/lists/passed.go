package lists

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/unrole/unrole/internal/base/texts"
)

// passed is what rows that ask for nothing are, of one kind.
type passed struct {
	kind  passedKind
	n     int
	lines []string // the first of them
}

type passedKind uint8

const (
	passedHint passedKind = iota
	passedTotal
	passedRuler
	passedCount
	passedHeader
)

func (in *input) pass(line int, kind passedKind) {
	const named = 10
	i := slices.IndexFunc(in.passed, func(p passed) bool { return p.kind == kind })
	if i < 0 {
		in.passed = append(in.passed, passed{kind: kind})
		i = len(in.passed) - 1
	}
	p := &in.passed[i]
	if p.n++; p.n <= named {
		p.lines = append(p.lines, strconv.Itoa(line))
	}
}

// passedOver says which rows were passed over, and as what.
func (in *input) passedOver() []texts.Text {
	var notes []texts.Text
	for _, p := range in.passed {
		lines := strings.Join(p.lines, ", ")
		if p.n > len(p.lines) {
			lines += ", …"
		}
		switch p.kind {
		case passedHint:
			notes = append(notes, texts.T("passed over as a hint for programs: line %s", lines))
		case passedTotal:
			notes = append(notes, texts.T("passed over as a total, not a person: line %s", lines))
		case passedRuler:
			notes = append(notes, texts.T("passed over as a ruler: line %s", lines))
		case passedCount:
			notes = append(notes, texts.T("passed over as a count of rows: line %s", lines))
		case passedHeader:
			notes = append(notes, texts.T("passed over as the header again: line %s", lines))
		}
	}
	return notes
}

// strange reports whether a row that could be taken needs a second look: it begins with a total, or with what no text
// begins with, or is alone in its row.
func (in *input) strange(t table, head *header) bool {
	for i := range t.width() {
		cell := bytes.TrimSpace(t.cell(i))
		if len(cell) == 0 {
			continue
		}
		r, _ := utf8.DecodeRune(cell)
		if isTotal(cell) || !unicode.IsLetter(r) && !unicode.IsDigit(r) || r >= utf8.RuneSelf && t.blank(i+1) {
			return true
		}
		break
	}
	for _, c := range head.people {
		if c.at < t.width() {
			cell := bytes.TrimSpace(t.cell(c.at))
			if isTotal(cell) || string(cell) == c.name {
				return true
			}
		}
	}
	return false
}

// noRow looks at a row that is perhaps none. passed says that it asks for nothing and was passed over; what asks for
// something in words of another table is a problem instead, after which no row can be understood (again).
func (in *input) noRow(t table, head *header) (passed, again bool) {
	var filled []string
	first := 0
	for i := range t.width() {
		if text := heading(t.cell(i)); text != "" {
			if len(filled) == 0 {
				first = i
			}
			filled = append(filled, text)
		}
	}
	line := t.line()
	switch {
	case !slices.ContainsFunc(filled, func(s string) bool { return !ruler(s) }):
		in.pass(line, passedRuler)
		return true, false
	case len(filled) == 1 && rowCount.MatchString(filled[0]):
		in.pass(line, passedCount)
		return true, false
	}
	label := slices.IndexFunc(filled, func(s string) bool { return isTotal([]byte(s)) })
	if label == 0 || label > 0 && len(head.people) > 0 && head.people[0].at < t.width() && isTotal(t.cell(head.people[0].at)) {
		rest := slices.Delete(slices.Clone(filled), label, label+1)
		if !slices.ContainsFunc(rest, func(s string) bool { return !sum.MatchString(s) }) {
			in.pass(line, passedTotal)
			return true, false
		}
		in.problems = append(in.problems[:0], problem{place{first, 0}, "", texts.T("%q is a total, not a person", clip(filled[label]))})
		return false, false
	}
	if len(in.problems) == 0 && len(in.opt.Roles) == 0 {
		return false, false
	}
	names := make([]string, t.width())
	for i := range names {
		names[i] = heading(t.cell(i))
	}
	if h := in.headerOf(names); in.complete(h) {
		if slices.Equal(h.names, head.names) {
			in.pass(line, passedHeader)
			return true, false
		}
		in.problems = append(in.problems[:0], problem{place{0, 0}, "", texts.T("a header again, with other columns than that of line %d: two files were joined here; give them to unrole one after the other", head.line)})
		return false, true
	}
	return false, false
}

// totals are the labels of rows that sum up.
var totals = map[string]bool{}

func init() {
	for word := range strings.FieldsSeq("合计 总计 小计 共计 总和 总数 汇总 总人数 合计人数 总计人数 人数合计 人数 total totals subtotal grandtotal sum count totalcount summe gesamt") {
		totals[word] = true
	}
}

// isTotal reports whether a cell is the label of a total.
func isTotal(cell []byte) bool {
	const longest = 24
	if len(cell) == 0 || len(cell) > longest || cell[0] >= '0' && cell[0] <= '9' {
		return false
	}
	var buf [longest]byte
	n := 0
	for _, c := range cell {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != ' ' && c != ':' {
			buf[n] = c
			n++
		}
	}
	return totals[string(bytes.TrimSuffix(buf[:n], []byte("：")))]
}

var (
	// sum is what stands beside such a label: a small number, with its unit perhaps. Ids of roles are longer.
	sum = regexp.MustCompile(`^=?[0-9]{1,3}([,.]?[0-9]{1,4})?\s*([人个名条行项位次]|people|persons|users|rows|roles)?$|^=\S*\(.*\)$`)
	// rowCount is the line that a database or a person puts below a table.
	rowCount = regexp.MustCompile(`(?i)^[(（]?\s*[0-9,]+\s*(rows?|records?|行|条记录|行记录)\b?[^,;]*[)）]?\.?$|` +
		`^[(（]?\s*(共|总共|合计|总计|小计|一共|total|count)\s*[:：]?\s*[0-9,]+\s*(人|个|名|条|行|项|位|条记录|people|persons|users|rows|records)?[)）]?[.。]?$|` +
		`^已选择\s*[0-9,]+\s*行。?$`)
)

// ruler reports whether a cell is a line between rows.
func ruler(cell string) bool {
	n := 0
	for _, r := range cell {
		if !unicode.Is(unicode.Pd, r) && !strings.ContainsRune("-=_+|*·.─━═┼│ ", r) {
			return false
		}
		n++
	}
	return n > 1
}
