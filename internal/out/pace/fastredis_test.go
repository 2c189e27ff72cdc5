package pace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"
)

// fastRedis runs the pacer's script in this process, compiled once, with a clock that the test sets: what the model
// needs to drive tens of thousands of calls in a second. What it knows of Redis is the few commands the script uses.
type fastRedis struct {
	t     testing.TB
	now   time.Time
	hash  map[string]map[string]string
	state *lua.LState
	main  *lua.FunctionProto
}

func newFastRedis(t testing.TB) (*fastRedis, *redis.Client) {
	chunk, err := parse.Parse(strings.NewReader(luaState+luaControl+luaAnswer+luaOps), "pace.lua")
	if err != nil {
		t.Fatal(err)
	}
	proto, err := lua.Compile(chunk, "pace.lua")
	if err != nil {
		t.Fatal(err)
	}
	f := &fastRedis{t: t, hash: map[string]map[string]string{}, state: lua.NewState(), main: proto}
	t.Cleanup(f.state.Close)
	f.state.SetGlobal("redis", f.state.SetFuncs(f.state.NewTable(), map[string]lua.LGFunction{
		"call": f.call, "pcall": f.call,
		"error_reply": func(l *lua.LState) int {
			l.RaiseError("%s", l.CheckString(1))
			return 0
		},
	}))
	f.state.SetGlobal("cjson", f.state.SetFuncs(f.state.NewTable(), map[string]lua.LGFunction{"decode": decodeJSON}))
	rdb := redis.NewClient(&redis.Options{
		DisableIdentity: true,
		Dialer: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("fast redis has no connections")
		},
	})
	t.Cleanup(func() { rdb.Close() })
	rdb.AddHook(f)
	return f, rdb
}

func (f *fastRedis) DialHook(next redis.DialHook) redis.DialHook { return next }
func (f *fastRedis) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (f *fastRedis) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		args := cmd.Args()
		switch name := cmd.Name(); name {
		case "evalsha":
			cmd.(*redis.Cmd).SetVal(f.eval(args[3:5], args[5:]))
		case "hget":
			cmd.(*redis.StringCmd).SetVal(f.hash[args[1].(string)][args[2].(string)])
		default:
			f.t.Errorf("fast redis does not know %s", name)
		}
		return nil
	}
}

func (f *fastRedis) eval(keys, argv []any) any {
	f.state.SetGlobal("KEYS", f.list(keys))
	f.state.SetGlobal("ARGV", f.list(argv))
	f.state.Push(f.state.NewFunctionFromProto(f.main))
	if err := f.state.PCall(0, 1, nil); err != nil {
		f.t.Fatalf("script: %v", err)
	}
	v := f.state.Get(-1)
	f.state.Pop(1)
	return fromLua(v)
}

func (f *fastRedis) list(values []any) *lua.LTable {
	out := f.state.NewTable()
	for _, v := range values {
		out.Append(lua.LString(fmt.Sprint(v)))
	}
	return out
}

func fromLua(v lua.LValue) any {
	switch v := v.(type) {
	case lua.LNumber:
		return int64(v)
	case lua.LString:
		return string(v)
	case *lua.LTable:
		var out []any
		v.ForEach(func(_, e lua.LValue) { out = append(out, fromLua(e)) })
		return out
	}
	return nil
}

func (f *fastRedis) call(l *lua.LState) int {
	arg := func(i int) string { return l.Get(i).String() }
	h := f.hash[arg(2)]
	if h == nil {
		h = map[string]string{}
		f.hash[arg(2)] = h
	}
	switch name := arg(1); name {
	case "TIME":
		us := f.now.UnixMicro()
		l.Push(f.list([]any{us / 1e6, us % 1e6}))
	case "HGETALL":
		var flat []any
		for _, k := range slices.Sorted(maps.Keys(h)) {
			flat = append(flat, k, h[k])
		}
		l.Push(f.list(flat))
	case "HGET":
		v, found := h[arg(3)]
		if !found {
			l.Push(lua.LFalse)
			break
		}
		l.Push(lua.LString(v))
	case "HSET":
		for i := 3; i < l.GetTop(); i += 2 {
			h[arg(i)] = arg(i + 1)
		}
		l.Push(lua.LNumber(0))
	case "HDEL":
		for i := 3; i <= l.GetTop(); i++ {
			delete(h, arg(i))
		}
		l.Push(lua.LNumber(0))
	case "HINCRBY":
		had, _ := strconv.Atoi(h[arg(3)])
		by, _ := strconv.Atoi(arg(4))
		h[arg(3)] = strconv.Itoa(had + by)
		l.Push(lua.LNumber(0))
	case "PUBLISH":
		l.Push(lua.LNumber(0))
	default:
		l.RaiseError("fast redis does not know %s", name)
	}
	return 1
}

// decodeJSON reads what the pacer sends: a list of objects of numbers and strings.
func decodeJSON(l *lua.LState) int {
	var list []map[string]any
	if err := json.Unmarshal([]byte(l.CheckString(1)), &list); err != nil {
		l.RaiseError("%v", err)
	}
	out := l.NewTable()
	for _, o := range list {
		t := l.NewTable()
		for k, v := range o {
			switch v := v.(type) {
			case float64:
				t.RawSetString(k, lua.LNumber(v))
			case string:
				t.RawSetString(k, lua.LString(v))
			}
		}
		out.Append(t)
	}
	l.Push(out)
	return 1
}
