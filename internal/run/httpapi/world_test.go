package httpapi

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/protect"
	"github.com/unrole/unrole/internal/in/asked"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/test/redistest"
)

// world is an intake of one test. Every exchange with it is checked against openapi.yaml.
type world struct {
	*testing.T
	rdb    *redis.Client
	ledger *ledger.Ledger
	server *httptest.Server
	log    *lockedBuffer
	token  string
	heard  []string // messages to adapters, and what came of them
	// loose leaves requests unchecked, whose bodies the validator cannot read.
	loose bool
}

// newWorld starts an intake with a token; change may adapt its configuration.
func newWorld(t *testing.T, rdb *redis.Client, change func(*Config)) *world {
	t.Helper()
	protected, err := protect.Parse("boss", "666")
	if err != nil {
		t.Fatal(err)
	}
	client, err := enqueue.NewClient(enqueue.Config{Redis: rdb, Protected: protected})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, rdb: rdb, ledger: ledger.New(rdb, 0), log: &lockedBuffer{}}
	token, line, err := NewToken("hr")
	if err != nil {
		t.Fatal(err)
	}
	w.token = token
	cfg := Config{Submitter: client, Asked: &asked.Client{Ledger: w.ledger, Protected: protected}, Ledger: w.ledger, Redis: rdb, Keys: keysOf(t, line), Protected: protected, Log: zerolog.New(w.log)}
	if change != nil {
		change(&cfg)
	}
	api, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.server = httptest.NewServer(api)
	t.Cleanup(w.server.Close)
	return w
}

func memoryWorld(t *testing.T, change func(*Config)) *world {
	t.Helper()
	_, rdb := redistest.Memory(t)
	return newWorld(t, rdb, change)
}

func keysOf(t *testing.T, lines ...string) *Keys {
	t.Helper()
	keys, err := OpenKeys(keysFile(t, lines...), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func keysFile(t *testing.T, lines ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) job(t *testing.T) ledger.Job {
	t.Helper()
	var j ledger.Job
	if err := json.Unmarshal([]byte(a.body), &j); err != nil {
		t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	return j
}

func (a answer) problem(t *testing.T) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("%d %s is no problem document: %v", a.status, a.body, err)
	}
	return p
}

// post submits a body as JSON with the world's token; further headers are key, value, ….
func (w *world) post(body string, headers ...string) answer {
	w.Helper()
	return w.do(http.MethodPost, "/v1/removals", body, append([]string{"Content-Type", "application/json"}, headers...)...)
}

func (w *world) get(path string, headers ...string) answer {
	w.Helper()
	return w.do(http.MethodGet, path, "", headers...)
}

func (w *world) do(method, path, body string, headers ...string) answer {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), method, w.server.URL+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	if w.token != "" {
		req.Header.Set("Authorization", "Bearer "+w.token)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			req.Header.Del(headers[i])
		} else {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	resp, err := w.server.Client().Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	w.check(req, body, resp, got)
	return answer{resp.StatusCode, resp.Header, string(got)}
}

// removal is a body that asks for one role of each user.
func removal(jobID string, users ...string) string {
	b, _ := json.Marshal(map[string]any{"job_id": jobID, "source": "hr", "reason": "left",
		"removals": []any{map[string]any{"user_ids": users, "role_ids": []int{1507113578}}}})
	return string(b)
}

func pointers(p problem) []string {
	var all []string
	for _, f := range p.Errors {
		all = append(all, f.Pointer)
	}
	slices.Sort(all)
	return all
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
