// Package notify tells the world outside of transitions: it runs the notify scripts of keepalived's configuration and
// writes to its FIFOs, with keepalived's words.
//
// What keepalived leaves to luck is certain here. The scripts of one router or sync group run one after the other, in
// the order of the transitions, each with a timeout; those of different ones run side by side. When transitions come
// faster than scripts or readers can follow, intermediate states are left out, but the last one is always told. A reload
// leaves the FIFOs alone that it does not concern, and the script that reads a FIFO is started again when it dies.
//
// Goroutines, once Run runs: one for each router or group with something to tell (lane), and for each of its scripts one
// more; one for each FIFO, and one for the script that reads it. Nothing of this is waited for by Tell or Configure.
//
// Read Notifier first, then lane for the scripts and fifo for the FIFOs; both keep what they have to tell in a backlog.
package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"failoverd/failover"
	"failoverd/failover/script"
)

// ScriptTimeout is how long a notify script may take while a newer state waits to be told; after that it is ended with
// all that it has started. LongestScript is how long it may take otherwise: to promote a database takes its time, and
// keepalived gives it all there is.
const (
	ScriptTimeout = 30 * time.Second
	LongestScript = 10 * time.Minute
)

// StopPatience is how long scripts may take after the end of the agent. By then the roles, routes and addresses are
// given up, so that nobody waits for them; what notify_stop does, such as to stop a service in order, may take a while.
const StopPatience = 10 * time.Second

// readPatience is how long the readers of FIFOs may take then.
const readPatience = time.Second

// settings are constant after New; tests change them before.
type settings struct {
	timeout      time.Duration // of a script
	waited       time.Duration // of a script when a newer state waits
	patience     time.Duration // at the end, with scripts
	readPatience time.Duration // at the end, with readers of FIFOs
	parallel     int           // scripts at the same time
	laneBacklog  int           // notifications that wait for a script
	fifoBacklog  int           // lines that wait for a FIFO
	firstBackoff time.Duration // before the script of a FIFO, or the FIFO itself, is tried again
	lastBackoff  time.Duration // the greatest
	look         time.Duration // between two looks whether a FIFO is still there
}

// Notifier runs scripts and writes to FIFOs. Its methods may be called from any goroutine; Run once.
type Notifier struct {
	// Bar is held while a script is started or a FIFO is worked on; nil: nobody wants to keep the notifier from it. It is
	// constant once Run runs.
	Bar sync.Locker

	settings settings
	log      *slog.Logger
	slots    chan struct{} // as many as scripts may run at the same time
	hurry    chan struct{} // closed at the end: then no script waits for a slot
	reading  context.Context
	leave    context.CancelFunc // ends reading, in which FIFOs have readers
	crew     sync.WaitGroup

	mu     sync.Mutex // guards the following
	policy script.Policy
	lanes  map[subject]*lane // those with something to do
	fifos  map[string]*fifo  // by path
	phase  phase
}

type phase uint8

const (
	waiting phase = iota // for Run
	running
	ending // what is there is still told
	over
)

// subject is who a notification is about.
type subject struct {
	group bool
	name  string
}

func subjectOf(n *failover.Notification) subject { return subject{n.Group, n.Name} }

// New returns a Notifier without FIFOs; log nil: nothing is logged.
func New(log *slog.Logger) *Notifier {
	return newNotifier(log, settings{
		timeout: LongestScript, waited: ScriptTimeout, patience: StopPatience, readPatience: readPatience, parallel: 64, laneBacklog: 16, fifoBacklog: 1024,
		firstBackoff: time.Second, lastBackoff: time.Minute, look: 5 * time.Second,
	})
}

func newNotifier(log *slog.Logger, s settings) *Notifier {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	n := &Notifier{
		settings: s, log: log, slots: make(chan struct{}, s.parallel), hurry: make(chan struct{}),
		lanes: make(map[subject]*lane), fifos: make(map[string]*fifo),
	}
	n.reading, n.leave = context.WithCancel(context.Background())
	return n
}

// Untold says what is being told, or waits to be told, and what to do about it; empty: everybody knows. A FIFO that is full does not count: nobody
// reads it. Nor does one that cannot be made.
func (n *Notifier) Untold() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.lanes {
		return l.untold()
	}
	for path, f := range n.fifos {
		if len(f.lines.items) > 0 && !f.stuck {
			return "what is told through " + path + " has not been written; try again"
		}
	}
	return ""
}

// Leave asks the readers of FIFOs to end, because another program goes on with the FIFOs and has readers of its own. What they
// have not read stays in the FIFOs. It does not wait, and nothing is told afterwards.
func (n *Notifier) Leave() { n.leave() }

// barred does something that nobody may keep the notifier from meanwhile.
func (n *Notifier) barred(do func()) {
	if n.Bar != nil {
		n.Bar.Lock()
		defer n.Bar.Unlock()
	}
	do()
}

// Configure makes the FIFOs and the policy for scripts those of cfg; nil: none. FIFOs whose path stays are left as they
// are, open and with what is in them; so are their scripts if their command stays. Files are made and removed later, by
// Run, and what is wrong with them is logged.
func (n *Notifier) Configure(cfg *failover.Config) {
	if cfg == nil {
		cfg = &failover.Config{}
	}
	wanted := make(map[string]*failover.FIFOConfig, len(cfg.FIFOs))
	for i := range cfg.FIFOs {
		c := &cfg.FIFOs[i]
		if wanted[c.Path] != nil {
			n.log.Warn("FIFO configured twice, the second one does not count", "fifo", c.Path)
			continue
		}
		wanted[c.Path] = c
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.phase >= ending {
		return
	}
	n.policy = script.Policy{Security: cfg.ScriptSecurity, SupplementaryGroups: cfg.SupplementaryGroups}
	for _, c := range wanted {
		n.want(c)
	}
	for path, f := range n.fifos {
		if wanted[path] != nil {
			continue
		}
		f.leave()
		if n.phase == waiting {
			delete(n.fifos, path)
		}
	}
}

// want makes a FIFO what its configuration says.
func (n *Notifier) want(c *failover.FIFOConfig) {
	old := n.fifos[c.Path]
	if old != nil && !old.left {
		old.want = *c
		old.wake()
		return
	}
	f := newFIFO(n, c)
	if old != nil {
		f.predecessor = old.gone
	}
	n.fifos[c.Path] = f
	if n.phase == running {
		n.crew.Go(f.loop)
	}
}

// Tell passes on what has happened, in this order. It copies ns, waits for nothing and never blocks. What is told
// before Run waits for it; what is told after Run's context has ended is ignored.
func (n *Notifier) Tell(ns []failover.Notification) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.phase >= ending {
		return
	}
	for i := range ns {
		for _, f := range n.fifos {
			f.add(&ns[i])
		}
		if !ns[i].Quiet && ns[i].Commands != nil && len(calls(&ns[i])) > 0 {
			n.tellScripts(&ns[i])
		}
	}
}

func (n *Notifier) tellScripts(what *failover.Notification) {
	key := subjectOf(what)
	l := n.lanes[key]
	if l == nil {
		l = newLane(n, key)
		n.lanes[key] = l
		if n.phase == running {
			n.crew.Go(l.work)
		}
	}
	l.backlog.add(*what)
	l.urge()
}

// Run tells what it is told until ctx ends. Then it tells what waits, and gives that StopPatience altogether: first in
// order, then, in the second half, without what stands between a router and its last state. In the end all scripts are
// killed, FIFOs that this agent has made are removed, and Run returns nil. An error says that something could not be
// ended.
func (n *Notifier) Run(ctx context.Context) error {
	n.mu.Lock()
	if n.phase != waiting {
		n.mu.Unlock()
		return errors.New("notifier runs already, or has ended")
	}
	n.phase = running
	for _, f := range n.fifos {
		n.crew.Go(f.loop)
	}
	for _, l := range n.lanes {
		n.crew.Go(l.work)
	}
	n.mu.Unlock()
	<-ctx.Done()
	return n.end()
}

// end tells what waits, and ends everything.
func (n *Notifier) end() error {
	n.mu.Lock()
	n.phase = ending
	for _, f := range n.fifos {
		f.leave()
	}
	n.mu.Unlock()
	close(n.hurry)

	all := make(chan struct{})
	go func() {
		defer close(all)
		n.crew.Wait()
	}()
	begun := time.Now()
	p := n.settings.patience
	for _, stage := range []struct {
		until time.Duration
		then  func(*lane)
	}{
		{p / 2, (*lane).makeWay},
		{3 * p / 4, (*lane).clearWay},
		{p, (*lane).kill},
		{p + unkillable, func(*lane) {}},
	} {
		if within(all, begun.Add(stage.until)) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.phase = over
			return nil
		}
		n.press(stage.then)
	}
	return fmt.Errorf("end notifications: not ended within %v: %v", p+unkillable, n.rest())
}

// within waits for done, at most until a time.
func within(done <-chan struct{}, until time.Time) bool {
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
		return false
	}
}

// unkillable is how long what was killed may take to end: the kernel itself may hold it.
const unkillable = 2 * time.Second

// press does something with all lanes.
func (n *Notifier) press(how func(*lane)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.lanes {
		how(l)
	}
}

// rest names what has not ended.
func (n *Notifier) rest() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var names []string
	for key := range n.lanes {
		names = append(names, "scripts of "+key.name)
	}
	names = slices.AppendSeq(names, maps.Keys(n.fifos))
	slices.Sort(names)
	return names
}
