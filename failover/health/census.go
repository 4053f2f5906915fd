package health

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"failoverd/failover"
)

// Of a process that is not new its name may have changed, too (execve). That is looked for while it is young, which is
// when it happens, and otherwise only now and then, because reading thousands of processes is what costs.
const youth = 3 * time.Second

// collect is for how long news of processes are collected: most of those which the kernel tells of are gone again, and
// starting a program takes two steps.
const collect = 10 * time.Millisecond

// census counts the processes that are tracked. It finds new ones by listing them all, and sooner where the kernel
// tells of them (newborns), and learns of the death of those which count at once (obituaries).
type census struct {
	log     *slog.Logger
	s       *settings
	box     *outbox
	proc    procFS
	changed chan struct{} // 1: wanted has changed
	cancel  context.CancelFunc

	mu     sync.Mutex
	wanted []*processCheck

	// Owned by the loop.
	checks     []*processCheck
	known      map[int]*process
	stale      bool // the checks are not those that the processes were compared with
	scanned    bool
	trouble    string // why processes cannot be listed
	lastFull   time.Time
	obituaries *obituaries // nil: the kernel has none
	newborns   *newborns   // nil: the kernel does not tell
}

// processCheck is one vrrp_track_process. Its pattern is constant, all else but want is the census loop's.
type processCheck struct {
	name    string
	pattern pattern
	out     *outlet
	want    failover.ProcessConfig // guarded by the mutex of the census

	quorum quorum
	cause  string // of what was reported last
	count  int
}

// process is one that was looked at.
type process struct {
	start   uint64
	seen    time.Time
	counts  []*processCheck // that it counts for
	awaited bool            // its death will be told
}

func newCensus(s *settings, box *outbox) *census {
	return &census{
		log: s.log, s: s, box: box, proc: procFS{s.proc}, changed: make(chan struct{}, 1), known: make(map[int]*process),
	}
}

// configure sets what is to be counted. It may be called from any goroutine; a check that is gone reports nothing any
// more when it returns.
func (c *census) configure(list []failover.ProcessConfig) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := make([]*processCheck, 0, len(list))
	for i := range list {
		if slices.ContainsFunc(list[:i], func(o failover.ProcessConfig) bool { return o.Name == list[i].Name }) {
			continue // names are unique in a configuration that conf has made
		}
		p := newPattern(&list[i])
		k := slices.IndexFunc(c.wanted, func(w *processCheck) bool { return w.name == list[i].Name && w.pattern.same(&p) })
		if k < 0 {
			next = append(next, &processCheck{
				name: list[i].Name, pattern: p, out: c.box.outlet(failover.TrackProcess, list[i].Name), want: list[i],
			})
			continue
		}
		c.wanted[k].want = list[i]
		next = append(next, c.wanted[k])
	}
	for _, old := range c.wanted {
		if !slices.Contains(next, old) {
			old.out.close()
		}
	}
	c.wanted = next
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// adopt takes over what configure has set.
func (c *census) adopt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stale = c.stale || !slices.Equal(c.checks, c.wanted)
	c.checks = c.wanted
	for _, k := range c.checks {
		k.quorum.adopt(&k.want)
	}
}

// loop counts until ctx ends.
func (c *census) loop(ctx context.Context) {
	var helpers sync.WaitGroup
	defer helpers.Wait()
	news, deaths := newPokes(), newPokes()
	c.openObituaries(&helpers, deaths)
	defer c.close()

	// The first numbers are there before the kernel is asked for news, for it may not answer.
	c.adopt()
	c.scan(time.Now())
	verdict := time.NewTimer(c.judge(time.Now()))
	c.openNewborns(ctx, &helpers, news)
	scan, collected := time.NewTimer(c.pause(news)), time.NewTimer(0)
	collecting := true // what happened before the kernel told is found at once
	news.lost()
	defer verdict.Stop()
	defer scan.Stop()
	defer collected.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.changed:
			c.adopt()
			scan.Reset(0)
			continue
		case <-scan.C:
			c.scan(time.Now())
			scan.Reset(c.pause(news))
		case <-deaths.ready:
			c.examineAll(deaths)
		case <-news.ready:
			if !collecting {
				collecting = true
				collected.Reset(collect)
			}
			continue
		case <-collected.C:
			collecting = false
			c.examineAll(news)
			if news.ended() {
				scan.Reset(c.pause(news))
			}
		case <-verdict.C:
		}
		verdict.Reset(c.judge(time.Now()))
	}
}

func (c *census) openObituaries(helpers *sync.WaitGroup, deaths *pokes) {
	o, err := openObituaries()
	if err != nil {
		c.log.Info("the end of processes is found by listing them", "err", err, "every", c.s.scan.String())
		return
	}
	c.obituaries = o
	helpers.Go(func() { o.loop(deaths) })
}

func (c *census) openNewborns(ctx context.Context, helpers *sync.WaitGroup, news *pokes) {
	if !c.s.births {
		return
	}
	n, err := openNewborns(ctx)
	if err != nil {
		c.log.Info("new processes are found by listing them", "err", err, "every", c.s.scan.String())
		return
	}
	c.newborns = n
	helpers.Go(func() { n.loop(news) })
}

func (c *census) close() {
	if c.obituaries != nil {
		c.obituaries.close()
	}
	if c.newborns != nil {
		c.newborns.close()
	}
}

// pause is the time until the next scan.
func (c *census) pause(news *pokes) time.Duration {
	if c.newborns != nil && !news.ended() {
		return c.s.full
	}
	return c.s.scan
}

// scan looks at all processes that may have become something else since the last time.
func (c *census) scan(now time.Time) {
	pids, err := c.proc.list()
	if err != nil {
		c.trouble = "processes cannot be listed: " + plain(err)
		return
	}
	c.trouble = ""
	full := c.stale || now.Sub(c.lastFull) >= c.s.full
	if full {
		c.lastFull, c.stale = now, false
	}
	present := make(map[int]bool, len(pids))
	for _, pid := range pids {
		present[pid] = true
		if p := c.known[pid]; p == nil || full || len(p.counts) > 0 || now.Sub(p.seen) < youth {
			c.examine(now, pid)
		}
	}
	for pid := range c.known {
		if !present[pid] {
			c.forget(pid)
		}
	}
	c.recount()
	c.scanned = true
}

func (c *census) examineAll(pids *pokes) {
	now := time.Now()
	list, all := pids.take()
	if all {
		c.lastFull = time.Time{}
		c.scan(now)
		return
	}
	for pid := range list {
		c.examine(now, pid)
	}
	c.recount()
}

// examine finds out what a process counts for.
func (c *census) examine(now time.Time, pid int) {
	st, ok := c.proc.stat(pid)
	if !ok {
		c.forget(pid)
		return
	}
	p := c.known[pid]
	if p == nil || p.start != st.start {
		c.forget(pid)
		p = &process{start: st.start, seen: now}
		c.known[pid] = p
	}
	p.counts = p.counts[:0]
	if st.dead {
		return
	}
	var argv []string
	command := func() []string {
		if argv == nil {
			argv = c.proc.command(pid)
		}
		return argv
	}
	for _, k := range c.checks {
		if k.pattern.matches(st.comm, command) {
			p.counts = append(p.counts, k)
		}
	}
	if len(p.counts) > 0 && !p.awaited && c.obituaries != nil {
		p.awaited = c.obituaries.await(pid)
		if again, ok := c.proc.stat(pid); !ok || again.dead || again.start != st.start {
			c.forget(pid) // it died before its death could be awaited; another one of its number is found by the next scan
		}
	}
}

func (c *census) forget(pid int) {
	if p := c.known[pid]; p != nil {
		if p.awaited {
			c.obituaries.ignore(pid)
		}
		delete(c.known, pid)
	}
}

// recount counts afresh: there are few checks and few processes that count.
func (c *census) recount() {
	for _, k := range c.checks {
		k.count = 0
	}
	for _, p := range c.known {
		for _, k := range p.counts {
			k.count++
		}
	}
}

// judge reports what has changed and returns the time until it must be asked again.
func (c *census) judge(now time.Time) time.Duration {
	wait := time.Hour
	if c.trouble != "" {
		for _, k := range c.checks {
			k.out.post(news{cause: c.trouble, report: failover.TrackerReport{Reason: c.trouble}})
			k.quorum.known = false // when they can be listed again, the first number counts
		}
		return wait
	}
	if !c.scanned || c.stale {
		return wait // a scan is about to come
	}
	for _, k := range c.checks {
		changed, at := k.quorum.update(now, k.count)
		if cause := k.quorum.cause(); changed || (!k.quorum.ok && cause != enough && cause != k.cause) {
			k.cause = cause
			k.out.post(news{cause: cause, report: failover.TrackerReport{OK: k.quorum.ok, Reason: k.quorum.reason()}})
		}
		if !at.IsZero() {
			wait = min(wait, max(at.Sub(now), 0))
		}
	}
	return wait
}
