// Package supervisor is the small process around the agent: it starts the agent by executing the program again, passes
// signals on, starts it again when it dies, and ends with its exit status. It decides nothing about roles, parses no
// packet and no configuration, and listens to nobody but the agent.
//
//	supervisor (Run)  <==private socket pair====  agent (Link)
//	                  <==shared memory (Store)==
//
// Both ends are here: Run is the supervisor's life, Link what the agent knows of it. What they say to each other is in
// message.go. A supervisor that dies takes the other end of the socket pair with it, and the agent stops in order.
//
// The agent keeps its last will in memory that outlives it: the advertisements of priority 0 for the roles that it has. When
// it dies without a word, they leave at once, unless it may resume: then they leave when it is not back in time.
//
// Read Run first, then crash.go.
package supervisor

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Options say what is to be supervised.
type Options struct {
	// Argv is the program, as a path, and its arguments; Env its environment, without what Run adds.
	Argv, Env []string
	// Signals are passed on to the agent. Those in Ends ask it to end, and it is not started again after one of them.
	Signals, Ends []os.Signal
	// Ready is called when the agent has taken up its work for the first time; nil: nobody wants to know.
	Ready func() error
	// NotifySocket is where systemd listens (sd_notify(3)): what the agent has to tell goes there, because systemd believes
	// the main process only. Empty: nobody listens.
	NotifySocket string
	// ExecEnv is added to the environment when the supervisor replaces itself by another program.
	ExecEnv []string
	Log     *slog.Logger
}

const (
	// memory is how long a death of the agent counts.
	memory = time.Minute
	// firstBackoff is the pause before an agent is started again that has died twice in a row within longLife of its start; it
	// doubles up to maxBackoff. After a single such death there is none, and none after a longer life: the addresses of the dead
	// wait for the next one to take them away.
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 5 * time.Second
	longLife     = 2 * time.Second
	// lastMessages is how long the messages of a dead agent are waited for.
	lastMessages = 100 * time.Millisecond
)

// supervisor is owned by Run's goroutine.
type supervisor struct {
	opts    Options
	signals chan os.Signal
	child   *child
	notice  *notice

	// early are signals for an agent that does not handle any yet: they would kill it.
	early []syscall.Signal

	store     *Store
	namespace *os.File // the agent's network namespace; nil: it has none of its own
	estate    estate
	kept      keptList
	carried   uint64 // the number of the will that was carried out last
	up        upgrading
	outdone   *os.File // the agent is another program than this one, which could not be replaced: this one; nil: it is not

	// ending: the agent was asked to end.
	ending bool
	worked bool        // an agent has taken up its work
	deaths []time.Time // within memory
	short  int         // lives in a row that were shorter than longLife
	again  *time.Timer // when the agent is to be started again
}

// Run supervises an agent and returns its exit status, as a shell counts it, when it has ended by itself or was asked to.
// The error says why there is none to supervise.
func Run(opts Options) (status int, err error) {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, append([]os.Signal{syscall.SIGCHLD}, opts.Signals...)...)
	// What the agent leaves behind, scripts and speakers, comes here and is waited for, as in the first process of a
	// container: the dead would fill the table of processes.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		opts.Log.Warn("orphans of the agent go to another process", "err", err)
	}
	store, err := NewStore()
	if err != nil {
		return 0, err
	}
	s := &supervisor{opts: opts, signals: signals, store: store, notice: newNotice(opts.NotifySocket, opts.Log), again: time.NewTimer(time.Hour)}
	defer s.notice.close()
	s.again.Stop()
	s.estate = estate{next: Fresh, over: time.NewTimer(time.Hour)}
	s.estate.over.Stop()
	s.up.limit = time.NewTimer(time.Hour)
	s.up.limit.Stop()
	if Handed(os.Getenv) {
		err = s.receive()
	} else {
		err = s.start()
	}
	if err != nil {
		return 0, err
	}
	if status, over := s.reap(); over { // it may have ended while nobody was told
		return status, nil
	}
	for {
		select {
		case m, ok := <-s.inbox():
			if ok {
				s.hear(m)
			} else {
				s.child.silent = true
			}
		case m, ok := <-s.nextInbox():
			if ok {
				s.hearNext(m)
			} else {
				s.up.next.silent = true
			}
		case <-s.up.limit.C:
			s.late()
		case <-s.estate.over.C:
			s.resign("it is not back in time")
		case <-s.again.C:
			if err := s.start(); err != nil {
				opts.Log.Error("agent not started", "err", err)
				s.short++
				s.retry()
			}
		case sig := <-s.signals:
			if sig == syscall.SIGCHLD {
				if status, over := s.reap(); over {
					return status, nil
				}
			} else if s.signalled(sig) {
				return 0, nil
			}
		}
	}
}

// inbox is where the messages of the agent arrive; nil: there is none.
func (s *supervisor) inbox() <-chan message {
	if s.child == nil || s.child.silent {
		return nil
	}
	return s.child.inbox
}

// start starts an agent.
func (s *supervisor) start() error {
	path, program := s.program()
	c, err := startChild(&s.opts, path, program, s.store, s.estate.next, s.kept)
	if err != nil {
		return fmt.Errorf("start the agent: %w", err)
	}
	s.child = c
	return nil
}

// hear acts on a message of the agent.
func (s *supervisor) hear(m message) {
	switch m.kind {
	case hello:
		s.child.handles = true
		if len(m.files) == 1 {
			s.useNamespace(m.files[0])
		}
		for _, sig := range s.early {
			s.child.signal(sig)
		}
		s.early = nil
	case working:
		if !s.worked && s.opts.Ready != nil {
			if err := s.opts.Ready(); err != nil {
				s.opts.Log.Error("the start cannot be completed", "err", err)
			}
		}
		s.worked, s.child.worked = true, true
	case tell:
		if s.up.restart == "" || m.text != stoppingState {
			s.notice.send(m.text)
		}
	case goodbye:
		s.child.goodbye = true
	case keep:
		s.kept.keep(m, s.opts.Log)
		s.outdated()
	case drop:
		s.kept.drop(m.text)
		s.outdated()
	case upgrade:
		s.begin(m)
	case restart:
		s.restart(m)
	case yielded:
		s.yielded(m.text)
	case refuse:
		s.abort(m.text)
	case claim:
		s.claimed()
	case decline:
		s.resign(m.text)
	default:
		s.opts.Log.Warn("message of the agent not understood", "kind", string(m.kind))
	}
}

// hearLast acts on a message that a dead agent has left. What it wished to be done together with it is void.
func (s *supervisor) hearLast(m message) {
	switch m.kind {
	case upgrade, restart, yielded, refuse, claim:
		closeAll(m.files)
	default:
		s.hear(m)
	}
}

// useNamespace takes note of the network namespace that the agent works in. To enter one takes CAP_SYS_ADMIN, so that the
// own one does not count.
func (s *supervisor) useNamespace(f *os.File) {
	if s.namespace != nil {
		_ = s.namespace.Close()
		s.namespace = nil
	}
	there, err := f.Stat()
	here, e := os.Stat("/proc/self/ns/net")
	if err == nil && e == nil && os.SameFile(here, there) {
		_ = f.Close()
		return
	}
	s.namespace = f
}

// signalled passes a signal on, and reports whether that was all there was to do.
func (s *supervisor) signalled(sig os.Signal) (over bool) {
	n, ok := sig.(syscall.Signal)
	if !ok {
		return false
	}
	ends := contains(s.opts.Ends, sig)
	s.ending = s.ending || ends
	if ends {
		if s.up.restart != "" {
			s.up.restart = ""
			s.up.release()
		}
		if s.up.phase == staging || s.up.phase == yielding {
			s.abort("the agent is asked to end")
		}
	}
	switch {
	case s.up.phase == switching:
		s.early = append(s.early, n)
	case s.child == nil:
		if ends {
			s.resign("it is not to be started again")
		}
		return ends
	case s.child.handles:
		s.child.signal(n)
	case ends && contains(asSignals(s.early), sig):
		s.child.signal(n) // for the second time: it may hang
	default:
		s.early = append(s.early, n)
	}
	return false
}

func contains(list []os.Signal, sig os.Signal) bool {
	for _, s := range list {
		if s == sig {
			return true
		}
	}
	return false
}

func asSignals(list []syscall.Signal) (out []os.Signal) {
	for _, s := range list {
		out = append(out, s)
	}
	return out
}

// reap waits for all children that have ended. When the agent is one of them and its end is that of the supervisor, it
// returns its exit status.
func (s *supervisor) reap() (status int, over bool) {
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil || pid <= 0:
			return status, over
		case s.up.next != nil && pid == s.up.next.pid:
			status, over = s.nextEnded(ws)
		case s.up.old != nil && pid == s.up.old.pid:
			s.oldEnded()
		case s.child != nil && pid == s.child.pid:
			status, over = s.ended(ws)
		}
		if over {
			return status, over
		}
	}
}

// ended decides what follows from the end of the agent.
func (s *supervisor) ended(ws unix.WaitStatus) (status int, over bool) {
	last := slices.Collect(s.child.rest())
	for _, m := range last {
		if m.kind == yielded && s.up.phase == yielding {
			s.yielded(m.text)
		}
	}
	for _, m := range last {
		s.hearLast(m)
	}
	s.child.silent = true
	if s.up.phase == switching {
		s.up.dead, s.up.how = true, ws // the one that follows it has its last word
		return 0, false
	}
	s.dropNext()
	c := s.child
	s.child, s.early = nil, nil
	c.close()
	status = ws.ExitStatus()
	if ws.Signaled() {
		status = 128 + int(ws.Signal())
	}
	how := fmt.Sprintf("exit status %d", status)
	if ws.Signaled() {
		how = ws.Signal().String()
	}
	// One that has never worked has said why; who has started it knows what to do about it.
	if c.goodbye || s.ending || !s.worked {
		s.estate.over.Stop()
		s.kept.dropAll()
		s.readWill()
		s.carryOut("it has ended, " + how)
		if s.up.restart != "" {
			return s.startAgain()
		}
		return status, true
	}
	s.opts.Log.Error("the agent has died", "pid", c.pid, "how", how)
	if s.short++; time.Since(c.born) > longLife {
		s.short = 0
	}
	s.died()
	return 0, false
}

// retry starts the agent after the pause that is due.
func (s *supervisor) retry() {
	pause := backoff(s.short)
	if pause > 0 {
		s.opts.Log.Info("the agent is started again", "pause", pause.String())
	}
	s.again.Reset(pause)
}

// backoff is the pause before an agent is started again that has died so often in a row.
func backoff(deaths int) time.Duration {
	if deaths < 2 {
		return 0
	}
	return min(firstBackoff<<min(deaths-2, 10), maxBackoff)
}
