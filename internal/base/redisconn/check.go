package redisconn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Server is what one Redis node says about itself. A field is its zero value where the node does not tell.
type Server struct {
	Addr string
	// Name is Redis, or what else the server calls itself, such as Valkey; Version is its own.
	Name, Version string
	// compatible is the version of Redis whose commands it has.
	compatible string
	// Role is "master" or "slave", in the words of INFO.
	Role string
	// Policy is maxmemory-policy.
	Policy string
	// UsedMemory and MaxMemory are bytes; MaxMemory 0 is no limit, where MemoryKnown.
	UsedMemory, MaxMemory int64
	MemoryKnown           bool
	// AOF and Snapshots say how the data survives a restart; meaningful where PersistenceKnown.
	AOF, Snapshots, PersistenceKnown bool
	ClusterEnabled                   bool
}

// Report is the outcome of a Check: the nodes it saw (of a Cluster: every master), what makes the Redis unusable, and
// what is worth a warning. Problems and Warnings are sentences that say what to do.
type Report struct {
	Servers  []Server
	Problems []string
	Warnings []string
}

// Err is nil when the Redis can be used, else an error with one problem per line.
func (r Report) Err() error {
	if len(r.Problems) == 0 {
		return nil
	}
	return unusablef("%s", strings.Join(r.Problems, "\n"))
}

// Check looks at the Redis behind the client: reachable, logged in, version 6.2 or newer, writable, scripts allowed,
// maxmemory-policy noeviction, append-only file on. It changes nothing there. The error is non-nil where it could not
// look at all (not reachable, wrong password, context ended); it names the remedy and matches ErrUnusable, unless the
// context was ended by the caller.
func Check(ctx context.Context, target *Target, client redis.UniversalClient) (Report, error) {
	limited, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()

	if err := client.Ping(limited).Err(); err != nil {
		if ctx.Err() != nil {
			return Report{}, fmt.Errorf("check redis: %w", context.Cause(ctx))
		}
		return Report{}, target.explain(err)
	}
	var report Report
	servers, err := Servers(limited, client)
	if err != nil {
		report.Warnings = append(report.Warnings, fmt.Sprintf(
			"redis at %s does not let its state be read (INFO), so make sure yourself that maxmemory-policy is noeviction and the append-only file is on", target))
	}
	report.Servers = servers
	for _, s := range servers {
		report.judge(target, s)
	}
	// Scripts fail on a replica or a foreign cluster node too, and then only hide the reason.
	if len(report.Problems) == 0 {
		if err := mayRunScripts(limited, client); err != nil {
			report.Problems = append(report.Problems, target.explain(err).Error())
		}
	}
	return report, nil
}

// mayRunScripts runs scripts that read asynq's keys, one of them a key that it does not declare: a user whose ACL has no
// scripts or not these keys, and a Redis that refuses such scripts, would fail at the first task otherwise.
func mayRunScripts(ctx context.Context, client redis.UniversalClient) error {
	key := "asynq:{doctor}:none"
	if err := client.Eval(ctx, "return redis.call('exists', KEYS[1])", []string{key}).Err(); err != nil {
		return err
	}
	err := undeclaredScript.Eval(ctx, client, []string{key}, key).Err()
	if r, refused := Explain(err); refused && r.Code == "OTHER" {
		return errors.New("undeclared key: " + err.Error()) // whatever its words, it took the other one
	}
	return err
}

// Servers asks every node that takes writes about itself.
func Servers(ctx context.Context, client redis.UniversalClient) ([]Server, error) {
	cluster, ok := client.(*redis.ClusterClient)
	if !ok {
		s, err := info(ctx, client)
		if err != nil {
			return nil, err
		}
		return []Server{s}, nil
	}
	var mu sync.Mutex
	var servers []Server
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		s, err := info(ctx, node)
		s.Addr = node.Options().Addr
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			servers = append(servers, s)
		}
		return err
	})
	return servers, err
}

// RunIDs names the servers that take writes, each from its start to its end: another id is a Redis that was started again, or a
// replica that took its place. It is empty where none of them tells, since INFO is forbidden or hides it. Of a Cluster, a node that
// does not answer before ctx ends is left out.
func RunIDs(ctx context.Context, client redis.UniversalClient) ([]string, error) {
	if cluster, ok := client.(*redis.ClusterClient); ok {
		var mu sync.Mutex
		var ids []string
		asked := make(chan error, 1) // a dial may take longer than ctx
		go func() {
			asked <- cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
				one, err := RunIDs(ctx, node)
				mu.Lock()
				defer mu.Unlock()
				ids = append(ids, one...)
				return err
			})
		}()
		var err error
		select {
		case err = <-asked:
		case <-ctx.Done():
			err = ctx.Err()
		}
		mu.Lock()
		defer mu.Unlock()
		if len(ids) > 0 {
			return slices.Clone(ids), nil
		}
		return nil, err
	}
	fields, err := fieldsOf(ctx, client, "server")
	if r, refused := Explain(err); refused && (r.Code == "NOPERM" || r.Code == "NOCOMMAND" || r.Code == "OTHER") {
		return nil, nil
	}
	if id := fields["run_id"]; id != "" {
		return []string{id}, nil
	}
	return nil, err
}

func info(ctx context.Context, node redis.Cmdable) (Server, error) {
	fields, err := fieldsOf(ctx, node)
	if err != nil {
		return Server{}, err
	}
	s := Server{
		Name: "Redis", Version: fields["redis_version"], compatible: fields["redis_version"],
		Role:           fields["role"],
		Policy:         fields["maxmemory_policy"],
		ClusterEnabled: fields["cluster_enabled"] == "1",
		AOF:            fields["aof_enabled"] == "1",
	}
	if name := fields["server_name"]; name != "" && name != "redis" {
		s.Name = strings.ToUpper(name[:1]) + name[1:]
		if v := fields[name+"_version"]; v != "" {
			s.Version = v
		}
	}
	_, s.PersistenceKnown = fields["aof_enabled"]
	_, s.MemoryKnown = fields["maxmemory"]
	s.UsedMemory, _ = strconv.ParseInt(fields["used_memory"], 10, 64)
	s.MaxMemory, _ = strconv.ParseInt(fields["maxmemory"], 10, 64)
	// Managed services hide parts of INFO or forbid CONFIG; CONFIG is asked only for what INFO does not tell.
	if s.Policy == "" {
		s.Policy = setting(ctx, node, "maxmemory-policy")
	}
	if !s.AOF {
		s.Snapshots = setting(ctx, node, "save") != ""
	}
	return s, nil
}

// fieldsOf is what INFO tells of the sections, of all that it has by default where there are none.
func fieldsOf(ctx context.Context, node redis.Cmdable, sections ...string) (map[string]string, error) {
	text, err := node.Info(ctx, sections...).Result()
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	return fields, err
}

// setting is one value of the node's configuration, empty where it may not be read.
func setting(ctx context.Context, node redis.Cmdable, name string) string {
	values, err := node.ConfigGet(ctx, name).Result()
	if err != nil {
		return ""
	}
	return values[name]
}

func (r *Report) judge(target *Target, s Server) {
	where := target.String()
	if s.Addr != "" {
		where = s.Addr + " of " + where
	}
	problem := func(format string, args ...any) { r.Problems = append(r.Problems, fmt.Sprintf(format, args...)) }
	warning := func(format string, args ...any) { r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...)) }

	if old, known := olderThan(s.compatible, 6, 2); known && old {
		problem("redis at %s is version %s, but unrole needs 6.2 or newer: upgrade it", where, s.compatible)
	}
	if s.Role == "slave" {
		problem("redis at %s is a read-only replica: point REDIS_URL at its master, or use redis-sentinel:// so that the master is found", where)
	}
	if s.ClusterEnabled && target.topology != Cluster {
		problem("redis at %s is a node of a cluster: write the scheme redis-cluster:// in REDIS_URL", where)
	}
	switch {
	case s.Policy == "noeviction":
	case s.Policy != "" && s.MemoryKnown && s.MaxMemory == 0:
		warning("redis at %s has maxmemory-policy %s, which deletes nothing as long as maxmemory is 0: set it to noeviction before that changes", where, s.Policy)
	case s.Policy == "":
		warning("redis at %s does not tell its maxmemory-policy: make sure it is noeviction, else removals get lost when memory is full", where)
	default:
		problem("redis at %s has maxmemory-policy %s, which deletes removals when memory is full: set it to noeviction (CONFIG SET maxmemory-policy noeviction, and in redis.conf; a managed service has it among its settings as maxmemory-policy, eviction policy, data eviction or eviction)", where, s.Policy)
	}
	if s.PersistenceKnown && !s.AOF {
		if s.Snapshots {
			warning("redis at %s has its append-only file off: a crash of Redis loses what came in since its last snapshot; set appendonly yes", where)
		} else {
			warning("redis at %s keeps nothing on disk: a restart of Redis loses every removal that waits; set appendonly yes", where)
		}
	}
	if s.MaxMemory > 0 && s.UsedMemory > s.MaxMemory/10*9 {
		warning("redis at %s uses %d %% of its maxmemory: when it is full, submissions are refused; raise maxmemory", where, s.UsedMemory*100/s.MaxMemory)
	}
}

// olderThan compares a version such as 7.0.15; known is false where it does not look like one.
func olderThan(version string, major, minor int) (old, known bool) {
	a, rest, _ := strings.Cut(version, ".")
	b, _, _ := strings.Cut(rest, ".")
	m, errMajor := strconv.Atoi(a)
	n, errMinor := strconv.Atoi(b)
	if errMajor != nil || errMinor != nil {
		return false, false
	}
	return m < major || m == major && n < minor, true
}
