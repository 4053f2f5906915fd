package supervisor

import (
	"fmt"
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

// How long each of them may take. In switching nobody sends: it is bounded by what neighbors stand (switchBound).
const (
	stageBound = 20 * time.Second
	yieldBound = 5 * time.Second
	leaveBound = 2 * time.Second
	minSwitch  = 200 * time.Millisecond
	maxSwitch  = 2 * time.Second
)

// stoppingState is what systemd is not told when a stop is half of a restart.
const stoppingState = "STOPPING=1"

// upgrading is an upgrade on its way.
type upgrading struct {
	phase phase
	path  string
	next  *child // the successor; nil: there is none
	old   *child // the agent that is to leave; nil: there is none
	limit *time.Timer
	why   string          // the upgrade has failed because of it, and next is about to end
	dead  bool            // the agent has died while the successor took over
	how   unix.WaitStatus // its end

	restart string // the program to go on with after an orderly stop; empty: none
}

// nextInbox is where the messages of the successor arrive; nil: there is none.
func (s *supervisor) nextInbox() <-chan message {
	if s.up.next == nil || s.up.next.silent {
		return nil
	}
	return s.up.next.inbox
}

// begin starts a program that is to take the place of the agent.
func (s *supervisor) begin(path string) {
	why := ""
	switch {
	case s.up.phase != idle || s.up.restart != "":
		why = "another upgrade is under way"
	case s.ending:
		why = "the agent is asked to end"
	}
	if why == "" {
		next, err := startChild(&s.opts, path, s.store, Take, s.kept)
		if err == nil {
			s.opts.Log.Info("upgrade begins", "program", path, "pid", next.pid)
			s.up.phase, s.up.path, s.up.next, s.up.why, s.up.dead = staging, path, next, "", false
			s.up.limit.Reset(stageBound)
			return
		}
		why = fmt.Sprintf("start %s: %v", path, err)
	}
	s.say(s.child, goOn, why)
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

// yielded has the successor take over from an agent that has said its last word.
func (s *supervisor) yielded() {
	if s.up.phase != yielding || s.up.why != "" {
		return // it is told to go on as soon as the successor has ended
	}
	s.up.phase = switching
	s.readWill()
	s.up.limit.Reset(switchBound(s.estate.will))
	s.say(s.up.next, take, "")
}

// switchBound is how long the successor may take: the neighbors wait for three intervals.
func switchBound(w *Will) time.Duration {
	if w == nil || w.Interval == 0 {
		return maxSwitch
	}
	return min(max(2*w.Interval, minSwitch), maxSwitch)
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
	s.opts.Argv[0] = s.up.path
	s.become(s.up.path)
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
	s.up.next, s.up.phase = nil, idle
	s.up.limit.Stop()
}

// restart has the agent stop in order and then goes on with another program.
func (s *supervisor) restart(path string) {
	if s.up.phase != idle || s.ending {
		s.say(s.child, goOn, "another upgrade, or the end, is under way")
		return
	}
	s.opts.Log.Info("restart with another program", "program", path)
	s.up.restart, s.ending = path, true
	s.child.signal(syscall.SIGTERM)
}

// startAgain goes on after the orderly stop of a restart.
func (s *supervisor) startAgain() (status int, over bool) {
	path := s.up.restart
	s.up.restart, s.ending, s.opts.Argv[0] = "", false, path
	s.estate.next = Fresh
	s.become(path)
	// Not replaced: the program starts under this supervisor.
	c, err := startChild(&s.opts, path, s.store, Fresh, nil)
	if err != nil {
		s.opts.Log.Error("agent not started", "err", err)
		return 1, true
	}
	s.child = c
	return 0, false
}
