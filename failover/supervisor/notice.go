package supervisor

import (
	"log/slog"

	"golang.org/x/sys/unix"
)

// notice is the way to systemd. It never waits: a state that finds no room is lost, but for the watchdog's, which comes
// again, the agent says nothing twice that matters - so the socket's queue is asked for once more with the next one.
type notice struct {
	fd     int // -1: nobody listens
	to     unix.SockaddrUnix
	unsent []string
}

// newNotice returns the way to a NOTIFY_SOCKET: a path, or an abstract name that begins with @.
func newNotice(socket string, log *slog.Logger) *notice {
	n := &notice{fd: -1, to: unix.SockaddrUnix{Name: socket}}
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

// maxUnsent bounds what waits for a systemd that is busy.
const maxUnsent = 8

// send passes a state on, after those that wait.
func (n *notice) send(text string) {
	if n.fd < 0 {
		return
	}
	n.unsent = append(n.unsent, text)
	n.unsent = n.unsent[max(0, len(n.unsent)-maxUnsent):]
	for len(n.unsent) > 0 {
		if unix.Sendto(n.fd, []byte(n.unsent[0]), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, &n.to) == unix.EAGAIN {
			return
		}
		n.unsent = n.unsent[1:]
	}
}

func (n *notice) close() {
	if n.fd >= 0 {
		_ = unix.Close(n.fd)
	}
}
