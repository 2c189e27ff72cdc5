// Package texts says what HR and auditors read in their language: English, or Chinese by the catalogue that is here.
package texts

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/message/catalog"
)

// Lang is the language of a reader. The zero value is English.
type Lang struct{ chinese bool }

// The languages that there are.
var (
	English = Lang{}
	Chinese = Lang{chinese: true}
)

// Named is the language that somebody asked for by name, such as zh or en.
func Named(name string) (Lang, error) {
	tag, err := language.Parse(strings.ReplaceAll(name, "_", "-"))
	switch base, _ := tag.Base(); {
	case err == nil && base.String() == "zh":
		return Chinese, nil
	case err == nil && base.String() == "en":
		return English, nil
	}
	return English, fmt.Errorf("%q is not one of zh, en", name)
}

// OfEnvironment is the language of the locale, by LC_ALL, LC_MESSAGES and LANG, the first that is set. Every locale but
// a Chinese one is read as English.
func OfEnvironment(getenv func(string) string) Lang {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if locale := getenv(name); locale != "" {
			base, _, _ := strings.Cut(locale, ".")
			lang, _ := Named(base)
			return lang
		}
	}
	return English
}

// Tag is the language as HTML and HTTP name it.
func (l Lang) Tag() string { return l.tag().String() }

func (l Lang) tag() language.Tag {
	if l.chinese {
		return language.MustParse("zh-CN")
	}
	return language.English
}

// Sayable is what can be said in the language of its reader.
type Sayable interface{ In(Lang) string }

// Text is a sentence and what belongs into it. As an error, in a log and in JSON it is English; In says it in the
// language of whoever reads it. Whatever errors are among its arguments are wrapped.
type Text struct {
	format string // English, and the key of the catalogue
	one    string // English where the only argument is 1, if that differs
	args   []any
}

// T is the text of an English format, as fmt has it, for which the catalogue has the translation. Numbers get commas
// between thousands, so ids have to be strings. Arguments that are Sayable are said in the same language.
func T(format string, args ...any) Text { return Text{format: format, args: args} }

// Count is a number with its noun: Count(n, "%d role", "%d roles"). The catalogue knows it by the plural.
func Count[N ~int | ~int64](n N, one, many string) Text {
	return Text{format: many, one: one, args: []any{int64(n)}}
}

// Lines are several texts, each on a line of its own.
func Lines(list []Text) Text {
	t := Text{format: strings.TrimSuffix(strings.Repeat("%s\n", len(list)), "\n")}
	for _, line := range list {
		t.args = append(t.args, line)
	}
	return t
}

// In says the text in a language.
func (t Text) In(l Lang) string {
	format := t.format
	if !l.chinese && t.one != "" && t.args[0] == int64(1) {
		format = t.one
	}
	args := make([]any, len(t.args))
	for i, arg := range t.args {
		switch arg := arg.(type) {
		case Sayable:
			args[i] = arg.In(l)
		case error:
			args[i] = Say(l, arg)
		default:
			args[i] = arg
		}
	}
	return l.printer().Sprintf(format, args...)
}

func (t Text) Error() string  { return t.In(English) }
func (t Text) String() string { return t.In(English) }

// Unwrap returns the errors among the arguments.
func (t Text) Unwrap() []error {
	var errs []error
	for _, arg := range t.args {
		if err, ok := arg.(error); ok {
			errs = append(errs, err)
		}
	}
	return errs
}

// Sentinel is an error that says a text and is compared with errors.Is, which a Text cannot be.
func Sentinel(t Text) error { return &sentinel{t} }

type sentinel struct{ Text }

// Say says an error in a language: whatever of it is a Text, or a sentence of the catalogue; the rest stays English. An error of a
// type of its own has its Text from Unwrap.
func Say(l Lang, err error) string {
	said := err.Error()
	var inner interface {
		error
		Sayable
	}
	if !errors.As(err, &inner) {
		return Recall(said).In(l)
	}
	return strings.Replace(said, inner.Error(), inner.In(l), 1)
}

func (l Lang) printer() *message.Printer {
	return message.NewPrinter(l.tag(), message.Catalog(catalogue()))
}

// catalogue is all that is said, by its English.
var catalogue = sync.OnceValue(func() catalog.Catalog {
	b := catalog.NewBuilder(catalog.Fallback(language.English))
	for english, chinese := range inChinese {
		if err := b.SetString(Chinese.tag(), english, chinese); err != nil {
			panic(fmt.Sprintf("the catalogue has %q: %v", english, err))
		}
	}
	return b
})
