package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/run/httpserve"
)

const (
	// progressEvery is how often a job is looked at for those who watch it.
	progressEvery = time.Second
	// progressSign is how often a watcher hears of nothing new, so that proxies keep the connection.
	progressSign = 15 * time.Second
	// progressLasts is how long one connection tells; browsers then open another.
	progressLasts = 10 * time.Minute
)

// told is what a page that is open learns of its job.
type told struct {
	State     string `json:"state"`
	Class     string `json:"class"`
	Share     int64  `json:"share"`
	Removed   int64  `json:"removed"`
	Dead      int64  `json:"dead"`
	Cancelled int64  `json:"cancelled"`
	Pending   int64  `json:"pending"`
	Calls     int64  `json:"calls"`
	Finished  bool   `json:"finished"`
	// Awaiting changes when somebody approves.
	Awaiting string `json:"awaiting"`
}

var errLeft = errors.New("nobody watches any more")

// progress tells an open page by server-sent events how its job gets on, until the job has ended.
func (c *Console) progress(w http.ResponseWriter, r *http.Request) {
	if _, err := c.ledger.Get(r.Context(), r.PathValue("id")); err != nil {
		var unknown *ledger.NotFoundError
		if errors.As(err, &unknown) {
			http.Error(w, "no such job", http.StatusNotFound)
			return
		}
		c.cfg.Log.Error().Err(err).Str("path", r.URL.Path).Msg("a page of the console cannot be told of its job")
		http.Error(w, "the records cannot be read just now", http.StatusServiceUnavailable)
		return
	}
	lang := languageOf(r)
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	ends := time.NewTimer(progressLasts)
	defer ends.Stop()
	var last []byte
	var heard time.Time
	_, _ = c.ledger.Watch(r.Context(), r.PathValue("id"), progressEvery, func(job ledger.Job, err error) error {
		select {
		case <-c.cfg.Ending:
			return errLeft
		case <-ends.C:
			return errLeft
		default:
		}
		if err != nil {
			return nil // Redis is away for a moment
		}
		now, err := json.Marshal(tell(job, lang))
		if err != nil {
			return err
		}
		text := ": \n\n"
		if string(now) != string(last) {
			text = fmt.Sprintf("data: %s\n\n", now)
		} else if time.Since(heard) < progressSign {
			return nil
		}
		last, heard = now, time.Now()
		_ = out.SetWriteDeadline(heard.Add(httpserve.WriteTimeout)) // not every writer has one
		if _, err := w.Write([]byte(text)); err != nil {
			return errLeft
		}
		return out.Flush()
	})
}

func tell(job ledger.Job, lang texts.Lang) told {
	l := line(job)
	return told{State: l.State.In(lang), Class: l.Class, Share: l.Share(), Removed: l.Done(), Dead: job.Pairs.Dead,
		Cancelled: job.Pairs.Cancelled, Pending: job.Pairs.Pending, Calls: job.APICalls, Finished: job.State.Finished(), Awaiting: job.Awaiting}
}
