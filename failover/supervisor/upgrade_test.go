package supervisor

import (
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fakeChild is a child of a supervisor that a test speaks for: a process that sleeps, and the other end of its socket pair.
type fakeChild struct {
	*child
	t      *testing.T
	theirs *os.File
	link   *Link
	said   []string // what it had heard when it died
	ended  unix.WaitStatus
}

// newFakeChild starts one. Messages are the test's own, and so the reader is told of its process number.
func newFakeChild(t *testing.T) *fakeChild {
	t.Helper()
	ours, theirs, err := pair()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f := &fakeChild{t: t, theirs: theirs, link: &Link{file: theirs}}
	f.child = &child{pid: cmd.Process.Pid, ours: ours, inbox: make(chan message), handles: true, worked: true}
	go read(ours, os.Getpid(), slog.New(slog.DiscardHandler), f.inbox)
	t.Cleanup(func() {
		if f.theirs != nil {
			_ = f.theirs.Close()
		}
		_ = ours.Close()
		_ = cmd.Process.Kill()
		_, _ = unix.Wait4(f.pid, nil, 0, nil)
	})
	return f
}

// die ends it without a word, and closes its end.
func (f *fakeChild) die() {
	f.t.Helper()
	f.signal(syscall.SIGKILL)
	f.bury()
}

// bury waits for its end, which somebody else has seen to.
func (f *fakeChild) bury() {
	f.t.Helper()
	if _, err := unix.Wait4(f.pid, &f.ended, 0, nil); err != nil {
		f.t.Fatal(err)
	}
	f.said = f.hears()
	_ = f.theirs.Close()
	f.theirs = nil
}

// hears returns what the supervisor has said to it, in words.
func (f *fakeChild) hears() (out []string) {
	f.t.Helper()
	if f.theirs == nil {
		return f.said
	}
	if err := f.theirs.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		f.t.Fatal(err)
	}
	for {
		m, _, err := receive(f.theirs)
		if err != nil {
			return out
		}
		out = append(out, strings.TrimSpace(string(m.kind)+" "+m.text))
	}
}

// newFakeSupervisor returns one that supervises the child and does not run: the test does what Run does.
func newFakeSupervisor(t *testing.T, c *fakeChild) *supervisor {
	t.Helper()
	store, err := NewStore()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	s := &supervisor{
		opts:    Options{Argv: []string{"/bin/sleep", "1000"}, Ends: []os.Signal{syscall.SIGTERM}, Log: log},
		signals: make(chan os.Signal, 8), store: store, notice: newNotice("", log), child: c.child, worked: true,
		again: time.NewTimer(time.Hour), estate: estate{next: Fresh, over: time.NewTimer(time.Hour)},
	}
	s.up.limit = time.NewTimer(time.Hour)
	t.Cleanup(func() {
		if n := s.up.next; n != nil {
			n.signal(syscall.SIGKILL)
		}
		s.up.release()
	})
	return s
}

// hearAll has the supervisor hear what a child has said so far.
func (s *supervisor) hearAll(t *testing.T, c *fakeChild, hear func(message)) {
	t.Helper()
	for {
		select {
		case m, ok := <-c.inbox:
			if !ok {
				return
			}
			hear(m)
		case <-time.After(20 * time.Millisecond):
			return
		}
	}
}

// program opens a program that can be executed.
func program(t *testing.T, path string) *os.File {
	t.Helper()
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), path)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// What an agent has wished for in its last moment is void: its death is a death, and no upgrade or restart.
func TestLastWishes(t *testing.T) {
	for _, c := range []struct {
		name string
		say  func(l *Link) error
	}{
		{"an upgrade", func(l *Link) error { return l.Upgrade("/bin/sleep", program(t, "/bin/sleep")) }},
		{"a restart", func(l *Link) error { return l.Restart("/etc/passwd", program(t, "/etc/passwd")) }},
		{"the last word of an upgrade that is over", func(l *Link) error { return l.Yielded(time.Second) }},
		{"a refusal", func(l *Link) error { return l.Refuse("no") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			agent := newFakeChild(t)
			s := newFakeSupervisor(t, agent)
			if err := c.say(agent.link); err != nil {
				t.Fatal(err)
			}
			agent.die()
			if _, over := s.ended(agent.ended); over {
				t.Error("the supervisor ends")
			}
			if s.up.phase != idle || s.up.next != nil || s.up.restart != "" || s.ending || len(s.deaths) != 1 {
				t.Errorf("phase %d, successor %v, restart %q, ending %v, deaths %v", s.up.phase, s.up.next, s.up.restart, s.ending, s.deaths)
			}
		})
	}
}

// upgradeTo begins an upgrade, and returns the successor, which the test speaks for.
func upgradeTo(t *testing.T, s *supervisor, agent *fakeChild) *fakeChild {
	t.Helper()
	if err := agent.link.Upgrade("/bin/sleep", program(t, "/bin/sleep")); err != nil {
		t.Fatal(err)
	}
	s.hearAll(t, agent, s.hear)
	if s.up.phase != staging || s.up.next == nil {
		t.Fatalf("phase %d after the beginning; the agent hears %q", s.up.phase, agent.hears())
	}
	real := s.up.next
	real.signal(syscall.SIGKILL)
	if _, err := unix.Wait4(real.pid, nil, 0, nil); err != nil {
		t.Fatal(err)
	}
	real.close()
	s.up.release()
	s.up.program = program(t, "/etc/passwd") // otherwise this process would become it
	next := newFakeChild(t)
	s.up.next = next.child
	return next
}

// A story is what happens to an upgrade, a word each:
//
//	staged, taken, refuse, working   the successor says so
//	yielded                          the agent says so
//	late                             the time of the phase is over
//	again, restart                   the agent asks for another upgrade, for a restart
//	keep                             the agent has started a process
//	agent, next                      one of them dies
//	term                             the supervisor is asked to end
//
// and what comes of it: the phase, and what both have been told.
func TestUpgradePhases(t *testing.T) {
	for _, c := range []struct {
		name, story string
		phase       phase
		agent, next string // what they hear
		alive       string // who is the agent in the end: agent, next, none
	}{
		{"it goes well", "staged yielded taken", leaving, "Y|L", "K", "next"},
		{"not staged in time", "late next", idle, "O the new program is not ready within 20s", "", "agent"},
		{"refused while it starts", "refuse next", idle, "O no", "", "agent"},
		{"the successor dies while it starts", "next", idle, "O the new program has died: killed", "", "agent"},
		{"the agent dies meanwhile", "agent", idle, "", "", "none"},
		{"it does not hand over", "staged late next", idle, "Y|O the agent has not handed over within 5s", "", "agent"},
		{"the agent refuses", "staged refusal next", idle, "Y|O not now", "", "agent"},
		{"the agent dies before it hands over", "staged agent", idle, "Y", "", "none"},
		{"not taken over in time", "staged yielded late next", idle, "Y|O the new program has not taken over in time", "K", "agent"},
		{"the successor dies while it takes over", "staged yielded next", idle, "Y|O the new program has died: killed", "K", "agent"},
		{"the successor refuses what it finds", "staged yielded refuse next", idle, "Y|O no", "K", "agent"},
		{"it takes over after it was given up", "staged yielded late taken next", idle, "Y|O the new program has not taken over in time", "K", "agent"},
		{"the agent dies after its last word", "staged yielded agent taken", idle, "Y", "K", "next"},
		{"the agent dies with its last word", "staged lastword taken", idle, "Y", "K", "next"},
		{"both die", "staged yielded agent next", idle, "Y", "K", "none"},
		{"a last word that nobody asked for", "yielded", staging, "", "", "agent"},
		{"the successor has taken what it was not given", "taken", staging, "", "", "agent"},
		{"ready twice", "staged staged", yielding, "Y", "", "agent"},
		{"another upgrade", "again", staging, "O another upgrade is under way", "", "agent"},
		{"a restart", "staged restart", yielding, "Y|O another upgrade is under way", "", "agent"},
		{"a speaker was started", "keep next", idle, "O a BGP speaker process was started or ended meanwhile; try again", "", "agent"},
		{"asked to end", "term next", idle, "O the agent is asked to end", "", "agent"},
		{"asked to end at the last moment", "staged yielded term taken", leaving, "Y|L", "K", "next"},
		{"a last word without a time", "staged badword next", idle, `Y|O the agent gives its successor "soon" nanoseconds`, "", "agent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			agent := newFakeChild(t)
			s := newFakeSupervisor(t, agent)
			next := upgradeTo(t, s, agent)
			for _, word := range strings.Fields(c.story) {
				happen(t, s, word, agent, next)
			}
			if s.up.phase != c.phase {
				t.Errorf("phase %d, want %d", s.up.phase, c.phase)
			}
			if got := strings.Join(agent.hears(), "|"); got != c.agent {
				t.Errorf("the agent hears %q, want %q", got, c.agent)
			}
			if got := strings.Join(next.hears(), "|"); got != c.next {
				t.Errorf("the successor hears %q, want %q", got, c.next)
			}
			alive := "none"
			switch {
			case s.child == agent.child:
				alive = "agent"
			case s.child == next.child:
				alive = "next"
			}
			if alive != c.alive {
				t.Errorf("the agent is %s, want %s", alive, c.alive)
			}
			if c.phase == idle && s.up.program != nil {
				t.Error("the program is still held")
			}
		})
	}
}

// happen has one word of a story happen.
func happen(t *testing.T, s *supervisor, word string, agent, next *fakeChild) {
	t.Helper()
	var err error
	switch word {
	case "staged":
		err = next.link.Staged()
	case "taken":
		err = next.link.Taken()
	case "refuse":
		err = next.link.Refuse("no")
	case "refusal":
		err = agent.link.Refuse("not now")
	case "yielded", "lastword":
		err = agent.link.Yielded(time.Second)
	case "badword":
		err = agent.link.send(yielded, "soon")
	case "again":
		err = agent.link.Upgrade("/bin/sleep", program(t, "/bin/sleep"))
	case "restart":
		err = agent.link.Restart("/bin/sleep", program(t, "/bin/sleep"))
	case "keep":
		err = agent.link.Drop("somebody")
	case "late":
		s.late()
	case "term":
		agent.handles = false // it is not to die of it
		s.signalled(syscall.SIGTERM)
	case "agent":
		agent.die()
	case "next":
		next.die()
		s.nextEnded(next.ended)
	default:
		t.Fatal(word)
	}
	if err != nil {
		t.Fatal(err)
	}
	if word == "lastword" {
		agent.die()
	}
	if word == "lastword" || word == "agent" {
		s.ended(agent.ended)
		return
	}
	if s.child == agent.child {
		s.hearAll(t, agent, s.hear)
	}
	if s.up.next == next.child {
		s.hearAll(t, next, s.hearNext)
	}
}

// A program that is about to be replaced begins nothing that it could not see the end of.
func TestNothingBeginsWhileReplaced(t *testing.T) {
	agent := newFakeChild(t)
	s := newFakeSupervisor(t, agent)
	if err := agent.link.Upgrade("/bin/sleep", program(t, "/bin/sleep")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Millisecond) // the reader has it in its hand
	s.become("/etc/passwd", program(t, "/etc/passwd"))
	if got := agent.hears(); s.up.next != nil || len(got) != 1 || !strings.Contains(got[0], "is being replaced") {
		t.Errorf("successor %v, the agent hears %q", s.up.next, got)
	}
}

// An upgrade to what cannot be executed ends with the reason, and a restart goes on with the program that works.
func TestNotExecutable(t *testing.T) {
	agent := newFakeChild(t)
	s := newFakeSupervisor(t, agent)
	for _, path := range []string{"/etc/passwd", "/proc/self"} {
		if err := agent.link.Upgrade(path, program(t, path)); err != nil {
			t.Fatal(err)
		}
		s.hearAll(t, agent, s.hear)
		if got := agent.hears(); len(got) != 1 || !strings.HasPrefix(got[0], "O start "+path+": ") || s.up.phase != idle {
			t.Errorf("%s: the agent hears %q, phase %d", path, got, s.up.phase)
		}
	}
	if err := agent.link.Restart("/etc/passwd", program(t, "/etc/passwd")); err != nil {
		t.Fatal(err)
	}
	s.hearAll(t, agent, s.hear)
	agent.bury() // of the SIGTERM
	if status, over := s.ended(agent.ended); over {
		t.Fatalf("the supervisor ends with %d", status)
	}
	if s.child == nil || s.opts.Argv[0] != "/bin/sleep" || s.outdone != nil {
		t.Errorf("agent %v, program %q", s.child, s.opts.Argv[0])
	}
	s.child.signal(syscall.SIGKILL)
	if _, err := unix.Wait4(s.child.pid, nil, 0, nil); err != nil {
		t.Error(err)
	}
}

func TestParseBound(t *testing.T) {
	for text, want := range map[string]time.Duration{"1": 1, "150000000": 150 * time.Millisecond, "99000000000": maxSwitch} {
		if got, err := parseBound(text); got != want || err != nil {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "-5", "1s", "9999999999999999999999"} {
		if got, err := parseBound(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// What an agent has said counts also when it ends with something unread, which resets the connection.
func TestLastWordsOfTheDeaf(t *testing.T) {
	agent := newFakeChild(t)
	if err := errors.Join(agent.send(goOn, "unread"), agent.link.Goodbye()); err != nil {
		t.Fatal(err)
	}
	_ = agent.theirs.Close()
	s := newFakeSupervisor(t, agent)
	s.hearAll(t, agent, s.hear)
	if !agent.goodbye {
		t.Error("its goodbye was not heard")
	}
}
