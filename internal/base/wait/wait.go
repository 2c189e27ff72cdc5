// Package wait waits for a time, or until somebody has had enough of it.
package wait

import (
	"context"
	"time"
)

// For waits for d and returns nil, or returns the error of ctx once that has ended.
func For(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
