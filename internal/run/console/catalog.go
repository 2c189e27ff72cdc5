package console

import (
	"cmp"
	"context"
	"hash/maphash"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/unrole/unrole/internal/base/wait"
	"github.com/unrole/unrole/internal/record/ledger"
)

// catalog answers searches without reading a job that it does not show. It reads the ledger whole at the start, the latest jobs first,
// some 20,000 a second, and again when a good part of what it knows has gone from there; in between what is new. A search while it
// reads finds what it has come to.
type catalog struct {
	ledger *ledger.Ledger
	ending <-chan struct{}

	mu    sync.Mutex
	knows *index
	// reading is closed when what reads the ledger has ended, with the error err; nil before the first.
	reading chan struct{}
	err     error

	// pages counts those that are being made just now, searches those that wait for what is being read.
	pages, searches atomic.Int64
}

func newCatalog(l *ledger.Ledger, ending <-chan struct{}) *catalog {
	return &catalog{ledger: l, ending: ending, knows: newIndex(l)}
}

// searchWaits is how long a search waits for the catalog to be whole.
const searchWaits = 100 * time.Millisecond

// answer is what a search has found: the ids of the jobs that match, the latest first. Unless it is whole, those that were submitted
// before until are still to be read, and are not among them; until is zero where none is read.
type answer struct {
	ids   []string
	whole bool
	until time.Time
}

func (c *catalog) find(ctx context.Context, s search) (answer, error) {
	c.searches.Add(1)
	defer c.searches.Add(-1)
	if err := c.await(ctx); err != nil {
		return answer{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.knows.refresh(ctx); err != nil {
		return answer{}, err
	}
	if n, err := c.ledger.Count(ctx); err == nil && c.knows.whole && len(c.knows.at) > n+n/4+mostGone {
		c.read(newIndex(c.ledger)) // searches go on in what is known meanwhile
	}
	return answer{ids: c.knows.find(s), whole: c.knows.whole, until: c.knows.until}, nil
}

// mostGone is how many jobs, besides a quarter of them, may be known that the ledger keeps no longer.
const mostGone = 1000

// await waits for a moment until the catalog is whole. It begins to read it if nobody does.
func (c *catalog) await(ctx context.Context) error {
	c.mu.Lock()
	if c.knows.whole {
		c.mu.Unlock()
		return nil
	}
	reading := c.read(c.knows)
	c.mu.Unlock()
	enough := time.NewTimer(searchWaits)
	defer enough.Stop()
	select {
	case <-reading:
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.err
	case <-enough.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// read has the ledger read into an index in the background; one that is to replace what is known does so at the end. One reading goes on at a
// time, from where the one before has stopped. mu is held.
func (c *catalog) read(into *index) (over <-chan struct{}) {
	if c.reading != nil {
		select {
		case <-c.reading:
		default:
			return c.reading
		}
	}
	done := make(chan struct{})
	c.reading = done
	go func() {
		ctx, cancel := c.untilEnding()
		defer cancel()
		err := c.readPast(ctx, into)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.err = err; err == nil {
			into.whole, c.knows = true, into
		}
		close(done)
	}()
	return done
}

func (c *catalog) readPast(ctx context.Context, into *index) error {
	for about, err := range c.ledger.Concerns(ctx, into.place) {
		if err != nil {
			return err
		}
		c.mu.Lock()
		into.takeEarlier(about)
		c.mu.Unlock()
		// Who waits for a page has Redis, unless a search needs what is being read.
		for c.pages.Load() > 0 && c.searches.Load() == 0 && wait.For(ctx, time.Millisecond) == nil {
		}
	}
	return ctx.Err()
}

// firstPage is how long the first page after a start has before the catalog is read.
const firstPage = 2 * time.Second

// warm reads the catalog before anybody searches, and the index of the open jobs before anybody sees them.
func (c *catalog) warm() {
	ctx, cancel := c.untilEnding()
	defer cancel()
	_, _ = c.ledger.OpenNames(ctx) // whoever looks or searches first is told of an error
	if wait.For(ctx, firstPage) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.knows.whole {
		c.read(c.knows)
	}
}

func (c *catalog) untilEnding() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-c.ending:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// index knows of every job whom and what it is about. It lives in memory, some 100 bytes a job and 30 a distinct person or
// role of a job.
type index struct {
	ledger *ledger.Ledger
	seed   maphash.Seed
	// later are the jobs that came since the reading began, the latest last, earlier those before, the latest first. The
	// position of a job counts from 0 in later, and from -1 down in earlier.
	later, earlier []entry
	at             map[string]int32
	since          time.Time // when the newest job that was read was created
	// until is when the oldest was, place where it stands in the ledger; whole: none is left before it.
	until time.Time
	place string
	whole bool
	// open are positions of jobs whose people were not all known yet: their plan was still being written, or they were
	// put into the queue piece by piece.
	open map[int32]bool
	// first is, by person or role, the last place in chain that names it; each leads to the one before.
	first map[uint64]uint32
	chain []link
}

// entry is what a search may ask for and never changes.
type entry struct {
	id, source, by string
	created        time.Time
}

type link struct {
	job    int32
	before uint32
}

func newIndex(l *ledger.Ledger) *index {
	return &index{ledger: l, seed: maphash.MakeSeed(), at: map[string]int32{}, open: map[int32]bool{}, first: map[uint64]uint32{}, chain: make([]link, 1)}
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
	var ids []string
	source := strings.ToLower(s.source)
	add := func(e *entry) {
		if (source == "" || strings.Contains(strings.ToLower(e.source), source) || strings.Contains(strings.ToLower(e.by), source)) &&
			(s.from.IsZero() || !e.created.Before(s.from)) && (s.to.IsZero() || e.created.Before(s.to)) {
			ids = append(ids, e.id)
		}
	}
	if keys := s.keys(c); len(keys) > 0 {
		for _, at := range c.about(keys) {
			add(c.entry(at))
		}
		return ids
	}
	for at := int32(len(c.later)) - 1; at >= -int32(len(c.earlier)); at-- {
		add(c.entry(at))
	}
	return ids
}

func (c *index) entry(at int32) *entry {
	if at < 0 {
		return &c.earlier[-1-at]
	}
	return &c.later[at]
}

// about lists the positions of the jobs that have all of the people and roles, the latest first.
func (c *index) about(keys []uint64) []int32 {
	var among map[int32]bool
	for _, key := range keys {
		found := map[int32]bool{}
		for at := c.first[key]; at != 0; at = c.chain[at].before {
			if job := c.chain[at].job; among == nil || among[job] {
				found[job] = true
			}
		}
		among = found
	}
	return slices.SortedFunc(maps.Keys(among), func(a, b int32) int { return cmp.Compare(b, a) })
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
	switch back := from.Add(-overlap); {
	case from.IsZero() && !c.whole:
		return nil // everything is still to be read
	case !from.IsZero() && (c.whole || c.until.Before(back)): // else what is between is still to be read, the latest first
		from = back
	}
	ids, newest, err := c.ledger.CreatedSince(ctx, from)
	if err != nil {
		return err
	}
	fresh := slices.DeleteFunc(ids, func(id string) bool { _, known := c.at[id]; return known })
	for at := range c.open {
		fresh = append(fresh, c.entry(at).id)
	}
	concerns, err := c.ledger.ConcernsOf(ctx, fresh)
	if err != nil {
		return err
	}
	for _, about := range concerns {
		if _, known := c.at[about.Job.JobID]; !known {
			c.at[about.Job.JobID] = int32(len(c.later))
			c.later = append(c.later, entryOf(about.Job))
		}
		c.take(about)
	}
	if newest.After(c.since) {
		c.since = newest
	}
	return nil
}

// takeEarlier takes in a job that is older than those before.
func (c *index) takeEarlier(about ledger.Concern) {
	job := about.Job
	if c.since.IsZero() {
		c.since = job.CreatedAt
	}
	c.place, c.until = about.Place, job.CreatedAt
	if _, known := c.at[job.JobID]; !known {
		c.earlier = append(c.earlier, entryOf(job))
		c.at[job.JobID] = -int32(len(c.earlier))
	}
	c.take(about)
}

func entryOf(job ledger.Job) entry {
	return entry{job.JobID, job.Source, job.SubmittedBy, job.CreatedAt}
}

// take notes whom and what a job is about, which has its position.
func (c *index) take(about ledger.Concern) {
	at := c.at[about.Job.JobID]
	if about.Complete {
		delete(c.open, at)
	} else {
		c.open[at] = true
	}
	add := func(key uint64) {
		if last := c.first[key]; last != 0 && c.chain[last].job == at {
			return
		}
		c.chain = append(c.chain, link{at, c.first[key]})
		c.first[key] = uint32(len(c.chain) - 1)
	}
	for user := range about.Users {
		add(c.person(user))
	}
	for role := range about.Roles {
		add(c.role(role))
	}
}
