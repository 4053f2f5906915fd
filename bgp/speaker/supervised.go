package speaker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"failoverd/bgp"
	"failoverd/bgp/gobgp"
)

const (
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 5 * time.Second
	longLife     = 10 * time.Second // a process that lived this long starts over with the first back-off
	// hangs is how long a process may run without answering before it is killed.
	hangs = 5 * time.Second
	// lastWord is how long a process has for its own end once the lease pipe is closed.
	lastWord = 500 * time.Millisecond
)

// Config is a supervised speaker.
type Config struct {
	Speaker bgp.SpeakerConfig
	// Command starts a process that ends up in Main, such as {"/usr/sbin/failoverd", "speaker"}; ParseOptions'
	// arguments are appended.
	Command []string
	// RunDir is where the private directory of the socket is made. Its path has to be short: a socket's has room for
	// 107 octets.
	RunDir string
	// Lease is how long Touch may fail to come before everything is withdrawn; 0: for ever.
	Lease time.Duration
	// Communication is said to the neighbors at the orderly end, at most 128 octets; empty: "failoverd stops".
	Communication string
	// Setup runs on the thread that is about to start the process, every time, and may change that thread's network
	// namespace; nil: nothing. The thread is used for nothing else.
	Setup func() error
	Log   *slog.Logger
}

// Supervised is a bgp.Speaker on a process of its own, which it starts, starts again when it dies, and stops. Set,
// Touch and PID may be called from any goroutine, Run once.
type Supervised struct {
	cfg    Config // constant
	dir    string
	client *gobgp.Client

	touched  atomic.Int64 // boot clock, the last Touch; 0: none yet
	written  atomic.Int64 // boot clock, the last Touch that went into the pipe
	pipe     pipe
	pid      atomic.Int64
	restarts atomic.Uint64

	mu    sync.Mutex
	death string // how the last process ended, while there is no new one
}

var _ bgp.Speaker = (*Supervised)(nil)

// New checks cfg and returns a speaker that has not started anything yet.
func New(cfg Config) (*Supervised, error) {
	if len(cfg.Command) == 0 {
		return nil, errors.New("speaker: no command to start")
	}
	if cfg.Communication == "" {
		cfg.Communication = "failoverd stops"
	}
	dir, err := filepath.Abs(cfg.RunDir) // the process may have another working directory
	if err != nil {
		return nil, fmt.Errorf("speaker %s: %w", cfg.Speaker.Name, err)
	}
	s := &Supervised{cfg: cfg, dir: filepath.Join(dir, dirPrefix+rand.Text()[:10])}
	if n := len(s.socket()); n > 107 {
		return nil, fmt.Errorf("speaker %s: socket path %s has %d octets, the system takes 107", cfg.Speaker.Name, s.socket(), n)
	}
	s.client, err = gobgp.New(cfg.Speaker, "unix://"+s.socket(), cfg.Log, gobgp.Options{
		Alive:         s.alive,
		Silent:        fmt.Sprintf("the agent's loop has been silent for longer than bgp_lease (%v): nothing is announced", cfg.Lease),
		Amend:         s.amend,
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
func (s *Supervised) alive() bool {
	if s.cfg.Lease == 0 {
		return true
	}
	at := s.touched.Load()
	return at != 0 && boottime()-time.Duration(at) <= s.cfg.Lease
}

// PID is the process, or 0 while there is none.
func (s *Supervised) PID() int { return int(s.pid.Load()) }

// Run implements bgp.Speaker. It starts the process, keeps one running, and at the end of ctx withdraws everything,
// closes the sessions with the communication, and returns once the process is gone: within two seconds. An error means
// that nothing could be started at all.
func (s *Supervised) Run(ctx context.Context, report func(bgp.Report)) error {
	if err := s.makeDir(); err != nil {
		return err
	}
	defer func() {
		if err := os.RemoveAll(s.dir); err != nil {
			s.cfg.Log.Warn("remove the speaker's directory", "err", err)
		}
	}()
	lives, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { s.keepAlive(lives) })
	defer func() {
		stop()
		wg.Wait()
	}()
	return s.client.Run(ctx, report)
}

// amend adds to a report what only the supervisor knows.
func (s *Supervised) amend(r *bgp.Report) {
	r.Restarts = s.restarts.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !r.Connected && s.death != "" {
		r.Err = s.death
	}
}

// keepAlive runs one process after the other until ctx ends.
func (s *Supervised) keepAlive(ctx context.Context) {
	backoff := firstBackoff
	for {
		start := time.Now()
		err := s.live(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(start) >= longLife {
			backoff = firstBackoff
		}
		s.setDeath(fmt.Sprintf("speaker process: %v; starting it again in %v", err, backoff))
		s.cfg.Log.Error("BGP speaker process died", "err", err, "retry", backoff)
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
