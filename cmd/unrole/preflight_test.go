package main

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"

	"github.com/unrole/unrole/internal/out/dingtalk"
)

// Lookups go through Redis and to DingTalk: who reads the error has to know which of the two is away.
func TestAnErrorOfALookSaysWhetherItIsRedis(t *testing.T) {
	away := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	dingTalk := &dingtalk.Error{Class: dingtalk.ClassBusy, Op: "gettoken", Err: away}
	for want, err := range map[string]error{
		"Redis is not reachable: nothing listens there; start it, or set REDIS_URL": fmt.Errorf("index of the directory: find: %w", away),
		"no such role":   errors.New("no such role"),
		dingTalk.Error(): dingTalk,
	} {
		if got := whyUnseen(err).Error(); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}
