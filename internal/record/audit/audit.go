// Package audit copies the audit trails of all jobs from Redis into one append-only file, and has the fleet hold while
// it cannot.
//
// The trails are written by the ledger in the same script as what they record; the file follows. How far it has come
// is kept in Redis, and moves on only after the lines are on the disk, so that no entry is lost by a crash. Of a fleet
// one process writes at a time: whoever has the lock. So the file belongs on storage that all workers with the setting
// share, or the setting belongs to one worker.
package audit

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/base/defaults"
	"github.com/unrole/unrole/internal/base/lease"
	"github.com/unrole/unrole/internal/record/ledger"
)

// Config says what is followed and where to. Redis, Ledger, File, Hold and Release are required.
type Config struct {
	Redis  redis.UniversalClient
	Ledger *ledger.Ledger
	// File is created with mode 0600 if it is not there, and only ever appended to.
	File string
	// Hold is called when the file cannot be written, before anything else is tried, and again with every failed try;
	// why names the fault. Release is called once it can be written again, and after the first success of a process.
	Hold    func(ctx context.Context, why string) error
	Release func(ctx context.Context) error
	// Interval is how far the file may lag behind jobs that move. Default 500 ms.
	Interval time.Duration
	// Sweep is how far it may lag behind those that have ended, whose dead letters may be replayed. Default 30 s.
	Sweep time.Duration
	// Keep is how long Redis keeps an entry that the file has; 0 means for good.
	Keep time.Duration
	// Started, when set, is called once the first round is over: until then nobody knows whether to hold.
	Started func()
	Log     zerolog.Logger
}

// The keys share a slot, so that one script can move the cursors only while the lock is held.
const (
	lockKey   = "unrole:audit:{follow}:lock"
	cursorKey = "unrole:audit:{follow}:cursors"
	// lockTTL is how long a writer that vanished keeps the others waiting.
	lockTTL = 15 * time.Second
)

// Follow writes the trails to the file until ctx ends, then returns nil. Faults of Redis and of the file are logged
// and outlived. It returns an error only for a Config that lacks something.
//
// A line is the entry as it was written, with its place in the trail of its job as "seq" in front. Per job the lines
// stand in the order of the trail. After a writer lost the lock in the middle of a write, lines may stand there twice,
// with the same seq; none is missing.
func Follow(ctx context.Context, cfg Config) error {
	if cfg.Redis == nil || cfg.Ledger == nil || cfg.File == "" || cfg.Hold == nil || cfg.Release == nil {
		return errors.New("audit: Redis, Ledger, File, Hold and Release are required")
	}
	d := defaults.Of("audit")
	defaults.Fill(d, "Interval", &cfg.Interval, 500*time.Millisecond)
	defaults.Fill(d, "Sweep", &cfg.Sweep, 30*time.Second)
	if err := d.Err(); err != nil {
		return err
	}
	f := &follower{cfg: cfg, lock: lease.New(cfg.Redis, lockKey, lockTTL)}
	defer f.end()
	tick := time.NewTicker(cfg.Interval)
	defer tick.Stop()
	for {
		f.round(ctx)
		if cfg.Started != nil {
			cfg.Started()
			cfg.Started = nil
		}
		select {
		case <-ctx.Done():
			// What was settled while the workers stopped belongs into the file too.
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			f.swept = time.Time{}
			f.round(last)
			cancel()
			return nil
		case <-tick.C:
		}
	}
}

// follower is the one who writes, or waits for the lock.
type follower struct {
	cfg     Config
	lock    *lease.Lease
	file    *file
	cursors map[string]string // job id → last entry in the file; nil without the lock
	active  map[string]bool   // jobs whose trails grew lately
	newest  time.Time         // creation time of the newest job seen
	swept   time.Time
	trimmed time.Time
	holding bool
	free    bool // Release was called since the start
}

// round takes or keeps the lock and brings the file up to date.
func (f *follower) round(ctx context.Context) {
	term, err := f.lock.Take(ctx)
	switch {
	case err != nil:
		f.complain(ctx, err, "the audit trail cannot be followed while Redis is away")
		return
	case !term.Mine:
		f.forget()
		return
	}
	if f.file != nil && f.file.replaced(f.cfg.File) {
		f.forget()
	}
	if err := f.open(ctx); err != nil {
		f.failed(ctx, err)
		return
	}
	if err := f.follow(ctx); err != nil {
		f.failed(ctx, err)
		return
	}
	if f.holding || !f.free {
		if err := f.cfg.Release(ctx); err != nil {
			f.complain(ctx, err, "the hold for the audit trail could not be ended; it is tried again")
			return
		}
		if f.holding {
			f.cfg.Log.Info().Str("file", f.cfg.File).Msg("the audit trail is written again")
		}
		f.holding, f.free = false, true
	}
}

// failed holds the fleet for a fault of the file. A fault of Redis holds nobody: without Redis no call is made.
func (f *follower) failed(ctx context.Context, err error) {
	var fault *fileError
	if !errors.As(err, &fault) {
		f.complain(ctx, err, "the audit trail cannot be followed; it is tried again")
		return
	}
	f.forget()
	if holdErr := f.cfg.Hold(ctx, err.Error()); holdErr != nil {
		f.complain(ctx, holdErr, "the fleet should hold and could not be told")
	}
	if !f.holding {
		f.cfg.Log.Error().Err(err).Msg("the audit trail cannot be written: the fleet holds")
	}
	f.holding = true
}

func (f *follower) complain(ctx context.Context, err error, what string) {
	if ctx.Err() == nil {
		f.cfg.Log.Warn().Err(err).Msg(what)
	}
}

// forget drops what is known of the file; the next round opens it anew.
func (f *follower) forget() {
	if f.file != nil {
		f.file.Close()
		f.file = nil
	}
	f.cursors, f.active, f.newest, f.swept, f.trimmed = nil, nil, time.Time{}, time.Time{}, time.Time{}
}

// end lets another process take over at once.
func (f *follower) end() {
	f.forget()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	f.lock.End(ctx)
}

//go:embed lua/move.lua
var moveLua string

var moveScript = redis.NewScript(moveLua)

// errLost says that another process writes now.
var errLost = errors.New("another process has taken the audit file over")

// move records how far the file has come.
func (f *follower) move(ctx context.Context, moved map[string]string) error {
	if len(moved) == 0 {
		return nil
	}
	args := []any{f.lock.Holder()}
	for job, id := range moved {
		args = append(args, job, id)
	}
	mine, err := moveScript.Run(ctx, f.cfg.Redis, []string{lockKey, cursorKey}, args...).Bool()
	if err != nil {
		return fmt.Errorf("record how far the audit file has come: %w", err)
	}
	if !mine {
		f.forget()
		return errLost
	}
	for job, id := range moved {
		f.cursors[job] = id
	}
	return nil
}

// Followed lists the jobs of which it is kept how far the file has come with their trails.
func Followed(ctx context.Context, rdb redis.UniversalClient) ([]string, error) {
	jobIDs, err := rdb.HKeys(ctx, cursorKey).Result()
	if err != nil {
		return nil, fmt.Errorf("read how far the audit file has come: %w", err)
	}
	return jobIDs, nil
}

// Forget drops how far the file has come with the trail of a job that is gone.
func Forget(ctx context.Context, rdb redis.UniversalClient, jobID string) error {
	if err := rdb.HDel(ctx, cursorKey, jobID).Err(); err != nil {
		return fmt.Errorf("forget the audit trail of job %s: %w", jobID, err)
	}
	return nil
}
