// Package daemon runs a failover.Core: it opens the sockets, listens to the kernel, talks to the speakers, and carries
// out what the core asks for. It decides nothing.
//
//	goroutine            does                                        speaks to
//	loop (Run)           owns the core, links, speakers, crew        everyone, waits for no one but a link's reader
//	alarm                timerfd -> one place in a channel           loop
//	reader (1 per link)  socket -> packets                           loop: bounded channel, full = drop and count
//	claims (1 per        what others say about virtual addresses     loop: bounded channel, full = drop and count
//	  interface, family)
//	kernel worker        reconciles addresses                        loop: results, never dropped
//	kernel watch         interfaces as they change                   loop: results
//	kernel objects       reconciles routes and rules                 loop: results
//	kernel devices       keeps macvlan interfaces and no_accept      loop: results
//	health               runs and watches what is tracked            loop: results
//	notify               runs notify scripts, writes FIFOs           nobody
//	witness              ends the heartbeat readers                  nobody
//	heartbeats (1 per    socket -> requests and answers              loop: bounded channel, full = drop and count
//	  partner, listener)
//	speaker (1 each)     child process, gRPC                         loop: results
//	rpki (1 per speaker  sessions with RPKI caches                   loop: results
//	  that has caches)
//	status server        answers from the published snapshot         Agent.Reload and Agent.Command only
//	metrics              answers from the published snapshot         nobody
//	drains, takeovers,   remember those on disk                      nobody
//	  gobgpd paths
//	gobgpd leftovers     sweeps external gobgpds                     event log, log
//	event log            writes events to a file                     nobody; full = drop and count
//	recording            writes what the core is told to a file      nobody; full = the recording ends
//	last will            writes it to memory that outlives us        nobody; the newest counts
//	log                  writes what the others log                  nobody; full = drop and count
//
// Run's end is the end of all of them: at most stopBound after no router hands its role over any more, and for notify
// tellBound after that.
//
// Read Agent first, then loop.go.
package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/conf"
	"failoverd/failover"
	"failoverd/failover/kernel"
	"failoverd/failover/notify"
	"failoverd/failover/status"
	"failoverd/failover/supervisor"
	"failoverd/vrrp/wire"
)

// Options say what an agent is to run.
type Options struct {
	// File is the configuration file, for status and logs.
	File string
	// ConfigID is that of Load; see LoadOptions.
	ConfigID string
	// Load reads and validates the configuration anew: at New, and for each reload. A configuration comes with
	// warnings at most; without one, the diagnostics or the error say why.
	Load func() (*failover.Config, []conf.Diagnostic, error)
	// Sources is what Load reads with; nil: it does not, and a program that takes over reads the file as it is by then.
	Sources *Sources
	// StateDir is where the status socket goes unless the configuration names another place, and where speakers get
	// their private directories. It is created if missing. Empty: /run/failoverd.
	StateDir string
	// EventLog is the file of events unless the configuration names another one. If it cannot be opened, or is empty, the
	// file is events.jsonl in StateDir.
	EventLog string
	// DrainDir is where drains are remembered over restarts, in drains.json, and takeovers of watched sites, in takeovers.json;
	// it is created if missing. Empty: StateDir.
	DrainDir string
	// Version is shown in status.
	Version string
	// SpeakerArgv starts a speaker child; flags are appended.
	SpeakerArgv []string
	// Supervisor keeps the last will, and passes on what is for systemd; nil: there is none.
	Supervisor *supervisor.Link
	// Log is written to by a goroutine of its own while the agent runs: a handler that blocks delays nothing. What it
	// cannot keep up with is dropped and counted.
	Log *slog.Logger
}

// Agent is a running failoverd. Run and New are called once, from one goroutine; Reload and Snapshot from any.
type Agent struct {
	// constant after New
	opts  Options
	log   *slog.Logger // through queue
	queue *logQueue
	// journal is the event log.
	journal *journal
	// recording is nil if nothing is recorded.
	recording *recording
	dir       string
	notify    *notifier

	packets chan packet
	beats   chan failover.Input // heartbeats
	claims  chan failover.Input // of other hosts to virtual addresses
	results chan failover.Input
	deaf    chan *openLink // links whose reader ended by itself
	fatal   chan error     // the end of a worker that nothing works without
	reloads chan reload
	orders  chan *order
	calls   chan func()   // to be run by the loop
	over    chan struct{} // closed when the loop takes nothing any more

	upgrading chan struct{} // holds one element while an upgrade is under way
	turn      chan struct{} // of a successor; closed when it has taken over
	reloading chan struct{} // holds one element while a reload runs
	published atomic.Pointer[published]
	lock      atomic.Pointer[io.Closer] // of the network namespace; nil: not yet
	lost      atomic.Uint64             // packets dropped because the loop was behind

	// writes is held for reading by whoever changes anything outside of this process but the loop, and by the loop from its
	// last word on: what another program has taken over is not to be changed by this one (handover.go).
	writes sync.RWMutex

	loop *loop // owned by Run
}

// packet is an advertisement on its way to the loop.
type packet struct {
	link failover.LinkID
	p    *wire.Packet
}

// Queue lengths. Packets beyond are dropped and counted; results wait.
const (
	packetQueue = 4096
	beatQueue   = 512
	resultQueue = 256
)

// stopBound is the longest time from the request to stop to the end of Run, whoever hangs. How long routers go on serving
// until their successors do (failover.HandoverStopBound) comes before that.
const stopBound = 3 * time.Second

// tellBound is how much longer the end may take on account of notify scripts. Everything is given up by then.
const tellBound = notify.StopPatience + time.Second

// ErrStopped is returned by Reload when the agent is stopping, or has stopped.
var ErrStopped = errors.New("the agent has stopped")

// ConfigError is returned when a configuration cannot be used.
type ConfigError struct {
	File        string
	Diagnostics []conf.Diagnostic
}

// Error lists the errors among the diagnostics, a line each.
func (e *ConfigError) Error() string {
	s := fmt.Sprintf("%s: the configuration has errors", e.File)
	for _, d := range e.Diagnostics {
		if d.Severity == conf.Error {
			s += "\n" + d.String()
		}
	}
	return s
}

// New loads the configuration and prepares the agent. Nothing is sent or programmed before Run. The error is a
// *ConfigError when the configuration is at fault. The network namespace is that of the calling thread; Run must be
// called in the same one.
func New(opts Options) (*Agent, error) {
	if opts.StateDir == "" {
		opts.StateDir = "/run/failoverd"
	}
	queue := newLogQueue(opts.Log.Handler())
	a := &Agent{
		opts: opts, log: queue.logger(), queue: queue, dir: opts.StateDir,
		packets: make(chan packet, packetQueue), beats: make(chan failover.Input, beatQueue), claims: make(chan failover.Input, claimQueue),
		results: make(chan failover.Input, resultQueue),
		deaf:    make(chan *openLink), fatal: make(chan error, 1), reloads: make(chan reload), orders: make(chan *order), over: make(chan struct{}),
		reloading: make(chan struct{}, 1), upgrading: make(chan struct{}, 1), turn: make(chan struct{}), calls: make(chan func()),
	}
	cfg, _, err := a.load()
	if err != nil {
		return nil, err
	}
	opts.Sources.use(cfg.Hash)
	if err := os.MkdirAll(a.dir, 0o755); err != nil {
		return nil, fmt.Errorf("create state directory: %w", err)
	}
	a.journal = newJournal(a.log, kernel.BootID())
	a.journal.use(a.eventPaths(cfg))
	if err := os.MkdirAll(a.drainDir(), 0o755); err != nil {
		return nil, fmt.Errorf("create directory for drains: %w", err)
	}
	if a.loop, err = newLoop(a, cfg); err != nil {
		return nil, err
	}
	a.notify = newNotifier(os.Getenv("NOTIFY_SOCKET"), a.log)
	if opts.Supervisor != nil {
		a.notify.through(opts.Supervisor.Notify)
	}
	return a, nil
}

// load reads the configuration, and logs and returns its warnings.
func (a *Agent) load() (cfg *failover.Config, warnings []string, err error) {
	cfg, diags, err := a.opts.Load()
	if err != nil {
		return nil, nil, err
	}
	if cfg == nil {
		return nil, nil, &ConfigError{File: a.opts.File, Diagnostics: diags}
	}
	for _, d := range diags {
		warnings = append(warnings, d.String())
		attrs := []any{"at", d.Pos.String(), "message", d.Message}
		if d.Suggestion != "" {
			attrs = append(attrs, "did_you_mean", d.Suggestion)
		}
		a.log.Warn("configuration", attrs...)
	}
	return cfg, warnings, nil
}

// Run works until ctx ends, whose cause (context.Cause) is told as the reason, then stops in order: the roles are released, the routes withdrawn, the addresses removed.
// It returns nil after an orderly stop, within three seconds, the time that routers wait for their successors, and that of notify scripts (notify.StopPatience) and of a shutdown_script. It does not start, and the error wraps status.ErrInUse,
// while another agent serves the same status socket or runs in the same network namespace. It panics, and so ends the process at once, when the loop does:
// leases end what is left then.
func (a *Agent) Run(ctx context.Context) error {
	a.queue.start()
	defer a.queue.stop() // what came before a panic is worth reading
	a.journal.start()
	defer a.journal.stop()
	a.recording.start()
	defer func() { // also after a panic: what the core was told last is why
		a.loop.core.Abandon()
		a.recording.stop()
	}()
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	end := func() {
		close(a.over)
		cancel()
	}
	err := a.begin(ctx, work)
	defer a.unlock()
	started := err == nil
	if started {
		err = a.loop.run(ctx)
	}
	if errors.Is(err, ErrHandedOver) {
		a.loop.notifier.Leave()
		time.Sleep(answerTime) // whoever asked for it is to hear of it; everything else is another program's by now
		return err
	}
	// Nothing of this is deferred: after a panic it would only delay the end of the process.
	end()
	err = errors.Join(err, a.loop.close())
	if a.loop.staged { // it has never been more than a candidate
		return err
	}
	a.shutdownScript(ctx)
	if started {
		a.loop.tell(ended(a.loop.stopAt, err))
	}
	a.notify.close()
	return err
}

// begin starts the workers, when no other agent stands in the way, or as the successor of one.
func (a *Agent) begin(ctx, work context.Context) error {
	if a.succeeds() {
		if err := a.start(work); err != nil {
			return err
		}
		return a.loop.stage(ctx)
	}
	lock, err := lockNamespace()
	if err != nil {
		return err
	}
	a.lock.Store(&lock)
	a.startupScript(ctx)
	return a.start(work)
}

// unlock lets another agent into the network namespace.
func (a *Agent) unlock() {
	if l := a.lock.Load(); l != nil {
		_ = (*l).Close()
	}
}

// lockNamespace keeps a second agent out of this network namespace: it would take the addresses of the first one for
// leftovers. Abstract socket names belong to the namespace, need no file, and end with the process.
func lockNamespace() (io.Closer, error) {
	lock, err := net.ListenUnix("unix", &net.UnixAddr{Name: "@failoverd/agent", Net: "unix"})
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, fmt.Errorf("another agent runs in this network namespace: %w", status.ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("lock the network namespace: %w", err)
	}
	return lock, nil
}

func (a *Agent) drainDir() string {
	if a.opts.DrainDir != "" {
		return a.opts.DrainDir
	}
	return a.dir
}

func (a *Agent) socketPath(cfg *failover.Config) string {
	if cfg.StatusSocket != "" {
		return cfg.StatusSocket
	}
	return filepath.Join(a.dir, "status.sock")
}

// Events returns the newest events, at most last, oldest first: each is a status.Event in JSON.
func (a *Agent) Events(last int) []json.RawMessage { return a.journal.last(last) }

// Snapshot returns the newest published state; it never waits for the loop. Nil before Run.
func (a *Agent) Snapshot() *failover.Snapshot {
	if p := a.published.Load(); p != nil {
		return p.snapshot
	}
	return nil
}
