package verify

import (
	"context"
	"errors"
	"time"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/base/wait"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/outcome"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/tasks"
)

// deniedError says that DingTalk answers no such question now, whatever the role.
type deniedError struct{ why string }

func (e *deniedError) Error() string { return e.why }

// errMoved says that the list of holders changed while it was read, so that somebody may have been passed over.
var errMoved = texts.Sentinel(texts.T("the list of holders changed while it was read, again and again"))

const (
	// restarts is how often a list that changed is read from its beginning again.
	restarts = 5
	// mostPages is more than the largest organisation fills; beyond it the list has no end.
	mostPages = 100_000
	// longestPause is how long a throttle may keep a verification waiting; a ban is longer. mostThrottled is how often one page
	// may meet one.
	longestPause  = time.Minute
	mostThrottled = 30
)

// holders reads which of the job's users hold a role.
func (s *survey) holders(ctx context.Context, role int64) (holders, error) {
	for range 1 + restarts {
		found, err := s.readList(ctx, role)
		if !errors.Is(err, errMoved) {
			return found, err
		}
	}
	return nil, errMoved
}

// readList reads the list once. Each page begins with the last holder of the page before: when somebody loses the
// role meanwhile, all who follow move up, and who moved across the edge would be missed.
func (s *survey) readList(ctx context.Context, role int64) (holders, error) {
	found := holders{}
	offset, last := 0, ""
	for range mostPages {
		page, err := s.page(ctx, role, offset)
		if err != nil {
			return nil, err
		}
		if last != "" && (len(page.Holders) == 0 || page.Holders[0].UserID != last) {
			return nil, errMoved
		}
		for _, h := range page.Holders {
			if n, ours := s.users[h.UserID]; ours {
				found[n] = nil
				if s.action == tasks.Add {
					found[n] = h.Scope
				}
			}
		}
		if !page.HasMore {
			return found, nil
		}
		n := len(page.Holders)
		switch {
		case n == 0 || n == 1 && last != "":
			return nil, texts.T("a page of the list of holders is empty although more follow (offset %d)", offset)
		case page.NextOffset == offset+n:
			offset, last = page.NextOffset-1, page.Holders[n-1].UserID
		default: // DingTalk counts its offsets in a way of its own
			offset, last = page.NextOffset, ""
		}
	}
	return nil, texts.T("the list of holders has no end (%d pages)", mostPages)
}

// page asks for one page, as often as a busy DingTalk needs, each time at a moment that the pacer gives.
func (s *survey) page(ctx context.Context, role int64, offset int) (dingtalk.HoldersPage, error) {
	throttled := 0
	for attempt := 1; ; {
		grant, err := s.cfg.Pacer.Reserve(ctx)
		if err != nil {
			return dingtalk.HoldersPage{}, err
		}
		if grant.Probe {
			// The one call that may find out whether removals work again is the workers'.
			s.cfg.Pacer.Report(ctx, grant, pace.Answer{Kind: pace.Unused})
			return dingtalk.HoldersPage{}, &deniedError{texts.T("the fleet makes no calls now (a hold, or DingTalk does not answer): unrole status says why").String()}
		}
		page, err := s.cfg.Directory.RoleHolders(ctx, role, offset, dingtalk.MaxHoldersPage)
		// The fleet learns nothing from a question: each API has limits, permissions and troubles of its own, and no removal is to
		// wait for those of this one.
		s.cfg.Pacer.Report(ctx, grant, pace.Answer{Kind: pace.Unused})
		answer := outcome.Decide(dingtalk.Reply{}, err, time.Now())
		var refused *dingtalk.Error
		if err != nil && !errors.As(err, &refused) {
			return dingtalk.HoldersPage{}, err // DingTalk was not asked
		}
		switch answer.Action {
		case outcome.Settle:
			return page, nil
		case outcome.StandBy:
			if answer.Hold != "" || refused.Wait > longestPause {
				return dingtalk.HoldersPage{}, &deniedError{err.Error()}
			}
			if throttled++; throttled > mostThrottled {
				return dingtalk.HoldersPage{}, err
			}
			if err := wait.For(ctx, max(refused.Wait, s.cfg.RetryBase)); err != nil {
				return dingtalk.HoldersPage{}, err
			}
		case outcome.Retry:
			if attempt++; attempt > s.cfg.Attempts {
				return dingtalk.HoldersPage{}, err
			}
			if err := wait.For(ctx, wait.Backoff{First: s.cfg.RetryBase, Most: max(time.Minute, s.cfg.RetryBase)}.After(attempt-1)); err != nil {
				return dingtalk.HoldersPage{}, err
			}
		default:
			return dingtalk.HoldersPage{}, err
		}
	}
}
