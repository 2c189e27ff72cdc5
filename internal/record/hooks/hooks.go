// Package hooks remembers which jobs the messages of HR systems were made of, so that one sent again makes no second, and one that says
// that somebody stays takes back what others said.
package hooks

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/record/ledger"
)

const (
	// keyPrefix is followed by a digest of the adapter and the person. The hash there has how often it was said that the person stays
	// (stays), when the last message that says when it was sent said so (stayed), and by fields of these prefixes, after how many of
	// those and when each job and each message that somebody stays was said.
	keyPrefix  = "unrole:hook:"
	turnField  = "stays"
	jobPrefix  = "job:"
	saidPrefix = "said:"
	// keptFor is how long after their day somebody is remembered.
	keptFor = 90 * 24 * time.Hour
)

var (
	//go:embed lua/leaves.lua
	leavesLua    string
	leavesScript = redis.NewScript(leavesLua)
	//go:embed lua/stays.lua
	staysLua    string
	staysScript = redis.NewScript(staysLua)
)

// Memory is what Redis has of the people of whom messages told. It is safe for concurrent use.
type Memory struct {
	rdb    redis.UniversalClient
	ledger *ledger.Ledger
}

// New returns the memory in rdb.
func New(rdb redis.UniversalClient, l *ledger.Ledger) *Memory { return &Memory{rdb, l} }

// Said is what a message of an adapter says of somebody.
type Said struct {
	// Adapter and Who name the person, as the system does.
	Adapter, Who string
	// Sent is when the message says that it was sent; zero where it does not.
	Sent time.Time
}

// Leaves remembers a job of somebody who leaves at some time, before it is submitted. back says that a message has taken it back already:
// it must not be made. turn counts how often it was said that they stay, and name says by it what the job's id is made of: as a digest that
// nobody can make without Redis, since it may have a mobile number in it.
func (m *Memory) Leaves(ctx context.Context, said Said, at time.Time, name func(turn int64) string) (jobID string, back bool, err error) {
	key, err := m.key(ctx, said.Adapter, said.Who)
	if err != nil {
		return "", false, err
	}
	turn, err := m.rdb.HGet(ctx, key, turnField).Int64()
	if err == nil || errors.Is(err, redis.Nil) {
		if jobID, err = m.digest(ctx, said.Adapter, "job", name(turn)); err != nil {
			return "", false, err
		}
		jobID = "hook-" + jobID[:40]
		back, err = m.Back(ctx, said, at, jobID)
	}
	if err != nil {
		return "", false, fmt.Errorf("remember whom a message is about: %w", err)
	}
	return jobID, back, nil
}

// Back remembers the job of this id, as Leaves does, and says whether a message has taken it back.
func (m *Memory) Back(ctx context.Context, said Said, at time.Time, jobID string) (back bool, err error) {
	key, err := m.key(ctx, said.Adapter, said.Who)
	if err != nil {
		return false, err
	}
	return leavesScript.Run(ctx, m.rdb, []string{key}, jobPrefix+jobID, millis(said.Sent), kept(at)).Bool()
}

// Stays remembers that somebody stays, and returns the jobs that are taken back by that: those that were made of them before, but for
// what was sent after it. The message of an id (empty: it has none) that comes again takes back what it took back the first time.
func (m *Memory) Stays(ctx context.Context, said Said, id string) (jobIDs []string, err error) {
	key, err := m.key(ctx, said.Adapter, said.Who)
	if err != nil {
		return nil, err
	}
	if id != "" {
		id = fmt.Sprintf("%s%x", saidPrefix, sha256.Sum256([]byte(id)))
	}
	fields, err := staysScript.Run(ctx, m.rdb, []string{key}, id, millis(said.Sent), kept(time.Time{})).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("remember that somebody stays: %w", err)
	}
	for _, field := range fields {
		jobIDs = append(jobIDs, field[len(jobPrefix):])
	}
	return jobIDs, nil
}

// millis is a moment as the scripts take it.
func millis(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return at.UnixMilli()
}

// kept is for how many milliseconds somebody is remembered whose day is at.
func kept(at time.Time) int64 { return (max(time.Until(at), 0) + keptFor).Milliseconds() }

// key names somebody, who may be a mobile number.
func (m *Memory) key(ctx context.Context, adapter, who string) (string, error) {
	digest, err := m.digest(ctx, adapter, who)
	return keyPrefix + digest, err
}

// digest is one of texts that nobody can make without Redis, in 64 digits.
func (m *Memory) digest(ctx context.Context, of ...string) (string, error) {
	secret, err := m.ledger.NamingKey(ctx)
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, secret)
	fmt.Fprint(mac, strings.Join(of, "\x00"))
	return hex.EncodeToString(mac.Sum(nil)), nil
}
