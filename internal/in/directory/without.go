package directory

import (
	"context"
	"time"

	"github.com/unrole/unrole/internal/base/wait"
)

const (
	// betweenPings is how often a Redis that can be done without is asked whether it is there, and longestAway how long it may be away.
	betweenPings = time.Second
	longestAway  = 5 * time.Second
)

// Optional lets a directory do without the Redis that it shares, for who needs none otherwise: once ping fails for some seconds it keeps
// to its pace alone, and reads everybody itself for staff numbers and addresses. told is called then. It is
// to be called before anything is looked up, and looks until ctx ends.
func (d *Directory) Optional(ctx context.Context, ping func(context.Context) error, told func(error)) {
	d.paces.optional = true
	go func() {
		for answered := time.Now(); wait.For(ctx, betweenPings) == nil; {
			asking, cancel := context.WithTimeout(ctx, longestAway)
			err := ping(asking)
			cancel()
			switch {
			case err == nil:
				answered = time.Now()
			case ctx.Err() == nil && time.Since(answered) >= longestAway:
				d.paces.leave()
				told(err)
				return
			}
		}
	}()
}
