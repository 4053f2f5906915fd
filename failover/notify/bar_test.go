package notify

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"failoverd/failover"
)

// While the notifier is kept from it, no script starts and nothing is written, and it says that somebody is not told yet.
func TestBar(t *testing.T) {
	m := newMailbox(t)
	path := filepath.Join(openDir(t), "fifo")
	var writes sync.RWMutex
	w := startBehind(t, quick(), writes.RLocker(), &failover.Config{FIFOs: []failover.FIFOConfig{{Path: path}}})
	soon(t, "a FIFO", func() bool { return there(path) })
	if why := w.Untold(); why != "" {
		t.Errorf("at the beginning: %s", why)
	}
	writes.Lock()
	w.Tell([]failover.Notification{transition("A", "MASTER", 1, &failover.NotifyConfig{Master: sh(m.say("master"))})})
	if why := w.Untold(); why == "" {
		t.Error("everybody is told of what waits")
	}
	m.silent(t, 100*time.Millisecond)
	writes.Unlock()
	m.expect(t, "master")
	soon(t, "everybody told", func() bool { return w.Untold() == "" })
}

// A script that runs is somebody who is being told; a FIFO that nobody reads is nobody.
func TestUntold(t *testing.T) {
	m := newMailbox(t)
	path := filepath.Join(openDir(t), "fifo")
	w := start(t, quick(), &failover.Config{FIFOs: []failover.FIFOConfig{{Path: path}}})
	stay := filepath.Join(w.dir, "stay")
	w.Tell([]failover.Notification{transition("A", "MASTER", 1, &failover.NotifyConfig{
		Master: sh(m.say("begun") + "; while ! [ -e " + stay + " ]; do sleep 0.01; done"),
	})})
	m.expect(t, "begun")
	soon(t, "the script that runs to be named", func() bool { return strings.Contains(w.Untold(), "the notify script /bin/sh of A has run for ") })
	if why := w.Untold(); !strings.HasSuffix(why, fmt.Sprintf(" s, and may for %v: try again when it has ended", w.settings.timeout)) {
		t.Errorf("while it runs: %q", why)
	}
	if err := os.WriteFile(stay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	soon(t, "the end of the script", func() bool { return w.Untold() == "" })
	long := strings.Repeat("x", 4000)
	for range 40 { // a pipe holds 64 KB
		w.Tell([]failover.Notification{transition(long, "MASTER", 1, nil)})
	}
	soon(t, "a full FIFO that does not count", func() bool { return w.Untold() == "" && w.log.has("FIFO is full") })
}

// What waits for a FIFO that cannot be made waits for somebody to put that right, and nobody waits for it.
func TestUntoldWithoutFIFO(t *testing.T) {
	dir := filepath.Join(openDir(t), "missing")
	path := filepath.Join(dir, "fifo")
	w := start(t, quick(), &failover.Config{FIFOs: []failover.FIFOConfig{{Path: path}}})
	w.Tell([]failover.Notification{transition("A", "MASTER", 1, nil)})
	soon(t, "a FIFO that does not count", func() bool { return w.Untold() == "" && w.log.has("FIFO not as it should be") })
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	soon(t, "the FIFO, with what has waited", func() bool { return there(path) && w.Untold() == "" })
}

// Whoever goes on with the FIFOs has readers of its own, and what was not read yet is theirs.
func TestLeave(t *testing.T) {
	m := newMailbox(t)
	path := filepath.Join(openDir(t), "fifo")
	reads := "echo $$ > " + m.path + "; exec sleep 600"
	w := start(t, quick(), &failover.Config{FIFOs: []failover.FIFOConfig{{Path: path, Script: sh(reads)}}})
	pid := m.next(t)
	w.Leave()
	soon(t, "the end of the reader", func() bool { return !alive(pid) })
	m.silent(t, 100*time.Millisecond) // and no other one
	if !there(path) {
		t.Error("the FIFO is gone")
	}
}

func there(path string) bool { _, err := os.Stat(path); return err == nil }

// silent checks that nobody reports for so long.
func (m *mailbox) silent(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case line := <-m.lines:
		t.Errorf("reported %q", line)
	case <-time.After(d):
	}
}
