package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

func TestTheSignatureIsTheStandardsOwn(t *testing.T) {
	// The example of the Standard Webhooks specification and its libraries.
	secret, err := ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	at := time.Unix(1614265330, 0)
	body := []byte(`{"test": 2432232314}`)
	Sign(h, []Secret{secret}, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body)
	if got, want := h.Get(HeaderSignature), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	m, err := ReadHeader(h, at.Add(Tolerance))
	if err != nil || !m.SignedBy(secret, body) || m.SignedBy(secret, append(body, ' ')) {
		t.Errorf("%+v %v", m, err)
	}
	for _, now := range []time.Time{at.Add(Tolerance + time.Second), at.Add(-Tolerance - time.Second)} {
		if _, err := ReadHeader(h, now); err == nil || !strings.Contains(err.Error(), "check the clocks") {
			t.Errorf("received at %s: %v", now, err)
		}
	}
}

func TestDuringARotationEitherSecretVerifies(t *testing.T) {
	secrets, err := ParseSecrets(NewSecretText() + "\n" + NewSecretText())
	if err != nil || len(secrets) != 2 {
		t.Fatal(secrets, err)
	}
	h := http.Header{}
	now := time.Now()
	Sign(h, secrets, "m", now, nil)
	m, err := ReadHeader(h, now)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := ParseSecret(NewSecretText())
	if !m.SignedBy(secrets[0], nil) || !m.SignedBy(secrets[1], nil) || m.SignedBy(other, nil) {
		t.Error("want both secrets, and no other one, to verify")
	}
	for _, bad := range []string{"", "whsec_", "abc", "whsec_!!", "whsec_c2hvcnQ="} {
		if _, err := ParseSecrets(bad); err == nil {
			t.Errorf("%q is taken for a secret", bad)
		}
	}
}

// received is one message as the other side got it.
type received struct {
	id   string
	body message
}

// receiver is the other side: it verifies, and answers with the statuses given, the last one again and again.
func receiver(t *testing.T, secret Secret, statuses ...int) (*httptest.Server, chan received) {
	t.Helper()
	got := make(chan received, 10)
	calls := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		m, err := ReadHeader(r.Header, time.Now())
		if err != nil || !m.SignedBy(secret, body) {
			t.Errorf("the signature does not verify: %v", err)
		}
		var msg message
		if err := json.Unmarshal(body, &msg); err != nil {
			t.Error(err)
		}
		status := statuses[min(calls, len(statuses)-1)]
		calls++
		if status/100 == 3 {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
		got <- received{m.ID, msg}
	}))
	t.Cleanup(s.Close)
	return s, got
}

// job makes a job of one pair; end brings it to its end.
func job(t *testing.T, l *ledger.Ledger, id string) (end func()) {
	t.Helper()
	ctx := t.Context()
	part := tasks.Part{JobID: id, Part: "0", UserIDs: []string{"u"}, RoleIDs: []int64{1}}
	if _, err := l.Create(ctx, ledger.NewJob{JobID: id, Source: "hr", CreatedAt: time.Now(), Pairs: 1, Content: "c", Plan: "p", Parts: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.PutParts(ctx, id, "p", []tasks.Part{part}); err != nil {
		t.Fatal(err)
	}
	if err := l.Planned(ctx, id, "p", 1); err != nil {
		t.Fatal(err)
	}
	return func() {
		claims, err := l.Claim(ctx, ledger.Request{Part: &part, Lane: tasks.QueueDefault})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Settle(ctx, claims[0], ledger.Settlement{Outcome: ledger.Outcome{Kind: ledger.Removed, At: time.Now()}}); err != nil {
			t.Fatal(err)
		}
	}
}

func notifier(t *testing.T, rdb *redis.Client, url string, change func(*Config)) (*Notifier, Secret) {
	t.Helper()
	secret, err := ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Redis: rdb, Ledger: ledger.New(rdb, 0), URL: url, Secrets: []Secret{secret}, Interval: 20 * time.Millisecond,
		Backoff: []time.Duration{time.Second}}
	if change != nil {
		change(&cfg)
	}
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return n, secret
}

// run runs the notifier until the test ends.
func run(t *testing.T, n *Notifier) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func next(t *testing.T, from chan received) received {
	t.Helper()
	select {
	case r := <-from:
		return r
	case <-time.After(20 * time.Second):
		t.Fatal("no message came")
		return received{}
	}
}

func TestTheEndOfAJobIsToldUntilTheOtherSideTakesIt(t *testing.T) {
	// A real Redis: the turn of the processes needs keys that expire.
	rdb := redistest.Start(t).Client()
	secret, _ := ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	other, got := receiver(t, secret, http.StatusInternalServerError, http.StatusNoContent)
	n, _ := notifier(t, rdb, other.URL, nil)
	end := job(t, n.cfg.Ledger, "j1")
	if err := n.Look(t.Context()); err != nil { // what ends from now on is told
		t.Fatal(err)
	}
	run(t, n)
	end()
	first := next(t, got)
	if first.body.Type != EventFinished || first.body.Data.JobID != "j1" || first.body.Data.State != ledger.StateCompleted || first.body.Data.Pairs.Removed != 1 {
		t.Errorf("%+v", first)
	}
	if again := next(t, got); again.id != first.id {
		t.Errorf("the second try has another id: %s, %s", first.id, again.id)
	}
}

func TestAnEndIsATaskOnceAndAgainWhenTheJobEndsAgain(t *testing.T) {
	_, rdb := redistest.Memory(t)
	n, _ := notifier(t, rdb, "http://127.0.0.1:1", func(c *Config) { c.FullInterval = time.Nanosecond })
	waiting := func(look bool) int {
		t.Helper()
		if look {
			if err := n.Look(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		pending, err := n.cfg.Redis.LLen(t.Context(), "asynq:{"+Queue+"}:pending").Result()
		if err != nil {
			t.Fatal(err)
		}
		return int(pending)
	}
	end := job(t, n.cfg.Ledger, "before")
	end()
	if err := n.cfg.Redis.Set(t.Context(), sinceKey, time.Now().UnixMicro(), 0).Err(); err != nil {
		t.Fatal(err)
	}
	end = job(t, n.cfg.Ledger, "j")
	if got := waiting(true); got != 0 {
		t.Errorf("%d messages before any end", got)
	}
	end()
	for range 2 {
		if got := waiting(true); got != 1 {
			t.Errorf("%d messages, want 1: neither what ended before anybody asked, nor the same end twice", got)
		}
	}
	// Another process, which knows nothing yet.
	second, _ := notifier(t, rdb, "http://127.0.0.1:1", nil)
	if err := second.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := waiting(false); got != 1 {
		t.Errorf("%d messages after another process looked, want 1", got)
	}
	// What a replayed dead letter does to the record.
	later := time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000000Z07:00")
	if err := rdb.HSet(t.Context(), "unrole:job:{j}", "finished_at", later).Err(); err != nil {
		t.Fatal(err)
	}
	if got := waiting(true); got != 2 {
		t.Errorf("%d messages after the job ended again, want 2", got)
	}
}

func TestNeitherRedirectsNorInwardNamesAreFollowed(t *testing.T) {
	_, rdb := redistest.Memory(t)
	secret, _ := ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	other, got := receiver(t, secret, http.StatusTemporaryRedirect)
	n, _ := notifier(t, rdb, other.URL+"/?token=s3cret", nil)
	err := n.send(t.Context(), envelope{ID: "m", Body: []byte(`{}`)})
	if err == nil || !strings.Contains(err.Error(), "redirects are not followed") {
		t.Error(err)
	}
	if len(got) != 1 {
		t.Errorf("%d calls, want only the configured one", len(got))
	}
	other.Close()
	if err := n.send(t.Context(), envelope{ID: "m", Body: []byte(`{}`)}); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("%v, want an error without the address's query", err)
	}
	for address, ok := range map[string]bool{"127.0.0.1:80": false, "[::1]:80": false, "169.254.169.254:80": false, "[fe80::1]:80": false,
		"0.0.0.0:80": false, "[::ffff:127.0.0.1]:80": false, "10.1.2.3:443": true, "93.184.216.34:443": true} {
		if err := outside("tcp", address, nil); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestTheReceiversRetryAfterIsHeeded(t *testing.T) {
	_, rdb := redistest.Memory(t)
	n, _ := notifier(t, rdb, "http://127.0.0.1:1", func(c *Config) { c.Backoff = []time.Duration{time.Second, time.Minute} })
	for _, c := range []struct {
		retried int
		err     error
		want    time.Duration
	}{
		{0, io.EOF, time.Second}, {1, io.EOF, time.Minute}, {9, io.EOF, time.Minute},
		// A second more, since asynq drops what is beyond the second.
		{0, &refusedError{status: 503, after: 2 * time.Minute}, 2*time.Minute + time.Second},
		{0, &refusedError{status: 503, after: 99 * time.Hour}, 99*time.Hour + time.Second},
	} {
		if got := n.retryDelay(c.retried, c.err, asynq.NewTask(TypeFinished, nil)); got != c.want {
			t.Errorf("after %d tries, %v: %s, want %s", c.retried, c.err, got, c.want)
		}
	}
	var total time.Duration
	for _, d := range DefaultBackoff {
		total += d
	}
	if total < 23*time.Hour || total > 25*time.Hour {
		t.Errorf("the retries last %s, want about a day", total)
	}
}

func TestRetryAfterIsANumberOrADateByEitherClock(t *testing.T) {
	now := time.Date(2026, 12, 31, 10, 0, 0, 500e6, time.UTC)
	at := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, c := range []struct {
		retry, date string
		want        time.Duration
	}{
		{"120", "", 2 * time.Minute}, {"-5", "", 0}, {"soon", "", 0}, {"", "", 0}, {"99999999999", "", maxRetryAfter},
		{at(2 * time.Minute), "", 2*time.Minute - 500*time.Millisecond},
		{at(-time.Minute), "", 0},
		// The receiver's clock is a minute slow: it means two minutes.
		{at(time.Minute), at(-time.Minute), 2 * time.Minute},
		// Its clock is fast: by ours it is later.
		{at(3 * time.Minute), at(time.Minute), 3*time.Minute - 500*time.Millisecond},
	} {
		if got := retryAfter(http.Header{"Retry-After": {c.retry}, "Date": {c.date}}, now); got != c.want {
			t.Errorf("%s at %s: %s, want %s", c.retry, c.date, got, c.want)
		}
	}
}

func TestMessagesThatWaitAreListedAndSentAgain(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		secret, _ := ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
		other, got := receiver(t, secret, http.StatusTeapot, http.StatusTeapot, http.StatusNoContent)
		n, _ := notifier(t, rdb, other.URL, func(c *Config) { c.Backoff = []time.Duration{time.Millisecond} })
		l := n.cfg.Ledger
		waiting := NewWaiting(rdb)
		if list, err := waiting.List(); err != nil || len(list) != 0 {
			t.Fatalf("before: %v %v", list, err)
		}
		if err := n.Look(t.Context()); err != nil { // what ended before is history
			t.Fatal(err)
		}
		job(t, l, "told")()
		run(t, n)
		<-got
		<-got
		var list []Undelivered
		for len(list) == 0 || list[0].State != "archived" { // its last attempt is being written
			var err error
			if list, err = waiting.List(); err != nil {
				t.Fatal(err)
			}
		}
		if m := list[0]; len(list) != 1 || m.JobID != "told" || m.Attempts != 2 || !strings.Contains(m.LastError, "418") || m.Next != nil {
			t.Errorf("%+v", list)
		}
		var none *NotWaitingError
		if err := waiting.Retry("nobody.finished.1"); !errors.As(err, &none) {
			t.Error("a message that does not wait was sent again")
		}
		if err := waiting.Retry(list[0].ID); err != nil {
			t.Fatal(err)
		}
		if m := <-got; m.id != list[0].ID {
			t.Errorf("another message: %+v", m)
		}
		for len(list) > 0 { // until its success is written
			var err error
			if list, err = waiting.List(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
