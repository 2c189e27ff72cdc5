package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/run/httpserve"
	"github.com/unrole/unrole/internal/simulator"
)

func (a *app) simulatorCommand() *cobra.Command {
	// A simulator that runs for days must not remember every call.
	opt := simulator.Options{AppKey: simulator.AppKey, AppSecret: simulator.AppSecret, KeepCalls: 10_000}
	var listen, directory string
	cmd := &cobra.Command{
		Use:   "simulator",
		Short: "Run a DingTalk to try against",
		Long: `simulator is a DingTalk stand-in: an HTTP server with an employee directory, tokens, DingTalk's limits and, by flags,
its faults, repeatable by --seed. It runs until Ctrl-C and then says what was called.

The directory comes from a file of the same form as removals: its users exist and hold its roles. Beside NAME.csv
a file NAME.simulator.json may list ids that are refused nevertheless, {"gone_users":["u"],"invalid_roles":[1]}, also
invalid_users, out_of_scope_users and system_roles; and as "company" what the organisation knows of its people and roles:
{"company":{"people":[{"user_id":"u","name":"王芳","mobile":"13800001234","job_number":"00412"}],"roles":[{"id":1,"name":"出纳","group":"财务"}],"left":[…]}}.
Without a directory, every user and role exists whose id has the form of one (--open): names, mobile numbers, totals and what a
spreadsheet spoiled are refused as DingTalk would.`,
		Example: `  unrole simulator
  unrole simulator --directory leavers.csv --limit 20 --busy 0.1 --gone-users 00117 --fault permission=15s@5s`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if directory == "" && !cmd.Flags().Changed("open") {
				opt.Open = true
				opt.UserForm = func(id string) bool { return lists.Plausible(id, 1) }
				opt.RoleForm = func(id int64) bool { return lists.Plausible("u", id) }
			}
			if err := opt.Validate(); err != nil {
				return usageError(cmd, err)
			}
			var pairs *enqueue.Removals
			if directory != "" {
				var err error
				if pairs, err = readDirectory(cmd.Context(), directory, &opt); err != nil {
					return err
				}
			}
			sim := simulator.New(opt)
			if pairs != nil {
				grantAll(sim, pairs, nil)
			}
			return a.serveSimulator(cmd.Context(), sim, listen, opt)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8787", "address to listen on")
	cmd.Flags().StringVar(&directory, "directory", "", "CSV or JSONL file of who holds which roles")
	opt.AddFlags(cmd.Flags())
	return cmd
}

// readDirectory reads who holds which roles, and adds to opt whom the simulator refuses, see addRefusals.
func readDirectory(ctx context.Context, name string, opt *simulator.Options) (*enqueue.Removals, error) {
	file, err := openInput(name)
	if err != nil {
		return nil, exitf(exitUsage, "--directory: %w", err)
	}
	defer file.Close()
	pairs, _, err := readRemovals(ctx, file, lists.Options{Name: name}, nil)
	if err != nil {
		var refused *lists.Refused
		if errors.As(err, &refused) {
			return nil, exitWith(exitUsage, err)
		}
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return pairs, addRefusals(name, opt)
}

// refusals are the ids that DingTalk refuses although the directory has them.
type refusals struct {
	InvalidUsers    []string `json:"invalid_users"`
	GoneUsers       []string `json:"gone_users"`
	OutOfScopeUsers []string `json:"out_of_scope_users"`
	InvalidRoles    []int64  `json:"invalid_roles"`
	SystemRoles     []int64  `json:"system_roles"`
	// Company is what the simulated organisation knows of its people and roles besides.
	Company simulator.Company `json:"company"`
}

// addRefusals adds the refusals of NAME.simulator.json beside the directory NAME.csv, where there is such a file.
func addRefusals(directory string, opt *simulator.Options) error {
	name := strings.TrimSuffix(directory, filepath.Ext(directory)) + ".simulator.json"
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var r refusals
	if err := dec.Decode(&r); err != nil {
		return exitf(exitUsage, "%s: %w", name, err)
	}
	opt.BadUsers = append(opt.BadUsers, r.InvalidUsers...)
	opt.GoneUsers = append(opt.GoneUsers, r.GoneUsers...)
	opt.OutOfScopeUsers = append(opt.OutOfScopeUsers, r.OutOfScopeUsers...)
	opt.BadRoles = append(opt.BadRoles, r.InvalidRoles...)
	opt.SystemRoles = append(opt.SystemRoles, r.SystemRoles...)
	opt.Company = r.Company
	return nil
}

// grantAll puts the users into the directory, with exactly the roles that they are to lose, as far as is allows it; nil
// allows every pair.
func grantAll(sim *simulator.Simulator, pairs *enqueue.Removals, is func(user string, role int64) bool) {
	for u, user := range pairs.Users() {
		for role := range pairs.RolesOf(u) {
			if is == nil || is(user, role) {
				sim.Grant(user, role)
			}
		}
	}
}

// simulatorReady and simulatorStats are the JSON that the simulator prints when it listens and when it ends.
type simulatorReady struct {
	BaseURL     string `json:"base_url"`
	AppKey      string `json:"app_key"`
	AppSecret   string `json:"app_secret"`
	Assignments int    `json:"assignments"`
}

type simulatorStats struct {
	Calls         int            `json:"calls"`
	Removals      int            `json:"removals"`
	ByCode        map[string]int `json:"by_code"`
	RemovedPairs  int            `json:"removed_pairs"`
	Violations    int            `json:"violations"`
	PeakPerSecond int            `json:"peak_per_second"`
	Assignments   int            `json:"assignments_left"`
}

func (a *app) serveSimulator(ctx context.Context, sim *simulator.Simulator, listen string, opt simulator.Options) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	ready := simulatorReady{"http://" + reachable(l.Addr()), opt.AppKey, opt.AppSecret, sim.Assignments()}
	if err := a.printReady(ready, opt.Open); err != nil {
		l.Close()
		return err
	}

	if err := httpserve.Serve(ctx, l, sim, drain, zerolog.Nop()); err != nil {
		return err
	}
	return a.printStats(sim)
}

// reachable is an address that a client on this machine can use: one that listens everywhere is reached on loopback.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	return fmt.Sprintf("127.0.0.1:%d", tcp.Port)
}

func (a *app) printReady(r simulatorReady, open bool) error {
	if a.output == outputJSON {
		return a.printJSON(r)
	}
	who := counted(r.Assignments, "assignment", "assignments")
	if open {
		who = "every user and role exists"
	}
	_, err := fmt.Fprintf(a.stdout, `simulated DingTalk on %s (%s)
to use it, in another terminal:
  export DINGTALK_BASE_URL=%[1]s DINGTALK_APP_KEY=%[3]s DINGTALK_APP_SECRET=%[4]s
  unrole worker
Ctrl-C ends it.
`, r.BaseURL, who, r.AppKey, r.AppSecret)
	return err
}

func (a *app) printStats(sim *simulator.Simulator) error {
	s := sim.Stats()
	if a.output == outputJSON {
		return a.printJSON(simulatorStats{Calls: s.Calls, Removals: s.Removals, ByCode: s.ByCode,
			RemovedPairs: s.RemovedPairs, Violations: s.Violations, PeakPerSecond: s.PeakPerSecond, Assignments: sim.Assignments()})
	}
	t := a.newTable()
	t.row("calls", thousands(s.Calls))
	t.row("removal calls", thousands(s.Removals))
	for _, code := range slices.Sorted(maps.Keys(s.ByCode)) {
		t.row("  answered "+code, thousands(s.ByCode[code]))
	}
	t.row("most in a second", thousands(s.PeakPerSecond))
	t.row("pairs removed", thousands(s.RemovedPairs))
	t.row("limits broken", thousands(s.Violations))
	return t.print()
}
