package main

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/unrole/unrole/internal/record/deadletter"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/report"
	"github.com/unrole/unrole/internal/run/doctor"
)

// printed are the objects that docs/scripting.md describes, by its headings.
var printed = map[string]any{
	"plan":        planSummary{},
	"job":         ledger.Job{},
	"dead letter": deadletter.Letter{},
	"report row":  report.Row{},
	"status":      fleetStatus{},
	"finding":     doctor.Finding{},
	"action":      letterResult{},
	"erasure":     eraseResult{},
	"role":        roleLine{},
	"person":      personLine{},
}

func TestThePageForScriptsHasEveryFieldThatIsPrintedAndNoOther(t *testing.T) {
	page, err := os.ReadFile("../../docs/scripting.md")
	if err != nil {
		t.Fatal(err)
	}
	described := map[string][]string{}
	heading := ""
	for line := range strings.Lines(string(page)) {
		if name, is := strings.CutPrefix(line, "## "); is {
			heading = strings.TrimSpace(name)
		}
		if strings.HasPrefix(line, "| `") {
			first := line[:strings.Index(line[1:], "|")+1]
			for _, field := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(first, -1) {
				described[heading] = append(described[heading], field[1])
			}
		}
	}
	for heading, object := range printed {
		fields := fieldsOf(reflect.TypeOf(object), "")
		have := described[heading]
		slices.Sort(fields)
		slices.Sort(have)
		for _, field := range fields {
			if !slices.Contains(have, field) {
				t.Errorf("docs/scripting.md, %s: %s is not described", heading, field)
			}
		}
		for _, field := range have {
			if !slices.Contains(fields, field) {
				t.Errorf("docs/scripting.md, %s: %s is never printed", heading, field)
			}
		}
	}
}

// fieldsOf are the names of what a type is in JSON: a dot leads into an object, [] into a list.
func fieldsOf(t reflect.Type, prefix string) []string {
	var names []string
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" || !field.IsExported() && !field.Anonymous {
			continue
		}
		inner := field.Type
		if field.Anonymous && name == "" {
			names = append(names, fieldsOf(inner, prefix)...)
			continue
		}
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Slice {
			name, inner = name+"[]", inner.Elem()
		}
		if inner.Kind() == reflect.Struct && inner != reflect.TypeFor[time.Time]() {
			names = append(names, fieldsOf(inner, prefix+name+".")...)
			continue
		}
		names = append(names, prefix+name)
	}
	return names
}
