package speaker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"failoverd/bgp"
	"failoverd/bgp/call"
	"failoverd/bgp/gobgp"
)

const (
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 5 * time.Second
	longLife     = 10 * time.Second // a process that lived this long starts over with the first back-off
	// hangs is how long a process may run without answering before it is killed.
	hangs = 5 * time.Second
	// confirms is how long a process may take to confirm a withdrawal before it is killed, which withdraws everything.
	confirms   = 300 * time.Millisecond
	checkEvery = 100 * time.Millisecond
	// settles is how long a new process may be out of reach without that being news.
	settles = time.Second
	// lastWord is how long a process has for its own end once the lease pipe is closed.
	lastWord = 500 * time.Millisecond
	// defaultCommunication is said at an orderly end (RFC 9003).
	defaultCommunication = "failoverd stops"
)

// silentReason says why nothing is announced while the lease does not run.
func silentReason(lease time.Duration) string {
	return fmt.Sprintf("the agent's loop has been silent for longer than bgp_lease (%v): nothing is announced", lease)
}

// Config is a supervised speaker.
type Config struct {
	Speaker bgp.SpeakerConfig
	// Command starts a process that ends up in Main, such as {"/usr/sbin/failoverd", "speaker"}; ParseOptions'
	// arguments are appended.
	Command []string
	// Version is that of Command, for reports.
	Version string
	// RunDir is where a private directory for the socket is made at every start of the process; os.TempDir serves when
	// that cannot be done. Its path has to be short: a socket's has room for 107 octets.
	RunDir string
	// Lease is how long Touch may fail to come before everything is withdrawn; 0: for ever.
	Lease time.Duration
	// Communication is said to the neighbors at the orderly end, at most 128 octets; empty: "failoverd stops".
	Communication string
	// Setup runs on the thread that is about to start the process, every time, and may change that thread's network
	// namespace; nil: nothing. The thread is used for nothing else.
	Setup func() error
	// Keeper lets the process outlive this one, if this one dies without a word; nil: they die together.
	Keeper Keeper
	// Bar is held while the process is started, asked for anything, or killed; nil: nobody wants to keep the speaker from it.
	Bar gobgp.Bar
	// Adopt is a process of the life before to go on with, instead of starting one; nil: there is none.
	Adopt *Process
	Log   *slog.Logger
}

// Process is a speaker process that somebody else has started.
type Process struct {
	PID int
	// Dir is the private directory of its socket.
	Dir string
	// Lease is the writing end of its lease pipe, Log the reading end of its standard error.
	Lease, Log *os.File
	// Version is that of its program; empty: not known.
	Version string
}

// Keeper holds what a speaker process lives by while the agent is dead. Neither method may block.
type Keeper interface {
	// Keep has copies of the two descriptors held: the writing end of the lease pipe, and the reading end of what the
	// process says.
	Keep(pid int, dir string, lease, log int) error
	// Drop has them closed.
	Drop() error
}

// Supervised is a bgp.Speaker on a process of its own, which it starts, starts again when it dies, and stops. Set,
// Reconfigure, Seen, Touch and PID may be called from any goroutine, Run once.
type Supervised struct {
	cfg    Config // constant; of Speaker only what Reconfigure cannot change is used
	dir    string // of the process that runs now or is being started; owned by keepAlive
	client *gobgp.Client
	adopt  *Process // to begin with; owned by keepAlive
	ended  func()   // ends keepAlive and waits for it; set by Run

	touched  atomic.Int64 // boot clock, the last Touch; 0: none yet
	written  atomic.Int64 // boot clock, the last Touch that went into the pipe
	pipe     pipe
	rails    railsFile
	pid      atomic.Int64
	restarts atomic.Uint64

	mu    sync.Mutex
	birth time.Time // of the newest process
	runs  string    // its version
	most  int       // neighbors that it had at most: its limit on memory
	death string    // how the last process ended, until there is a connection again
}

var _ bgp.Speaker = (*Supervised)(nil)

// New checks cfg and returns a speaker that has not started anything yet.
func New(cfg Config) (*Supervised, error) {
	if len(cfg.Command) == 0 {
		return nil, errors.New("speaker: no command to start")
	}
	if cfg.Communication == "" {
		cfg.Communication = defaultCommunication
	}
	runDir, err := filepath.Abs(cfg.RunDir) // the process may have another working directory
	if err != nil {
		return nil, fmt.Errorf("speaker %s: %w", cfg.Speaker.Name, err)
	}
	cfg.RunDir = runDir
	s := &Supervised{cfg: cfg, dir: dirIn(runDir), adopt: cfg.Adopt}
	if _, err := s.rails.set(&cfg.Speaker); err != nil {
		return nil, fmt.Errorf("speaker %s: %w", cfg.Speaker.Name, err)
	}
	s.rails.foreign = cfg.Adopt != nil
	if err := checkSocket(s.socket()); err != nil {
		return nil, fmt.Errorf("speaker %s: %w", cfg.Speaker.Name, err)
	}
	s.client, err = gobgp.New(cfg.Speaker, "unix://"+s.socket(), cfg.Log, gobgp.Options{
		Alive:         s.alive,
		Silent:        silentReason(cfg.Lease),
		Amend:         s.amend,
		Watched:       true,
		Adopted:       cfg.Adopt != nil,
		Ended:         func() { s.ended() },
		Bar:           cfg.Bar,
		Calls:         call.SocketName,
		Communication: cfg.Communication,
	})
	if err != nil {
		return nil, err
	}
	s.cfg.Log = cfg.Log.With("speaker", cfg.Speaker.Name)
	return s, nil
}

func (s *Supervised) socket() string { return filepath.Join(s.dir, socketName) }

// Set implements bgp.Speaker.
func (s *Supervised) Set(d bgp.Desired) { s.client.Set(d) }

// Reconfigure changes over to cfg while the process goes on; sessions of neighbors that stay as they are stay up. It
// returns false when that takes another process, and then does nothing: see gobgp.Client.Reconfigure. It never blocks;
// what comes of it is in the reports.
func (s *Supervised) Reconfigure(cfg bgp.SpeakerConfig) bool {
	before, err := s.rails.set(&cfg)
	if errors.Is(err, errForeignRails) {
		s.cfg.Log.Info("another BGP speaker process is needed", "reason", err.Error())
		return false
	}
	if err != nil {
		s.cfg.Log.Error("BGP speaker", "err", err)
		return false
	}
	if s.client.Reconfigure(cfg) {
		return true
	}
	s.rails.restore(before)
	return false
}

// Seen returns the paths that neighbors have sent for a prefix: see gobgp.Client.Seen. Any goroutine may call it.
func (s *Supervised) Seen(ctx context.Context, prefix netip.Prefix) (bgp.Sighting, error) {
	return s.client.Seen(ctx, prefix)
}

// Touch says that the agent's loop is alive. Only the loop may call it, after it looked at its inputs; at least three
// times per lease. It never blocks and costs under a microsecond.
func (s *Supervised) Touch() {
	now := int64(boottime())
	before := s.touched.Swap(now)
	if s.cfg.Lease == 0 {
		return
	}
	if before == 0 || now-before > int64(s.cfg.Lease) {
		s.client.Wake() // nothing was announced meanwhile
	}
	if now-s.written.Load() >= int64(s.cfg.Lease/20) || before == 0 {
		s.written.Store(now)
		s.pipe.write(time.Duration(now))
	}
}

// alive reports whether the lease still runs.
func (s *Supervised) alive() bool { return leaseRuns(s.cfg.Lease, &s.touched) }

// PID is the process, or 0 while there is none.
func (s *Supervised) PID() int { return int(s.pid.Load()) }

// Run implements bgp.Speaker. It starts the process, keeps one running, and at the end of ctx withdraws everything,
// closes the sessions with the communication, and returns once the process is gone: within two seconds. What cannot be
// started is reported and tried again; the error is always nil.
func (s *Supervised) Run(ctx context.Context, report func(bgp.Report)) error {
	lives, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { s.keepAlive(ctx, lives) })
	s.ended = func() {
		stop()
		wg.Wait()
	}
	return s.client.Run(ctx, report)
}

// amend adds to a report what only the supervisor knows.
func (s *Supervised) amend(r *bgp.Report) {
	r.Restarts = s.restarts.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = max(s.most, len(r.Neighbors))
	if pid := s.PID(); pid != 0 {
		r.Resident, r.MemoryLimit = resident(pid), memoryLimit(s.most)
	}
	r.Version = s.runs
	switch alive := s.pid.Load() != 0; {
	case r.Connected && alive:
		s.death = ""
	case r.Connected: // the client has not noticed the death yet, which is to have its reason when it does
	case !alive || time.Since(s.birth) < settles:
		r.Err = s.death // also if there is none: that a process does not listen yet is no news
	}
}

// keepAlive runs one process after the other until ctx ends, and the last one until lives does.
func (s *Supervised) keepAlive(ctx, lives context.Context) {
	defer s.removeDir()
	defer s.rails.close()
	backoff := firstBackoff
	for {
		start := time.Now()
		err := s.live(lives)
		if ctx.Err() != nil {
			return
		}
		if time.Since(start) >= longLife {
			backoff = firstBackoff
		}
		s.setDeath(fmt.Sprintf("speaker process: %v; starting it again in %v", err, backoff))
		s.cfg.Log.Error("BGP speaker process died", "err", err, "retry", backoff.String())
		s.client.Wake()
		select {
		case <-ctx.Done():
			return
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, maxBackoff)
		s.restarts.Add(1)
	}
}

func (s *Supervised) setDeath(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.death = text
}

// setBirth notes that a process runs, and the version of its program.
func (s *Supervised) setBirth(at time.Time, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.birth, s.runs, s.most = at, version, 0
}
