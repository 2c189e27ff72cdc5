package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/in/preflight"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/outcome"
	"github.com/unrole/unrole/tasks"
)

const (
	// LooksAtOnce is how many lists one process looks at in DingTalk at the same time, sharing its pace; others wait.
	LooksAtOnce = 2
	// lookSign is how often somebody is told how far a look is, lookLost after how much silence it is taken for ended.
	lookSign = 2 * time.Second
	lookLost = 15 * time.Second
)

// lookState is how far a list is being looked at.
type lookState struct {
	// Asked counts the questions put so far, Of is about how many there will be. Waits says that others are looked at first.
	Asked int  `json:"asked"`
	Of    int  `json:"of"`
	Waits bool `json:"waits,omitempty"`
	// Failed says why it ended in vain.
	Failed string    `json:"failed,omitempty"`
	At     time.Time `json:"at"`
}

// Share is how far it is, of 100.
func (l lookState) Share() int { return min(99, 100*l.Asked/max(1, l.Of)) }

// Lost says that whoever looked is gone.
func (l lookState) Lost() bool { return l.Failed == "" && time.Since(l.At) > lookLost }

// looks are the lists that this process looks at: one of each person, so that nobody keeps the others waiting for long.
type looks struct {
	mu    sync.Mutex
	of    map[string]*look
	slots chan struct{}
}

type look struct{ end context.CancelFunc }

// begin works on a person's list until that is done, the console ends, or the person gives the next one.
func (l *looks) begin(by string, ending <-chan struct{}, work func(ctx context.Context)) {
	ctx, end := context.WithCancel(context.Background())
	mine := &look{end}
	l.mu.Lock()
	if before := l.of[by]; before != nil {
		before.end()
	}
	l.of[by] = mine
	l.mu.Unlock()
	go func() {
		select {
		case <-ending:
			end()
		case <-ctx.Done():
		}
	}()
	go func() {
		defer func() {
			end()
			l.mu.Lock()
			if l.of[by] == mine {
				delete(l.of, by)
			}
			l.mu.Unlock()
		}()
		work(ctx)
	}()
}

// lookAt looks at a draft and keeps what it saw, or why it saw nothing. What is ended from outside leaves nothing: its page
// says that it was ended, and can begin anew.
func (c *Console) lookAt(ctx context.Context, d *draft, rows *lists.Kept, lang texts.Lang) {
	told := lookState{Of: lookups(d, rows), Waits: true}
	sign := time.NewTicker(lookSign)
	defer sign.Stop()
	for waits := true; waits; {
		select {
		case <-ctx.Done():
			return
		case <-sign.C:
			c.tellLook(ctx, d.JobID, told)
		case c.looks.slots <- struct{}{}:
			defer func() { <-c.looks.slots }()
			waits = false
		}
	}
	told.Waits = false
	dir, err := c.cfg.Directory()
	if err == nil {
		done := make(chan error, 1)
		go func() { done <- c.seeDraft(ctx, dir, d, rows, lang) }()
		for waits := true; waits; {
			select {
			case err = <-done:
				waits = false
			case <-sign.C:
				told.Asked, _ = dir.Lookups()
				c.tellLook(ctx, d.JobID, told)
			}
		}
	}
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		if err = c.keepSeen(ctx, d); err == nil {
			return
		}
	}
	c.cfg.Log.Warn().Err(err).Str("job", d.JobID).Msg("a list could not be looked at in DingTalk")
	told.Failed = whyUnseen(err).In(lang)
	c.tellLook(ctx, d.JobID, told)
}

// whyUnseen says why DingTalk could not be looked at.
func whyUnseen(err error) texts.Text {
	var failed *dingtalk.Error
	if errors.As(err, &failed) {
		if kind := outcome.Of(failed.Class).Hold; kind != "" {
			return texts.T("%s. What ends it: %s", whyHeld(kind), outcome.RemedyOf(kind))
		}
	}
	var said texts.Text
	var role *preflight.RoleError
	if errors.As(err, &role) || errors.As(err, &said) {
		return texts.T("%v", err)
	}
	return texts.T("DingTalk could not be asked: %v", err)
}

// lookups is about how many questions a list takes: who is no user id costs two, and the holders of a role come by pages.
func lookups(d *draft, rows *lists.Kept) int {
	people, roles := map[lists.Person]int{}, map[lists.Role]bool{}
	for row := range rows.All() {
		for _, p := range row.People {
			if p.By == lists.UserID && len(row.Also) == 0 && !d.AllRoles {
				continue
			}
			people[p] = 1
			if p.By == lists.Mobile || p.By == lists.UnionID || p.By == lists.Name {
				people[p] = 2
			}
		}
		for _, r := range row.Roles {
			roles[r] = true
		}
	}
	n := 3 + 2*len(roles)
	for _, of := range people {
		n += of
	}
	return n
}

func (c *Console) tellLook(ctx context.Context, jobID string, told lookState) {
	told.At = time.Now()
	state, err := json.Marshal(told)
	if err == nil {
		key := draftKey(jobID)
		pipe := c.cfg.Redis.TxPipeline()
		pipe.HSet(ctx, key, "look", state)
		pipe.Expire(ctx, key, draftLasts)
		_, err = pipe.Exec(ctx)
	}
	if err != nil && ctx.Err() == nil {
		c.cfg.Log.Warn().Err(err).Str("job", jobID).Msg("how far a list is looked at could not be written down")
	}
}

// seeDraft looks at the rows of a draft in DingTalk, as the command line does, and writes into it what would be removed.
func (c *Console) seeDraft(ctx context.Context, dir *directory.Directory, d *draft, rows *lists.Kept, lang texts.Lang) error {
	res, err := preflight.Run(ctx, dir, preflight.Request{Rows: rows.All(), AllRoles: d.AllRoles, Keep: d.Keep, MaxShare: c.cfg.MaxShare})
	if err != nil {
		if d.Must || c.cfg.Preflight == "true" || ctx.Err() != nil {
			return err
		}
		removals, err2 := idsOf(rows)
		if err2 != nil {
			return err2
		}
		d.Noted = append(d.Noted, texts.T("DingTalk could not be looked at (%v): what follows is of the list as it stands", err).In(lang))
		return c.plan(d, removals, nil, lang)
	}
	if err := d.see(res, rows, lang); err != nil {
		return err
	}
	people := res.People()
	for i, user := range res.Removals.Users()[:min(len(res.Removals.Users()), mostSample)] {
		u := people[user]
		if u.Departments == nil {
			// Known from the holders of a role only, which say no department.
			if found, err := dir.Find(ctx, lists.Person{Text: user}); err == nil && len(found.Users) == 1 {
				u = found.Users[0]
			}
		}
		d.Sample = append(d.Sample, sampleRow{User: user, Name: u.Name, Department: dir.Department(ctx, u), Roles: sampleRoles(res.Removals, i, res.RoleName)})
	}
	return c.plan(d, res.Removals, res.Snapshot, lang)
}

// plan writes into a draft what would be submitted.
func (c *Console) plan(d *draft, removals *enqueue.Removals, seen *enqueue.Snapshot, lang texts.Lang) error {
	d.Ready = true
	if c.cfg.Protected != nil {
		if err := removals.CheckProtected(c.cfg.Protected); err != nil {
			d.Blocked = texts.Say(lang, err)
		}
	}
	d.Pairs, d.Users, d.Roles = int64(removals.Pairs()), int64(len(removals.Users())), int64(len(removals.Roles()))
	if n := removals.Duplicates(); n > 0 {
		d.Noted = append(d.Noted, texts.T("%d pairs stand there more than once and count once", n).In(lang))
	}
	var parts []tasks.Part
	if d.Pairs > 0 {
		parts = enqueue.PlanOf(removals, d.JobID)
	}
	d.Calls = int64(len(parts))
	if d.Sample == nil {
		for i, user := range removals.Users()[:min(len(removals.Users()), mostSample)] {
			d.Sample = append(d.Sample, sampleRow{User: user, Roles: sampleRoles(removals, i, func(int64) string { return "" })})
		}
	}
	var plan bytes.Buffer
	if err := enqueue.WritePlan(&plan, removals, parts, nil, time.Now()); err != nil {
		return err
	}
	d.file(filePlan, plan.Bytes())
	if seen == nil {
		return nil
	}
	snapshot, err := seen.Encode()
	if err != nil {
		return err
	}
	d.file(fileSnapshot, snapshot)
	return nil
}

func (d *draft) file(name string, content []byte) {
	if d.files == nil {
		d.files = map[string][]byte{}
	}
	d.files[name] = content
}

// mostSample is how many people, and roles of each, a preview names.
const mostSample = 20

// sampleRoles are the first roles of a user of the removals, by name where that is known.
func sampleRoles(removals *enqueue.Removals, user int, name func(int64) string) string {
	var roles []string
	for role := range removals.RolesOf(user) {
		if len(roles) == mostSample {
			roles = append(roles, "…")
			break
		}
		id := strconv.FormatInt(role, 10)
		if called := name(role); called != "" {
			id = called + " (" + id + ")"
		}
		roles = append(roles, id)
	}
	return strings.Join(roles, ", ")
}

// idsOf are the pairs of rows all of which are ids.
func idsOf(rows *lists.Kept) (*enqueue.Removals, error) {
	set := &enqueue.Removals{}
	for row := range rows.All() {
		if len(row.Roles) > (enqueue.MaxPairs-set.Pairs())/len(row.People) {
			return nil, errTooMany
		}
		for user, role := range row.IDs() {
			set.Add(user, role)
		}
	}
	return set, nil
}

var errTooMany = texts.T("more than %d pairs are asked for: split the input into several", enqueue.MaxPairs)
