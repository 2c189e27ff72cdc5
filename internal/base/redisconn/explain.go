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
)

// explain turns the first error of a connection into one sentence that says what is wrong and what to do.
func (t *Target) explain(err error) error {
	if sentence := t.byReply(err.Error()); sentence != "" {
		return unusablef("redis at %s %s", t, sentence)
	}
	return unusablef("redis at %s %s", t, t.byNetwork(err))
}

// replies lists what Redis, Sentinel and go-redis answer, the more particular first.
var replies = []struct{ contains, sentence string }{
	{"WRONGPASS", "refuses the user name or password: correct them in REDIS_URL"},
	{"invalid password", "refuses the password: correct it in REDIS_URL"},
	{"NOAUTH", "wants a password: put it into REDIS_URL, as in redis://:PASSWORD@host:6379/0"},
	{"without any password configured", "has no password, but REDIS_URL has one: take it out"},
	{"NOPERM", "does not let this user run what unrole needs: give it at least ~* &* +@all -@dangerous +info (ACL SETUSER)"},
	{"LOADING", "is still loading its data: try again in a moment"},
	{"MASTERDOWN", "is a replica that lost its master: point REDIS_URL at the master"},
	{"cluster support disabled", "is not a cluster: write the scheme redis:// in REDIS_URL"},
	{"cluster has no nodes", "is a cluster without a usable node: see CLUSTER INFO there"},
	{"CLUSTERDOWN", "is a cluster that is down: see CLUSTER INFO there"},
	{"DB index is out of range", "does not have that database number: use a smaller one at the end of REDIS_URL, or /0"},
	{"DENIED Redis is running in protected mode", "is in protected mode and takes connections from its own machine only: set a password there and in REDIS_URL"},
	{"max number of clients", "has no connection left: raise its maxclients"},
	{"MISCONF", "cannot write its data to disk and takes no writes: see its log"},
	{"OOM", "is out of memory: raise its maxmemory"},
	{"all sentinels specified in configuration are unreachable", "is not known: no Sentinel there answers, or none knows that master; check the addresses and ?master= in REDIS_URL"},
	{"first record does not look like a TLS handshake", "does not speak TLS: write the scheme redis:// instead of rediss://"},
}

func (t *Target) byReply(text string) string {
	for _, r := range replies {
		if strings.Contains(text, r.contains) {
			return r.sentence
		}
	}
	return ""
}

func (t *Target) byNetwork(err error) string {
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
		return "shows a certificate of an authority that is not trusted here: name it with ?ca_file= in REDIS_URL"
	case errors.As(err, &hostname):
		return "shows a certificate for another host name: correct the host, or name it with ?server_name= in REDIS_URL"
	case errors.As(err, &invalid), errors.As(err, &verification):
		return "shows a certificate that is not valid: renew it, or name its authority with ?ca_file= in REDIS_URL"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "is not reachable: nothing listens there; start it, or set REDIS_URL"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "is not reachable: there is no route to it; check the address in REDIS_URL and the firewall"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "does not answer: check the address in REDIS_URL and the firewall" + t.tlsHint()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "closes the connection at once: is it a Redis?" + t.tlsHint()
	}
	return "cannot be used: " + err.Error()
}

// tlsHint is for silence and closed connections: that is how a TLS port answers a plain client, and the other way round.
func (t *Target) tlsHint() string {
	if t.tls != nil {
		return "; if it does not speak TLS, write the scheme with redis"
	}
	return "; if it speaks TLS, write the scheme with rediss"
}
