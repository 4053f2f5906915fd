package notify

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"failoverd/failover"
)

func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(t.Context())
}

// TestStopIsTold ends the agent while scripts run, and looks who has been told. What comes after a script that is in the way has a
// part of the patience only, in which a busy machine may not even start it: then it is tried again with more.
func TestStopIsTold(t *testing.T) {
	for _, c := range []struct {
		name   string
		master string // the script that runs when the end comes; MAILBOX for where to report
		want   []string
	}{
		{"nothing in the way", "echo up > MAILBOX", []string{"up", "backup", "stop"}},
		{"a slow script in the way", "echo up > MAILBOX; sleep 600", []string{"up", "stop"}},
		{"a stubborn script in the way", "trap '' TERM; echo up > MAILBOX; while :; do sleep 600; done", []string{"up", "stop"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var told []string
			for _, patience := range []time.Duration{4 * time.Second, 16 * time.Second, time.Minute} {
				if told = toldAtEnd(t, c.master, patience); slices.Equal(told, c.want) {
					return
				}
				t.Logf("with a patience of %v: %q", patience, told)
			}
			t.Errorf("told %q, want %q", told, c.want)
		})
	}
}

// toldAtEnd returns what is told by an agent that ends while a script for MASTER runs, or after it.
func toldAtEnd(t *testing.T, master string, patience time.Duration) []string {
	t.Helper()
	m := newMailbox(t)
	s := quick()
	s.patience = patience
	w := start(t, s, nil)
	cfg := &failover.NotifyConfig{
		Master: sh(strings.ReplaceAll(master, "MAILBOX", m.path)), Backup: sh(m.say("backup")), Stop: sh(m.say("stop")),
	}
	w.Tell([]failover.Notification{transition("A", "MASTER", 1, cfg)})
	told := []string{m.next(t)}
	w.Tell([]failover.Notification{transition("A", "BACKUP", 1, cfg), transition("A", "STOP", 1, cfg)})
	begun := time.Now()
	w.stop()
	if took := time.Since(begun); took > s.patience+slack {
		t.Errorf("took %v", took)
	}
	// All scripts have ended, so that what they have said is in the FIFO, before this.
	f, err := os.OpenFile(m.path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const end = "end"
	if _, err := f.WriteString(end + "\n"); err != nil {
		t.Fatal(err)
	}
	for {
		line := m.next(t)
		if line == end {
			return told
		}
		told = append(told, line)
	}
}

// TestStopIsBounded has a script for the end that does not end.
func TestStopIsBounded(t *testing.T) {
	m := newMailbox(t)
	s := quick()
	s.patience = 300 * time.Millisecond
	w := start(t, s, nil)
	c := &failover.NotifyConfig{Stop: sh("trap '' TERM; (sleep 600; :) & echo $$ $! > " + m.path + "; while :; do sleep 600; done")}
	w.Tell([]failover.Notification{transition("A", "STOP", 1, c)})
	pids := strings.Fields(m.next(t))
	begun := time.Now()
	w.stop()
	if took := time.Since(begun); took < s.patience || took > slack {
		t.Errorf("took %v", took)
	}
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %s is alive", pid)
		}
	}
}

// TestStopInFIFO looks for the last lines at the other end, and for the file.
func TestStopInFIFO(t *testing.T) {
	m := newMailbox(t)
	path := filepath.Join(openDir(t), "fifo")
	w := start(t, quick(), &failover.Config{FIFOs: []failover.FIFOConfig{{
		Path: path, Script: sh("while read line; do echo $line > " + m.path + "; done < $1; echo end > " + m.path),
	}}})
	w.Tell([]failover.Notification{transition("A", "MASTER", 1, nil)})
	m.expect(t, `INSTANCE "A" MASTER 1`)
	w.Tell([]failover.Notification{transition("A", "STOP", 1, nil)})
	w.stop()
	m.expect(t, `INSTANCE "A" STOP 1`, "end")
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the FIFO is still there: %v", err)
	}
}
