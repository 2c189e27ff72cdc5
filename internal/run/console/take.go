package console

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/tasks"
)

// maxUpload is the largest list that is taken, in bytes: a workbook of 100,000 rows has some 5 MB. It is held in memory, so
// that no disk is needed, readsAtOnce of them at a time.
const (
	maxUpload   = 64 << 20
	readsAtOnce = 4
)

// newView is what the page that takes a list shows.
type newView struct {
	Text, Roles, Keep string
	AllRoles          bool
	// Lookup says that names, mobile and staff numbers can be looked up.
	Lookup bool
	// Wrong says why the list was not taken, line by line.
	Wrong []string
}

func (c *Console) newPage(v *visit) error { return c.showNew(v, &newView{}, http.StatusOK) }

func (c *Console) showNew(v *visit, page *newView, status int) error {
	page.Lookup = c.cfg.Directory != nil
	v.Page, v.Here, v.Title = page, "new", texts.T("New removal")
	return v.show("new.html", status)
}

// take reads the list that somebody dropped or pasted, and keeps what was read under the id of the job that it may become.
// Nothing is submitted.
func (c *Console) take(v *visit) error {
	ctx := v.r.Context()
	select {
	case c.reads <- struct{}{}:
		defer func() { <-c.reads }()
	case <-ctx.Done():
		return &problem{http.StatusServiceUnavailable, texts.T("Many lists are being read just now; try again in a moment.")}
	}
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxUpload)
	if err := v.r.ParseMultipartForm(maxUpload); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return c.showNew(v, &newView{Wrong: []string{v.Say(texts.T("The file is larger than %d MB: split it.", maxUpload>>20))}}, http.StatusRequestEntityTooLarge)
		}
		return &problem{http.StatusBadRequest, texts.T("The form could not be read; go back and send it again.")}
	}
	defer v.r.MultipartForm.RemoveAll()
	page := &newView{Text: v.r.PostFormValue("text"), Roles: strings.TrimSpace(v.r.PostFormValue("roles")),
		Keep: strings.TrimSpace(v.r.PostFormValue("keep")), AllRoles: v.r.PostFormValue("all_roles") != ""}
	refuse := func(why string) error {
		page.Wrong = strings.Split(why, "\n")
		if len(page.Text) > maxForm {
			page.Text = ""
		}
		return c.showNew(v, page, http.StatusUnprocessableEntity)
	}
	name, list := v.Say(texts.T("the pasted list")), io.ReadSeeker(strings.NewReader(page.Text))
	if file, head, err := v.r.FormFile("file"); err == nil && head.Size > 0 {
		defer file.Close()
		name, list = filepath.Base(head.Filename), file
	} else if strings.TrimSpace(page.Text) == "" {
		return refuse(v.Say(texts.T("Choose a file, or paste a list.")))
	}
	opt := lists.Options{Name: name, Cells: true, Lookup: c.cfg.Directory != nil}
	opt.AllRoles = opt.Lookup && page.AllRoles
	var err error
	if opt.Roles, err = c.rolesOf(page.Roles); err != nil {
		return refuse(texts.Say(v.Lang, err))
	}
	if opt.AllRoles && len(opt.Roles) > 0 {
		return refuse(v.Say(texts.T("Either all roles, or those that are named: not both.")))
	}
	keep, err := c.rolesOf(page.Keep)
	if err != nil {
		return refuse(texts.Say(v.Lang, err))
	}
	d, rows, err := readList(list, opt, v.Lang)
	if err != nil {
		return refuse(texts.Say(v.Lang, err))
	}
	if d.AllRoles = opt.AllRoles; d.AllRoles {
		d.Keep, d.Must = keep, true
	}
	return c.preview(v, d, rows)
}

// rolesOf reads roles as somebody types them, separated by commas or semicolons; ids also by blanks.
func (c *Console) rolesOf(text string) ([]lists.Role, error) {
	var roles []lists.Role
	for _, item := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(",;，；、\n\t", r) }) {
		each := []string{strings.TrimSpace(item)}
		if strings.Trim(item, "0123456789 ") == "" {
			each = strings.Fields(item)
		}
		for _, one := range each {
			role, err := lists.ParseRole(one)
			if err == nil && role.ID == 0 && c.cfg.Directory == nil {
				err = errNoNames
			}
			if err != nil {
				return nil, err
			}
			roles = append(roles, role)
		}
	}
	return roles, nil
}

var errNoNames = texts.T("Roles are taken by their ids only: this console has no credentials of DingTalk to look names up with.")

// readList reads a list whole. What is wrong with single rows is left to whoever confirms: they are told line by line, and
// left out only with their word.
func readList(list io.ReadSeeker, opt lists.Options, lang texts.Lang) (*draft, *lists.Kept, error) {
	d := &draft{File: opt.Name}
	var bad bytes.Buffer
	for {
		rows, pairs := &lists.Kept{}, 0
		read, err := lists.Read(list, opt, func(row lists.Row) error {
			// One row may ask for more than a file could.
			if pairs += len(row.People) * max(1, len(row.Roles)); pairs > enqueue.MaxPairs {
				return errTooMany
			}
			// What stands beside an id has to be true of the same person.
			d.Must = d.Must || len(row.Also) > 0
			for _, p := range row.People {
				d.Must = d.Must || p.By != lists.UserID
			}
			for _, r := range row.Roles {
				d.Must = d.Must || r.ID == 0
			}
			rows.Add(row)
			return nil
		})
		var refused *lists.Refused
		if errors.As(err, &refused) && opt.Reject == nil && read.Rejected > 0 && read.Rejected < read.Rows && !refused.Truncated {
			// Some rows are bad: again, without them.
			for _, row := range refused.Rows {
				d.Wrong = append(d.Wrong, wrongRow{row.Line, row.Reason.In(lang)})
			}
			opt.Reject, opt.Lang = &bad, lang
			if _, err := list.Seek(0, io.SeekStart); err != nil {
				return nil, nil, err
			}
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		for _, note := range read.Notes {
			d.Notes = append(d.Notes, note.In(lang))
		}
		d.Header, d.Rows, d.Rejected = read.Header, read.Rows, read.Rejected
		d.file(fileWrong, bad.Bytes())
		return d, rows, nil
	}
}

// preview keeps a list and leads on to the page that shows what would be done. Where DingTalk can be asked it is looked at
// meanwhile, which may take minutes.
func (c *Console) preview(v *visit, d *draft, rows *lists.Kept) error {
	ctx := v.r.Context()
	d.JobID, d.By = tasks.NewJobID(time.Now()), v.Person.Name
	if c.cfg.Directory == nil || c.cfg.Preflight == "false" && !d.Must {
		removals, err := idsOf(rows)
		if err != nil {
			return err
		}
		if err := c.plan(d, removals, nil, v.Lang); err != nil {
			return err
		}
		if err := c.keep(ctx, d); err != nil {
			return err
		}
	} else if err := c.lookLater(ctx, d, rows, v.Lang); err != nil {
		return err
	}
	v.redirect("/removals/" + d.JobID)
	return nil
}

// lookLater keeps a draft that is not known yet, with nothing of an earlier look, and begins to look at it.
func (c *Console) lookLater(ctx context.Context, d *draft, rows *lists.Kept, lang texts.Lang) error {
	packed, err := packRows(rows)
	if err != nil {
		return err
	}
	d.file(fileRows, packed)
	for _, known := range []string{filePlan, fileSnapshot, fileUnresolved} {
		d.file(known, nil)
	}
	d.Turn++
	d.Ready, d.Sample, d.Seen, d.Noted, d.Blocked = false, nil, nil, nil, ""
	if err := c.keep(ctx, d); err != nil {
		return err
	}
	c.tellLook(ctx, d.JobID, lookState{Of: lookups(d, rows)})
	c.looks.begin(d.By, c.cfg.Ending, func(ctx context.Context) { c.lookAt(ctx, d, rows, lang) })
	return nil
}
