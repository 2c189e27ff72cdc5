package main

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/preflight"
	"github.com/unrole/unrole/tasks"
)

func (a *app) planCommand() *cobra.Command {
	var in inputFlags
	var save string
	cmd := &cobra.Command{
		Use:   "plan FILE",
		Short: "Say what would be sent, without sending",
		Long: `plan reads and checks removals and says how many users, roles and API calls they are and how long they take, and what
it would have been without planning. It sends nothing and needs neither Redis nor credentials; with credentials it looks
in DingTalk who holds what, and plans just that. --save keeps the plan, for
enqueue --plan to submit exactly what was shown.

` + inputHelp,
		Example: `  unrole plan leavers.csv
  unrole plan --user manager4220,user100 --role 1507113578 --output json`,
		Args: maxArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.loadConfig(cmd)
			if err != nil {
				return err
			}
			in.look.implied, in.look.strict = true, save != ""
			done, err := in.look.open(cmd, a, c, looker())
			if err != nil {
				return err
			}
			defer done()
			removals, err := in.read(cmd, a, args)
			if err != nil {
				return err
			}
			if err := checkProtected(c, removals); err != nil {
				return err
			}
			parts := enqueue.PlanOf(removals, "plan")
			if err := savePlan(save, removals, parts, in.look.seen, a.now()); err != nil {
				return err
			}
			s := summarize(removals, len(parts), c.QPS)
			s.Preflight = in.look.figures()
			if a.output == outputJSON {
				return a.printJSON(s)
			}
			return a.printPlan(s, in.look.must)
		},
	}
	in.add(cmd)
	cmd.Flags().StringVar(&save, "save", "", "write the plan to this file, for enqueue --plan")
	addConfigFlags(cmd.Flags(), "UNROLE_QPS", "UNROLE_PROTECTED_USERS", "UNROLE_PROTECTED_ROLES")
	in.look.need(cmd.Flags())
	return cmd
}

// planSummary is the JSON of `unrole plan`.
type planSummary struct {
	Pairs              int         `json:"pairs"`
	Users              int         `json:"users"`
	Roles              int         `json:"roles"`
	APICalls           int         `json:"api_calls"`
	CallsOnePerUser    int         `json:"calls_one_per_user"`
	CallsOnePerRoleSet int         `json:"calls_one_per_role_set"`
	CallsOnePerRole    int         `json:"calls_one_per_role"`
	SecondsAtQPS       float64     `json:"seconds_at_qps"`
	QPS                float64     `json:"qps"`
	BiggestRoles       []roleUsers `json:"biggest_roles"`
	NeedsConfirmation  bool        `json:"needs_confirmation"`
	// Preflight is what was seen in DingTalk; nil where nobody looked.
	Preflight *figures `json:"preflight,omitempty"`
}

type roleUsers struct {
	RoleID int64 `json:"role_id"`
	Users  int   `json:"users"`
}

// biggestRoles is how many roles a plan names.
const biggestRoles = 5

func summarize(removals *enqueue.Removals, calls int, qps float64) planSummary {
	saved := enqueue.SavingsOf(removals)
	s := planSummary{
		Pairs: removals.Pairs(), Users: len(removals.Users()), Roles: len(removals.Roles()),
		APICalls:        calls,
		CallsOnePerUser: saved.OnePerUser, CallsOnePerRoleSet: saved.OnePerRoleSet, CallsOnePerRole: saved.OnePerRole,
		QPS: qps, BiggestRoles: biggest(removals),
		NeedsConfirmation: len(removals.Users()) > defaultMaxUsers,
	}
	s.SecondsAtQPS = seconds(s.APICalls, qps)
	return s
}

// savePlan writes a plan file, complete or not at all. seen is what was seen in DingTalk, nil where nobody looked.
func savePlan(name string, removals *enqueue.Removals, parts []tasks.Part, seen *preflight.Result, now time.Time) error {
	if name == "" {
		return nil
	}
	f, err := newReplacement("--save", name)
	if err != nil {
		return err
	}
	defer f.discard()
	var snapshot *enqueue.Snapshot
	if seen != nil {
		snapshot = seen.Snapshot
	}
	if err := enqueue.WritePlan(f, removals, parts, snapshot, now); err != nil {
		return err
	}
	return f.keep()
}

// seconds is how long so many calls take at the pace, to the millisecond.
func seconds(calls int, qps float64) float64 {
	return math.Round(float64(calls)/qps*1000) / 1000
}

// biggest returns the roles that most users lose, the biggest first.
func biggest(removals *enqueue.Removals) []roleUsers {
	users := make(map[int64]int, len(removals.Roles()))
	for u := range removals.Users() {
		for id := range removals.RolesOf(u) {
			users[id]++
		}
	}
	all := make([]roleUsers, 0, len(users))
	for id, n := range users {
		all = append(all, roleUsers{RoleID: id, Users: n})
	}
	slices.SortFunc(all, func(a, b roleUsers) int {
		return cmp.Or(cmp.Compare(b.Users, a.Users), cmp.Compare(a.RoleID, b.RoleID))
	})
	return all[:min(biggestRoles, len(all))]
}

// printPlan prints a plan for people; mustLook says that the list takes looking up.
func (a *app) printPlan(s planSummary, mustLook bool) error {
	t := a.newTable()
	t.row(texts.T("users"), thousands(s.Users))
	t.row(texts.T("roles"), thousands(s.Roles))
	t.row(texts.T("pairs"), thousands(s.Pairs))
	t.row(texts.T("API calls"), thousands(s.APICalls), texts.T("%s at %s calls/s", duration(s.SecondsAtQPS), strconv.FormatFloat(s.QPS, 'g', -1, 64)))
	t.row(texts.T("one call per user"), thousands(s.CallsOnePerUser), duration(seconds(s.CallsOnePerUser, s.QPS)))
	t.row(texts.T("one per set of roles"), thousands(s.CallsOnePerRoleSet))
	t.row(texts.T("one per role"), thousands(s.CallsOnePerRole))
	if err := t.print(); err != nil {
		return err
	}
	if len(s.BiggestRoles) > 0 {
		a.line(texts.T("\nbiggest roles"))
	}
	t = a.newTable()
	for _, r := range s.BiggestRoles {
		t.row("  "+strconv.FormatInt(r.RoleID, 10), usersOf(r.Users))
	}
	if err := t.print(); err != nil {
		return err
	}
	if n := s.Roles - len(s.BiggestRoles); n > 0 {
		a.line(texts.T("  and %s more", rolesOf(n)))
	}
	a.line(texts.T("\nnothing was sent"))
	if p := s.Preflight; p != nil {
		const worthAWord = 5
		if saves := seconds(p.CallsUnseen-s.APICalls, s.QPS); !mustLook && p.LookupSeconds > saves+worthAWord {
			a.note(texts.T("looking takes %s and saves %s of calls: without it, --preflight=false, the same list takes %s",
				duration(p.LookupSeconds), duration(max(saves, 0)), callsFor(p.CallsUnseen)))
		}
		if len(p.Shares) > 0 {
			a.note(texts.T("submitting this needs a confirmation or --yes, for the roles that many of their holders would lose"))
		}
	}
	if s.NeedsConfirmation {
		a.note(texts.T("more than %s: submitting this needs a confirmation or --yes", usersOf(defaultMaxUsers)))
	}
	return nil
}
