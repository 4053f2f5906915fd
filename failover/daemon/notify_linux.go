package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"failoverd/vrrp"
)

// phase is what systemd was told last.
type phase uint8

const (
	phaseStarting phase = iota
	phaseReady
	phaseReloading
	phaseStopping
)

// notifier talks to systemd (sd_notify(3)). The library's function waits while systemd is busy, as it is for seconds
// during a daemon-reload; this one never waits, and repeats later what could not be sent. Any goroutine may use it.
type notifier struct {
	log *slog.Logger
	to  unix.SockaddrUnix // constant

	mu     sync.Mutex
	fd     int // -1: nobody wants to know, or via does it
	via    func(text string) error
	phase  phase
	unsent []string // states, oldest first; at most one per change of phase
}

// newNotifier returns a notifier for a NOTIFY_SOCKET: a path, an abstract name that begins with @, or nothing.
func newNotifier(socket string, log *slog.Logger) *notifier {
	n := &notifier{log: log, to: unix.SockaddrUnix{Name: socket}, fd: -1}
	if socket == "" {
		return n
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		log.Warn("systemd cannot be notified", "err", err)
		return n
	}
	n.fd = fd
	return n
}

// through has everything said by somebody else.
func (n *notifier) through(via func(text string) error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.via = via
}

// ready says that the start is complete.
func (n *notifier) ready() { n.change(phaseStarting, phaseReady, sd.SdNotifyReady) }

// reloading says that a reload begins. The time stamp lets systemd tell it from an earlier one.
func (n *notifier) reloading() {
	text := fmt.Sprintf("%s\nMONOTONIC_USEC=%d", sd.SdNotifyReloading, int64(monotonic()/vrrp.Instant(time.Microsecond)))
	n.change(phaseReady, phaseReloading, text)
}

// reloaded says that a reload is over, whatever its outcome.
func (n *notifier) reloaded() { n.change(phaseReloading, phaseReady, sd.SdNotifyReady) }

// stopping says that the orderly stop begins. Nothing but the watchdog is told after it.
func (n *notifier) stopping() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.phase = phaseStopping
	n.state(sd.SdNotifyStopping)
}

// watchdog says that the loop is alive.
func (n *notifier) watchdog() {
	n.mu.Lock()
	defer n.mu.Unlock()
	_ = n.send(sd.SdNotifyWatchdog) // the next one is as good
}

// again repeats what could not be sent.
func (n *notifier) again() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state("")
}

// change goes from one phase to another, and does nothing in any other phase: a reload before the start is complete,
// or during the stop, is nothing to tell.
func (n *notifier) change(from, to phase, text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.phase != from {
		return
	}
	n.phase = to
	n.state(text)
}

// maxUnsent bounds what waits for systemd; beyond it only the newest states matter.
const maxUnsent = 8

// state sends a state after those that wait.
func (n *notifier) state(text string) {
	if text != "" {
		n.unsent = append(n.unsent, text)
		if len(n.unsent) > maxUnsent {
			n.unsent = n.unsent[len(n.unsent)-maxUnsent:]
		}
	}
	for len(n.unsent) > 0 {
		err := n.send(n.unsent[0])
		if errors.Is(err, unix.EAGAIN) {
			return
		}
		if err != nil {
			n.log.Warn("systemd cannot be notified", "err", err)
		}
		n.unsent = n.unsent[1:]
	}
}

func (n *notifier) send(text string) error {
	if n.via != nil {
		return n.via(text)
	}
	if n.fd < 0 {
		return nil
	}
	return unix.Sendto(n.fd, []byte(text), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, &n.to)
}

func (n *notifier) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.phase = phaseStopping
	if n.fd >= 0 {
		_ = unix.Close(n.fd)
		n.fd = -1
	}
}
