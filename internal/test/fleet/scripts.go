package fleet

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"sync"

	luajson "github.com/alicebob/miniredis/v2/gopher-json"
	"github.com/alicebob/miniredis/v2/server"
	lua "github.com/yuin/gopher-lua"
	luaparse "github.com/yuin/gopher-lua/parse"
)

// scripts executes the scripts of a store. miniredis makes a Lua state for each execution, which took half of the time of a
// history; this one is made once. A script can leave nothing in it: global names are refused, as Redis does.
type scripts struct {
	store *store
	state *lua.LState
	known map[string]string // by hash

	// What a command of a script is answered, and how it is written and read: made once, since a buffer of 4 KB for each took long.
	said   bytes.Buffer
	writer *bufio.Writer
	reader *bufio.Reader
	peer   *server.Peer
}

// compiled are the scripts of all histories.
var compiled sync.Map // text → *lua.FunctionProto

func newScripts(s *store) *scripts {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	for name, open := range map[string]lua.LGFunction{lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
		lua.StringLibName: lua.OpenString, lua.MathLibName: lua.OpenMath} {
		state.Push(state.NewFunction(open))
		state.Push(lua.LString(name))
		state.Call(1, 0)
	}
	luajson.Loader(state)
	state.SetGlobal("cjson", state.Get(-1))
	state.Pop(1)
	sc := &scripts{store: s, state: state, known: map[string]string{}}
	sc.writer, sc.reader = bufio.NewWriter(&sc.said), bufio.NewReader(&sc.said)
	sc.peer = server.NewPeer(sc.writer)
	state.SetGlobal("redis", state.SetFuncs(state.NewTable(), map[string]lua.LGFunction{
		"call":         func(l *lua.LState) int { return sc.call(l, true) },
		"pcall":        func(l *lua.LState) int { return sc.call(l, false) },
		"error_reply":  func(l *lua.LState) int { return reply(l, "err") },
		"status_reply": func(l *lua.LState) int { return reply(l, "ok") },
	}))
	refuse := func(l *lua.LState) int {
		l.RaiseError("Script attempted to access nonexistent global variable '%s'", l.ToString(2))
		return 0
	}
	state.SetMetatable(state.G.Global, state.SetFuncs(state.NewTable(), map[string]lua.LGFunction{"__index": refuse, "__newindex": refuse}))
	return sc
}

// run executes EVAL and EVALSHA, and keeps the scripts of SCRIPT LOAD; false for any other command.
func (sc *scripts) run(peer *server.Peer, command []string) bool {
	var text string
	switch strings.ToLower(command[0]) {
	case "eval":
		text = command[1]
		sc.known[sha1Of(text)] = text
	case "evalsha":
		var known bool
		if text, known = sc.known[command[1]]; !known {
			peer.WriteError("NOSCRIPT No matching script. Please use EVAL.")
			return true
		}
	case "script":
		if !strings.EqualFold(command[1], "load") {
			return false
		}
		sc.known[sha1Of(command[2])] = command[2]
		peer.WriteBulk(sha1Of(command[2]))
		return true
	default:
		return false
	}
	keys, err := strconv.Atoi(command[2])
	if err != nil || keys < 0 || 3+keys > len(command) {
		peer.WriteError("ERR Number of keys can't be greater than number of args")
		return true
	}
	proto, err := compile(text)
	if err != nil {
		peer.WriteError("ERR Error compiling script: " + err.Error())
		return true
	}
	l := sc.state
	l.G.Global.RawSetString("KEYS", list(l, command[3:3+keys]))
	l.G.Global.RawSetString("ARGV", list(l, command[3+keys:]))
	l.Push(l.NewFunctionFromProto(proto))
	if err := l.PCall(0, 1, nil); err != nil {
		peer.WriteError(sc.words(err))
		return true
	}
	answer(peer, l.Get(-1))
	l.Pop(1)
	return true
}

// words are those of an error in the form of Redis 7.
func (*scripts) words(err error) string {
	if e, ok := err.(*lua.ApiError); ok {
		if t, ok := e.Object.(*lua.LTable); ok {
			return t.RawGetString("err").String()
		}
		return "ERR " + e.Object.String()
	}
	return "ERR " + err.Error()
}

// call executes a command for a script. Its error ends the script if it must, or is its result.
func (sc *scripts) call(l *lua.LState, must bool) int {
	args := make([]string, l.GetTop())
	for i := range args {
		switch v := l.Get(i + 1).(type) {
		case lua.LString, lua.LNumber:
			args[i] = v.String()
		default:
			l.RaiseError("Lua redis lib command arguments must be strings or integers")
		}
	}
	sc.store.dispatch(sc.peer, args)
	_ = sc.writer.Flush()
	res, err := server.ParseReply(sc.reader)
	if err == nil {
		err, _ = res.(error)
	}
	if err != nil {
		t := l.NewTable()
		t.RawSetString("err", lua.LString(err.Error()))
		if must {
			l.Error(t, 1)
		}
		l.Push(t)
		return 1
	}
	l.Push(value(l, res))
	return 1
}

func reply(l *lua.LState, field string) int {
	t := l.CreateTable(0, 1)
	t.RawSetString(field, lua.LString(l.CheckString(1)))
	l.Push(t)
	return 1
}

// value is a reply of Redis as Lua sees it.
func value(l *lua.LState, reply any) lua.LValue {
	switch r := reply.(type) {
	case nil:
		return lua.LFalse
	case int:
		return lua.LNumber(r)
	case int64:
		return lua.LNumber(r)
	case string:
		return lua.LString(r)
	case []byte:
		return lua.LString(r)
	case server.Simple:
		t := l.CreateTable(0, 1)
		t.RawSetString("ok", lua.LString(r))
		return t
	case []any:
		t := l.CreateTable(len(r), 0)
		for i, e := range r {
			t.RawSetInt(i+1, value(l, e))
		}
		return t
	}
	panic(fmt.Sprintf("a reply of the type %T", reply))
}

// answer writes what a script returned.
func answer(peer *server.Peer, v lua.LValue) {
	switch v := v.(type) {
	case lua.LNumber:
		peer.WriteInt(int(v))
	case lua.LString:
		peer.WriteBulk(string(v))
	case lua.LBool:
		if v {
			peer.WriteInt(1)
		} else {
			peer.WriteNull()
		}
	case *lua.LTable:
		if e, ok := v.RawGetString("err").(lua.LString); ok {
			peer.WriteError(string(e))
			return
		}
		if s, ok := v.RawGetString("ok").(lua.LString); ok {
			peer.WriteInline(string(s))
			return
		}
		n := 0
		for v.RawGetInt(n+1) != lua.LNil {
			n++
		}
		peer.WriteLen(n)
		for i := range n {
			answer(peer, v.RawGetInt(i+1))
		}
	default:
		peer.WriteNull()
	}
}

func list(l *lua.LState, values []string) *lua.LTable {
	t := l.CreateTable(len(values), 0)
	for i, v := range values {
		t.RawSetInt(i+1, lua.LString(v))
	}
	return t
}

func compile(text string) (*lua.FunctionProto, error) {
	if p, ok := compiled.Load(text); ok {
		return p.(*lua.FunctionProto), nil
	}
	chunk, err := luaparse.Parse(strings.NewReader(text), "script")
	if err != nil {
		return nil, err
	}
	p, err := lua.Compile(chunk, "script")
	if err != nil {
		return nil, err
	}
	p.IsVarArg &^= lua.VarArgNeedsArg // no script of Redis has arguments in "arg", and a table for them is made at each start
	compiled.Store(text, p)
	return p, nil
}

func sha1Of(text string) string {
	sum := sha1.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}
