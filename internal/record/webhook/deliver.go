package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/hibiken/asynq"
)

// attemptTimeout bounds one attempt, the answer included.
const attemptTimeout = 15 * time.Second

// refusedError is an answer that is no success.
type refusedError struct {
	status int
	after  time.Duration // what the receiver's Retry-After asks for; 0 if it does not
}

func (e *refusedError) Error() string {
	switch {
	case e.status >= 300 && e.status < 400:
		return fmt.Sprintf("the receiver answered %d: redirects are not followed, configure the address it points to", e.status)
	default:
		return fmt.Sprintf("the receiver answered %d %s", e.status, http.StatusText(e.status))
	}
}

// deliver makes one attempt. A receiver that answers 410 Gone wants no more of the message; every other failure is
// tried again.
func (n *Notifier) deliver(ctx context.Context, t *asynq.Task) error {
	var e envelope
	if err := json.Unmarshal(t.Payload(), &e); t.Type() != TypeFinished || err != nil {
		return fmt.Errorf("this is no message of unrole's: %w", asynq.SkipRetry)
	}
	err := n.send(ctx, e)
	retried, _ := asynq.GetRetryCount(ctx)
	log := n.log.With().Str("message", e.ID).Int("attempt", retried+1).Logger()
	var refused *refusedError
	switch {
	case err == nil:
		log.Info().Msg("told that the job ended")
	case errors.As(err, &refused) && refused.status == http.StatusGone:
		log.Warn().Msg("the receiver answered 410 Gone; the message is dropped")
		return fmt.Errorf("%w: %w", err, asynq.SkipRetry)
	case retried >= len(n.cfg.Backoff):
		log.Error().Err(err).Msg("the end of the job could not be told; the message is in the archive of queue webhook")
	default:
		log.Warn().Err(err).Msg("the end of the job could not be told yet; it is tried again")
	}
	return err
}

func (n *Notifier) send(ctx context.Context, e envelope) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.cfg.URL, bytes.NewReader(e.Body))
	if err != nil {
		return errors.New("the configured address cannot be called")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", n.cfg.UserAgent)
	Sign(req.Header, n.cfg.Secrets, e.ID, time.Now(), e.Body)
	resp, err := n.http.Do(req)
	if err != nil {
		// A *url.Error shows the URL, whose query may hold a token.
		var urlErr *url.Error
		if errors.As(err, &urlErr) {
			err = urlErr.Err
		}
		return fmt.Errorf("the receiver could not be reached: %w", err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return nil
	}
	refused := &refusedError{status: resp.StatusCode}
	refused.after = retryAfter(resp.Header, time.Now())
	return refused
}

// maxRetryAfter bounds what a receiver may ask for.
const maxRetryAfter = 30 * 24 * time.Hour

// retryAfter is how long a receiver that answered at now asks to be left alone, by a number of seconds or a date; 0 if it does not.
// A date is of the receiver's clock: where that is behind ours, the longer wait counts.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if s, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Duration(min(max(s, 0), int64(maxRetryAfter/time.Second))) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	after := at.Sub(now)
	if theirs, err := http.ParseTime(h.Get("Date")); err == nil {
		after = max(after, at.Sub(theirs))
	}
	return min(max(after, 0), maxRetryAfter)
}

// asynqRounds is how much earlier than asked asynq may run a task again: it keeps the second, and drops what is beyond it.
const asynqRounds = time.Second

// retryDelay follows the backoff, or waits for as long as the receiver asks if that is longer, and never less.
func (n *Notifier) retryDelay(retried int, err error, _ *asynq.Task) time.Duration {
	if len(n.cfg.Backoff) == 0 {
		return time.Minute
	}
	d := n.cfg.Backoff[min(retried, len(n.cfg.Backoff)-1)]
	var refused *refusedError
	if errors.As(err, &refused) {
		d = max(d, refused.after+asynqRounds)
	}
	return d
}

// newHTTPClient returns a client that follows no redirect.
func newHTTPClient(transport http.RoundTripper) *http.Client {
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// newTransport is the network, by which nobody is led to this machine by a name: an address
// that is configured as a name and resolves to loopback or link-local (where clouds keep their credentials) is not
// called. Whoever means such an address writes it as an IP address or localhost. A proxy of the environment is used,
// and does its own resolving.
func newTransport(u *url.URL) *http.Transport {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u})
	_, literal := netip.ParseAddr(u.Hostname())
	if proxy == nil && err == nil && literal != nil && u.Hostname() != "localhost" {
		dialer := &net.Dialer{Timeout: 5 * time.Second, Control: outside}
		transport.DialContext = dialer.DialContext
	}
	return transport
}

// outside refuses a connection to this machine or its link; address is what a name resolved to.
func outside(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return errors.New("its name resolved to no address")
	}
	ip := ap.Addr().Unmap()
	if ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() || ip.IsMulticast() {
		return fmt.Errorf("its name resolves to %s, which is this machine or its link: write the address itself if you mean it", ip)
	}
	return nil
}
