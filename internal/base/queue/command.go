package queue

import (
	"strings"

	"github.com/redis/go-redis/v9"
)

// kind is what a script of asynq does, as far as a worker has to know.
type kind int

const (
	other kind = iota
	// take moves the next pending task into the hands of a worker.
	take
	// finish moves a task out of the hands of a worker: done, completed, archived, back to pending.
	finish
	// retry does so too, to a later time.
	retry
	// put creates a task.
	put
	// forward makes due tasks pending.
	forward
	// expired lists tasks whose worker asynq gives up.
	expired
	// tidy deletes completed tasks whose time is over.
	tidy
)

// command is one script of asynq on its way to Redis.
type command struct {
	kind       kind
	queue      string
	source     string // of the script, where it is known
	hash       string
	keys, args []any
	active     int // position of the queue's active list among keys, for finish and retry
	completed  int // position of the task among keys where it is completed and stays for a while, else -1
}

// shapes tell asynq's scripts by what their keys are called, in order; the longer ones go on with counters.
var shapes = []struct {
	names string
	kind  kind
}{
	{"pending paused active lease", take},
	{"active lease", finish}, // done, completed, requeued
	{"t active lease archived", finish},
	{"t active lease retry", retry},
	{"t pending", put},
	{"t scheduled", put},
	{"scheduled pending", forward},
	{"retry pending", forward},
	{"lease", expired},
	{"completed", tidy},
}

// completes is how the keys begin of a finish that leaves the task as completed, with its result.
const completes = "active lease completed t "

// parse recognises the scripts of asynq; what is none of them is other.
func parse(cmd redis.Cmder) command {
	args := cmd.Args()
	if name := cmd.Name(); len(args) < 4 || name != "evalsha" && name != "eval" {
		return command{}
	}
	count, _ := args[2].(int)
	if count < 1 || count > len(args)-3 {
		return command{}
	}
	c := command{keys: args[3 : 3+count], args: args[3+count:], active: -1, completed: -1}
	var names strings.Builder
	for i, k := range c.keys {
		full, _ := k.(string)
		rest, ours := strings.CutPrefix(full, "asynq:{")
		queue, name, found := strings.Cut(rest, "}:")
		if !ours || !found || c.queue != "" && c.queue != queue {
			return command{}
		}
		c.queue = queue
		if strings.HasPrefix(name, "t:") {
			name = "t"
		}
		if name == "active" {
			c.active = i
		}
		names.WriteString(name + " ")
	}
	for _, s := range shapes {
		exact := s.kind != finish && s.kind != retry
		if have := names.String(); have == s.names+" " || !exact && strings.HasPrefix(have, s.names+" ") {
			c.kind = s.kind
			break
		}
	}
	if strings.HasPrefix(names.String(), completes) {
		c.completed = strings.Count(completes, " ") - 1
	}
	c.hash, _ = args[1].(string)
	if cmd.Name() == "eval" {
		s := newScript(c.hash)
		c.source, c.hash = s.source, s.hash
	}
	return c
}

// id is the task that a finish or retry is about.
func (c command) id() string {
	if len(c.args) == 0 {
		return ""
	}
	id, _ := c.args[0].(string)
	return id
}
