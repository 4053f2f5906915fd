package lab_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"failoverd/integration/lab"
)

func waitForLog(t *testing.T, p *lab.Process, text string) {
	t.Helper()
	check(t, lab.WaitFor(t.Context(), 10*time.Second, text, func() bool { return strings.Contains(p.Log(), text) }))
}

func TestProcessRunsOnItsNode(t *testing.T) {
	l := lab.ForTest(t)
	n := must(l.Node("a"))(t)
	p := must(n.Start(helper("idle")))(t)
	waitForLog(t, p, "idle")
	there := must(os.Readlink(fmt.Sprintf("/proc/%d/ns/net", p.PID())))(t)
	var inside string
	check(t, n.Do(func() (err error) { inside, err = os.Readlink("/proc/thread-self/ns/net"); return err }))
	if there != inside {
		t.Errorf("process in %s, node is %s", there, inside)
	}
	if pgid := must(syscall.Getpgid(p.PID()))(t); pgid != p.PID() {
		t.Errorf("process group %d, want its own %d", pgid, p.PID())
	}
	if p.Tail(5) != "idle\n" || p.Tail(2) != "e\n" {
		t.Errorf("tail %q and %q", p.Tail(5), p.Tail(2))
	}
}

func TestKillTakesTheFamily(t *testing.T) {
	l := lab.ForTest(t)
	p := must(must(l.Node("a"))(t).Start(helper("parent")))(t)
	child := waitForChild(t, p)
	check(t, p.Kill())
	state := must(p.Wait(0))(t)
	if ws := state.Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != syscall.SIGKILL {
		t.Errorf("ended with %v", state)
	}
	if err := syscall.Kill(child, 0); !errors.Is(err, syscall.ESRCH) && !zombie(child) {
		t.Errorf("the child in another session is still there: %v", err)
	}
	check(t, p.Kill()) // again: nothing to do
}

func TestStop(t *testing.T) {
	l := lab.ForTest(t)
	n := must(l.Node("a"))(t)
	p := must(n.Start(helper("stoppable")))(t)
	waitForLog(t, p, "ready")
	if _, err := p.Wait(time.Millisecond); !errors.Is(err, lab.ErrTimeout) {
		t.Errorf("wait for a running process: %v", err)
	}
	if state := must(p.Stop(10 * time.Second))(t); state.ExitCode() != 7 {
		t.Errorf("ended with %v, want exit status 7", state)
	}
	stubborn := must(n.Start(helper("stubborn")))(t)
	waitForLog(t, stubborn, "ready")
	if _, err := stubborn.Stop(50 * time.Millisecond); !errors.Is(err, lab.ErrTimeout) || stubborn.Running() {
		t.Errorf("stop of a process that ignores SIGTERM: %v, running %t", err, stubborn.Running())
	}
}

func TestPauseAndResume(t *testing.T) {
	l := lab.ForTest(t)
	p := must(must(l.Node("a"))(t).Start(helper("stoppable")))(t)
	waitForLog(t, p, "ready")
	check(t, p.Pause())
	check(t, p.Signal(syscall.SIGTERM))
	if _, err := p.Wait(100 * time.Millisecond); !errors.Is(err, lab.ErrTimeout) {
		t.Errorf("a paused process reacted: %v", err)
	}
	check(t, p.Resume())
	if state := must(p.Wait(10 * time.Second))(t); state.ExitCode() != 7 {
		t.Errorf("ended with %v, want exit status 7", state)
	}
}

func TestStartReportsErrors(t *testing.T) {
	l := lab.ForTest(t)
	n := must(l.Node("a"))(t)
	if _, err := n.Start(lab.Command{}); err == nil {
		t.Error("empty command accepted")
	}
	_, err := n.Start(lab.Command{Argv: []string{"/nonexistent/program"}})
	if !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "a: start program:") {
		t.Errorf("missing program: %v", err)
	}
}
