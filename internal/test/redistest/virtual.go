package redistest

import (
	"context"
	"net"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// Virtual is an in-memory Redis in the virtual time of a testing/synctest bubble, which it has to be made in. Each client is one of a
// process of its own.
func Virtual(t testing.TB) (newClient func() *redis.Client) {
	t.Helper()
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true)
	t.Cleanup(m.Close)
	return func() *redis.Client {
		c := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379", DisableIdentity: true, // the address is resolved, and nobody dials it
			Dialer: func(context.Context, string, string) (net.Conn, error) { return m.Dial() }})
		t.Cleanup(func() { c.Close() })
		return c
	}
}
