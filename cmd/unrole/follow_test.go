package main

import (
	"context"
	"testing"
	"time"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// once is a terminal that ends something when a line was written to it.
type once struct {
	line string
	end  context.CancelFunc
}

func (o *once) Write(p []byte) (int, error) {
	o.line += string(p)
	o.end()
	return len(p), nil
}

func TestWhoWaitsForAJobThatIsLookedUpReadsThatInWords(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := ledger.New(rdb, 0)
	if _, err := l.Ask(t.Context(), ledger.Asked{JobID: "job", Request: []byte("{}"), CreatedAt: time.Now(), Priority: tasks.QueueDefault}); err != nil {
		t.Fatal(err)
	}
	for lang, want := range map[texts.Lang]string{texts.English: "people and roles are being looked up\n", texts.Chinese: "正在查询人员和角色\n"} {
		ctx, end := context.WithCancel(t.Context())
		a, _, _ := testApp("", false, nil)
		said := &once{end: end}
		a.lang, a.stderr = lang, said
		_, _ = a.follow(ctx, l, nil, "job", nil)
		if said.line != want {
			t.Errorf("%q, not %q", said.line, want)
		}
	}
}
