package notify

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"failoverd/failover"
)

func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(t.Context())
}

// TestStopIsTold ends the agent while scripts run, and looks who has been told.
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
			m := newMailbox(t)
			s := quick()
			s.patience = 4 * time.Second
			w := start(t, s, nil)
			cfg := &failover.NotifyConfig{
				Master: sh(strings.ReplaceAll(c.master, "MAILBOX", m.path)), Backup: sh(m.say("backup")), Stop: sh(m.say("stop")),
			}
			w.Tell([]failover.Notification{transition("A", "MASTER", 1, cfg)})
			m.expect(t, c.want[0])
			w.Tell([]failover.Notification{transition("A", "BACKUP", 1, cfg), transition("A", "STOP", 1, cfg)})
			begun := time.Now()
			w.stop()
			if took := time.Since(begun); took > s.patience+slack {
				t.Errorf("took %v", took)
			}
			m.expect(t, c.want[1:]...)
		})
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
