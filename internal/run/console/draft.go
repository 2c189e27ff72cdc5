package console

import (
	"bytes"
	"compress/gzip"
	"context"
	_ "embed"
	"encoding/gob"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/tasks"
)

// draftLasts is how long a list that was read waits for somebody's confirmation, and a list that is looked at for the end of
// that; then nothing of it is left.
const draftLasts = 2 * time.Hour

// draft is a list that was read and not submitted: what the page before the submission shows, with the plan. It waits in
// Redis, so that any process that serves the console finds it.
type draft struct {
	JobID string `json:"job_id"`
	By    string `json:"by"`
	File  string `json:"file"`
	Why   string `json:"why,omitempty"`
	// Turn counts how often it was looked at in DingTalk: what is confirmed is what was seen.
	Turn     int        `json:"turn"`
	Header   []string   `json:"header,omitempty"`
	Rows     int        `json:"rows"`
	Rejected int        `json:"rejected"`
	Wrong    []wrongRow `json:"wrong,omitempty"`
	Notes    []string   `json:"notes,omitempty"`
	// AllRoles, with Keep, takes all that people hold. Must says that the list means nothing without looking.
	AllRoles bool         `json:"all_roles,omitempty"`
	Keep     []lists.Role `json:"keep,omitempty"`
	Must     bool         `json:"must,omitempty"`
	// Ready says that what follows is known.
	Ready  bool        `json:"ready"`
	Pairs  int64       `json:"pairs"`
	Users  int64       `json:"users"`
	Roles  int64       `json:"roles"`
	Calls  int64       `json:"calls"`
	Sample []sampleRow `json:"sample"`
	// Noted is what whoever confirms should know of the plan.
	Noted []string `json:"noted,omitempty"`
	// Blocked says why nothing of it may be submitted.
	Blocked string `json:"blocked,omitempty"`
	// Seen is what DingTalk showed; nil where nobody looked.
	Seen *seenView `json:"seen,omitempty"`

	files map[string][]byte
	look  lookState
}

// What a draft keeps beside what its pages show: the rows, to be looked at; the plan and the snapshot, to be submitted; rows
// to be corrected.
const (
	fileRows       = "rows"
	filePlan       = "plan"
	fileSnapshot   = "snapshot"
	fileWrong      = "bad"
	fileUnresolved = "unresolved"
)

// wrongRow is a row that cannot be right, sampleRow somebody of the list with their roles.
type wrongRow struct {
	Line int    `json:"line"`
	Why  string `json:"why"`
}

type sampleRow struct {
	User       string `json:"user"`
	Name       string `json:"name,omitempty"`
	Department string `json:"department,omitempty"`
	Roles      string `json:"roles"`
}

// MoreWrong is how many rows are wrong beyond those that are named.
func (d *draft) MoreWrong() int { return max(0, d.Rejected-len(d.Wrong)) }

// MoreUsers is how many people are not named.
func (d *draft) MoreUsers() int64 { return d.Users - int64(len(d.Sample)) }

// draftEndedError says that a draft was submitted, or waited too long.
type draftEndedError struct{ *problem }

func (e *draftEndedError) Unwrap() error { return e.problem }

func draftKey(jobID string) string { return "unrole:draft:" + jobID }

//go:embed lua/keep_seen.lua
var keepSeenLua string

var keepSeenScript = redis.NewScript(keepSeenLua)

// keep writes a draft with its files, of which one without content is taken away; how it was being looked at is over.
func (c *Console) keep(ctx context.Context, d *draft) error {
	about, err := json.Marshal(d)
	if err != nil {
		return err
	}
	key := draftKey(d.JobID)
	_, err = c.cfg.Redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, key, "about", about)
		for name, file := range d.files {
			if len(file) == 0 {
				p.HDel(ctx, key, name)
			} else {
				p.HSet(ctx, key, name, file)
			}
		}
		p.HDel(ctx, key, "look")
		p.Expire(ctx, key, draftLasts)
		return nil
	})
	return err
}

// keepSeen is keep after a look. A draft that was submitted meanwhile, or is looked at anew, stays as it is.
func (c *Console) keepSeen(ctx context.Context, d *draft) error {
	about, err := json.Marshal(d)
	if err != nil {
		return err
	}
	args := []any{d.Turn, draftLasts.Milliseconds(), "about", about}
	for name, file := range d.files {
		args = append(args, name, file)
	}
	return keepSeenScript.Run(ctx, c.cfg.Redis, []string{draftKey(d.JobID)}, args...).Err()
}

// draft reads a list that waits for a confirmation, with some of its files. Nobody but who gave it sees it, or confirms it.
func (c *Console) draft(v *visit, jobID string, files ...string) (*draft, error) {
	if tasks.ValidateJobID(jobID) != nil {
		return nil, errNoPage
	}
	found, err := c.cfg.Redis.HMGet(v.r.Context(), draftKey(jobID), append([]string{"about", "look"}, files...)...).Result()
	if err != nil {
		return nil, err
	}
	about, is := found[0].(string)
	if !is {
		return nil, &draftEndedError{&problem{http.StatusGone, texts.T("This list was read more than two hours ago and is not kept any longer. Nothing was submitted: drop it again.")}}
	}
	d := &draft{files: map[string][]byte{}}
	if err := json.Unmarshal([]byte(about), d); err != nil {
		return nil, err
	}
	if d.By != v.Person.Name {
		return nil, errNoPage
	}
	if look, is := found[1].(string); is {
		if err := json.Unmarshal([]byte(look), &d.look); err != nil {
			return nil, err
		}
	}
	for i, name := range files {
		if file, is := found[i+2].(string); is {
			d.files[name] = []byte(file)
		}
	}
	return d, nil
}

// forget drops a draft that was submitted; if that fails, it is gone two hours after it was made.
func (c *Console) forget(ctx context.Context, jobID string) {
	if err := c.cfg.Redis.Del(ctx, draftKey(jobID)).Err(); err != nil {
		c.cfg.Log.Warn().Err(err).Str("job", jobID).Msg("a submitted list is kept for a while")
	}
}

// packRows is the stored form of rows, unpackRows reads it.
func packRows(rows *lists.Kept) ([]byte, error) {
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	to := gob.NewEncoder(zip)
	for row := range rows.All() {
		if err := to.Encode(row); err != nil {
			return nil, err
		}
	}
	err := zip.Close()
	return b.Bytes(), err
}

func unpackRows(packed []byte) (*lists.Kept, error) {
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	rows := &lists.Kept{}
	from := gob.NewDecoder(zip)
	for {
		var row lists.Row
		switch err := from.Decode(&row); {
		case errors.Is(err, io.EOF):
			return rows, nil
		case err != nil:
			return nil, err
		}
		rows.Add(row)
	}
}
