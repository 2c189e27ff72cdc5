package texts

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Recall is what a record keeps in English, or an error says that knows of no catalogue, for a reader of any language: the catalogue
// is asked which of its sentences that is. A sentence that it has not stays English, and so do those of a single word, which may be
// somebody's name, and those with numbered arguments, which are about what was typed.
func Recall(english string) Sayable { return recalled(english) }

type recalled string

func (r recalled) In(l Lang) string {
	if !l.chinese {
		return string(r)
	}
	if t, known := recall(string(r), 2); known {
		return t.In(l)
	}
	return string(r)
}

// pattern is a sentence of the catalogue as it may stand somewhere.
type pattern struct {
	format         string
	words          int    // of its own
	letters        int    // of its own
	prefix, suffix string // before its first argument and after its last one; all of it where it has none
	verbs          []byte
	whole          func() *regexp.Regexp
}

var placed = regexp.MustCompile(`%[-+# 0]*[\d.]*([a-zA-Z%])`)

// patterns are all sentences of at least two words, the one that says most by itself first.
var patterns = sync.OnceValue(func() []pattern {
	var all []pattern
	for format := range inChinese {
		p := pattern{format: format, prefix: format, suffix: format}
		var expr strings.Builder
		end, own := 0, ""
		for _, m := range placed.FindAllStringSubmatchIndex(format, -1) {
			verb := format[m[2]]
			literal := format[end:m[0]]
			expr.WriteString(regexp.QuoteMeta(literal))
			own += literal + " "
			end = m[1]
			switch verb {
			case '%':
				expr.WriteString("%")
			case 'd':
				expr.WriteString(`(-?[\d,]+)`)
			case 'q':
				expr.WriteString(`("(?:[^"\\]|\\.)*")`)
			default:
				expr.WriteString(`(.+?)`)
			}
			if verb != '%' {
				p.verbs = append(p.verbs, verb)
			}
		}
		expr.WriteString(regexp.QuoteMeta(format[end:]))
		own += format[end:]
		if first := strings.IndexByte(format, '%'); first >= 0 {
			p.prefix, p.suffix = format[:first], format[end:]
		}
		for _, word := range strings.Fields(own) {
			if n := len(strings.Trim(word, `.,:;()[]"`)); n > 0 {
				p.words, p.letters = p.words+1, p.letters+n
			}
		}
		if p.words < 2 || strings.Contains(format, "%[") || p.anything() && p.words < 6 {
			continue
		}
		p.whole = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?s)\A` + expr.String() + `\z`) })
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b pattern) int {
		return cmp.Or(cmp.Compare(b.letters, a.letters), cmp.Compare(a.format, b.format))
	})
	return all
})

// anything reports whether the sentence begins with whatever may stand there, so that other sentences end as it does.
func (p *pattern) anything() bool {
	return p.prefix == "" && len(p.verbs) > 0 && (p.verbs[0] == 's' || p.verbs[0] == 'v')
}

// recall finds the text whose English that is; least is how many words of its own it has to have.
func recall(english string, least int) (Text, bool) {
	for _, p := range patterns() {
		if p.words < least || !strings.HasPrefix(english, p.prefix) || !strings.HasSuffix(english, p.suffix) {
			continue
		}
		if found := p.whole().FindStringSubmatch(english); found != nil {
			return p.with(found[1:]), true
		}
	}
	return Text{}, false
}

// with is the text with what stood in the places of its arguments, in which another sentence may stand.
func (p *pattern) with(found []string) Text {
	t := Text{format: p.format}
	for i, s := range found {
		var arg any = s
		switch p.verbs[i] {
		case 'd':
			if n, err := strconv.ParseInt(strings.ReplaceAll(s, ",", ""), 10, 64); err == nil {
				arg = n
			}
		case 'f':
			if n, err := strconv.ParseFloat(strings.ReplaceAll(s, ",", ""), 64); err == nil {
				arg = n
			}
		case 'q':
			if unquoted, err := strconv.Unquote(s); err == nil {
				arg = unquoted
			}
		default:
			if inner, known := recall(s, 3); known {
				arg = inner
			}
		}
		t.args = append(t.args, arg)
	}
	return t
}
