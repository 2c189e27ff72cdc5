package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/in/resolve"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/outcome"
)

func (a *app) rolesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "roles [NAME]",
		Short: "Look up roles and their ids in DingTalk",
		Long: `roles lists the roles of the organisation with their ids; with NAME, those that the name means: GROUP/NAME, else every role of
that name, else every role whose name contains it. It only reads. The roles of the default group are marked: they are taken
away in DingTalk's administration console, not by a removal.`,
		Example: `  unrole roles
  unrole roles 财务/出纳 --output json | jq .role_id`,
		Args: maxArgs(1),
		RunE: a.withDirectory(func(ctx context.Context, d *directory.Directory, args []string) error {
			roles, err := d.Roles(ctx)
			if err != nil {
				return err
			}
			if len(args) > 0 {
				if roles = directory.RolesNamed(roles, args[0]); len(roles) == 0 {
					return exitWith(exitError, texts.T("no role is called %q", args[0]))
				}
			}
			return a.printRoles(roles)
		}),
	}
	addConfigFlags(cmd.Flags(), "DINGTALK_BASE_URL", "DINGTALK_APP_KEY", "UNROLE_QPS")
	return cmd
}

func (a *app) whoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "who PERSON…",
		Short: "Look up people in DingTalk, the roles they hold, and who else holds them",
		Long: `who finds people by a user id, or by mobile:…, job:… (a staff number), union:…, email:… or name:…, and says which roles they
hold and how many others hold each. It only reads. Where several people fit, it names them all. A staff number and an e-mail
address take reading the whole directory, 100 people a call; name:… is the one look-up that counts towards the monthly quota.

The exit code is 1 when somebody was not found, or several people fit.`,
		Example: `  unrole who manager4220 mobile:13812345678
  unrole who job:00412 --output json`,
		Args: func(cmd *cobra.Command, args []string) error {
			return exactArgs("PERSON")(cmd, args[:min(1, len(args))])
		},
		RunE: a.withDirectory(func(ctx context.Context, d *directory.Directory, args []string) error {
			return a.who(ctx, d, args)
		}),
	}
	addConfigFlags(cmd.Flags(), "DINGTALK_BASE_URL", "DINGTALK_APP_KEY", "UNROLE_QPS")
	return cmd
}

// withDirectory runs a command that only reads the directory of the configured organisation.
func (a *app) withDirectory(run func(ctx context.Context, d *directory.Directory, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		if err := c.NeedCredentials(); err != nil {
			return exitWith(exitCredentials, err)
		}
		d, done, err := a.directoryOf(cmd, c, looker())
		if err != nil {
			return err
		}
		defer done()
		err = run(cmd.Context(), d, args)
		var failed *dingtalk.Error
		if errors.As(err, &failed) && outcome.Of(failed.Class).Hold != "" {
			return exitWith(exitCredentials, err)
		}
		return err
	}
}

// roleLine is a role as roles and who print it in JSON.
type roleLine struct {
	RoleID  int64  `json:"role_id"`
	Name    string `json:"name"`
	Group   string `json:"group"`
	Default bool   `json:"default_group"`
}

func lineOf(r dingtalk.Role) roleLine {
	return roleLine{RoleID: r.ID, Name: r.Name, Group: r.Group, Default: directory.IsDefault(r)}
}

// remark says what is special about a role.
func (r roleLine) remark() texts.Text {
	if r.Default {
		return texts.T("default group: change it in DingTalk's administration console")
	}
	return texts.T("")
}

func (a *app) printRoles(roles []dingtalk.Role) error {
	t := a.newTable(texts.T("role id"), texts.T("group"), texts.T("role"), texts.T(""))
	for _, role := range roles {
		line := lineOf(role)
		if a.output == outputJSON {
			if err := a.printJSON(line); err != nil {
				return err
			}
			continue
		}
		t.row(strconv.FormatInt(role.ID, 10), role.Group, role.Name, line.remark())
	}
	if a.output == outputJSON {
		return nil
	}
	return t.print()
}

// personLine is somebody as who prints them in JSON: several objects of one query are several people who fit.
type personLine struct {
	Query  string `json:"query"`
	UserID string `json:"user_id"`
	Name   string `json:"name"`
	// Status is found, ambiguous, unknown, departed or external.
	Status string     `json:"status"`
	Roles  []heldRole `json:"roles"`
}

type heldRole struct {
	roleLine
	// Holders counts everybody who holds the role; Others names the first three of them besides this person.
	Holders int      `json:"holders"`
	Others  []string `json:"others"`
}

func (a *app) who(ctx context.Context, d *directory.Directory, args []string) error {
	var people []lists.Person
	for _, text := range args {
		p, err := lists.ParsePerson(text, true)
		if err != nil {
			return exitWith(exitUsage, texts.T("%s: %v", text, err))
		}
		people = append(people, p)
	}
	odd := 0
	for i, p := range people {
		found, err := d.Find(ctx, p)
		if err != nil {
			return texts.T("%s: %v", args[i], err)
		}
		status := resolve.Judge(found, p)
		if status != resolve.Found {
			odd++
		}
		if err := a.printFound(ctx, d, args[i], status, found); err != nil {
			return err
		}
	}
	if odd > 0 {
		return exitWith(exitError, texts.T("%d of %d could not be told for certain", odd, len(people)))
	}
	return nil
}

func (a *app) printFound(ctx context.Context, d *directory.Directory, query string, status resolve.Status, found directory.Found) error {
	line := personLine{Query: query, Roles: []heldRole{}}
	for _, l := range found.Left {
		a.note(texts.T("%s: %s (%s) left on %s", query, l.Name, l.UserID, l.At.Local().Format("2006-01-02")))
	}
	switch status {
	case resolve.Found:
		line.Status = "found"
	case resolve.Ambiguous:
		line.Status = "ambiguous"
		if n := len(found.Users) + len(found.Left); n > 1 {
			a.note(texts.T("%s: %d people fit; name the one you mean by the user id", query, n))
		} else {
			a.note(texts.T("%s: DingTalk knows %s, who is not called exactly so; say who is meant by the user id", query,
				resolve.Candidate{UserID: found.Users[0].UserID, Name: found.Users[0].Name}.String()))
		}
	case resolve.Departed:
		line.Status, line.UserID, line.Name = "departed", found.Left[0].UserID, found.Left[0].Name
	case resolve.External:
		line.Status = "external"
		a.note(texts.T("%s: a contact from outside, who holds no role", query))
	default:
		line.Status = "unknown"
		a.note(texts.T("%s: nobody is known by that", query))
	}
	if len(found.Users) == 0 && a.output == outputJSON {
		return a.printJSON(line)
	}
	for _, user := range found.Users {
		line.UserID, line.Name, line.Roles = user.UserID, user.Name, []heldRole{}
		for _, role := range user.Roles {
			holders, err := d.Holders(ctx, role.ID)
			if err != nil {
				return texts.T("%s: %v", strconv.FormatInt(role.ID, 10), err)
			}
			held := heldRole{roleLine: lineOf(role), Holders: len(holders), Others: []string{}}
			holders = slices.DeleteFunc(holders, func(p dingtalk.Person) bool { return p.UserID == user.UserID })
			for _, other := range holders[:min(3, len(holders))] {
				held.Others = append(held.Others, other.UserID)
			}
			line.Roles = append(line.Roles, held)
		}
		if err := a.printPerson(line); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) printPerson(p personLine) error {
	if a.output == outputJSON {
		return a.printJSON(p)
	}
	name := p.UserID
	if p.Name != "" {
		name += "  " + p.Name
	}
	a.line(texts.T("%s: %s", name, texts.Count(len(p.Roles), "%d role", "%d roles")))
	t := a.newTable()
	for _, role := range p.Roles {
		others := strings.Join(role.Others, ", ")
		if more := role.Holders - 1 - len(role.Others); more > 0 {
			others += fmt.Sprintf(", … (%d)", more)
		}
		t.row("  "+strconv.FormatInt(role.RoleID, 10), strings.TrimPrefix(role.Group+"/"+role.Name, "/"), others, role.remark())
	}
	return t.print()
}
