package console

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/tasks"
)

// draftLasts is how long a list that was read waits for somebody's confirmation; then nothing of it is left.
const draftLasts = 2 * time.Hour

// draft is a list that was read and not submitted: what the page before the submission shows, with the plan. It waits in
// Redis, so that any process that serves the console finds it.
type draft struct {
	JobID    string      `json:"job_id"`
	By       string      `json:"by"`
	File     string      `json:"file"`
	Why      string      `json:"why,omitempty"`
	Rows     int         `json:"rows"`
	Rejected int         `json:"rejected"`
	Wrong    []wrongRow  `json:"wrong,omitempty"`
	Notes    []string    `json:"notes,omitempty"`
	Pairs    int64       `json:"pairs"`
	Users    int64       `json:"users"`
	Roles    int64       `json:"roles"`
	Calls    int64       `json:"calls"`
	Sample   []sampleRow `json:"sample"`

	plan, bad []byte
}

// wrongRow is a row that cannot be right, sampleRow somebody of the list with their roles.
type wrongRow struct {
	Line int    `json:"line"`
	Why  string `json:"why"`
}

type sampleRow struct {
	User  string `json:"user"`
	Roles string `json:"roles"`
}

// MoreWrong is how many rows are wrong beyond those that are named.
func (d *draft) MoreWrong() int { return max(0, d.Rejected-len(d.Wrong)) }

// MoreUsers is how many people are not named.
func (d *draft) MoreUsers() int64 { return d.Users - int64(len(d.Sample)) }

// draftEndedError says that a draft was submitted, or waited too long.
type draftEndedError struct{ *problem }

func (e *draftEndedError) Unwrap() error { return e.problem }

func draftKey(jobID string) string { return "unrole:draft:" + jobID }

func (c *Console) keep(ctx context.Context, d *draft) error {
	about, err := json.Marshal(d)
	if err != nil {
		return err
	}
	key := draftKey(d.JobID)
	_, err = c.cfg.Redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, key, "about", about, "plan", d.plan, "bad", d.bad)
		p.Expire(ctx, key, draftLasts)
		return nil
	})
	return err
}

// draft reads a list that waits for a confirmation. Nobody but who gave it sees it, or confirms it.
func (c *Console) draft(v *visit, jobID string) (*draft, error) {
	if tasks.ValidateJobID(jobID) != nil {
		return nil, errNoPage
	}
	found, err := c.cfg.Redis.HGetAll(v.r.Context(), draftKey(jobID)).Result()
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, &draftEndedError{&problem{http.StatusGone, texts.T("This list was read more than two hours ago and is not kept any longer. Nothing was submitted: drop it again.")}}
	}
	d := &draft{}
	if err := json.Unmarshal([]byte(found["about"]), d); err != nil {
		return nil, err
	}
	if d.By != v.Person.Name {
		return nil, errNoPage
	}
	d.plan, d.bad = []byte(found["plan"]), []byte(found["bad"])
	return d, nil
}

// forget drops a draft that was submitted; if that fails, it is gone two hours after it was made.
func (c *Console) forget(ctx context.Context, jobID string) {
	if err := c.cfg.Redis.Del(ctx, draftKey(jobID)).Err(); err != nil {
		c.cfg.Log.Warn().Err(err).Str("job", jobID).Msg("a submitted list is kept for a while")
	}
}
