package ledger

import (
	"embed"

	"github.com/redis/go-redis/v9"
)

//go:embed lua
var luaFiles embed.FS

// Every script of the ledger, by file in lua/. Those of a job find its keys by name, see lua/keys.lua.
var (
	approveScript         = redis.NewScript(lua("keys") + lua("say") + lua("approve"))
	askScript             = ofJob("ask")
	beginScript           = redis.NewScript(lua("keys") + lua("say") + lua("begin"))
	cancelScript          = ofJob("cancel")
	cancelUsersScript     = ofJob("cancel_users")
	checkedScript         = ofJob("checked")
	claimScript           = ofJob("claim")
	createScript          = ofJob("create")
	dropScript            = ofJob("drop")
	endAskedScript        = ofJob("end_asked")
	eraseScript           = ofJob("erase")
	eraseTrailScript      = ofJob("erase_trail")
	expireScript          = ofJob("expire")
	learnScript           = ofJob("learn")
	letterActScript       = ofJob("record_letter_act")
	noteAskedScript       = ofJob("note_asked")
	plannedScript         = redis.NewScript(lua("keys") + lua("say") + lua("planned"))
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

func ofJob(name string) *redis.Script { return redis.NewScript(lua("keys") + lua(name)) }

func lua(name string) string {
	text, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err)
	}
	return string(text)
}
