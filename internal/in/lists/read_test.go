package lists

import (
	"errors"
	"io"
	"testing"

	"github.com/unrole/unrole/enqueue"
)

// read reads a list into the set of its pairs, which is nil where the list was refused.
func read(r io.Reader, opt Options) (*enqueue.Removals, *Report, error) {
	set := &enqueue.Removals{}
	report, err := Read(r, opt, func(row Row) error {
		for user, role := range row.IDs() {
			set.Add(user, role)
		}
		return nil
	})
	if err != nil {
		return nil, report, err
	}
	return set, report, nil
}

// refusal is what a list was refused with.
func refusal(t testing.TB, err error) string {
	t.Helper()
	var refused *Refused
	if !errors.As(err, &refused) {
		t.Fatalf("error %v, want a *Refused", err)
	}
	return err.Error()
}
