package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// tailSize is how much of the file's end is read when it is opened: more than is written between two moves of the
// cursors.
const tailSize = 4 << 20

// fileError is a fault of the file, as against one of Redis.
type fileError struct{ err error }

func (e *fileError) Error() string { return "audit file: " + e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

// file is the open audit file.
type file struct{ *os.File }

// open opens the file and learns how far it has come: what the cursors say, and what was written after they were moved
// for the last time.
func (f *follower) open(ctx context.Context) error {
	if f.file != nil {
		return nil
	}
	cursors, err := f.cfg.Redis.HGetAll(ctx, cursorKey).Result()
	if err != nil {
		return fmt.Errorf("read how far the audit file has come: %w", err)
	}
	opened, err := os.OpenFile(f.cfg.File, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return &fileError{err}
	}
	written, err := mend(opened)
	if err == nil {
		// What was written before a failed sync counts only now.
		err = sync(opened)
	}
	if err != nil {
		opened.Close()
		return &fileError{err}
	}
	f.file, f.cursors, f.active = &file{opened}, cursors, map[string]bool{}
	ahead := map[string]string{}
	for job, id := range written {
		if later(id, cursors[job]) {
			ahead[job] = id
		}
	}
	return f.move(ctx, ahead)
}

// mend cuts off a line that a crash left unfinished, and returns the last entry of each job near the end of the file.
func mend(f *os.File) (map[string]string, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil // a pipe or device; nothing can be read back
	}
	from := max(info.Size()-tailSize, 0)
	tail, err := io.ReadAll(io.NewSectionReader(f, from, info.Size()-from))
	if err != nil {
		return nil, err
	}
	if end := bytes.LastIndexByte(tail, '\n') + 1; end < len(tail) {
		if end == 0 && from > 0 {
			return nil, fmt.Errorf("its last line has more than %d bytes: it is not an audit file", tailSize)
		}
		if err := f.Truncate(from + int64(end)); err != nil {
			return nil, err
		}
		tail = tail[:end]
	}
	last := map[string]string{}
	for text := range bytes.Lines(tail) {
		var entry struct {
			Seq   string `json:"seq"`
			JobID string `json:"job_id"`
		}
		if json.Unmarshal(text, &entry) == nil && entry.Seq != "" && later(entry.Seq, last[entry.JobID]) {
			last[entry.JobID] = entry.Seq
		}
	}
	return last, nil
}

// append writes whole lines and returns when they are on the disk.
func (f *file) append(lines []byte) error {
	if _, err := f.Write(lines); err != nil {
		return &fileError{err}
	}
	if err := sync(f.File); err != nil {
		return &fileError{err}
	}
	return nil
}

// sync brings the file to the disk; a pipe or device has none.
func sync(f *os.File) error {
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// replaced reports whether the name stands for another file now: moved away by a rotation, or deleted.
func (f *file) replaced(name string) bool {
	mine, err := f.Stat()
	if err != nil {
		return true
	}
	there, err := os.Stat(name)
	return err != nil || !os.SameFile(mine, there)
}

// later compares two places in a trail, "MILLISECONDS-N"; everything is later than the empty one.
func later(a, b string) bool {
	am, an := place(a)
	bm, bn := place(b)
	return am > bm || am == bm && an > bn
}

func place(id string) (ms, n uint64) {
	first, second, _ := strings.Cut(id, "-")
	ms, _ = strconv.ParseUint(first, 10, 64)
	n, _ = strconv.ParseUint(second, 10, 64)
	return ms, n
}
