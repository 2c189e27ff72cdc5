// Package redisconn turns REDIS_URL into a Redis client that unrole and asynq share, and says in words why a Redis
// cannot be used.
package redisconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/rs/zerolog"
)

const dialTimeout = 5 * time.Second

// checkTimeout bounds Open: a host that swallows packets is reported after this, not after every retry.
const checkTimeout = 10 * time.Second

// Open parses the URL, connects and checks the Redis behind it (see Check). The caller closes the client. Warnings are
// sentences for a person; with an error there is no client.
func Open(ctx context.Context, rawURL string) (client redis.UniversalClient, warnings []string, err error) {
	target, err := Parse(rawURL)
	if err != nil {
		return nil, nil, err
	}
	client = target.Client()
	report, err := Check(ctx, target, client)
	if err == nil {
		err = report.Err()
	}
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	return client, report.Warnings, nil
}

// Client returns a new client of the Redis; it connects when it is first used. It gives up a command after 3 retries
// within some seconds, honours the deadline of a context, and is safe for concurrent use. Its concrete type is
// *redis.Client (single, Sentinel) or *redis.ClusterClient, which asynq and asynqmon look at.
func (t *Target) Client() redis.UniversalClient {
	pool := t.poolSize
	if pool == 0 {
		// A worker has far more handlers than processors, and each settles its part within the same moment.
		pool = max(32, 10*runtime.GOMAXPROCS(0))
	}
	options := &redis.UniversalOptions{
		Addrs: t.addrs, DB: t.db, Username: t.user, Password: t.password, TLSConfig: t.tls,
		MasterName: t.master, SentinelUsername: t.sentinelUser, SentinelPassword: t.sentinelPassword,
		IsClusterMode: t.topology == Cluster,

		PoolSize:    pool,
		DialTimeout: dialTimeout, DialerRetries: 1,
		ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, ContextTimeoutEnabled: true,
		MaxRetries: 3, MinRetryBackoff: 50 * time.Millisecond, MaxRetryBackoff: time.Second,

		// Neither is understood by every Redis that unrole supports, and a refusal costs a round trip per connection.
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if t.network != "" {
		options.Dialer = t.dial
	}
	if t.socket {
		single := options.Simple()
		single.Network = "unix"
		return redis.NewClient(single)
	}
	if t.topology != Cluster {
		return redis.NewUniversalClient(options)
	}
	cluster := options.Cluster()
	cluster.ClusterStateReloadInterval = topologyAge
	return redis.NewClusterClient(cluster)
}

// dial connects by the demanded kind of address only.
func (t *Target) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, KeepAlive: 5 * time.Minute}
	if network == "tcp" {
		network = t.network
	}
	if t.tls == nil {
		return d.DialContext(ctx, network, addr)
	}
	secured := t.tls.Clone()
	if secured.ServerName == "" {
		secured.ServerName, _, _ = net.SplitHostPort(addr)
	}
	return (&tls.Dialer{NetDialer: &d, Config: secured}).DialContext(ctx, network, addr)
}

// topologyAge is how old a client's picture of a Cluster may be. A master that is dead, and refuses connections, gives no
// redirection to its successor: by default the client would call it for a minute (measured: the fleet stood still for 59 to
// 118 s, with this for 3 to 6).
const topologyAge = 2 * time.Second

// MakeRedisClient makes Target an asynq.RedisConnOpt. (asynq.ParseRedisURI would drop the ACL user name.)
func (t *Target) MakeRedisClient() any { return t.Client() }

// LogTo sends what go-redis reports by itself (a lost connection, a failover) to the logger at debug level instead of
// to the process's stderr. It is process-wide: call it once at start.
func LogTo(logger zerolog.Logger) { redis.SetLogger(redisLog{logger}) }

type redisLog struct{ logger zerolog.Logger }

func (l redisLog) Printf(_ context.Context, format string, args ...any) {
	l.logger.Debug().Str("component", "redis").Msg(fmt.Sprintf(format, args...))
}

// ErrUnusable is wrapped by every error of Open and Check that tells why the Redis cannot be used, as against an
// interrupted context.
var ErrUnusable = errors.New("redis cannot be used")

type unusable struct{ sentence string }

func (e *unusable) Error() string        { return e.sentence }
func (e *unusable) Is(target error) bool { return target == ErrUnusable }

func unusablef(format string, args ...any) error {
	return &unusable{fmt.Sprintf(format, args...)}
}
