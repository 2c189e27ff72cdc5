package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/tasks"
)

// previewView is what the page before a submission shows.
type previewView struct {
	*draft
	Takes time.Duration
	// Guarded says that so many people take a second word.
	Guarded bool
	// Approval says that another person has to approve.
	Approval bool
	Lanes    []string
	// Zone is that of times typed without script.
	Zone string
	// Names says that people and roles are looked up here.
	Names bool
}

// LaneName names a lane.
func (p *previewView) LaneName(lane string) texts.Text { return laneOf(lane) }

// words are what has to be said besides, of so many people, rows left out and roles that many would lose.
const (
	wordMany  = "many"
	wordRows  = "rows"
	wordShare = "share"
)

// words are those that this draft takes.
func (d *draft) words() []string {
	var words []string
	if d.Users > enqueue.DefaultMaxUsers {
		words = append(words, wordMany)
	}
	if d.LeftOut() > 0 {
		words = append(words, wordRows)
	}
	if d.Seen != nil && len(d.Seen.Shares) > 0 {
		words = append(words, wordShare)
	}
	return words
}

// LeftOut counts the rows of which nothing would be removed, since they are wrong or mean nobody for certain.
func (d *draft) LeftOut() int {
	if d.Seen == nil {
		return d.Rejected
	}
	return d.Rejected + d.Seen.Unresolved
}

// looking is what the page of a list shows that is being looked at.
type looking struct {
	*draft
	Look lookState
}

func (c *Console) previewPage(v *visit) error {
	id := v.r.PathValue("id")
	d, err := c.draft(v, id)
	var ended *draftEndedError
	if errors.As(err, &ended) {
		if _, err := c.ledger.Get(v.r.Context(), id); err == nil {
			return v.done("/jobs/"+id, "existed")
		}
	}
	if err != nil {
		return err
	}
	v.Here, v.Title = "new", texts.T("New removal")
	if !d.Ready {
		v.Page = &looking{d, d.look}
		if d.look.Failed == "" && !d.look.Lost() {
			v.Reload = 2
		}
		return v.show("looking.html", http.StatusOK)
	}
	status, err := c.cfg.Pacer.Status(v.r.Context())
	if err != nil {
		return err
	}
	page := &previewView{draft: d, Lanes: []string{tasks.QueueDefault, tasks.QueueUrgent, tasks.QueueBulk}, Zone: time.Now().Format("MST -07:00"),
		Guarded: d.Users > enqueue.DefaultMaxUsers, Approval: c.approvalAbove(int(d.Users)), Names: c.cfg.Directory != nil}
	page.Takes = time.Duration(float64(d.Calls) / status.Ceiling * float64(time.Second))
	v.Page = page
	return v.show("preview.html", http.StatusOK)
}

// looked tells an open page how far the list is looked at.
func (c *Console) looked(v *visit) error {
	d, err := c.draft(v, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(v.w).Encode(map[string]any{"share": d.look.Share(), "said": v.Say(howFar(d.look)),
		"over": d.Ready || d.look.Failed != "" || d.look.Lost()})
}

// howFar says how far a list is looked at.
func howFar(l lookState) texts.Text {
	if l.Waits {
		return texts.T("Other lists are looked at first.")
	}
	return texts.T("%d questions put to DingTalk, of about %d.", l.Asked, max(l.Of, l.Asked))
}

// again looks once more at a list that nobody looks at any longer.
func (c *Console) again(v *visit) error {
	id := v.r.PathValue("id")
	d, err := c.draft(v, id, fileRows)
	if err != nil {
		return err
	}
	if c.cfg.Directory != nil && d.files[fileRows] != nil && (d.Ready || d.look.Failed != "" || d.look.Lost()) {
		rows, err := unpackRows(d.files[fileRows])
		if err != nil {
			return err
		}
		if err := c.lookLater(v.r.Context(), d, rows, v.Lang); err != nil {
			return err
		}
	}
	v.redirect("/removals/" + id)
	return nil
}

// choose takes somebody's word for who is meant where a name fits several, and looks at the list again with that.
func (c *Console) choose(v *visit) error {
	id := v.r.PathValue("id")
	d, err := c.draft(v, id, fileRows)
	if err != nil {
		return err
	}
	if c.cfg.Directory == nil || !d.Ready || d.Seen == nil || v.r.PostFormValue("turn") != strconv.Itoa(d.Turn) {
		return v.done("/removals/"+id, "changed")
	}
	rows, err := unpackRows(d.files[fileRows])
	if err != nil {
		return err
	}
	rows, any := d.Seen.meant(rows, func(i int) string { return v.r.PostFormValue(fmt.Sprint("d", i)) })
	if !any {
		v.redirect("/removals/" + id)
		return nil
	}
	if err := c.lookLater(v.r.Context(), d, rows, v.Lang); err != nil {
		return err
	}
	v.redirect("/removals/" + id)
	return nil
}

func (c *Console) approvalAbove(users int) bool {
	return c.cfg.ApproveAbove > 0 && users > c.cfg.ApproveAbove
}

// rowsToCorrect sends rows that were wrong, or meant nobody for certain, to be corrected and dropped again.
func (c *Console) rowsToCorrect(name, file string) func(v *visit) error {
	return func(v *visit) error {
		d, err := c.draft(v, v.r.PathValue("id"), file)
		if err != nil {
			return err
		}
		h := v.w.Header()
		h.Set("Content-Type", "text/csv; charset=utf-8")
		h.Set("Content-Disposition", `attachment; filename="`+name+`-`+d.JobID+`.csv"`)
		_, _ = v.w.Write(d.files[file]) // the reader may have gone
		return nil
	}
}
