package redisconn

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/rs/zerolog"
)

const (
	// firstPause is how long a Gate waits before it tries again what was refused for the first time; it doubles up to
	// longestPause, which is also how late it may notice that Redis works again.
	firstPause   = 50 * time.Millisecond
	longestPause = time.Second
	// strange is how long a script is repeated whose refusal is in no table, before its caller hears of it.
	strange = 25 * time.Second
	// forgotten is when a refusal that nobody tried again says nothing any more.
	forgotten = 30 * time.Second
)

// Gate keeps a process from asking in vain: what Redis has refused is not sent again by anybody who shares the Gate, but
// for one try per pause, until that try succeeds. Meanwhile scripts wait in it, and so do other commands whose context has no
// deadline; one with a deadline gets the last refusal at once. It is for processes that have loops, workers above all: many handlers, and asynq's, which know no pause.
//
// Clients that go through it are made by Steady. It is safe for concurrent use. What was not refused passes, since Redis may
// take reads while it takes no writes; scripts, which loops consist of, pass late.
type Gate struct {
	log zerolog.Logger

	mu      sync.Mutex
	shut    map[string]*shut // what was refused, by kind; empty while everything passes
	order   []string         // the kinds in the order of their turns
	refusal Refusal
	since   time.Time
	calm    chan struct{} // closed when nothing is shut any more
	pause   time.Duration
	next    *time.Timer // to the next turn

	nextDial time.Time // while the login is refused
}

// shut is a kind of commands that was refused.
type shut struct {
	at     time.Time
	last   error
	waits  int           // commands that wait
	turn   chan struct{} // holds one token while somebody may try
	opened chan struct{} // closed when all may pass again
}

// NewGate returns an open Gate. It logs one line when Redis begins to refuse, and one when it works again.
func NewGate(log zerolog.Logger) *Gate {
	return &Gate{log: log, shut: map[string]*shut{}}
}

// Refusal is what Redis refuses just now, and since when; refused is false while everything passes.
func (g *Gate) Refusal() (r Refusal, since time.Time, refused bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refusal, g.since, len(g.shut) > 0
}

// Steady returns another client of the same Redis, with a connection pool of its own, whose commands go through hooks, in
// that order, and then through the gate, where nobody waits any more when ctx has ended: asynq's loops know no end of their
// own. What many send at the same moment goes together. Hooks of rdb are not taken over. The caller closes it. A client of a kind
// that it does not know is returned as it is, with a close that does nothing.
func Steady(ctx context.Context, rdb redis.UniversalClient, gate *Gate, hooks ...redis.Hook) (client redis.UniversalClient, closeClient func()) {
	// The one option that go-redis still writes to while clients connect is not shared.
	quiet := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	hooks = append(slices.Clone(hooks), entrance{gate, ctx})
	flying, ground := context.WithCancel(context.WithoutCancel(ctx))
	switch c := rdb.(type) {
	case *redis.Client:
		own := *c.Options()
		own.MaintNotificationsConfig = quiet
		one := redis.NewClient(&own)
		hooks = append(hooks, &together{ctx: flying, client: one})
		client = one
	case *redis.ClusterClient:
		own := *c.Options()
		own.MaintNotificationsConfig = quiet
		client = redis.NewClusterClient(&own)
	default:
		ground()
		return rdb, func() {}
	}
	for _, h := range hooks {
		client.AddHook(h)
	}
	return client, func() {
		client.Close()
		ground()
	}
}

// entrance is how the commands of one client get to the gate.
type entrance struct {
	*Gate
	ending context.Context
}

// DialHook holds back connections while the login is refused: subscriptions connect anew as fast as they are refused.
func (g entrance) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		g.mu.Lock()
		var login *shut
		for _, login = range g.shut {
			break
		}
		pause := time.Duration(0)
		if g.loginRefused() {
			pause = max(0, time.Until(g.nextDial))
		}
		if pause <= longestPause {
			g.nextDial = time.Now().Add(pause + longestPause/2)
		}
		g.mu.Unlock()
		if pause > longestPause {
			return nil, login.last
		}
		if pause > 0 {
			select {
			case <-login.opened:
			case <-time.After(pause):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return next(ctx, network, addr)
	}
}

// loginRefused is asked with g.mu held.
func (g *Gate) loginRefused() bool {
	return len(g.shut) > 0 && (g.refusal.Code == "WRONGPASS" || g.refusal.Code == "NOAUTH")
}

// ProcessHook lets a command through, or not.
func (g entrance) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		kind, script := kindOf(cmd)
		sent, err := g.pass(ctx, kind, script, func() error { return next(ctx, cmd) })
		if !sent {
			cmd.SetErr(err)
		}
		return err
	}
}

// ProcessPipelineHook lets a pipeline through, or not. It is repeated only where it is all scripts.
func (g entrance) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if ctx.Value(inCompany{}) != nil {
			return next(ctx, cmds)
		}
		pipeline, scripts := "", true
		for _, cmd := range cmds {
			kind, script := kindOf(cmd)
			if pipeline == "" && kind != "multi" {
				pipeline = pipelineOf + kind
			}
			scripts = scripts && script
		}
		sent, err := g.pass(ctx, pipeline, scripts, func() error { return next(ctx, cmds) })
		if !sent {
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}
		}
		return err
	}
}

const pipelineOf = "pipeline of "

// connecting are the commands that a new connection begins with, on behalf of one that was let through already.
var connecting = map[string]bool{"hello": true, "auth": true, "select": true, "client": true, "readonly": true}

// kindOf names what is refused and allowed together: a script, in a queue of asynq's apart, or a command by its name.
func kindOf(cmd redis.Cmder) (kind string, script bool) {
	args := cmd.Args()
	if name := cmd.Name(); len(args) < 2 || name != "evalsha" && name != "eval" {
		return name, false
	}
	kind, _ = args[1].(string)
	if cmd.Name() == "eval" {
		sum := sha1.Sum([]byte(kind))
		kind = hex.EncodeToString(sum[:])
	}
	if len(args) > 3 {
		if key, ok := args[3].(string); ok && strings.HasPrefix(key, "asynq:{") {
			queue, _, _ := strings.Cut(key, "}")
			kind += " " + queue
		}
	}
	return kind, true
}

// pass sends a command of the kind when that may be done; sent is false where it never was.
func (g entrance) pass(ctx context.Context, kind string, script bool, send func() error) (sent bool, err error) {
	if name := strings.TrimPrefix(kind, pipelineOf); connecting[name] {
		err := send()
		if err == nil && (name == "hello" || name == "auth") {
			g.loggedIn()
		}
		return true, err
	}
	patient := script
	if _, has := ctx.Deadline(); !has {
		patient = true
	}
	began := time.Now()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		if ended := g.wait(ctx, kind, script, patient); ended != nil {
			if !sent {
				err = ended
			}
			return sent, err
		}
		sent, err = true, send()
		r, refused := Explain(err)
		switch {
		case !refused && (err == nil || ctx.Err() == nil):
			g.allow(kind)
			return sent, err
		case !refused, ctx.Err() != nil:
			return sent, err // nothing is known of Redis
		case !script && (r.Code == "NOPERM" || r.Code == "OTHER"):
			return sent, err // that may be this key's own
		}
		g.refuse(kind, r, err)
		if !patient || r.Code == "OTHER" && time.Since(began) > strange {
			return sent, err
		}
		if r.Code == "OTHER" {
			// Others of its kind may get through meanwhile, which would let it through at once.
			if g.pauseFor(ctx, pause, nil) != nil {
				return sent, err
			}
		}
	}
}

// pauseFor waits for so long, or until over is closed. Its error is that of an ended context.
func (g entrance) pauseFor(ctx context.Context, d time.Duration, over <-chan struct{}) error {
	select {
	case <-over:
	case <-time.After(d):
	case <-ctx.Done():
		return ctx.Err()
	case <-g.ending.Done():
		return g.ending.Err()
	}
	return nil
}

// wait returns nil when a command of the kind may be sent: at once, when Redis works again, or for a try.
func (g entrance) wait(ctx context.Context, kind string, script, patient bool) error {
	g.mu.Lock()
	s := g.shut[kind]
	late, calm := script && len(g.shut) > 0 && g.refusal.Code != "OTHER", g.calm
	if s != nil && patient {
		s.waits++
	}
	g.mu.Unlock()
	if s == nil && late {
		return g.pauseFor(ctx, longestPause, calm)
	}
	if s == nil {
		return nil
	}
	if !patient {
		select {
		case <-s.turn:
			return nil
		default:
			return s.last
		}
	}
	var ended error
	select {
	case <-s.opened:
	case <-s.turn:
	case <-ctx.Done():
		ended = ctx.Err()
	case <-g.ending.Done():
		ended = g.ending.Err()
	}
	g.mu.Lock()
	s.waits--
	g.mu.Unlock()
	return ended
}

func (g *Gate) refuse(kind string, r Refusal, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.shut) == 0 {
		g.since, g.calm = time.Now(), make(chan struct{})
		g.turnIn(firstPause)
	}
	s := g.shut[kind]
	if s == nil {
		s = &shut{turn: make(chan struct{}, 1), opened: make(chan struct{}), last: err}
		g.shut[kind], g.order = s, append(g.order, kind)
	}
	s.at = time.Now()
	if g.refusal.Code != r.Code {
		g.log.Error().Str("code", r.Code).AnErr("reply", err).Msg("Redis " + r.Says + "; until then everything waits, and goes on by itself")
	}
	g.refusal = r
}

// nextTurn lets one command of the next kind be tried, and comes again after a longer pause.
func (g *Gate) nextTurn() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, kind := range slices.Clone(g.order) {
		if time.Since(g.shut[kind].at) > forgotten {
			g.open(kind) // whoever was refused does not ask any more
		}
	}
	if len(g.order) == 0 {
		return
	}
	kind := g.order[0]
	g.order = append(g.order[1:], kind)
	select {
	case g.shut[kind].turn <- struct{}{}:
	default:
	}
	g.turnIn(min(2*g.pause, longestPause))
}

func (g *Gate) turnIn(pause time.Duration) {
	if g.next != nil {
		g.next.Stop()
	}
	g.pause = pause
	g.next = time.AfterFunc(pause, g.nextTurn)
}

func (g *Gate) allow(kind string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut[kind] == nil {
		return
	}
	for _, k := range slices.Clone(g.order) {
		if k == kind || g.shut[k].waits == 0 {
			g.open(k)
		}
	}
	if len(g.shut) > 0 {
		g.turnIn(firstPause) // most likely the others may pass too
	}
}

// loggedIn ends a refusal of the login; whoever connects first finds out.
func (g *Gate) loggedIn() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.loginRefused() {
		for _, kind := range slices.Clone(g.order) {
			g.open(kind)
		}
	}
}

// open lets commands of the kind pass. Whatever is refused still shuts it again.
func (g *Gate) open(kind string) {
	close(g.shut[kind].opened)
	delete(g.shut, kind)
	g.order = slices.DeleteFunc(g.order, func(k string) bool { return k == kind })
	if len(g.shut) == 0 {
		g.log.Info().Dur("after", time.Since(g.since)).Msg("Redis works again")
		g.refusal = Refusal{}
		close(g.calm)
	}
}
