package redisconn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// Refusal is why Redis did not do what it was asked, as against an answer.
type Refusal struct {
	// Code names the kind, in Redis's own word where it has one: OOM, READONLY, NOAUTH; UNREACHABLE for a failed
	// connection; OTHER for a reply that is in no table. It stays the same between versions.
	Code string
	// Says goes on after "Redis" or "redis at ADDRESS": what is wrong, and what to do.
	Says string
}

// refusals are the replies of Redis, Sentinel and go-redis that refuse any command of their kind until something
// changes, the more particular first. A word in capitals is found at the beginning of the reply or behind what wraps
// it: before version 7 Redis answers the error of a command in a script as "ERR Error running script (call to f_…):
// @user_script:1: -OOM command not allowed …", and asynq passes on texts only.
var refusals = []struct{ word, code, says string }{
	{"WRONGPASS", "WRONGPASS", "refuses the user name or password: correct them in REDIS_URL"},
	{"invalid password", "WRONGPASS", "refuses the password: correct it in REDIS_URL"},
	{"NOAUTH", "NOAUTH", "wants a password: put it into REDIS_URL, as in redis://:PASSWORD@host:6379/0"},
	{"without any password configured", "NOPASSWORD", "has no password, but REDIS_URL has one: take it out"},
	{"NOPERM", "NOPERM", "does not let this user do what unrole needs: unrole doctor names what is missing"},
	{"user executing the script can't", "NOPERM", "does not let this user do what unrole needs: unrole doctor names what is missing"},
	{"LOADING", "LOADING", "is still loading its data: it ends by itself"},
	{"BUSY", "BUSY", "is kept busy by somebody's script: it ends by itself, or by SCRIPT KILL there"},
	{"MASTERDOWN", "MASTERDOWN", "is a replica that lost its master: point REDIS_URL at the master"},
	{"NOREPLICAS", "NOREPLICAS", "has fewer replicas than min-replicas-to-write demands and takes no writes: bring them back"},
	{"READONLY", "READONLY", "is a read-only replica: point REDIS_URL at its master, or use redis-sentinel:// so that the master is found"},
	{"MISCONF", "MISCONF", "cannot write its data to disk and takes no writes: see its log"},
	{"OOM", "OOM", "is out of memory and takes no writes: raise its maxmemory"},
	{"max daily request limit exceeded", "LIMIT", "takes no more requests today (the plan's limit): raise the plan"},
	{"max requests limit exceeded", "LIMIT", "takes no more requests (the plan's limit): raise the plan"},
	{"cluster support disabled", "NOCLUSTER", "is not a cluster: write the scheme redis:// in REDIS_URL"},
	{"cluster has no nodes", "CLUSTERDOWN", "is a cluster without a usable node: see CLUSTER INFO there"},
	{"CLUSTERDOWN", "CLUSTERDOWN", "is a cluster that is down: see CLUSTER INFO there"},
	{"TRYAGAIN", "TRYAGAIN", "is a cluster that is moving these keys just now: it ends by itself"},
	{"DB index is out of range", "NODATABASE", "does not have that database number: use a smaller one at the end of REDIS_URL, or /0"},
	{"DENIED Redis is running in protected mode", "DENIED", "is in protected mode and takes connections from its own machine only: set a password there and in REDIS_URL"},
	{"max number of clients", "MAXCLIENTS", "has no connection left: raise its maxclients"},
	{"all sentinels specified in configuration are unreachable", "NOSENTINEL", "is not known: no Sentinel there answers, or none knows that master; check the addresses and ?master= in REDIS_URL, and ?sentinel_password= where Sentinel wants a password of its own"},
	{"unknown command", "NOCOMMAND", "does not know a command that unrole needs: use Redis or Valkey, 6.2 or newer, and rename no command there"},
	{"undeclared key", "KEYS", scriptKeysRefused},
	{"not declared in KEYS", "KEYS", scriptKeysRefused},
}

const scriptKeysRefused = "refuses scripts whose keys come from arguments, as asynq's do (Dragonfly without --default_lua_flags=allow-undeclared-keys, some proxies): use Redis or Valkey"

// answers are error replies that say something about what was asked and nothing about Redis: of Redis itself, and of
// asynq's scripts with what goes before them (STALELEAD, which no repetition changes).
var answers = []string{"NOSCRIPT", "STALELEAD", "MOVED", "ASK", "BUSYKEY", "BUSYGROUP", "NOGROUP", "EXECABORT", "NOT FOUND", "INTERNAL", "internal error: task id not found",
	"task id not found", "task is not found", "sample size"}

// Explain says why Redis refused a command; refused is false for a success, an answer, the end of the caller's context,
// and errors that are not from Redis or the way there. An error reply that is in no table is a refusal too.
func Explain(err error) (r Refusal, refused bool) {
	if err == nil || errors.Is(err, redis.Nil) || errors.Is(err, context.Canceled) {
		return Refusal{}, false
	}
	text := err.Error()
	for _, a := range answers {
		if says(text, a) {
			return Refusal{}, false
		}
	}
	for _, known := range refusals {
		if says(text, known.word) {
			return Refusal{known.code, known.says}, true
		}
	}
	if sentence := byNetwork(err); sentence != "" {
		return Refusal{"UNREACHABLE", sentence}, true
	}
	var reply redis.Error
	if errors.As(err, &reply) || strings.Contains(text, "redis eval error: ") || strings.Contains(text, "redis command error: ") { // asynq's
		return Refusal{"OTHER", "answers with an error that unrole does not know"}, true
	}
	return Refusal{}, false
}

// says reports whether a reply has the word: one in capitals as a whole word, at its beginning or behind what wraps it.
func says(text, word string) bool {
	if word != strings.ToUpper(word) {
		return strings.Contains(text, word)
	}
	for rest := text; ; {
		i := strings.Index(rest, word)
		if i < 0 {
			return false
		}
		begins := i == 0 || i > 1 && (rest[i-1] == ' ' || rest[i-1] == '-') && strings.HasSuffix(strings.TrimRight(rest[:i], "- "), ":")
		rest = rest[i+len(word):]
		if begins && (rest == "" || rest[0] == ' ') {
			return true
		}
	}
}

// byNetwork is a sentence for an error of the connection, empty for any other.
func byNetwork(err error) string {
	var dns *net.DNSError
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	var network net.Error
	switch {
	case errors.As(err, &dns):
		return "is not found: the host name " + dns.Name + " does not resolve; check it in REDIS_URL"
	case errors.As(err, &authority):
		return "shows a certificate of an authority that is not trusted here: name it with ?ca_file= in REDIS_URL, or trust any with ?skip_verify=true"
	case errors.As(err, &hostname):
		return "shows a certificate for another host name: correct the host, or name it with ?server_name= in REDIS_URL"
	case errors.As(err, &invalid), errors.As(err, &verification):
		return "shows a certificate that is not valid: renew it, or name its authority with ?ca_file= in REDIS_URL"
	case strings.Contains(err.Error(), "first record does not look like a TLS handshake"):
		return "does not speak TLS: write the scheme redis:// instead of rediss://"
	case strings.Contains(err.Error(), "tls: certificate required"), strings.Contains(err.Error(), "tls: bad certificate"):
		return "wants a certificate of its clients: name one with ?cert_file= and ?key_file= in REDIS_URL"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "is not reachable: nothing listens there; start it, or set REDIS_URL"
	case errors.Is(err, syscall.ENOENT):
		return "is not reachable: there is no such socket; start it, or correct its path in REDIS_URL"
	case errors.Is(err, syscall.EACCES):
		return "is not reachable: this user may not open the socket; see unixsocketperm there"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "is not reachable: there is no route to it; check the address in REDIS_URL and the firewall"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, redis.ErrPoolTimeout), errors.As(err, &network) && network.Timeout():
		return "does not answer: check the address in REDIS_URL and the firewall"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "closes the connection at once: is it a Redis?"
	case errors.As(err, &network):
		return "cannot be reached: " + err.Error()
	}
	return ""
}

// explain turns the first error of a connection into one sentence that says what is wrong and what to do.
func (t *Target) explain(err error) error {
	r, refused := Explain(err)
	switch {
	case !refused || r.Code == "OTHER":
		return unusablef("redis at %s cannot be used: %v", t, err)
	case r.Code == "UNREACHABLE" && (strings.HasPrefix(r.Says, "does not answer") || strings.HasPrefix(r.Says, "closes the connection")):
		r.Says += t.tlsHint()
	}
	return unusablef("redis at %s %s", t, r.Says)
}

// tlsHint is for silence and closed connections: that is how a TLS port answers a plain client, and the other way round.
func (t *Target) tlsHint() string {
	if t.tls != nil {
		return "; if it does not speak TLS, write the scheme with redis"
	}
	return "; if it speaks TLS, write the scheme with rediss"
}
