package redisconn

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/test/redistest"
)

func TestMain(m *testing.M) {
	LogTo(zerolog.Nop())
	os.Exit(m.Run())
}

// refused expects an error of Open that contains want, and checks that it is usable as a message.
func refused(t *testing.T, url, want string) {
	t.Helper()
	client, _, err := Open(t.Context(), url)
	if err == nil {
		client.Close()
		t.Fatal("opened")
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("got %q, want it to contain %q", err, want)
	}
	if !errors.Is(err, ErrUnusable) {
		t.Errorf("%v is not ErrUnusable", err)
	}
	if strings.Contains(err.Error(), "Tr0ub4dor") || strings.Contains(err.Error(), "\n") {
		t.Errorf("shows the password or has several lines: %q", err)
	}
}

func TestGoodRedisOpensWithoutWarning(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	client, warnings, err := Open(t.Context(), s.URL())
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v, warnings %q", err, warnings)
	}
	defer client.Close()
	if _, err := asynq.NewClientFromRedisClient(client).Enqueue(asynq.NewTask("x", nil)); err != nil {
		t.Error(err)
	}
}

func TestTargetServesAsynqDirectly(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--requirepass", "Tr0ub4dor")
	target, err := Parse("redis://:Tr0ub4dor@" + s.Addr + "/5")
	if err != nil {
		t.Fatal(err)
	}
	c := asynq.NewClient(target)
	defer c.Close()
	if _, err := c.Enqueue(asynq.NewTask("x", nil)); err != nil {
		t.Fatal(err)
	}
	inspector := asynq.NewInspector(target)
	defer inspector.Close()
	if queues, err := inspector.Queues(); err != nil || len(queues) != 1 {
		t.Errorf("queues %v, %v", queues, err)
	}
}

func TestEveryRefusalSaysWhatToDo(t *testing.T) {
	t.Parallel()
	t.Run("password", func(t *testing.T) {
		t.Parallel()
		s := redistest.Start(t, "--requirepass", "right")
		refused(t, "redis://:Tr0ub4dor@"+s.Addr, "refuses the user name or password: correct them in REDIS_URL")
		refused(t, "redis://"+s.Addr, "wants a password: put it into REDIS_URL")
		refused(t, "redis://:right@"+s.Addr+"/99", "does not have that database number")
		refused(t, "redis-cluster://:right@"+s.Addr, "is not a cluster: write the scheme redis://")
		refused(t, "redis-sentinel://:right@"+s.Addr+"?master=m", "no Sentinel there answers")
	})
	t.Run("user", func(t *testing.T) {
		t.Parallel()
		s := redistest.Start(t)
		admin := s.Client()
		acl := func(args ...any) {
			t.Helper()
			if err := admin.Do(t.Context(), append([]any{"ACL", "SETUSER"}, args...)...).Err(); err != nil {
				t.Fatal(err)
			}
		}
		acl("unrole", "on", ">right", "~*", "&*", "+@all", "-@dangerous", "+info")
		acl("reader", "on", ">right", "~*", "&*", "+@read", "+@connection", "+info")
		acl("blind", "on", ">right", "~*", "&*", "+@all", "-@dangerous", "-info", "-config")

		client, warnings, err := Open(t.Context(), "redis://unrole:right@"+s.Addr)
		if err != nil || len(warnings) > 0 {
			t.Fatalf("%v, warnings %q", err, warnings)
		}
		client.Close()
		refused(t, "redis://unrole:Tr0ub4dor@"+s.Addr, "refuses the user name or password")
		refused(t, "redis://reader:right@"+s.Addr, "does not let this user do what unrole needs")

		client, warnings, err = Open(t.Context(), "redis://blind:right@"+s.Addr)
		if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "make sure yourself that maxmemory-policy is noeviction") {
			t.Fatalf("%v, warnings %q", err, warnings)
		}
		client.Close()
	})
	t.Run("eviction", func(t *testing.T) {
		t.Parallel()
		s := redistest.Start(t, "--maxmemory-policy", "allkeys-lru", "--maxmemory", "1gb")
		refused(t, s.URL(), "has maxmemory-policy allkeys-lru, which deletes removals when memory is full: set it to noeviction")
	})
	t.Run("replica", func(t *testing.T) {
		t.Parallel()
		s := redistest.Start(t, "--replicaof", "127.0.0.1 1")
		refused(t, s.URL(), "is a read-only replica: point REDIS_URL at its master")
	})
	t.Run("cluster node", func(t *testing.T) {
		t.Parallel()
		s := redistest.Start(t, "--cluster-enabled", "yes")
		refused(t, s.URL(), "write the scheme redis-cluster://")
		refused(t, "redis-cluster://"+s.Addr, "is a cluster without a usable node")
	})
	t.Run("nothing there", func(t *testing.T) {
		t.Parallel()
		s := redistest.Start(t)
		s.Kill()
		refused(t, s.URL(), "nothing listens there; start it, or set REDIS_URL")
		refused(t, "redis-cluster://"+s.Addr, "nothing listens there")
		refused(t, "redis-sentinel://"+s.Addr+"?master=m", "no Sentinel there answers")
	})
}

func TestPersistenceOffIsAWarning(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--appendonly", "no")
	warn := func(want string) {
		t.Helper()
		client, warnings, err := Open(t.Context(), s.URL())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if len(warnings) != 1 || !strings.Contains(warnings[0], want) {
			t.Errorf("warnings %q, want %q", warnings, want)
		}
	}
	warn("keeps nothing on disk")
	if err := s.Client().ConfigSet(t.Context(), "save", "60 1").Err(); err != nil {
		t.Fatal(err)
	}
	warn("since its last snapshot; set appendonly yes")
}

func TestAPolicyThatCannotDeleteAnythingIsAWarning(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--maxmemory-policy", "allkeys-lru")
	client, warnings, err := Open(t.Context(), s.URL())
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "as long as maxmemory is 0") {
		t.Fatalf("%v, warnings %q", err, warnings)
	}
	client.Close()
}

func TestASocketIsOpened(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "redis.sock")
	redistest.Start(t, "--unixsocket", path)
	client, _, err := Open(t.Context(), "unix://"+path+"?db=3")
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	refused(t, "unix://"+path+".none", "there is no such socket")
}

func TestFullMemoryIsAWarning(t *testing.T) {
	target, err := Parse(Default)
	if err != nil {
		t.Fatal(err)
	}
	var report Report
	report.judge(target, Server{Version: "7.2.4", Policy: "noeviction", UsedMemory: 95, MaxMemory: 100})
	if len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0], "uses 95 % of its maxmemory") {
		t.Errorf("warnings %q", report.Warnings)
	}
}

func TestClusterIsCheckedNodeByNode(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--cluster-enabled", "yes", "--maxmemory-policy", "volatile-ttl", "--maxmemory", "1gb")
	node := s.Client()
	if err := node.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(s.Addr)
	if err := node.ClusterMeet(t.Context(), host, port).Err(); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(node.ClusterInfo(t.Context()).Val(), "cluster_state:ok") {
		if t.Context().Err() != nil {
			t.Fatal("the cluster did not come up")
		}
	}
	refused(t, "redis-cluster://"+s.Addr, s.Addr+" of redis-cluster://"+s.Addr+" has maxmemory-policy volatile-ttl")
}

func TestOldVersionIsRefused(t *testing.T) {
	for version, want := range map[string]bool{"6.0.16": true, "5.0.14": true, "6.2.0": false, "7.0.15": false, "8.2": false, "10.1.1": false, "": false, "unknown": false} {
		target, _ := Parse(Default)
		var r Report
		r.judge(target, Server{compatible: version, Policy: "noeviction"})
		if got := r.Err() != nil; got != want {
			t.Errorf("version %q: %v", version, r.Err())
		}
	}
}

// A server that takes the connection and says something else than Redis, or nothing.
func foreign(t *testing.T, serve func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return l.Addr().String()
}

func TestForeignServersAreNamed(t *testing.T) {
	t.Parallel()
	closing := foreign(t, func(c net.Conn) { c.Close() })
	refused(t, "redis://"+closing, "closes the connection at once: is it a Redis?; if it speaks TLS, write the scheme with rediss")

	silent := foreign(t, func(c net.Conn) { bufio.NewReader(c).ReadString(0) })
	target, err := Parse("redis://" + silent)
	if err != nil {
		t.Fatal(err)
	}
	client := target.Client()
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := target.explain(client.Ping(ctx).Err()); !strings.Contains(err.Error(), "does not answer") {
		t.Error(err)
	}
	if _, _, err := Open(ctx, "redis://"+silent); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the caller's deadline is not recognised: %v", err)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := selfSigned(t, dir, "redis.example.com")
	addr := freeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	s := redistest.Start(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert, "--tls-auth-clients", "no")

	client, _, err := Open(t.Context(), "rediss://"+addr+"?server_name=redis.example.com&ca_file="+cert)
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	client, _, err = Open(t.Context(), "rediss://"+addr+"?skip_verify=true")
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	refused(t, "rediss://"+addr+"?server_name=redis.example.com", "an authority that is not trusted here: name it with ?ca_file=")
	refused(t, "rediss://"+addr+"?ca_file="+cert, "a certificate for another host name")
	plain, err := Parse("rediss://" + s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	client = plain.Client()
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := plain.explain(client.Ping(ctx).Err()); !strings.Contains(err.Error(), "if it does not speak TLS, write the scheme with redis") {
		t.Error(err)
	}
	refused(t, "redis://"+addr, "if it speaks TLS, write the scheme with rediss")
}

func freeAddr(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func selfSigned(t *testing.T, dir, host string) (cert, key string) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", keyDER)
}

func TestLogOfTheClientGoesToTheLogger(t *testing.T) {
	var out strings.Builder
	redisLog{zerolog.New(&out)}.Printf(t.Context(), "lost %s", "x")
	if !strings.Contains(out.String(), `"component":"redis","message":"lost x"`) {
		t.Error(out.String())
	}
}
