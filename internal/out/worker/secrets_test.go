package worker

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	reports "github.com/unrole/unrole/internal/record/report"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
)

// eavesdropper notes every token that travels to DingTalk.
type eavesdropper struct {
	mu     sync.Mutex
	tokens map[string]bool
}

func (e *eavesdropper) RoundTrip(r *http.Request) (*http.Response, error) {
	if token := r.URL.Query().Get("access_token"); token != "" {
		e.mu.Lock()
		e.tokens[token] = true
		e.mu.Unlock()
	}
	return http.DefaultTransport.RoundTrip(r)
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func TestNoSecretIsWrittenAnywhere(t *testing.T) {
	rdb := redistest.Start(t).Client()
	w := newWorld(t, rdb, simulator.Options{Seed: 3, BadUsers: []string{"u005"}, Busy: 0.1, DropBefore: 0.05, DropAfter: 0.05,
		ProxyPages: 0.05, Truncated: 0.05, TokenTTL: 50 * time.Millisecond, TokenAnnounced: time.Hour, Shape: simulator.Shape(3)})
	var log lockedBuffer
	w.config.Log = zerolog.New(&log).Level(zerolog.TraceLevel)
	heard := &eavesdropper{tokens: map[string]bool{}}
	w.transport = heard
	users, roles := names("u", 400), roleIDs(20)
	w.grant(users, roles)
	stop := w.work()
	w.submit("noisy", users, roles)
	w.until(func() bool { return w.sim.Stats().Removals >= 5 })
	for _, fault := range []simulator.FaultKind{simulator.FaultPermission, simulator.FaultToken, simulator.FaultUnreachable} {
		calls := w.sim.Stats().Calls
		w.sim.Fail(fault, 0)
		w.until(func() bool { return w.sim.Stats().Calls > calls+2 })
		w.sim.Recover()
	}
	w.finished("noisy")
	stop()

	var everything strings.Builder
	everything.WriteString(log.String())
	if err := reports.CSV(t.Context(), w.ledger, "noisy", &everything, reports.Options{}); err != nil {
		t.Fatal(err)
	}
	dump(t, rdb, &everything)
	if len(heard.tokens) < 2 || !strings.Contains(everything.String(), "u005") {
		t.Fatalf("the run was not noisy enough: %d tokens", len(heard.tokens))
	}
	for token := range heard.tokens {
		if strings.Contains(everything.String(), token) {
			t.Errorf("the token %s was written", token)
		}
	}
	if strings.Contains(everything.String(), w.sim.AppSecret) {
		t.Error("the app secret was written")
	}
}

// dump writes every key and value of the database.
func dump(t *testing.T, rdb *redis.Client, out *strings.Builder) {
	t.Helper()
	ctx := context.Background()
	for _, key := range redistest.Keys(t, rdb) {
		out.WriteString(key + "\n")
		var values []any
		switch kind := rdb.Type(ctx, key).Val(); kind {
		case "string":
			values = append(values, rdb.Get(ctx, key).Val())
		case "hash":
			for k, v := range rdb.HGetAll(ctx, key).Val() {
				values = append(values, k, v)
			}
		case "list":
			for _, v := range rdb.LRange(ctx, key, 0, -1).Val() {
				values = append(values, v)
			}
		case "set":
			for _, v := range rdb.SMembers(ctx, key).Val() {
				values = append(values, v)
			}
		case "zset":
			for _, v := range rdb.ZRange(ctx, key, 0, -1).Val() {
				values = append(values, v)
			}
		case "stream":
			for _, m := range rdb.XRange(ctx, key, "-", "+").Val() {
				for k, v := range m.Values {
					values = append(values, k, v)
				}
			}
		default:
			t.Fatalf("key %s is a %s, which this test cannot read", key, kind)
		}
		for _, v := range values {
			out.WriteString(v.(string) + "\n")
		}
	}
}
