package ledger

import (
	"context"
	"embed"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/lease"
)

//go:embed lua
var luaFiles embed.FS

// Every script of the ledger, by file in lua/. Those of a job find its keys by name, see lua/keys.lua, and what a fence says.
var (
	approveScript         = ofJob("say", "approve")
	askScript             = ofJob("ask")
	beginScript           = ofJob("say", "begin")
	cancelScript          = ofJob("cancel")
	cancelUsersScript     = ofJob("cancel_users")
	checkedScript         = ofJob("checked")
	claimScript           = ofJob("claim")
	createScript          = ofJob("create")
	createWholeScript     = ofJob("say", "create_whole")
	dropScript            = ofJob("drop")
	endAskedScript        = ofJob("end_asked")
	eraseScript           = ofJob("erase")
	eraseTrailScript      = ofJob("erase_trail")
	expireScript          = ofJob("expire")
	learnScript           = ofJob("learn")
	letterActScript       = ofJob("record_letter_act")
	noteAskedScript       = ofJob("note_asked")
	plannedScript         = ofJob("say", "planned")
	putPartsScript        = ofJob("put_parts")
	putVerdictsScript     = ofJob("put_verdicts")
	putVerificationScript = ofJob("put_verification")
	restScript            = ofJob("rest")
	restoredByScript      = ofJob("restored_by")
	settleScript          = ofJob("settle")
	splitScript           = ofJob("split")
	submittedScript       = ofJob("submitted")
	takeAskedScript       = ofJob("take_asked")
	toldScript            = ofJob("told")
	trimScript            = ofJob("trim")

	admitScript = redis.NewScript(lua("admit"))
	tidyScript  = redis.NewScript(lua("tidy"))
	wordScript  = redis.NewScript(lua("say") + lua("word"))
)

func ofJob(names ...string) *redis.Script {
	source := lease.FenceLua + lua("keys")
	for _, name := range names {
		source += lua(name)
	}
	return redis.NewScript(source)
}

func lua(name string) string {
	text, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err)
	}
	return string(text)
}

// trip sends commands in one round trip, in their order; add adds them. Where Redis does not have one of the scripts among them,
// they are all sent once more with those loaded: a pipeline cannot fall back to EVAL by itself.
func (l *Ledger) trip(ctx context.Context, add func(redis.Pipeliner), scripts ...*redis.Script) error {
	send := func() error {
		_, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			add(p)
			return nil
		})
		return err
	}
	err := send()
	if !redis.HasErrorPrefix(err, "NOSCRIPT") {
		return err
	}
	for _, s := range scripts {
		if err := loadEverywhere(ctx, l.rdb, s); err != nil {
			return err
		}
	}
	return send()
}

// loadEverywhere loads a script on every master.
func loadEverywhere(ctx context.Context, rdb redis.UniversalClient, s *redis.Script) error {
	if c, ok := rdb.(*redis.ClusterClient); ok {
		return c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return s.Load(ctx, node).Err() })
	}
	return s.Load(ctx, rdb).Err()
}
