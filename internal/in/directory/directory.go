// Package directory finds people and roles in DingTalk's directory by whatever name somebody has for them.
//
// Reading touches nothing and, but for the search by name, costs no quota (A). Each API has a limit of its own (A), and
// so a pace of its own, which a fleet shares: looking up never takes a slot from a removal.
package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/unrole/unrole/internal/base/wait"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/record/index"
	"github.com/unrole/unrole/tasks"
)

// Source answers questions about the organisation. *dingtalk.Client is one; its errors are *dingtalk.Error.
type Source interface {
	ListRoles(ctx context.Context, offset, size int) (dingtalk.RolesPage, error)
	RoleHolders(ctx context.Context, roleID int64, offset, size int) (dingtalk.HoldersPage, error)
	User(ctx context.Context, userID string) (dingtalk.User, error)
	UserByMobile(ctx context.Context, mobile string) (string, error)
	UserByUnionID(ctx context.Context, unionID string) (userID string, external bool, err error)
	Search(ctx context.Context, name string, offset, size int) (dingtalk.SearchPage, error)
	Departments(ctx context.Context, below int64) ([]dingtalk.Department, error)
	Department(ctx context.Context, id int64) (dingtalk.Department, error)
	Admins(ctx context.Context) ([]string, error)
	Members(ctx context.Context, department, cursor int64, size int) (dingtalk.MembersPage, error)
	OnJob(ctx context.Context, statuses []dingtalk.OnJobStatus, offset, size int) (dingtalk.OnJobPage, error)
	Dismissals(ctx context.Context, userIDs []string) ([]dingtalk.Dismissal, error)
	Leavers(ctx context.Context, from, to time.Time, next string, size int) (dingtalk.LeaversPage, error)
}

var _ Source = (*dingtalk.Client)(nil)

const (
	// attempts is how often a question is asked that DingTalk is too busy for.
	attempts  = 5
	retryBase = 500 * time.Millisecond
	// longestPause is how long a throttle may keep a reader waiting; a ban is longer, and an error.
	longestPause = time.Minute
	// mostPages is more than the largest organisation fills; beyond it a list has no end.
	mostPages = 100_000
)

// Directory asks a Source at its pace, again where it is busy, and remembers the parts that it has to read as a whole. It is
// safe for concurrent use.
type Directory struct {
	source Source
	paces  *Paces
	lane   int // its position among tasks.Lanes
	now    func() time.Time

	mu    sync.Mutex
	asked map[string]int
	names map[int64]dingtalk.Department

	// index has staff numbers and addresses; nil has everybody read by this Directory. renewed is set once the index is of a reading
	// after born.
	index     *index.Index
	born      time.Time
	renewed   *once[struct{}]
	everybody *once[map[index.Sign][]string]

	leavers *once[[]dingtalk.Leaver]
	roles   *once[[]dingtalk.Role]
	admins  *once[map[string]bool]
	staying *once[map[string]bool]
	// holders has the roles that were read by one of those who share the directory; nil where nobody does.
	holders map[int64]*once[[]dingtalk.Person]
}

// New reads from source with at most qps calls a second to each API.
func New(source Source, qps float64) (*Directory, error) {
	paces, err := Alone(qps)
	if err != nil {
		return nil, err
	}
	return At(source, paces), nil
}

// At reads from source at a pace.
func At(source Source, paces *Paces) *Directory { return newDirectory(source, paces) }

func newDirectory(source Source, p *Paces) *Directory {
	d := &Directory{source: source, paces: p, now: time.Now, born: time.Now(), asked: map[string]int{}, names: map[int64]dingtalk.Department{},
		renewed: newOnce[struct{}](), everybody: newOnce[map[index.Sign][]string](), leavers: newOnce[[]dingtalk.Leaver](),
		roles: newOnce[[]dingtalk.Role](), admins: newOnce[map[string]bool](), staying: newOnce[map[string]bool]()}
	return d.In(tasks.QueueDefault)
}

// Fresh is the same directory at the same pace, which remembers nothing of what was read before. What several ask of it at once,
// who holds a role too, is read once.
func (d *Directory) Fresh() *Directory {
	fresh := newDirectory(d.source, d.paces)
	fresh.index, fresh.lane = d.index, d.lane
	fresh.holders = map[int64]*once[[]dingtalk.Person]{}
	return fresh
}

// In has the questions of a lane wait for none of a less urgent one that this process has, too; those of one lane are put in the order of
// their coming.
func (d *Directory) In(lane string) *Directory {
	d.lane = max(0, slices.Index(tasks.Lanes(), lane))
	return d
}

// Since is the moment after which everything was read that it says, however much of it is remembered.
func (d *Directory) Since() time.Time { return d.born }

// Lookups counts the questions put so far, and how long they take at the least at the pace: each API's are asked beside
// those of the others.
func (d *Directory) Lookups() (n int, takes time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, asked := range d.asked {
		n += asked
		takes = max(takes, time.Duration(float64(asked)/d.paces.qps*float64(time.Second)))
	}
	return n, takes
}

// turn waits for the turn of one API, and counts its question.
func (d *Directory) turn(ctx context.Context, api string) (done func(error), err error) {
	d.mu.Lock()
	d.asked[api]++
	d.mu.Unlock()
	return d.paces.turn(ctx, api, d.lane)
}

// ask puts one question at the API's pace, as often as a busy or throttling DingTalk needs.
func ask[T any](ctx context.Context, d *Directory, api string, question func() (T, error)) (T, error) {
	for attempt := 1; ; attempt++ {
		var none T
		done, err := d.turn(ctx, api)
		if err != nil {
			return none, err
		}
		answer, err := question()
		done(err)
		var failed *dingtalk.Error
		if !errors.As(err, &failed) || attempt == attempts {
			return answer, err
		}
		pause := retryBase << (attempt - 1)
		switch {
		case endures(failed):
			pause = max(pause, failed.Wait)
		case failed.Class == dingtalk.ClassBusy, failed.Class == dingtalk.ClassUnknown:
		default:
			return answer, err
		}
		if err := wait.For(ctx, pause); err != nil {
			return none, err
		}
	}
}

// endures reports whether a refusal is a throttle that is waited out.
func endures(e *dingtalk.Error) bool {
	return e.Class == dingtalk.ClassThrottled && e.Wait <= longestPause && e.Limit != dingtalk.LimitQuota
}

// pages goes through a list page by page: read returns whether more follow.
func pages(read func() (more bool, err error)) error {
	for range mostPages {
		if more, err := read(); err != nil || !more {
			return err
		}
	}
	return fmt.Errorf("the list has no end (%d pages)", mostPages)
}

// once is something that is read at the first use, by one of those who need it while the others wait. A failure is not remembered.
type once[T any] struct {
	turn wait.Lock
	have bool
	is   T
}

func newOnce[T any]() *once[T] { return &once[T]{turn: wait.NewLock()} }

func (o *once[T]) get(read func() (T, error)) (T, error) {
	o.turn.Lock()
	defer o.turn.Unlock()
	if !o.have {
		is, err := read()
		if err != nil {
			return is, err
		}
		o.is, o.have = is, true
	}
	return o.is, nil
}
