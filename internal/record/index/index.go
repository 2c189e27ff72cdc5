// Package index keeps in Redis who has which staff number or e-mail address, as keyed hashes, for as long as it may be believed.
package index

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/lease"
	"github.com/unrole/unrole/internal/base/wait"
)

// SignKind is what a sign is. The set is closed; the words are part of the hashes.
type SignKind string

const (
	JobNumber SignKind = "job"
	// Email is in lower case.
	Email SignKind = "email"
)

// Sign is something by which somebody is known and which no API of DingTalk's finds.
type Sign struct {
	Kind SignKind
	Text string
}

// Config says whose index it is and how long it is believed. All is required.
type Config struct {
	Redis redis.UniversalClient
	// App names the DingTalk app through whose eyes the directory is read. Only a hash of it gets into Redis.
	App string
	// Secret is what nobody knows who reads Redis: without it no hash tells its sign.
	Secret []byte
	// TTL is how long the index is there, from the moment in which it was read to the end.
	TTL time.Duration
}

// Index is a process's end of it. It is safe for concurrent use.
type Index struct {
	cfg   Config
	keys  []string // people, next, read, asked, erased, lease, added, about: in the scripts' order
	key   []byte
	lease *lease.Lease
	turn  wait.Lock // one builder in a process at a time
}

// leaseTTL is how long a builder that vanished keeps the others waiting.
const leaseTTL = 15 * time.Second

// New returns an Index. It does not talk to Redis yet.
func New(cfg Config) (*Index, error) {
	if cfg.Redis == nil || cfg.App == "" || len(cfg.Secret) == 0 || cfg.TTL <= 0 {
		return nil, errors.New("index: Redis, App, Secret and TTL are required")
	}
	at := keysOf(cfg.App)
	key := hmac.New(sha256.New, cfg.Secret)
	key.Write([]byte("unrole directory 1"))
	x := &Index{cfg: cfg, key: key.Sum(nil), turn: wait.NewLock(), lease: lease.New(cfg.Redis, at+"lease", leaseTTL)}
	for _, name := range []string{"people", "next", "read", "asked", "erased", "lease", "added", "about"} {
		x.keys = append(x.keys, at+name)
	}
	return x, nil
}

// prefix begins the keys of every index.
const prefix = "unrole:{directory:"

// keysOf begins the keys of the index of an app.
func keysOf(app string) string {
	sum := sha256.Sum256([]byte("unrole directory\x00" + app))
	return prefix + hex.EncodeToString(sum[:8]) + "}:"
}

// field is a sign as Redis has it.
func (x *Index) field(s Sign) string {
	sum := hmac.New(sha256.New, x.key)
	sum.Write([]byte(string(s.Kind) + "\x00" + s.Text))
	return base64.RawURLEncoding.EncodeToString(sum.Sum(nil)[:16])
}

var (
	//go:embed lua/find.lua
	findLua    string
	findScript = redis.NewScript(findLua)
	//go:embed lua/state.lua
	stateLua    string
	stateScript = redis.NewScript(stateLua)
	//go:embed lua/begin.lua
	beginLua    string
	beginScript = redis.NewScript(beginLua)
	//go:embed lua/add.lua
	addLua    string
	addScript = redis.NewScript(addLua)
	//go:embed lua/publish.lua
	publishLua    string
	publishScript = redis.NewScript(publishLua)
)

// Find returns the user ids that had a sign when the directory was read; known is whether that is believed still. It notes that
// somebody asked, see Keep.
func (x *Index) Find(ctx context.Context, s Sign) (userIDs []string, known bool, err error) {
	reply, err := findScript.Run(ctx, x.cfg.Redis, x.keys, x.field(s), x.cfg.TTL.Milliseconds()).StringSlice()
	if err != nil || len(reply) == 0 {
		return nil, false, wrapped("find", err)
	}
	return strings.Fields(reply[0]), true, nil
}

// state is how long ago reading the directory began, negative where it is not known, and whether somebody asked within TTL.
func (x *Index) state(ctx context.Context) (age time.Duration, asked bool, err error) {
	reply, err := stateScript.Run(ctx, x.cfg.Redis, x.keys).Int64Slice()
	if err == nil && len(reply) != 2 {
		err = fmt.Errorf("a reply of %d numbers", len(reply))
	}
	if err != nil {
		return 0, false, wrapped("read its age", err)
	}
	return time.Duration(reply[0]) * time.Millisecond, reply[1] > 0, nil
}

// Reader reads the whole directory and hands add each person once, with their signs, one at a time.
type Reader func(ctx context.Context, add func(userID string, signs ...Sign) error) error

// Keep has the directory read anew if somebody asked within TTL, and half of the time is over in which what was read is believed.
func (x *Index) Keep(ctx context.Context, read Reader) error {
	age, asked, err := x.state(ctx)
	if err != nil || !asked || age >= 0 && age <= x.cfg.TTL/2 {
		return err
	}
	return x.Renew(ctx, time.Now().Add(-x.cfg.TTL/2), read)
}

// errOther says that what was read is not to be published: somebody else builds by now, people were erased meanwhile, or Redis has
// not all of it any more.
var errOther = errors.New("index: another one is to be built")

// betweenLooks is how often who waits for another builder looks whether it is done.
const betweenLooks = 500 * time.Millisecond

// Renew returns when the index is one for which reading began after since, to the millisecond. One process of the fleet reads, the
// others wait for it.
func (x *Index) Renew(ctx context.Context, since time.Time, read Reader) error {
	select {
	case x.turn <- struct{}{}:
		defer x.turn.Unlock()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	isNew := func(ctx context.Context) (bool, error) {
		age, _, err := x.state(ctx)
		const exact = time.Millisecond // which Redis tells whole, so that what just began may look as much older
		return err == nil && age >= 0 && age <= time.Since(since)+exact, err
	}
	for {
		if done, err := isNew(ctx); done || err != nil {
			return err
		}
		var failed error
		lost := false
		mine, err := x.lease.During(ctx, func(holding context.Context) {
			var done bool
			if done, failed = isNew(holding); !done && failed == nil { // else another process was done since
				failed = x.build(holding, read)
			}
			lost = holding.Err() != nil
		})
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return wrapped("take its lease", err)
		case mine && failed != nil && !lost && !errors.Is(failed, errOther):
			x.noteFailure(ctx, failed)
			x.end(ctx)
			return failed
		case mine:
			x.end(ctx)
		default:
			wait.For(ctx, betweenLooks)
		}
	}
}

// end gives the lease back; where that fails the others wait until it ends by itself.
func (x *Index) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = x.lease.End(ctx)
}

const (
	// atOnce is how many signs go to Redis together.
	atOnce = 500
	// flushWithin is how long fewer of them wait: Redis keeps what is built for an hour after the last came.
	flushWithin = time.Minute
)

// build reads the directory and puts the index in the place of the one before. While the lease is somebody else's it writes nothing.
func (x *Index) build(ctx context.Context, read Reader) error {
	began, err := beginScript.Run(ctx, x.cfg.Redis, x.keys, x.lease.Holder()).StringSlice()
	if err != nil {
		return wrapped("begin", err)
	}
	if len(began) != 2 {
		return errOther
	}
	var some []any
	people, added, flushed := 0, 0, time.Now()
	flush := func() error {
		ok, err := addScript.Run(ctx, x.cfg.Redis, x.keys, append([]any{x.lease.Holder(), added}, some...)...).Bool()
		added += len(some) / 2
		some, flushed = some[:0], time.Now()
		if err == nil && !ok {
			err = errOther
		}
		return err
	}
	err = read(ctx, func(userID string, signs ...Sign) error {
		people++
		for _, s := range signs {
			some = append(some, x.field(s), userID)
		}
		if len(some) >= 2*atOnce || time.Since(flushed) >= flushWithin {
			return wrapped("write", flush())
		}
		return nil
	})
	if err == nil {
		err = wrapped("write", flush())
	}
	if err != nil {
		return err
	}
	ok, err := publishScript.Run(ctx, x.cfg.Redis, x.keys, x.lease.Holder(), began[0], began[1], x.cfg.TTL.Milliseconds(), added, people).Bool()
	if err == nil && !ok {
		err = errOther
	}
	return wrapped("publish", err)
}

func wrapped(what string, err error) error {
	if err == nil || errors.Is(err, redis.Nil) {
		return nil
	}
	return fmt.Errorf("index of the directory: %s: %w", what, err)
}
