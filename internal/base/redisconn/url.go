package redisconn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Default is the Redis that is meant when nobody names one.
const Default = "redis://127.0.0.1:6379/0"

// Topology says how the addresses of a Target are used.
type Topology string

const (
	Single   Topology = "redis"
	Sentinel Topology = "redis-sentinel"
	Cluster  Topology = "redis-cluster"
)

// Target is a Redis as REDIS_URL names it: where it is and how to log in. It is made by Parse. Printing it in any way
// shows neither user name nor password.
type Target struct {
	topology Topology
	addrs    []string
	db       int
	// socket says that the address is the path of a Unix socket. network is tcp4 or tcp6 where one of them is demanded.
	socket  bool
	network string
	// master is the name Sentinel knows the master by.
	master           string
	user, password   string
	sentinelUser     string
	sentinelPassword string
	tls              *tls.Config
	poolSize         int
}

// Parse reads a Redis URL. The forms are
//
//	redis://[user[:password]@]host[:port][/db]
//	redis-sentinel://[user[:password]@]host[:port][,host…][/db]?master=NAME[&sentinel_username=U&sentinel_password=P]
//	redis-cluster://[user[:password]@]host[:port][,host…]
//	unix://[user[:password]@]/path/of/socket[?db=N]
//
// and the same with valkey instead of redis, and with rediss or valkeys for TLS, then also with ?ca_file=, cert_file=,
// key_file=, server_name= and skip_verify=true. What platforms and other clients write is understood too: ?db=N,
// ?ssl_cert_reqs=required|none|optional (none is skip_verify), ?family=0|4|6, redis+unix:// and redis:///path/of/socket.
// Every form takes ?pool_size=N. The port is 6379, of a Sentinel 26379, unless given. User name and password are
// percent-encoded. An error says what is wrong and what to write instead, and never shows any part of
// the URL that could belong to a password. No connection is made; certificate files are read.
func Parse(rawURL string) (*Target, error) {
	t, err := parse(strings.TrimSpace(rawURL))
	if err != nil {
		return nil, fmt.Errorf("redis URL: %w", err)
	}
	return t, nil
}

func parse(raw string) (*Target, error) {
	if raw == "" {
		return nil, errors.New("it is empty: write one like " + Default)
	}
	scheme, rest, found := strings.Cut(raw, "://")
	if !found {
		return nil, errors.New("it has no scheme: write one like " + Default)
	}
	t := &Target{}
	scheme = strings.ToLower(scheme)
	if valkey, ok := strings.CutPrefix(scheme, "valkey"); ok {
		scheme = "redis" + valkey
	}
	secure := strings.HasPrefix(scheme, "rediss")
	switch scheme {
	case "redis", "rediss":
		t.topology = Single
	case "redis-sentinel", "rediss-sentinel", "redis+sentinel", "rediss+sentinel":
		t.topology = Sentinel
	case "redis-cluster", "rediss-cluster", "redis+cluster", "rediss+cluster":
		t.topology = Cluster
	case "unix", "redis+unix", "redis-socket", "redis+socket":
		t.topology, t.socket = Single, true
	default:
		return nil, errors.New("its scheme is not one of redis, rediss (with TLS), redis-sentinel, redis-cluster, unix; valkey stands for redis in each")
	}

	before, rawQuery, _ := strings.Cut(rest, "?")
	// A "?" inside a password would make the rest of the password look like parameters.
	if strings.ContainsAny(rawQuery, "@#") || strings.Contains(before, "#") {
		return nil, errPercent
	}
	place := before
	if at := strings.LastIndexByte(before, '@'); at >= 0 {
		place = before[at+1:]
		if err := t.login(before[:at]); err != nil {
			return nil, err
		}
	}
	// redis:///path names no host: a socket, unless what follows is a database number.
	if path, ok := strings.CutPrefix(place, "/"); t.topology == Single && !secure && ok && strings.ContainsFunc(path, notDigit) {
		t.socket = true
	}
	if t.socket {
		if !strings.HasPrefix(place, "/") || strings.HasSuffix(place, "/") {
			return nil, errors.New("a socket is written with its whole path, as in unix:///run/redis/redis.sock")
		}
		path, err := url.PathUnescape(place)
		if err != nil {
			return nil, errPercent
		}
		t.addrs = []string{path}
	} else {
		hosts, db, hasDB := strings.Cut(place, "/")
		if err := t.hosts(hosts); err != nil {
			return nil, err
		}
		if hasDB && db != "" {
			if err := t.database(db); err != nil {
				return nil, err
			}
		}
	}
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, errors.New("what follows the ? is not of the form name=value&name=value, percent-encoded")
	}
	if err := t.parameters(query, secure); err != nil {
		return nil, err
	}
	return t, nil
}

var errPercent = errors.New("a special character (such as @ / : ? # %) in its user name or password must be percent-encoded, for example @ as %40")

func notDigit(r rune) bool { return r < '0' || r > '9' }

func (t *Target) login(info string) error {
	user, password, _ := strings.Cut(info, ":")
	var errUser, errPassword error
	t.user, errUser = url.PathUnescape(user)
	t.password, errPassword = url.PathUnescape(password)
	if errUser != nil || errPassword != nil {
		return errPercent
	}
	return nil
}

func (t *Target) hosts(list string) error {
	port := "6379"
	if t.topology == Sentinel {
		port = "26379"
	}
	for _, part := range strings.Split(list, ",") {
		if part == "" {
			return errors.New("a host is missing: write one like " + Default)
		}
		addr, ok := address(part, port)
		if !ok {
			// The text may be a piece of a password that was not percent-encoded, so it is not shown.
			return errors.New("its host is not of the form name:port or [IPv6]:port; if the password has special characters, percent-encode them (@ as %40, / as %2F)")
		}
		t.addrs = append(t.addrs, addr)
	}
	if t.topology == Single && len(t.addrs) > 1 {
		return errors.New("it names several hosts: the scheme for that is redis-sentinel or redis-cluster")
	}
	return nil
}

// address completes host or host:port to host:port; ok is false where it is neither.
func address(s, defaultPort string) (addr string, ok bool) {
	host, port := s, defaultPort
	switch {
	case strings.HasPrefix(s, "["):
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", false
		}
		host = s[1:end]
		if net.ParseIP(host) == nil {
			return "", false
		}
		switch tail := s[end+1:]; {
		case tail == "":
		case tail[0] == ':':
			port = tail[1:]
		default:
			return "", false
		}
	default:
		if h, p, found := strings.Cut(s, ":"); found {
			host, port = h, p
		}
		if host == "" || strings.ContainsFunc(host, func(r rune) bool { return !hostRune(r) }) {
			return "", false
		}
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", false
	}
	return net.JoinHostPort(host, strconv.FormatUint(n, 10)), true
}

func hostRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_'
}

func (t *Target) database(s string) error {
	n, err := strconv.ParseUint(s, 10, 31)
	switch {
	case err != nil:
		return errors.New("what follows the host must be a database number such as /0; if the password has special characters, percent-encode them (/ as %2F)")
	case t.topology == Cluster && n != 0:
		return errors.New("a Redis Cluster has database 0 only")
	}
	t.db = int(n)
	return nil
}

func (t *Target) parameters(query url.Values, secure bool) error {
	known := []string{"pool_size", "db", "family"}
	if t.topology == Sentinel {
		known = append(known, "master", "sentinel_username", "sentinel_password")
	}
	tlsKnown := []string{"ca_file", "cert_file", "key_file", "server_name", "skip_verify", "ssl_cert_reqs"}
	if secure {
		known = append(known, tlsKnown...)
	}
	for name, values := range query {
		switch {
		case slices.Contains(known, name) && len(values) == 1:
		case slices.Contains(known, name):
			return fmt.Errorf("its parameter %s stands there %d times", name, len(values))
		case slices.Contains(tlsKnown, name):
			return fmt.Errorf("its parameter %s is for TLS: write the scheme with rediss", name)
		case parameterName(name):
			return fmt.Errorf("its parameter %s is not one of %s", name, strings.Join(known, ", "))
		default: // the rest of a password, most likely
			return fmt.Errorf("it has a parameter that is not one of %s", strings.Join(known, ", "))
		}
	}
	if s := query.Get("db"); s != "" {
		before := t.db
		if err := t.database(s); err != nil {
			return err
		}
		if before != 0 && before != t.db {
			return fmt.Errorf("it names two databases, %d and %d", before, t.db)
		}
	}
	switch s := query.Get("family"); s {
	case "", "0": // whatever the host name resolves to
	case "4", "6":
		t.network = "tcp" + s
	default:
		return errors.New("its family is not one of 0, 4, 6")
	}
	if s := query.Get("pool_size"); s != "" {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil || n == 0 {
			return errors.New("its pool_size is not a number of connections between 1 and 65535")
		}
		t.poolSize = int(n)
	}
	if t.topology == Sentinel {
		t.master = query.Get("master")
		t.sentinelUser, t.sentinelPassword = query.Get("sentinel_username"), query.Get("sentinel_password")
		if t.master == "" {
			return errors.New("a Sentinel URL needs the name of the master: add ?master=mymaster")
		}
	}
	if !secure {
		return nil
	}
	return t.secure(query)
}

// parameterName reports whether the name of a parameter may be shown: a piece of a password hardly looks so.
func parameterName(s string) bool {
	return len(s) <= 30 && strings.Contains(s, "_") && !strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && r != '_' }) ||
		slices.Contains(otherClients, s)
}

// otherClients are parameters of other clients, by which whoever copied a URL finds the one that is meant.
var otherClients = []string{"timeout", "protocol", "ssl", "tls", "name", "user", "username", "database", "host", "port", "role", "weight", "type", "charset"}

func (t *Target) secure(query url.Values) error {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: query.Get("server_name")}
	if s := query.Get("skip_verify"); s != "" {
		skip, err := strconv.ParseBool(s)
		if err != nil {
			return errors.New("its skip_verify is neither true nor false")
		}
		cfg.InsecureSkipVerify = skip
	}
	switch strings.ToLower(strings.TrimPrefix(query.Get("ssl_cert_reqs"), "CERT_")) {
	case "", "required":
	case "none", "optional":
		cfg.InsecureSkipVerify = true
	default:
		return errors.New("its ssl_cert_reqs is not one of required, optional, none")
	}
	if file := query.Get("ca_file"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("its ca_file cannot be read: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("its ca_file %s has no certificate in PEM form", file)
		}
	}
	cert, key := query.Get("cert_file"), query.Get("key_file")
	switch {
	case (cert == "") != (key == ""):
		return errors.New("cert_file and key_file go together")
	case cert != "":
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return fmt.Errorf("its cert_file and key_file cannot be used: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	t.tls = cfg
	return nil
}

// Topology says whether the Target is a single Redis, found through Sentinel, or a Cluster.
func (t *Target) Topology() Topology { return t.topology }

// String is the URL without user name, password and parameters, for messages.
func (t *Target) String() string {
	scheme := string(t.topology)
	if t.socket {
		path := strings.ReplaceAll((&url.URL{Path: t.addrs[0]}).EscapedPath(), "@", "%40")
		return "unix://" + path + "?db=" + strconv.Itoa(t.db)
	}
	if t.tls != nil {
		scheme = "rediss" + strings.TrimPrefix(scheme, "redis")
	}
	s := scheme + "://" + strings.Join(t.addrs, ",")
	if t.topology != Cluster {
		s += "/" + strconv.Itoa(t.db)
	}
	return s
}

// GoString is String, so that %#v shows no password either.
func (t *Target) GoString() string { return t.String() }

// Format makes every verb print String.
func (t *Target) Format(f fmt.State, _ rune) { fmt.Fprint(f, t.String()) }
