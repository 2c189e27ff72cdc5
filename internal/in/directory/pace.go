package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/time/rate"

	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/pace"
)

// APIs are those that a Directory asks. DingTalk limits each apart.
var APIs = []string{"role/list", "role/simplelist", "v2/user/get", "v2/user/getbymobile", "user/getbyunionid", "contact/users/search", "v2/department/get",
	"v2/department/listsub", "v2/user/list", "user/listadmin", "contact/empLeaveRecords", "hrm/employee/queryonjob", "hrm/employees/dimissionInfos"}

// Paces has the pace of each API: DingTalk limits each apart. Directories that share it keep to it together.
type Paces struct {
	qps float64
	of  func(api string) (limiter, error)
	// optional says that what is shared can be done without, and left ends once it is, see Directory.Optional.
	optional bool
	left     context.Context
	leave    context.CancelFunc

	mu   sync.Mutex
	apis map[string]*api
}

// api is one of DingTalk's, with a pace of its own, and who waits for it.
type api struct {
	limiter
	line *line
}

// limiter lets a question go when it is its turn. done is told how it ended.
type limiter interface {
	turn(ctx context.Context) (done func(error), err error)
}

// Alone keeps a process to qps calls a second to each API, whatever others do.
func Alone(qps float64) (*Paces, error) {
	return newPaces(qps, func(string) (limiter, error) { return alone{rate.NewLimiter(rate.Limit(qps), 1)}, nil })
}

// Shared keeps all processes whose pacers are of one name and Redis to qps calls a second to each API: pacer is one that nothing
// but the questions to this API goes by. A turn waits for as long as Redis is away, unless it is Optional.
func Shared(qps float64, pacer func(api string) (*pace.Pacer, error)) (*Paces, error) {
	paces, err := newPaces(qps, nil)
	if err != nil {
		return nil, err
	}
	paces.of = func(api string) (limiter, error) {
		p, err := pacer(api)
		return shared{p, paces.left, alone{rate.NewLimiter(rate.Limit(qps), 1)}}, err
	}
	return paces, nil
}

func newPaces(qps float64, of func(api string) (limiter, error)) (*Paces, error) {
	if !(qps > 0) {
		return nil, fmt.Errorf("directory: %v calls per second: must be over 0", qps)
	}
	left, leave := context.WithCancel(context.Background())
	return &Paces{qps: qps, of: of, left: left, leave: leave, apis: map[string]*api{}}, nil
}

// turn waits for the turn of an API, in a lane of those who wait for it in this process.
func (p *Paces) turn(ctx context.Context, name string, lane int) (done func(error), err error) {
	p.mu.Lock()
	a := p.apis[name]
	if a == nil {
		if !slices.Contains(APIs, name) {
			p.mu.Unlock()
			return nil, fmt.Errorf("directory: %q is not among APIs", name)
		}
		l, err := p.of(name)
		if err != nil {
			p.mu.Unlock()
			return nil, err
		}
		a = &api{l, newLine()}
		p.apis[name] = a
	}
	p.mu.Unlock()
	if err := a.line.enter(ctx, lane); err != nil {
		return nil, err
	}
	defer a.line.leave()
	return a.limiter.turn(ctx)
}

type alone struct{ *rate.Limiter }

func (a alone) turn(ctx context.Context) (func(error), error) { return func(error) {}, a.Wait(ctx) }

type shared struct {
	*pace.Pacer
	left  context.Context
	alone limiter
}

// turn waits for a slot of the fleet. A throttle makes everybody who asks this API wait; of other failures the fleet is not told:
// they are errors of whoever asked.
func (s shared) turn(ctx context.Context) (func(error), error) {
	waiting, end := context.WithCancel(ctx)
	defer end()
	defer context.AfterFunc(s.left, end)()
	grant, err := s.Reserve(waiting)
	if err != nil && ctx.Err() == nil {
		return s.alone.turn(ctx)
	}
	return func(err error) {
		var failed *dingtalk.Error
		switch {
		case !errors.As(err, &failed):
			s.Report(ctx, grant, pace.Answer{Kind: pace.Accepted})
		case endures(failed):
			s.Report(ctx, grant, pace.Answer{Kind: pace.Throttled, Limit: pace.Limit(failed.Limit.String()), Pause: failed.Wait, Why: failed.Code()})
		case failed.Class != dingtalk.ClassBusy && failed.Class != dingtalk.ClassThrottled:
			s.Report(ctx, grant, pace.Answer{Kind: pace.Refused})
		}
	}, err
}
