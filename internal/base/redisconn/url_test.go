package redisconn

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
)

func TestParseReadsEveryForm(t *testing.T) {
	type want struct {
		Kind                       Topology
		Addrs                      []string
		DB, Pool                   int
		User, Password             string
		Master, SentUser, SentPass string
		TLS, Skip                  bool
		Socket                     bool
		Network, ServerName, Shown string
	}
	for url, w := range map[string]want{
		"redis://127.0.0.1:6379/0": {Kind: Single, Addrs: []string{"127.0.0.1:6379"}, Shown: "redis://127.0.0.1:6379/0"},
		"redis://redis":            {Kind: Single, Addrs: []string{"redis:6379"}, Shown: "redis://redis:6379/0"},
		" REDIS://redis/3\n":       {Kind: Single, Addrs: []string{"redis:6379"}, DB: 3, Shown: "redis://redis:6379/3"},
		"redis://:s3cret@redis:7000/2?pool_size=9": {Kind: Single, Addrs: []string{"redis:7000"}, DB: 2, Pool: 9,
			Password: "s3cret", Shown: "redis://redis:7000/2"},
		"redis://unrole:p%40ss%2Fw%3A%23@[::1]:6380": {Kind: Single, Addrs: []string{"[::1]:6380"}, User: "unrole",
			Password: "p@ss/w:#", Shown: "redis://[::1]:6380/0"},
		"redis://u:a@b/c@redis": {Kind: Single, Addrs: []string{"redis:6379"}, User: "u", Password: "a@b/c",
			Shown: "redis://redis:6379/0"},
		"rediss://redis:6380?server_name=r.example.com&skip_verify=true": {Kind: Single, Addrs: []string{"redis:6380"},
			TLS: true, Skip: true, ServerName: "r.example.com", Shown: "rediss://redis:6380/0"},
		"redis-sentinel://u:p@s1,s2:26380/1?master=mymaster&sentinel_username=su&sentinel_password=sp%40": {Kind: Sentinel,
			Addrs: []string{"s1:26379", "s2:26380"}, DB: 1, User: "u", Password: "p", Master: "mymaster",
			SentUser: "su", SentPass: "sp@", Shown: "redis-sentinel://s1:26379,s2:26380/1"},
		"rediss-cluster://u:p@c1:7000,c2:7001,c3/0": {Kind: Cluster, Addrs: []string{"c1:7000", "c2:7001", "c3:6379"},
			User: "u", Password: "p", TLS: true, Shown: "rediss-cluster://c1:7000,c2:7001,c3:6379"},
		"valkey://redis":                {Kind: Single, Addrs: []string{"redis:6379"}, Shown: "redis://redis:6379/0"},
		"valkeys-sentinel://s?master=m": {Kind: Sentinel, Addrs: []string{"s:26379"}, Master: "m", TLS: true, Shown: "rediss-sentinel://s:26379/0"},
		"valkeys://:pw@redis:6380?ssl_cert_reqs=CERT_NONE": {Kind: Single, Addrs: []string{"redis:6380"}, Password: "pw", TLS: true, Skip: true,
			Shown: "rediss://redis:6380/0"},
		"redis://redis?db=4&family=6":           {Kind: Single, Addrs: []string{"redis:6379"}, DB: 4, Network: "tcp6", Shown: "redis://redis:6379/4"},
		"redis://redis/4?db=4&family=0":         {Kind: Single, Addrs: []string{"redis:6379"}, DB: 4, Shown: "redis://redis:6379/4"},
		"unix:///run/redis/a%40b.sock?db=2":     {Kind: Single, Addrs: []string{"/run/redis/a@b.sock"}, DB: 2, Socket: true, Shown: "unix:///run/redis/a%40b.sock?db=2"},
		"redis://:pw@/run/redis.sock":           {Kind: Single, Addrs: []string{"/run/redis.sock"}, Password: "pw", Socket: true, Shown: "unix:///run/redis.sock?db=0"},
		"redis+unix://u:pw@/run/redis.sock":     {Kind: Single, Addrs: []string{"/run/redis.sock"}, User: "u", Password: "pw", Socket: true, Shown: "unix:///run/redis.sock?db=0"},
		"rediss://redis?ssl_cert_reqs=required": {Kind: Single, Addrs: []string{"redis:6379"}, TLS: true, Shown: "rediss://redis:6379/0"},
	} {
		t.Run(url, func(t *testing.T) {
			target, err := Parse(url)
			if err != nil {
				t.Fatal(err)
			}
			got := want{Kind: target.Topology(), Addrs: target.addrs, DB: target.db, Pool: target.poolSize,
				User: target.user, Password: target.password, Master: target.master,
				Socket: target.socket, Network: target.network, SentUser: target.sentinelUser, SentPass: target.sentinelPassword, Shown: target.String()}
			if target.tls != nil {
				got.TLS, got.Skip, got.ServerName = true, target.tls.InsecureSkipVerify, target.tls.ServerName
			}
			if diff := cmp.Diff(w, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestClientTakesUserNameAndDatabaseAlong(t *testing.T) {
	target, err := Parse("redis://unrole:secret@127.0.0.1:6379/3")
	if err != nil {
		t.Fatal(err)
	}
	client := target.MakeRedisClient().(*redis.Client)
	defer client.Close()
	if o := client.Options(); o.Username != "unrole" || o.Password != "secret" || o.DB != 3 {
		t.Errorf("got user %q, password %q, database %d", o.Username, o.Password, o.DB)
	}
	cluster, err := Parse("redis-cluster://unrole:secret@127.0.0.1:7000")
	if err != nil {
		t.Fatal(err)
	}
	node := cluster.MakeRedisClient().(*redis.ClusterClient)
	defer node.Close()
	if o := node.Options(); o.Username != "unrole" || o.Password != "secret" || o.ClusterStateReloadInterval != topologyAge {
		t.Errorf("got user %q, password %q, topology of %v", o.Username, o.Password, o.ClusterStateReloadInterval)
	}
}

func TestBadURLIsOneSentenceWithoutThePassword(t *testing.T) {
	const secret = "Tr0ub4dor"
	for url, want := range map[string]string{
		"":                                                   "it is empty",
		"127.0.0.1:6379":                                     "it has no scheme",
		"http://u:" + secret + "@h":                          "its scheme is not one of",
		"redis://":                                           "a host is missing",
		"redis://u:" + secret + "@":                          "a host is missing",
		"redis://u:" + secret + "@h:x":                       "its host is not of the form",
		"redis://u:" + secret + "@h:0":                       "its host is not of the form",
		"redis://u:" + secret + "@h:70000":                   "its host is not of the form",
		"redis://u:" + secret + "@[::1":                      "its host is not of the form",
		"redis://u:" + secret + "@[nope]:1":                  "its host is not of the form",
		"redis://u:" + secret + "@h/x":                       "database number",
		"redis://u:" + secret + "@h/-1":                      "database number",
		"redis://u:" + secret + "@h,i":                       "several hosts",
		"redis://u:" + secret + "%zz@h":                      "percent-encoded",
		"redis://u:" + secret + "#x@h":                       "percent-encoded",
		"redis://u:" + secret + "?x@h":                       "percent-encoded",
		"redis://u:" + secret + "/x":                         "percent-encode",
		"redis://u:" + secret + "@h?" + secret + "=1":        "a parameter that is not one of",
		"redis://u:" + secret + "@h?skip_verify=true":        "is for TLS",
		"rediss://u:" + secret + "@h?skip_verify=x":          "neither true nor false",
		"rediss://u:" + secret + "@h?ca_file=/no/file":       "ca_file cannot be read",
		"rediss://u:" + secret + "@h?cert_file=/c":           "go together",
		"redis://u:" + secret + "@h?pool_size=0":             "pool_size is not",
		"redis://u:" + secret + "@h?pool_size=1&pool_size=2": "2 times",
		"redis://u:" + secret + "@h?a;b":                     "percent-encoded",
		"redis-sentinel://u:" + secret + "@h":                "add ?master=",
		"redis://u:" + secret + "@h?decode_responses=true":   "its parameter decode_responses is not one of pool_size, db, family",
		"redis://u:" + secret + "@h?ssl_cert_reqs=none":      "ssl_cert_reqs is for TLS",
		"rediss://u:" + secret + "@h?ssl_cert_reqs=maybe":    "not one of required, optional, none",
		"redis://u:" + secret + "@h/1?db=2":                  "two databases, 1 and 2",
		"redis://u:" + secret + "@h?family=5":                "not one of 0, 4, 6",
		"unix://u:" + secret + "@run/redis.sock":             "whole path",
		"redis-cluster://u:" + secret + "@h/1":               "database 0 only",
	} {
		t.Run(url, func(t *testing.T) {
			_, err := Parse(url)
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.HasPrefix(err.Error(), "redis URL: ") || !strings.Contains(err.Error(), want) {
				t.Errorf("got %q, want it to contain %q", err, want)
			}
			if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "\n") {
				t.Errorf("shows the password or has several lines: %q", err)
			}
		})
	}
}

func TestTargetNeverPrintsItsPassword(t *testing.T) {
	target, err := Parse("redis-sentinel://name:Tr0ub4dor@h?master=m&sentinel_password=Tr0ub4dor")
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, v := range []any{target, struct{ T *Target }{target}} {
			if s := fmt.Sprintf(verb, v); strings.Contains(s, "Tr0ub4dor") || strings.Contains(s, "name") {
				t.Errorf("%s: %s", verb, s)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"redis://127.0.0.1:6379/0", "rediss://u:p%40@h:1/2?skip_verify=1&pool_size=3", "redis-cluster://a,b:7000,[::1]:9/0",
		"redis-sentinel://u:p@h/1?master=m&sentinel_password=x", "redis://:a@b@c/0", "unix:///a%20b?db=3", "valkey://u:p@/a/b.sock", "redis://h?x", "redis://[", "redis://h:/",
		"redis://u:p?q@h", "redis://%00@h", "://", "redis://,",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, url string) {
		// Certificate files of the machine are no business of the fuzzer.
		if strings.Contains(url, "_file") {
			t.Skip()
		}
		target, err := Parse(url)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: several lines: %q", url, err)
			}
			// Whatever the password is, the error must be the same.
			if i := strings.Index(url, "://"); i >= 0 && len(url) > i+30 && strings.Contains(err.Error(), url[i+3:]) {
				t.Errorf("%q: shown in the error: %q", url, err)
			}
			return
		}
		if len(target.addrs) == 0 {
			t.Errorf("%q: no address", url)
		}
		// What is shown is a URL of the same place.
		shown := target.String()
		if target.topology == Sentinel {
			shown += "?master=m"
		}
		again, err := Parse(shown)
		if err != nil {
			t.Fatalf("%q is shown as %q: %v", url, shown, err)
		}
		if again.String() != target.String() || again.topology != target.topology || again.db != target.db {
			t.Errorf("%q is shown as %q, which is %q", url, shown, again)
		}
	})
}
