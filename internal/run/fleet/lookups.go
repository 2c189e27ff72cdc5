package fleet

import (
	"fmt"
	"time"

	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/index"
)

// Lookups is how the fleet reads DingTalk's directory.
type Lookups struct {
	// APIs are those that were asked within the last hour, each at a pace of its own.
	APIs []API
	// Index has staff numbers and e-mail addresses; nil where the configuration keeps none.
	Index *index.Status
}

// API is the pace of one of DingTalk's APIs that read.
type API struct {
	Name string
	pace.Status
}

// IndexWords says in a line how the index is at a moment.
func (l Lookups) IndexWords(now time.Time) string {
	x := l.Index
	if x == nil {
		return "none is kept (UNROLE_DIRECTORY_TTL is 0): each list with staff numbers has the directory read"
	}
	words := "not read: nobody asked for a staff number or an e-mail address lately"
	switch {
	case !x.ReadAt.IsZero():
		words = fmt.Sprintf("%d people, read %s ago", x.People, max(0, now.Sub(x.ReadAt)).Round(time.Second))
	case x.Wanted, x.Reading:
		words = "not read yet"
	}
	if x.Reading {
		words += fmt.Sprintf("; being read now, %d numbers and addresses so far", x.SoFar)
	}
	if !x.FailedAt.IsZero() {
		words += fmt.Sprintf("; the directory could not be read %s ago: %s", max(0, now.Sub(x.FailedAt)).Round(time.Second), x.Why)
	}
	return words
}
