package notify

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
)

const slack = 10 * time.Second // what a busy machine may add

// quick are settings that let tests see in moments what takes longer otherwise.
func quick() settings {
	return settings{
		timeout: 30 * time.Second, waited: 30 * time.Second, patience: time.Second, readPatience: time.Second, parallel: 8, laneBacklog: 16, fifoBacklog: 64,
		firstBackoff: 10 * time.Millisecond, lastBackoff: 100 * time.Millisecond, look: 50 * time.Millisecond,
	}
}

// world is a Notifier that runs, with its log.
type world struct {
	*Notifier
	t      *testing.T
	dir    string
	log    *logText
	cancel context.CancelFunc
	ended  chan error
	once   sync.Once
}

func start(t *testing.T, s settings, cfg *failover.Config) *world {
	t.Helper()
	return startBehind(t, s, nil, cfg)
}

// startBehind is start with a bar.
func startBehind(t *testing.T, s settings, bar sync.Locker, cfg *failover.Config) *world {
	t.Helper()
	w := &world{t: t, dir: openDir(t), log: new(logText), ended: make(chan error, 1)}
	w.Notifier = newNotifier(slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})), s)
	w.Bar = bar
	w.Configure(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	go func() { w.ended <- w.Run(ctx) }()
	t.Cleanup(w.stop)
	return w
}

// stop ends the Notifier and waits for it.
func (w *world) stop() {
	w.t.Helper()
	w.once.Do(func() {
		w.cancel()
		if err := <-w.ended; err != nil {
			w.t.Error(err)
		}
		if w.t.Failed() {
			w.t.Logf("log:\n%s", w.log)
		}
	})
}

// logText is a log that tests read.
type logText struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logText) has(words ...string) bool {
	for line := range strings.Lines(l.String()) {
		found := true
		for _, word := range words {
			found = found && strings.Contains(line, word)
		}
		if found {
			return true
		}
	}
	return false
}

func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// ownUser is a user whom this process can run scripts as.
func ownUser() string {
	if os.Geteuid() == 0 {
		return "root"
	}
	return ""
}

func sh(text string, args ...string) *failover.Command {
	return &failover.Command{Args: append([]string{"/bin/sh", "-c", text, "sh"}, args...), User: ownUser()}
}

// transition is a notification of an instance, with its own number as priority.
func transition(name, state string, priority int, c *failover.NotifyConfig) failover.Notification {
	return failover.Notification{Name: name, State: state, Priority: uint8(priority), Commands: c}
}

// mailbox is a FIFO of the test's own, to which scripts report: a write of a line is atomic.
type mailbox struct {
	path  string
	lines chan string
}

func newMailbox(t *testing.T) *mailbox {
	t.Helper()
	m := &mailbox{path: filepath.Join(openDir(t), "mailbox"), lines: make(chan string, 10000)}
	if err := unix.Mkfifo(m.path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(m.path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := bufio.NewScanner(f); s.Scan(); {
			m.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return m
}

// say is the text for a shell that reports its arguments after words.
func (m *mailbox) say(words string) string { return fmt.Sprintf("echo %s \"$@\" > %s", words, m.path) }

func (m *mailbox) next(t *testing.T) string {
	t.Helper()
	select {
	case line := <-m.lines:
		return line
	case <-time.After(slack):
		t.Fatal("nobody reports")
		return ""
	}
}

// expect reads lines in this order.
func (m *mailbox) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := m.next(t); got != w {
			t.Fatalf("reported %q, want %q", got, w)
		}
	}
}

// soon waits for something that is about to happen.
func soon(t *testing.T, what string, happened func() bool) {
	t.Helper()
	limit := time.Now().Add(slack)
	for !happened() {
		if time.Now().After(limit) {
			t.Fatalf("%s has not happened", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// alive reports whether a process runs; a zombie does not.
func alive(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}
