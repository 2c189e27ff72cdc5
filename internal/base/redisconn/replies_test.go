package redisconn

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// replies are what servers answer, with the code that they are to be known by.
var replies = map[string]string{
	"OOM command not allowed when used memory > 'maxmemory'.":                                               "OOM",
	"READONLY You can't write against a read only replica.":                                                 "READONLY",
	"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.":      "MISCONF",
	"NOREPLICAS Not enough good replicas to write.":                                                         "NOREPLICAS",
	"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.":                      "MASTERDOWN",
	"LOADING Redis is loading the dataset in memory":                                                        "LOADING",
	"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.":                "BUSY",
	"NOAUTH Authentication required.":                                                                       "NOAUTH",
	"WRONGPASS invalid username-password pair or user is disabled.":                                         "WRONGPASS",
	"NOPERM this user has no permissions to run the 'evalsha' command":                                      "NOPERM",
	"NOPERM No permissions to access a key":                                                                 "NOPERM",
	"CLUSTERDOWN The cluster is down":                                                                       "CLUSTERDOWN",
	"TRYAGAIN Multiple keys request during rehashing of slot":                                               "TRYAGAIN",
	"ERR max number of clients reached":                                                                     "MAXCLIENTS",
	"ERR max daily request limit exceeded. Limit: 10000, Usage: 10000. See https://example.com for details": "LIMIT",
	"ERR DB index is out of range":                                                                          "NODATABASE",
	"ERR unknown command 'evalsha', with args beginning with:":                                              "NOCOMMAND",
	"ERR script tried accessing undeclared key":                                                             "KEYS",
	"WRONGTYPE Operation against a key holding the wrong kind of value":                                     "OTHER",
	"ERR something that nobody has ever seen":                                                               "OTHER",
	"UNKILLABLE Sorry the script already executed write commands against the dataset.":                      "OTHER",
}

type reply string

func (r reply) Error() string { return string(r) }
func (r reply) RedisError()   {}

func TestEveryReplyIsKnownInEveryForm(t *testing.T) {
	for text, want := range replies {
		for form, err := range map[string]error{
			"plain":      reply(text),
			"wrapped":    fmt.Errorf("settle part BUSY:0: %w", reply(text)),
			"of Redis 6": reply("ERR Error running script (call to f_6c1f3ea9): @user_script:7: @user_script: 7: -" + text),
			"of Redis 7": reply(text + " script: 6c1f3ea9, on @user_script:7."),
			"of asynq":   errors.New("rdb.Dequeue: UNKNOWN: redis eval error: " + text),
		} {
			r, refused := Explain(err)
			if !refused || r.Code != want {
				t.Errorf("%s, %s: got %q (%t), want %q", text, form, r.Code, refused, want)
			}
			if r.Says == "" || strings.Contains(r.Says, "\n") || strings.Contains(r.Says, text) {
				t.Errorf("%s: says %q", text, r.Says)
			}
		}
	}
}

func TestAnswersAreNoRefusals(t *testing.T) {
	for _, err := range []error{nil, redis.Nil, context.Canceled, reply("NOSCRIPT No matching script. Please use EVAL."),
		reply("MOVED 3999 127.0.0.1:6381"), reply("NOT FOUND"), errors.New("rdb.Done: NOT_FOUND: redis eval error: NOT FOUND"),
		redis.ErrClosed, errors.New("no job x: it was never submitted here"),
		reply("BUSYGROUP Consumer Group name already exists"),
		reply("STALELEAD another worker takes the tasks by now"), reply("ERR Error running script (call to f_6c1f3ea9): @user_script:3: STALELEAD another worker takes the tasks by now")} {
		if r, refused := Explain(err); refused {
			t.Errorf("%v: taken for %q", err, r.Code)
		}
	}
}
