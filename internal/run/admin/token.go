package admin

import (
	"fmt"
	"sync"
	"time"

	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/outcome"
)

// Token remembers how DingTalk last took the access token. Its zero value is ready to use.
type Token struct {
	mu     sync.Mutex
	at     time.Time
	class  dingtalk.Class
	code   string
	asked  bool
	byCall bool
}

// Observe is for dingtalk.Config.Observe. Answers that say nothing about the token are passed over.
func (t *Token) Observe(c dingtalk.Call) {
	if c.Cancelled || c.Class == dingtalk.ClassBusy || c.Class == dingtalk.ClassThrottled {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at, t.class, t.code, t.asked, t.byCall = time.Now(), c.Class, c.Code, true, c.Op != dingtalk.OpToken
}

// Words says whether DingTalk takes the token, as far as it is known: a process that has made no call yet, or whose
// calls were never answered, counts as fine.
func (t *Token) Words() (ok bool, words string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case !t.asked:
		return true, "not asked for yet"
	case t.class == dingtalk.ClassToken || t.class == dingtalk.ClassTokenNotSent,
		t.class == dingtalk.ClassCredentials,
		outcome.Of(t.class).Hold != "" && !t.byCall:
		return false, fmt.Sprintf("refused as %s (code %s) at %s", t.class, t.code, clock(t.at))
	}
	return true, "ok, taken at " + clock(t.at)
}
