package supervisor

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// phase is how far an upgrade has come.
type phase uint8

const (
	idle      phase = iota
	staging         // the successor starts, and the agent works
	yielding        // the successor is ready, and the agent is to hand over at a good moment
	switching       // the agent has said its last word, and does nothing; the successor takes over
	leaving         // the successor works, and the agent is to end
)

// How long each of them may take. In switching nobody sends: the agent says what its
// neighbors stand (parseBound), up to maxSwitch.
const (
	stageBound = 20 * time.Second
	yieldBound = 5 * time.Second
	leaveBound = 2 * time.Second
	maxSwitch  = 2 * time.Second
)

// UpgradeBound is how long an upgrade takes at most until it is known what has become of it.
const UpgradeBound = stageBound + yieldBound + maxSwitch

// stoppingState is what systemd is not told when a stop is half of a restart.
const stoppingState = "STOPPING=1"

// upgrading is an upgrade on its way.
type upgrading struct {
	phase   phase
	path    string
	program *os.File // what path was when it was looked at; nil: there is no upgrade, and no restart
	next    *child   // the successor; nil: there is none
	old     *child   // the agent that is to leave; nil: there is none
	limit   *time.Timer
	why     string          // the upgrade has failed because of it, and next is about to end
	dead    bool            // the agent has died while the successor took over
	how     unix.WaitStatus // its end

	restart string // the program to go on with after an orderly stop; empty: none
	closed  bool   // nothing new is begun: this process is about to become another program
}

// aboutTo returns the program that came with a message, which is to be executed.
func aboutTo(m message) (*os.File, error) {
	if len(m.files) == 1 {
		return m.files[0], nil
	}
	closeAll(m.files)
	return nil, fmt.Errorf("%s came as %d files, want one", m.text, len(m.files))
}

// release lets go of the program.
func (u *upgrading) release() {
	if u.program != nil {
		_ = u.program.Close()
		u.program = nil
	}
}

// nextInbox is where the messages of the successor arrive; nil: there is none.
func (s *supervisor) nextInbox() <-chan message {
	if s.up.next == nil || s.up.next.silent {
		return nil
	}
	return s.up.next.inbox
}

// begin starts a program that is to take the place of the agent.
func (s *supervisor) begin(m message) {
	program, err := aboutTo(m)
	if err == nil {
		err = s.free()
	}
	if err == nil {
		var next *child
		if next, err = startChild(&s.opts, m.text, program, s.store, Take, s.kept); err == nil {
			s.opts.Log.Info("upgrade begins", "program", m.text, "pid", next.pid)
			s.up.phase, s.up.path, s.up.program, s.up.next, s.up.why, s.up.dead = staging, m.text, program, next, "", false
			s.up.limit.Reset(stageBound)
			return
		}
		err = fmt.Errorf("start %s: %w", m.text, err)
	}
	if program != nil {
		_ = program.Close()
	}
	s.say(s.child, goOn, err.Error())
}

// free says why no upgrade and no restart can be begun.
func (s *supervisor) free() error {
	switch {
	case s.up.phase != idle || s.up.restart != "":
		return errors.New("another upgrade is under way")
	case s.up.closed:
		return errors.New("the supervisor is being replaced after an upgrade; try again")
	case s.ending:
		return errors.New("the agent is asked to end")
	}
	return nil
}

// say tells a child something; one that has just ended does not hear it.
func (s *supervisor) say(c *child, k kind, text string) {
	if c == nil {
		return
	}
	if err := c.send(k, text[:min(len(text), maxMessage-1)]); err != nil {
		s.opts.Log.Debug("not heard", "pid", c.pid, "err", err)
	}
}

// hearNext acts on a message of the successor.
func (s *supervisor) hearNext(m message) {
	switch m.kind {
	case hello:
		s.up.next.handles = true
		closeAll(m.files) // it works where the agent does, or refuses
	case staged:
		if s.up.phase == staging && s.up.why == "" {
			s.up.phase = yielding
			s.up.limit.Reset(yieldBound)
			s.say(s.child, yield, "")
		}
	case taken:
		if s.up.phase == switching && s.up.why == "" {
			s.switched()
		}
	case refuse:
		s.abort(m.text)
	case working:
		s.up.next.worked = true
	case keep:
		if s.up.phase != switching {
			closeAll(m.files)
			return
		}
		s.kept.keep(m, s.opts.Log)
	case drop:
		if s.up.phase == switching {
			s.kept.drop(m.text)
		}
	case goodbye, tell: // its end says it; and systemd hears of it when it works
	default:
		s.opts.Log.Warn("message of the successor not understood", "kind", string(m.kind))
	}
}

// yielded has the successor take over from an agent that has said its last word, and how long it may take.
func (s *supervisor) yielded(text string) {
	if s.up.phase != yielding || s.up.why != "" {
		return // it is told to go on as soon as the successor has ended
	}
	bound, err := parseBound(text)
	if err != nil {
		s.abort(err.Error())
		return
	}
	s.up.phase = switching
	s.readWill()
	s.up.limit.Reset(bound)
	s.say(s.up.next, take, "")
}

// parseBound reads how long a successor may take: nanoseconds in digits. More than maxSwitch is maxSwitch.
func parseBound(text string) (time.Duration, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("the agent gives its successor %q nanoseconds", text)
	}
	return min(time.Duration(n), maxSwitch), nil
}

// switched makes the successor the agent.
func (s *supervisor) switched() {
	s.up.old, s.child = s.child, s.up.next
	s.up.next, s.up.phase = nil, leaving
	s.child.worked = true
	s.opts.Log.Info("upgrade: the roles are handed over", "from", s.up.old.pid, "to", s.child.pid)
	s.flushEarly()
	if s.up.dead {
		s.oldEnded()
		return
	}
	s.up.limit.Reset(leaveBound)
	s.say(s.up.old, leave, "")
}

// flushEarly passes on what has waited for an agent that handles signals.
func (s *supervisor) flushEarly() {
	for _, sig := range s.early {
		s.child.signal(sig)
	}
	s.early = nil
}

// oldEnded completes an upgrade: the supervisor becomes the new program, too.
func (s *supervisor) oldEnded() {
	s.up.old.close()
	s.up.old, s.up.phase = nil, idle
	s.up.limit.Stop()
	s.becomeNew(s.up.path)
}

// becomeNew makes the supervisor the program of the upgrade. It returns when that cannot be done; agents that follow are
// that program in any case.
func (s *supervisor) becomeNew(path string) {
	s.opts.Argv[0] = path
	program := s.up.program
	s.up.program = nil
	s.become(path, program)
	if s.outdone != nil {
		_ = s.outdone.Close()
	}
	s.outdone = program
}

// abort ends an upgrade. The agent goes on when the successor has ended: never do both.
func (s *supervisor) abort(why string) {
	if s.up.next == nil || s.up.why != "" {
		return
	}
	s.up.why = why
	s.up.next.signal(syscall.SIGKILL)
}

// outdated ends an upgrade whose successor does not know of what the agent has started or ended since.
func (s *supervisor) outdated() {
	if s.up.phase == staging || s.up.phase == yielding {
		s.abort("a BGP speaker process was started or ended meanwhile; try again")
	}
}

// late ends what takes too long.
func (s *supervisor) late() {
	switch s.up.phase {
	case staging:
		s.abort(fmt.Sprintf("the new program is not ready within %v", stageBound))
	case yielding:
		s.abort(fmt.Sprintf("the agent has not handed over within %v", yieldBound))
	case switching:
		s.abort("the new program has not taken over in time")
	case leaving:
		s.up.old.signal(syscall.SIGKILL)
	}
}

// nextEnded has the agent go on after its successor has ended.
func (s *supervisor) nextEnded(ws unix.WaitStatus) (status int, over bool) {
	for m := range s.up.next.rest() {
		if m.kind == refuse && s.up.why == "" {
			s.up.why = m.text
		}
		closeAll(m.files)
	}
	why := s.up.why
	if why == "" {
		why = fmt.Sprintf("the new program has ended with exit status %d", ws.ExitStatus())
		if ws.Signaled() {
			why = "the new program has died: " + ws.Signal().String()
		}
	}
	s.up.next.close()
	s.up.next, s.up.phase, s.up.why = nil, idle, ""
	s.up.limit.Stop()
	s.up.release()
	s.opts.Log.Error("upgrade failed", "program", s.up.path, "why", why)
	if s.up.dead {
		s.up.dead = false
		return s.ended(s.up.how)
	}
	s.say(s.child, goOn, why)
	s.flushEarly()
	return 0, false
}

// dropNext ends a successor whose agent has ended before it could hand over. It is waited for as any orphan is.
func (s *supervisor) dropNext() {
	if s.up.next == nil {
		return
	}
	s.opts.Log.Error("upgrade failed", "program", s.up.path, "why", "the agent has ended")
	s.up.next.signal(syscall.SIGKILL)
	s.up.next.close()
	s.up.next, s.up.phase, s.up.why = nil, idle, ""
	s.up.limit.Stop()
	s.up.release()
}

// restart has the agent stop in order and then goes on with another program.
func (s *supervisor) restart(m message) {
	program, err := aboutTo(m)
	if err == nil {
		err = s.free()
	}
	if err != nil {
		if program != nil {
			_ = program.Close()
		}
		s.say(s.child, goOn, err.Error())
		return
	}
	s.opts.Log.Info("restart with another program", "program", m.text)
	s.up.restart, s.up.program, s.ending = m.text, program, true
	s.child.signal(syscall.SIGTERM)
}

// startAgain goes on after the orderly stop of a restart.
func (s *supervisor) startAgain() (status int, over bool) {
	path, before := s.up.restart, s.opts.Argv[0]
	s.up.restart, s.ending = "", false
	s.estate.next = Fresh
	s.becomeNew(path)
	// Not replaced: the program starts under this supervisor. One that cannot be executed is no reason to serve nobody.
	err := s.start()
	if err != nil {
		s.opts.Log.Error("the other program does not start, this one goes on", "program", path, "err", err)
		_ = s.outdone.Close()
		s.outdone, s.opts.Argv[0] = nil, before
		err = s.start()
	}
	if err != nil {
		s.opts.Log.Error("agent not started", "err", err)
		return 1, true
	}
	return 0, false
}
