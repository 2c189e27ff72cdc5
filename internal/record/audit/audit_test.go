package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/base/lease"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/test/redistest"
)

// Where the ledger keeps the trail of a job, and the jobs by time of creation.
const (
	trailPrefix, trailSuffix = "unrole:job:{", "}:audit"
	indexKey                 = "unrole:jobs"
)

// submit writes an entry to the trail of a new job.
func submit(t *testing.T, rdb *redis.Client, id string) {
	t.Helper()
	_, err := ledger.New(rdb, 0).Create(t.Context(), ledger.NewJob{JobID: id, CreatedAt: time.Now(), Pairs: 1, Content: "c", Plan: "p", Parts: 1, SubmittedBy: "me", Reason: "left"})
	if err != nil {
		t.Fatal(err)
	}
}

// more adds n entries to the trail of a job.
func more(t *testing.T, rdb *redis.Client, id string, n int) {
	t.Helper()
	_, err := rdb.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		for i := range n {
			p.XAdd(t.Context(), &redis.XAddArgs{Stream: trailPrefix + id + trailSuffix, Values: []any{"entry", fmt.Sprintf(`{"job_id":%q,"pairs":%d}`, id, i)}})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func newFollower(rdb *redis.Client) *follower {
	nothing := func(context.Context) error { return nil }
	return &follower{lock: lease.New(rdb, lockKey, lockTTL), cfg: Config{Redis: rdb, Ledger: ledger.New(rdb, 0), Sweep: time.Hour, Log: zerolog.Nop(), Release: nothing,
		Hold: func(context.Context, string) error { return nil }}}
}

// check compares the file with the trails: every entry once, in order per job.
func check(t *testing.T, rdb *redis.Client, name string) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	have := map[string][]string{}
	for text := range bytes.Lines(data) {
		var e struct{ Seq, Job_ID string }
		if err := json.Unmarshal(text, &e); err != nil || e.Seq == "" {
			t.Fatalf("line %q: %v", text, err)
		}
		have[e.Job_ID] = append(have[e.Job_ID], e.Seq)
	}
	for _, key := range redistest.Keys(t, rdb) {
		job, isTrail := bytes.CutSuffix([]byte(key), []byte(trailSuffix))
		if !isTrail {
			continue
		}
		id := string(job[len(trailPrefix):])
		entries, err := rdb.XRange(t.Context(), key, "-", "+").Result()
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, x := range entries {
			want = append(want, x.ID)
		}
		if fmt.Sprint(have[id]) != fmt.Sprint(want) {
			t.Errorf("job %s: %d lines, the trail has %d entries, or in another order", id, len(have[id]), len(want))
		}
	}
}

func TestTheFileHasEveryEntryOnceInOrder(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		f := newFollower(rdb)
		f.cfg.File = filepath.Join(t.TempDir(), "audit.jsonl")
		for i := range 120 {
			submit(t, rdb, fmt.Sprintf("j%d", i))
		}
		more(t, rdb, "j7", 3*entriesAtOnce+1)
		f.round(t.Context())
		check(t, rdb, f.cfg.File)
		submit(t, rdb, "late")
		more(t, rdb, "j7", 5)
		f.round(t.Context())
		check(t, rdb, f.cfg.File)
		if info, err := os.Stat(f.cfg.File); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}

		// The record of a job is gone, its name too; the trail is still followed, by the next process.
		if err := rdb.Del(t.Context(), "unrole:job:{j3}", indexKey).Err(); err != nil {
			t.Fatal(err)
		}
		more(t, rdb, "j3", 2)
		f.end()
		g := newFollower(rdb)
		g.cfg.File = f.cfg.File
		g.round(t.Context())
		check(t, rdb, f.cfg.File)
	})
}

func TestACrashAnywhereLosesNothingAndDoublesNothing(t *testing.T) {
	_, rdb := redistest.Memory(t)
	f := newFollower(rdb)
	f.cfg.File = filepath.Join(t.TempDir(), "audit.jsonl")
	submit(t, rdb, "j")
	f.round(t.Context())
	more(t, rdb, "j", 10)
	// Written, and then the process died before the cursor moved; the last line is torn.
	trails, err := f.cfg.Ledger.Trails(t.Context(), []string{"j"}, f.cursors, 6)
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	for _, entry := range trails[0] {
		text = append(text, line(entry)...)
	}
	if err := f.file.append(text[:len(text)-7]); err != nil {
		t.Fatal(err)
	}
	f.end()
	g := newFollower(rdb)
	g.cfg.File = f.cfg.File
	g.round(t.Context())
	check(t, rdb, f.cfg.File)
}

// What somebody else wrote into a trail is kept, and breaks neither the file nor those who read the trail.
func TestAForeignEntryIsALineLikeOthers(t *testing.T) {
	_, rdb := redistest.Memory(t)
	f := newFollower(rdb)
	f.cfg.File = filepath.Join(t.TempDir(), "audit.jsonl")
	submit(t, rdb, "j")
	for _, values := range [][]any{{"entry", "{}"}, {"entry", "[1]"}, {"entry", "{\"a\":\n1}"}, {"entry", ""}, {"other", "x\ny"}} {
		if err := rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: trailPrefix + "j" + trailSuffix, Values: values}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	more(t, rdb, "j", 1)
	f.round(t.Context())
	check(t, rdb, f.cfg.File)
	read := 0
	err := f.cfg.Ledger.Trail(t.Context(), "j", "", func(entry ledger.TrailEntry) error {
		read++
		_, err := entry.Entry()
		return err
	})
	if err != nil || read != 7 {
		t.Errorf("%d entries read, %v", read, err)
	}
}

func TestOnlyOneProcessWrites(t *testing.T) {
	_, rdb := redistest.Memory(t)
	name := filepath.Join(t.TempDir(), "audit.jsonl")
	a, b := newFollower(rdb), newFollower(rdb)
	a.cfg.File, b.cfg.File = name, name
	submit(t, rdb, "j")
	a.round(t.Context())
	more(t, rdb, "j", 1)
	b.round(t.Context())
	if b.file != nil {
		t.Error("the second one opened the file")
	}
	a.round(t.Context())
	check(t, rdb, name)
	a.end()
	more(t, rdb, "j", 1)
	b.round(t.Context())
	check(t, rdb, name)
	// A writer that was slow finds out before it moves a cursor.
	a.cursors = map[string]string{}
	if err := a.move(t.Context(), map[string]string{"j": "9-0"}); !errors.Is(err, errLost) {
		t.Errorf("got %v", err)
	}
}

func TestTheFleetHoldsWhileTheFileCannotBeWritten(t *testing.T) {
	_, rdb := redistest.Memory(t)
	dir := filepath.Join(t.TempDir(), "not yet there")
	f := newFollower(rdb)
	f.cfg.File = filepath.Join(dir, "audit.jsonl")
	var held []string
	released := 0
	f.cfg.Hold = func(_ context.Context, why string) error { held = append(held, why); return nil }
	f.cfg.Release = func(context.Context) error { released++; return nil }
	submit(t, rdb, "j")
	f.round(t.Context())
	if len(held) != 1 || released != 0 {
		t.Fatalf("held %q, released %d times", held, released)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f.round(t.Context())
	f.round(t.Context())
	if len(held) != 1 || released != 1 {
		t.Errorf("held %q, released %d times", held, released)
	}
	check(t, rdb, f.cfg.File)

	// The disk is full.
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	whole := f.file
	f.file = &file{full}
	f.cfg.File = "/dev/full"
	more(t, rdb, "j", 3)
	f.round(t.Context())
	if len(held) != 2 {
		t.Errorf("held %q for a full disk", held)
	}
	f.forget()
	f.cfg.File = whole.Name()
	f.round(t.Context())
	if released != 2 {
		t.Errorf("released %d times", released)
	}
	check(t, rdb, f.cfg.File)

	// The file was moved away by a rotation: the next one goes on where it ended.
	if err := os.Rename(f.cfg.File, f.cfg.File+".1"); err != nil {
		t.Fatal(err)
	}
	more(t, rdb, "j", 2)
	f.round(t.Context())
	next, err := os.ReadFile(f.cfg.File)
	if err != nil || bytes.Count(next, []byte("\n")) != 2 {
		t.Errorf("after the rotation %q, %v", next, err)
	}
}

func TestFollowWritesTheRestWhenItEnds(t *testing.T) {
	_, rdb := redistest.Memory(t)
	cfg := newFollower(rdb).cfg
	cfg.File = filepath.Join(t.TempDir(), "audit.jsonl")
	cfg.Interval = time.Hour
	started := make(chan struct{})
	cfg.Started = func() { close(started) }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Follow(ctx, cfg) }()
	<-started
	submit(t, rdb, "j")
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	check(t, rdb, cfg.File)
	if n := rdb.Exists(t.Context(), lockKey).Val(); n != 0 {
		t.Error("the lock is still held")
	}
	if err := Follow(t.Context(), Config{}); err == nil {
		t.Error("an empty Config was taken")
	}
}

// What the file has goes after Keep; what it does not have stays, however old it is.
func TestRedisKeepsWhatTheFileDoesNotHave(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		ctx := t.Context()
		f := newFollower(rdb)
		f.cfg.File, f.cfg.Keep = filepath.Join(t.TempDir(), "audit.jsonl"), time.Hour
		put := func(job string, age time.Duration) {
			t.Helper()
			id := fmt.Sprintf("%d-5", time.Now().Add(-age).UnixMilli())
			if err := rdb.XAdd(ctx, &redis.XAddArgs{Stream: trailPrefix + job + trailSuffix, ID: id, Values: []any{"entry", `{"job_id":"` + job + `"}`}}).Err(); err != nil {
				t.Fatal(err)
			}
		}
		left := func(job string) int64 { return rdb.XLen(ctx, trailPrefix+job+trailSuffix).Val() }
		for _, age := range []time.Duration{3 * time.Hour, 2 * time.Hour, time.Minute} {
			put("both", age)
		}
		put("gone", 2*time.Hour)
		put("known", 2*time.Hour)
		rdb.HSet(ctx, "unrole:job:{known}", "total", 1)
		f.round(ctx)
		if left("both") != 1 || left("gone") != 0 || left("known") != 0 {
			t.Errorf("%d, %d and %d entries are left", left("both"), left("gone"), left("known"))
		}
		if rdb.Exists(ctx, trailPrefix+"gone"+trailSuffix).Val() != 0 || rdb.HExists(ctx, cursorKey, "gone").Val() || !rdb.HExists(ctx, cursorKey, "known").Val() {
			t.Error("a trail that is over has left something, or one of a job that is known its place")
		}
		data, err := os.ReadFile(f.cfg.File)
		if err != nil || bytes.Count(data, []byte("\n")) != 5 {
			t.Errorf("the file has\n%s%v", data, err)
		}

		// An old entry that the file does not have, behind one that it has.
		put("both", 30*time.Second)
		f.trimmed, f.cfg.Keep = time.Time{}, 10*time.Second
		if err := f.trim(ctx, []string{"both"}); err != nil || left("both") != 1 {
			t.Errorf("%d entries are left, %v", left("both"), err)
		}

		// Not every round looks, and none without the setting.
		f.round(ctx)
		f.swept = time.Time{}
		f.round(ctx)
		if left("both") != 1 {
			t.Error("the next round has looked again")
		}
		f.trimmed, f.cfg.Keep = time.Time{}, 0
		if err := f.trim(ctx, []string{"both"}); err != nil || left("both") != 1 {
			t.Errorf("%d entries are left, %v", left("both"), err)
		}
	})
}
