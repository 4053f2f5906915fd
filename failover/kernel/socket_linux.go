package kernel

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// receiveSize is more than the kernel puts into one datagram of a dump (32 KiB).
const receiveSize = 64 << 10

// answerTimeout bounds the wait for an answer that the kernel gives at once, unless it had to drop it.
const answerTimeout = 5 * time.Second

// socket is a rtnetlink socket. The library's own allocates 64 KiB for each receive and waits for each answer, which
// is too much for a thousand leases a second; so only its messages are used.
type socket struct {
	file *os.File
	raw  syscall.RawConn
}

// openSocket opens a socket in the namespace ns with at least receiveBuffer octets for what was not read yet, if
// that is allowed, and joins the multicast groups.
func openSocket(ns *namespace, receiveBuffer int, groups ...int) (*socket, error) {
	var fd int
	err := ns.do(func() (err error) {
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open rtnetlink socket: %w", err)
	}
	// Both options are for better messages and smaller answers only; old kernels do without.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	sa := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	for _, g := range groups {
		sa.Groups |= 1 << (g - 1)
	}
	if err := unix.Bind(fd, sa); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("bind rtnetlink socket: %w", err)
	}
	s := &socket{file: os.NewFile(uintptr(fd), "rtnetlink")}
	if s.raw, err = s.file.SyscallConn(); err != nil {
		_ = s.file.Close()
		return nil, fmt.Errorf("open rtnetlink socket: %w", err)
	}
	return s, nil
}

func (s *socket) close() error { return s.file.Close() }

// send hands the messages in b to the kernel, which carries them out before send returns.
func (s *socket) send(b []byte) error {
	var failed error
	err := s.raw.Control(func(fd uintptr) {
		failed = unix.Sendto(int(fd), b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	})
	return errors.Join(err, failed)
}

// receive waits for one datagram and returns it in b, which must be of receiveSize.
func (s *socket) receive(b []byte) ([]byte, error) {
	if err := s.file.SetReadDeadline(time.Now().Add(answerTimeout)); err != nil {
		return nil, err
	}
	var n int
	var failed error
	err := s.raw.Read(func(fd uintptr) bool {
		n, failed = receiveNow(int(fd), b)
		return !errors.Is(failed, unix.EAGAIN)
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, err
	}
	return b[:n], nil
}

// receiveNow reads one datagram if there is one (otherwise the error is EAGAIN). It returns 0 octets for one that
// does not come from the kernel.
func receiveNow(fd int, b []byte) (int, error) {
	for {
		n, _, flags, from, err := unix.Recvmsg(fd, b, nil, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, err
		case flags&unix.MSG_TRUNC != 0:
			return 0, unix.ENOBUFS
		}
		if sa, ok := from.(*unix.SockaddrNetlink); !ok || sa.Pid != 0 {
			return 0, nil
		}
		return n, nil
	}
}

// namespace is a network namespace: the one of the thread that made it.
type namespace struct {
	file *os.File
	id   uint64
}

const threadNamespace = "/proc/thread-self/ns/net"

// currentNamespace returns the namespace of the calling thread.
func currentNamespace() (*namespace, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	f, err := os.Open(threadNamespace)
	if err != nil {
		return nil, fmt.Errorf("find the network namespace: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("find the network namespace: %w", err)
	}
	return &namespace{f, st.Ino}, nil
}

func (n *namespace) close() error { return n.file.Close() }

// do calls f in the namespace. A goroutine of a thread that is elsewhere needs CAP_SYS_ADMIN for that; in an agent
// all threads are in the same one.
func (n *namespace) do(f func() error) error {
	runtime.LockOSThread()
	var st unix.Stat_t
	if err := unix.Stat(threadNamespace, &st); err == nil && st.Ino == n.id {
		defer runtime.UnlockOSThread()
		return f()
	}
	runtime.UnlockOSThread()
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine and nobody else gets one in a strange namespace.
		runtime.LockOSThread()
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter the network namespace: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}
