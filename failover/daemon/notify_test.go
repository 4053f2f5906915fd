package daemon

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/vrrp"
)

// notifySocket plays systemd.
type notifySocket struct {
	path string
	file *os.File
}

func newNotifySocket(t *testing.T) *notifySocket {
	t.Helper()
	s := &notifySocket{path: filepath.Join(t.TempDir(), "notify")}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: s.path})
	}
	if err != nil {
		t.Fatal(err)
	}
	s.file = os.NewFile(uintptr(fd), "notify")
	t.Cleanup(func() { s.file.Close() })
	return s
}

// next returns the next message; none within d is empty.
func (s *notifySocket) next(d time.Duration) string {
	b := make([]byte, 4096)
	_ = s.file.SetReadDeadline(time.Now().Add(d))
	n, _ := s.file.Read(b)
	return string(b[:n])
}

// What systemd hears from start to end, watchdog aside.
func TestNotify(t *testing.T) {
	s := newNotifySocket(t)
	t.Setenv("NOTIFY_SOCKET", s.path)
	t.Setenv("WATCHDOG_USEC", "300000")
	log := new(testLog)
	a, _ := plain(t, log)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	watchdogs := 0
	state := func() string {
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
			switch m := s.next(time.Second); m {
			case "WATCHDOG=1":
				watchdogs++
			case "":
			default:
				return m
			}
		}
		return "nothing"
	}
	// A reload that is asked for before the start is nothing to tell.
	early := make(chan error, 1)
	go func() { _, err := a.Reload(ctx); early <- err }()
	time.Sleep(20 * time.Millisecond)
	go func() { ended <- a.Run(ctx) }()
	if m := state(); m != "READY=1" {
		t.Fatalf("after the start: %q", m)
	}
	if err := <-early; err != nil {
		t.Error(err)
	}
	begin := monotonic()
	if _, err := a.Reload(ctx); err != nil {
		t.Fatal(err)
	}
	head, stamp, _ := strings.Cut(state(), "\nMONOTONIC_USEC=")
	usec, err := time.ParseDuration(stamp + "us")
	if at := vrrp.Instant(usec); head != "RELOADING=1" || err != nil || at < begin-vrrp.Instant(time.Microsecond) || at > monotonic() {
		t.Errorf("reload: %q at %q, %v; it began at %d", head, stamp, err, begin)
	}
	if m := state(); m != "READY=1" {
		t.Errorf("after the reload: %q", m)
	}
	for watchdogs < 3 {
		if m := s.next(10 * time.Second); m != "WATCHDOG=1" {
			t.Fatalf("while it runs: %q", m)
		}
		watchdogs++
	}
	stop()
	if m := state(); m != "STOPPING=1" {
		t.Errorf("at the stop: %q", m)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := a.Reload(t.Context()); !errors.Is(err, ErrStopped) {
		t.Errorf("reload after the end: %v", err)
	}
	if m := s.next(50 * time.Millisecond); m != "" && m != "WATCHDOG=1" {
		t.Errorf("after the end: %q", m)
	}
}

// The start is complete once every interface with a router was looked at, or a second later.
func TestReadyWaitsForInterfaces(t *testing.T) {
	for _, c := range []struct {
		name     string
		conf     string
		min, max time.Duration
	}{
		{"there", webConf, 0, readyAfter - 100*time.Millisecond},
		{"missing", strings.Replace(webConf, "interface fo-a", "interface fo-none", 1), readyAfter - 50*time.Millisecond, 10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t)
			s := newNotifySocket(t)
			t.Setenv("NOTIFY_SOCKET", s.path)
			begin := time.Now()
			r := l.start(c.conf)
			m := s.next(c.max)
			if d := time.Since(begin); m != "READY=1" || d < c.min || d > c.max {
				t.Errorf("%q after %v", m, d)
			}
			r.mustEnd()
		})
	}
}

// While systemd has no room nothing waits for it, and it gets the states later.
func TestNotifyWhileSystemdIsBusy(t *testing.T) {
	s := newNotifySocket(t)
	log := new(testLog)
	n := newNotifier(s.path, slog.New(slog.NewTextHandler(log, nil)))
	defer n.close()
	begin := time.Now()
	for range 2000 {
		n.watchdog()
	}
	n.ready()
	for range 5 {
		n.reloading()
		n.reloaded()
	}
	n.stopping()
	if d := time.Since(begin); d > slack {
		t.Errorf("it took %v", d)
	}
	var got []string
	for m := s.next(time.Second); m != ""; m = s.next(10 * time.Millisecond) {
		if m != "WATCHDOG=1" {
			t.Errorf("%q had room", m)
		}
	}
	n.again()
	for m := s.next(time.Second); m != ""; m = s.next(10 * time.Millisecond) {
		head, _, _ := strings.Cut(m, "\n")
		got = append(got, head)
	}
	if len(got) != maxUnsent || got[len(got)-1] != "STOPPING=1" || got[len(got)-2] != "READY=1" || log.String() != "" {
		t.Errorf("got %q, log %s", got, log)
	}
}

func TestNotifyWithoutSystemd(t *testing.T) {
	log := new(testLog)
	l := slog.New(slog.NewTextHandler(log, nil))
	n := newNotifier("", l)
	n.ready()
	n.watchdog()
	n.close()
	if log.String() != "" {
		t.Error(log)
	}
	n = newNotifier(filepath.Join(t.TempDir(), "nobody"), l)
	n.ready()
	n.close()
	if log.count("systemd cannot be notified") != 1 {
		t.Error(log)
	}
}
