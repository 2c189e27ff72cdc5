package console

import (
	"context"
	"hash/maphash"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/unrole/unrole/internal/base/wait"
	"github.com/unrole/unrole/internal/record/ledger"
)

// catalog answers searches without reading a job that it does not show. It is read from the ledger whole at the start, a few
// seconds for 100,000 jobs, and again when a good part of what it knows has gone from there; in between by what is new.
type catalog struct {
	ledger *ledger.Ledger

	mu      sync.Mutex
	knows   *index
	reading bool

	// pages counts those that are being made just now, searches those that wait until the catalog is read.
	pages, searches atomic.Int64
}

func newCatalog(l *ledger.Ledger) *catalog { return &catalog{ledger: l, knows: newIndex(l)} }

// giveWay waits while somebody waits for a page, but for one that needs what is being read.
func (c *catalog) giveWay(ctx context.Context) {
	for c.pages.Load() > 0 && c.searches.Load() == 0 && wait.For(ctx, time.Millisecond) == nil {
	}
}

// find lists the ids of the jobs that match, the latest first.
func (c *catalog) find(ctx context.Context, s search) ([]string, error) {
	c.searches.Add(1)
	defer c.searches.Add(-1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.knows.refresh(ctx); err != nil {
		return nil, err
	}
	if n, err := c.ledger.Count(ctx); err == nil && len(c.knows.jobs) > n+n/4+mostGone && !c.reading {
		c.reading = true
		go c.readAnew()
	}
	return c.knows.find(s), nil
}

// mostGone is how many jobs, besides a quarter of them, may be known that the ledger keeps no longer.
const mostGone = 1000

// readAnew forgets what the ledger has forgotten; searches go on meanwhile.
func (c *catalog) readAnew() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	fresh := newIndex(c.ledger)
	fresh.giveWay = c.giveWay
	err := fresh.refresh(ctx)
	fresh.giveWay = nil
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reading = false; err == nil {
		c.knows = fresh
	}
}

// firstPage is how long the first page after a start has before the catalog is read.
const firstPage = 2 * time.Second

// warm reads the catalog before anybody searches, and the index of the open jobs before anybody sees them.
func (c *catalog) warm(ending <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-ending:
			cancel()
		case <-ctx.Done():
		}
	}()
	_, _ = c.ledger.OpenNames(ctx) // whoever looks or searches first is told of an error
	if wait.For(ctx, firstPage) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.knows.giveWay = c.giveWay
	_ = c.knows.refresh(ctx)
	c.knows.giveWay = nil
}

// index knows of every job whom and what it is about. It lives in memory, some 100 bytes a job and 30 a distinct person or
// role of a job.
type index struct {
	ledger *ledger.Ledger
	seed   maphash.Seed
	jobs   []entry
	at     map[string]int // position of a job in jobs
	since  time.Time      // when the newest job that was read was created
	// open are positions of jobs whose people were not all known yet: their plan was still being written, or they were
	// put into the queue piece by piece.
	open map[int]bool
	// first is, by person or role, the last place in chain that names it; each leads to the one before.
	first map[uint64]uint32
	chain []link
	// giveWay, when not nil, is called now and then while it reads.
	giveWay func(context.Context)
}

// entry is what a search may ask for and never changes.
type entry struct {
	id, source, by string
	created        time.Time
}

type link struct{ job, before uint32 }

func newIndex(l *ledger.Ledger) *index {
	return &index{ledger: l, seed: maphash.MakeSeed(), at: map[string]int{}, open: map[int]bool{}, first: map[uint64]uint32{}, chain: make([]link, 1)}
}

// search says which jobs are looked for: those that match all that is not empty.
type search struct {
	person, source string
	role           int64
	// from and to bound when it was submitted; to is not included.
	from, to time.Time
}

// find lists the ids of the jobs that match, the latest first.
func (c *index) find(s search) []string {
	var among map[uint32]bool
	for _, key := range s.keys(c) {
		found := map[uint32]bool{}
		for at := c.first[key]; at != 0; at = c.chain[at].before {
			if job := c.chain[at].job; among == nil || among[job] {
				found[job] = true
			}
		}
		among = found
	}
	source := strings.ToLower(s.source)
	var ids []string
	for i := len(c.jobs) - 1; i >= 0; i-- {
		e := &c.jobs[i]
		if among != nil && !among[uint32(i)] ||
			source != "" && !strings.Contains(strings.ToLower(e.source), source) && !strings.Contains(strings.ToLower(e.by), source) ||
			!s.from.IsZero() && e.created.Before(s.from) || !s.to.IsZero() && !e.created.Before(s.to) {
			continue
		}
		ids = append(ids, e.id)
	}
	return ids
}

func (s search) keys(c *index) []uint64 {
	var keys []uint64
	if s.person != "" {
		keys = append(keys, c.person(s.person))
	}
	if s.role != 0 {
		keys = append(keys, c.role(s.role))
	}
	return keys
}

// Two that share a number of 64 bits by chance would be found together; nobody meets that.
func (c *index) person(id string) uint64 { return maphash.String(c.seed, "u"+id) }
func (c *index) role(id int64) uint64 {
	return maphash.String(c.seed, "r"+strconv.FormatInt(id, 10))
}

// overlap is how far back jobs are looked for again: clocks of those who submit differ.
const overlap = 10 * time.Minute

// refresh reads what is new.
func (c *index) refresh(ctx context.Context) error {
	from := c.since
	if !from.IsZero() {
		from = from.Add(-overlap)
	}
	ids, newest, err := c.ledger.CreatedSince(ctx, from)
	if err != nil {
		return err
	}
	var fresh []string
	for _, id := range ids {
		if _, known := c.at[id]; !known {
			fresh = append(fresh, id)
		}
	}
	for i := range c.open {
		fresh = append(fresh, c.jobs[i].id)
	}
	const page = 200
	for len(fresh) > 0 {
		if c.giveWay != nil {
			c.giveWay(ctx)
		}
		now := fresh[:min(page, len(fresh))]
		fresh = fresh[len(now):]
		concerns, err := c.ledger.Concerns(ctx, now)
		if err != nil {
			return err
		}
		for _, about := range concerns {
			c.take(about)
		}
	}
	if newest.After(c.since) {
		c.since = newest
	}
	return nil
}

func (c *index) take(about ledger.Concern) {
	job := about.Job
	i, known := c.at[job.JobID]
	if !known {
		i = len(c.jobs)
		c.at[job.JobID] = i
		c.jobs = append(c.jobs, entry{job.JobID, job.Source, job.SubmittedBy, job.CreatedAt})
	}
	if !about.Complete {
		c.open[i] = true
	} else {
		delete(c.open, i)
	}
	add := func(key uint64) {
		if last := c.first[key]; last != 0 && c.chain[last].job == uint32(i) {
			return
		}
		c.chain = append(c.chain, link{uint32(i), c.first[key]})
		c.first[key] = uint32(len(c.chain) - 1)
	}
	for user := range about.Users {
		add(c.person(user))
	}
	for role := range about.Roles {
		add(c.role(role))
	}
}
