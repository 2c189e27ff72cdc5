package main

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/unrole/unrole/enqueue"
	engine "github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/base/redisconn"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/in/preflight"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/outcome"
	"github.com/unrole/unrole/internal/record/report"
	"github.com/unrole/unrole/internal/record/snapshot"
	"github.com/unrole/unrole/internal/run/config"
)

// What is done about rows that cannot be resolved.
const (
	refuseUnresolved = "refuse"
	skipUnresolved   = "skip"
)

// lookFlags say what is looked up in DingTalk before anything is sent.
type lookFlags struct {
	allRoles   bool
	keep       []string
	evenAdmins bool
	unresolved string

	// directory is where people and roles are looked up; nil where nothing can be.
	directory *directory.Directory
	// want is that of UNROLE_PREFLIGHT; implied looks also where nobody asked for it, if that is possible.
	want    string
	implied bool
	// simulated says that what is looked at is a simulator.
	simulated bool
	// strict refuses what cannot be resolved, though nobody asked to look: the list is kept, to be sent as it is.
	strict   bool
	maxShare float64
	// whom looks only for whom and what the list means, and only where it has to: for a report of what was done.
	whom bool
	// seen is what was found, nil where nothing was looked up.
	seen *preflight.Result
	// must says that the list takes looking up.
	must bool
	// named asks for known: who the people are, for a report.
	named bool
	known *report.Known
}

func (f *lookFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.allRoles, "all-roles", false, "take all roles that each person holds, but those of the default group (looked up in DingTalk)")
	flags.StringArrayVar(&f.keep, "keep-role", nil, "a role, by id, name or GROUP/NAME, that --all-roles leaves (may be repeated)")
	flags.BoolVar(&f.evenAdmins, "even-admin", false, "let administrators of the organisation be touched")
	flags.StringVar(&f.unresolved, "unresolved", refuseUnresolved, "what to do about rows that name nobody, or several: refuse the list, or skip them")
	complete(cmd, "unresolved", []string{refuseUnresolved, skipUnresolved})
	addConfigFlags(flags, "UNROLE_PREFLIGHT", "UNROLE_MAX_SHARE")
	flags.Lookup("preflight").NoOptDefVal = "true"
}

// need adds the configuration that looking up takes, where the command has it not yet.
func (f *lookFlags) need(flags *pflag.FlagSet) {
	for name, env := range map[string]string{"base-url": "DINGTALK_BASE_URL", "app-key": "DINGTALK_APP_KEY", "qps": "UNROLE_QPS"} {
		if flags.Lookup(name) == nil {
			addConfigFlags(flags, env)
		}
	}
}

// open makes ready for looking up where the configuration says how DingTalk is reached; with says over what. What it
// returns has to be called at the end.
func (f *lookFlags) open(cmd *cobra.Command, a *app, c *config.Config, with engine.Parts) (func(), error) {
	if f.unresolved != refuseUnresolved && f.unresolved != skipUnresolved {
		return nil, usageError(cmd, texts.T("%s %q is not one of %s", "--unresolved", f.unresolved, refuseUnresolved+", "+skipUnresolved))
	}
	if len(f.keep) > 0 && !f.allRoles {
		return nil, usageError(cmd, texts.T("--keep-role goes with --all-roles"))
	}
	f.want, f.maxShare, f.simulated = c.Preflight, c.MaxShare, with.Transport != nil
	if err := c.NeedCredentials(); err != nil {
		if f.allRoles || f.want == "true" {
			return nil, exitWith(exitCredentials, texts.T("%v\n--all-roles and --preflight read DingTalk, which takes the app's credentials", err))
		}
		return func() {}, nil
	}
	return f.reach(cmd, a, c, with)
}

// reach opens the directory of the configured organisation. What it returns has to be called at the end.
func (f *lookFlags) reach(cmd *cobra.Command, a *app, c *config.Config, with engine.Parts) (done func(), err error) {
	f.directory, done, err = a.directoryOf(cmd, c, with)
	return done, err
}

// at looks at a list whose rows were kept, where that has to be or is wanted, and returns what is to be removed.
func (f *lookFlags) at(ctx context.Context, a *app, name string, rows *lists.Kept) (*enqueue.Removals, error) {
	f.must = f.allRoles
	for row := range rows.All() {
		for _, p := range row.People {
			f.must = f.must || p.By != lists.UserID
		}
		for _, r := range row.Roles {
			f.must = f.must || r.ID == 0
		}
	}
	switch {
	case f.whom && !f.must:
		return &enqueue.Removals{}, nil
	case f.whom:
		var err error
		if f.seen, err = preflight.Whom(ctx, f.directory, rows.All()); err != nil {
			return nil, texts.T("DingTalk could not be looked at: %v", whyUnseen(err))
		}
		f.known = f.seen.Known(ctx)
		return &enqueue.Removals{}, nil
	case !f.must && (f.want == "false" || f.want == "" && !f.implied):
		return f.compared(ctx, a, name, rows)
	}
	req := preflight.Request{Rows: rows.All(), AllRoles: f.allRoles, EvenAdmins: f.evenAdmins, MaxShare: f.maxShare}
	for _, text := range items(f.keep) {
		role, err := lists.ParseRole(text)
		if err != nil {
			return nil, exitWith(exitUsage, texts.T("%s: %v", "--keep-role", err))
		}
		req.Keep = append(req.Keep, role)
	}
	seen, err := preflight.Run(ctx, f.directory, req)
	if err != nil {
		var failed *dingtalk.Error
		var role *preflight.RoleError
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.As(err, &role):
			if len(role.Fit) == 0 {
				return nil, exitWith(exitUsage, texts.T("%s: %v\n%s", "--keep-role", err, hintOf(snapshot.UnknownRole)))
			}
			return nil, exitWith(exitUsage, texts.T("%s: %v", "--keep-role", err))
		case !f.must && f.want == "" && !f.strict:
			a.note(texts.T("DingTalk could not be looked at (%v): what follows is of the list as it stands", whyUnseen(err)))
			return idsOf(rows, nil)
		case errors.As(err, &failed) && outcome.Of(failed.Class).Hold != "":
			return nil, exitWith(exitCredentials, err)
		}
		return nil, texts.T("DingTalk could not be looked at: %v", whyUnseen(err))
	}
	f.seen = seen
	if f.named {
		f.known = seen.Known(ctx)
	}
	if err := f.judge(a, name, seen.Problems, seen.Snapshot.Unresolved); err != nil {
		return nil, err
	}
	a.noteSeen(seen)
	if !f.evenAdmins && seen.Admins == 0 && !f.simulated {
		a.note(texts.T("DingTalk names no administrators of the organisation: whoever is given by user id is not protected as one; UNROLE_PROTECTED_USERS protects whom you name"))
	}
	return seen.Removals, nil
}

// whyUnseen is an error of a look in words where it is one of Redis, which keeps the pace of lookups and the index of the directory.
func whyUnseen(err error) error {
	var failed *dingtalk.Error
	if r, refused := redisconn.Explain(err); refused && !errors.As(err, &failed) {
		return texts.T("Redis %s", r.Says)
	}
	return err
}

// compared are the pairs of a list of ids that nobody asked to look at. What stands there beside the ids has to be true of the same
// people all the same, unless somebody said that DingTalk is not to be asked, or it is a simulator, which knows no names.
func (f *lookFlags) compared(ctx context.Context, a *app, name string, rows *lists.Kept) (*enqueue.Removals, error) {
	people := map[lists.Person]bool{}
	for row := range rows.All() {
		for _, p := range row.People {
			if len(row.Also) > 0 {
				people[p] = true
			}
		}
	}
	switch {
	case len(people) == 0 || f.simulated:
		return idsOf(rows, nil)
	case f.want == "false":
		a.note(texts.T("%s: names and numbers beside the user ids are not compared with DingTalk: a list that is shifted by a row is not noticed", name))
		return idsOf(rows, nil)
	}
	a.note(texts.T("%s: what stands beside the user ids is compared with DingTalk, one lookup for each of %s (--preflight=false leaves that out)", name, usersOf(len(people))))
	problems, err := preflight.Compare(ctx, f.directory, rows.All())
	var failed *dingtalk.Error
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.As(err, &failed) && outcome.Of(failed.Class).Hold != "":
		return nil, exitWith(exitCredentials, err)
	case err != nil:
		return nil, texts.T("DingTalk could not be looked at: %v", whyUnseen(err))
	}
	f.strict = true
	without := map[int]bool{}
	for _, p := range problems {
		without[p.Line] = true
	}
	if err := f.judge(a, name, problems, len(without)); err != nil {
		return nil, err
	}
	return idsOf(rows, without)
}

// judge refuses a list of which something could not be resolved, unless that is to be skipped.
func (f *lookFlags) judge(a *app, name string, problems []preflight.Problem, rows int) error {
	const most = 50
	refused := &lists.Refused{Name: name, Total: len(problems)}
	for _, p := range problems[:min(most, len(problems))] {
		row := lists.RowError{Line: p.Line, Reason: p.Why}
		if p.Line > 0 {
			row.Column = 1
		}
		refused.Rows = append(refused.Rows, row)
	}
	for _, reason := range []snapshot.Reason{snapshot.Administrator, snapshot.UnknownRole} {
		if slices.ContainsFunc(problems, func(p preflight.Problem) bool { return p.Reason == reason }) {
			refused.Next = append(refused.Next, hintOf(reason))
		}
	}
	switch {
	case len(problems) == 0:
	case f.unresolved == skipUnresolved, !f.must && f.want == "" && !f.strict: // of a plan that nobody asked to look, nothing is sent
		a.note(texts.T("%s", texts.Say(a.lang, refused)))
		a.note(texts.Count(rows, "%d row is skipped", "%d rows are skipped"))
	default:
		refused.Next = append(refused.Next, texts.T("nothing was sent; correct the rows, or leave them out with --unresolved skip"))
		return exitWith(exitUsage, refused)
	}
	return nil
}

// hintOf says what the command line has against a problem that is said everywhere.
func hintOf(reason snapshot.Reason) texts.Text {
	if reason == snapshot.Administrator {
		return texts.T("administrators are protected: --even-admin lets them be touched")
	}
	return texts.T("unrole roles lists the roles with their ids")
}

// noteSeen says what was found.
func (a *app) noteSeen(seen *preflight.Result) {
	a.note(texts.T("looked at in DingTalk: %s found; %s held, %d not held and left out (%s, %s)", usersOf(seen.Found),
		pairsOf(seen.Removals.Pairs()), len(seen.Snapshot.NotHeld), texts.Count(seen.Lookups, "%d lookup", "%d lookups"), duration(seen.LookupTime.Seconds())))
	for _, s := range seen.Spared {
		id, why := strconv.FormatInt(s.Role.ID, 10), texts.T("it is to be kept")
		if s.Default {
			why = texts.T("it is of the default group, which follows the organisation's structure")
		}
		a.note(texts.T("left to them: role %s (%s) of %s, since %s", s.Role.Name, id, usersOf(s.Users), why))
	}
	for _, s := range seen.Shares {
		a.note(texts.T("role %s (%s): %d of its %d holders would lose it", s.Role.Name, strconv.FormatInt(s.Role.ID, 10), s.Loses, s.Holders))
	}
}

// idsOf are the pairs of rows all of which are ids, those of some lines left out.
func idsOf(rows *lists.Kept, without map[int]bool) (*enqueue.Removals, error) {
	set := &enqueue.Removals{}
	for row := range rows.All() {
		if without[row.Line] {
			continue
		}
		if err := addIDs(set, row); err != nil {
			return nil, exitWith(exitUsage, err)
		}
	}
	return set, nil
}

// figures is what a preflight saw, as plan prints it.
type figures struct {
	Found         int `json:"found"`
	Ambiguous     int `json:"ambiguous"`
	Unknown       int `json:"unknown"`
	Departed      int `json:"departed"`
	External      int `json:"external"`
	UnresolvedRow int `json:"unresolved_rows"`
	Held          int `json:"held"`
	NotHeld       int `json:"not_held"`
	// SparedPairs are those of Spared together.
	SparedPairs int      `json:"default_group_or_kept"`
	Spared      []spared `json:"spared"`
	// Administrators is how many DingTalk names, all of them protected; nil with --even-admin.
	Administrators *int    `json:"administrators,omitempty"`
	Lookups        int     `json:"lookups"`
	LookupSeconds  float64 `json:"lookup_seconds"`
	// CallsUnseen is how many calls the same list would take without looking.
	CallsUnseen int     `json:"api_calls_without_looking"`
	Shares      []share `json:"large_shares"`
}

type share struct {
	RoleID  int64 `json:"role_id"`
	Holders int   `json:"holders"`
	Loses   int   `json:"loses"`
}

type spared struct {
	RoleID  int64 `json:"role_id"`
	Users   int   `json:"users"`
	Default bool  `json:"default_group"`
}

func (f *lookFlags) figures() *figures {
	seen := f.seen
	if seen == nil {
		return nil
	}
	said := &figures{Found: seen.Found, Ambiguous: seen.Ambiguous, Unknown: seen.Unknown, Departed: seen.Departed, External: seen.External,
		UnresolvedRow: seen.Snapshot.Unresolved, Held: seen.Removals.Pairs(), NotHeld: len(seen.Snapshot.NotHeld), Spared: []spared{},
		Lookups: seen.Lookups, LookupSeconds: math.Round(seen.LookupTime.Seconds()*1000) / 1000, Shares: []share{}}
	for _, s := range seen.Spared {
		said.SparedPairs += s.Users
		said.Spared = append(said.Spared, spared{s.Role.ID, s.Users, s.Default})
	}
	if !f.evenAdmins {
		said.Administrators = &seen.Admins
	}
	if seen.Asked.Pairs() > 0 {
		said.CallsUnseen = len(enqueue.PlanOf(seen.Asked, "plan"))
	}
	for _, s := range seen.Shares {
		said.Shares = append(said.Shares, share{s.Role.ID, s.Holders, s.Loses})
	}
	return said
}

// directoryOf opens the directory of the configured organisation, at the pace of the fleet where that can be reached: the
// simulator of a process is no fleet's. What it returns has to be called at the end.
func (a *app) directoryOf(cmd *cobra.Command, c *config.Config, with engine.Parts) (*directory.Directory, func(), error) {
	client, err := dingtalk.New(engine.Credentials(c, with))
	if err != nil {
		return nil, nil, exitWith(exitUsage, err)
	}
	leave := func() {}
	if with.Transport == nil {
		with.Redis, leave = a.fleetOf(cmd, c)
	}
	done := func() {
		leave()
		client.Close()
	}
	d, err := engine.NewDirectory(c, with, client)
	if err != nil {
		done()
		return nil, nil, err
	}
	if with.Redis == nil || cmd.Flags().Lookup("redis") != nil {
		return d, done, nil
	}
	looking, end := context.WithCancel(cmd.Context())
	d.Optional(looking, func(ctx context.Context) error { return with.Redis.Ping(ctx).Err() }, func(err error) {
		a.note(texts.T("the fleet's Redis cannot be used, and so its pace is not shared: %v", err))
	})
	return d, func() {
		end()
		done()
	}, nil
}

// looker is what a command is given that looks things up in the configured organisation, over the network.
func looker() engine.Parts { return parts(nil, zerolog.Nop()) }
