package health

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// newborns tells of processes that begin, take another program or name, or end: the kernel's process events connector.
// It needs CAP_NET_ADMIN and the network and process namespaces of the host.
type newborns struct {
	file *os.File
	raw  syscall.RawConn
}

// Of linux/connector.h and linux/cn_proc.h.
const (
	connectorProc   = 1 // CN_IDX_PROC, CN_VAL_PROC
	connectorListen = 1 // PROC_CN_MCAST_LISTEN
	connectorHeader = 20
	eventHeader     = 16

	eventNone = 0
	eventFork = 0x1
	eventExec = 0x2
	eventComm = 0x200
	eventExit = 0x80000000
)

// listenPatience is how long the kernel has for its answer; it answers within the call, or never.
const listenPatience = time.Second

// openNewborns subscribes, and returns when the kernel has confirmed it.
func openNewborns(ctx context.Context) (*newborns, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_CONNECTOR)
	if err != nil {
		return nil, fmt.Errorf("open process events: %w", err)
	}
	f := os.NewFile(uintptr(fd), "process events")
	n := &newborns{file: f}
	if err := n.subscribe(ctx); err != nil {
		return nil, fmt.Errorf("subscribe to process events: %w", errors.Join(err, f.Close()))
	}
	return n, nil
}

func (n *newborns) subscribe(ctx context.Context) error {
	var err error
	if n.raw, err = n.file.SyscallConn(); err != nil {
		return err
	}
	e := n.raw.Control(func(fd uintptr) {
		// A full buffer costs a scan only, so its size is not worth an error.
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<20)
		if err = unix.Bind(int(fd), &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: connectorProc}); err != nil {
			return
		}
		err = unix.Sendto(int(fd), listenMessage(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	})
	if e = errors.Join(e, err); e != nil {
		return e
	}
	deadline := time.Now().Add(listenPatience)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := n.file.SetReadDeadline(deadline); err != nil {
		return err
	}
	var confirmed bool
	err = n.receive(func(b []byte) bool {
		if what, data := parseEvent(b); what == eventNone && len(data) >= 4 {
			confirmed = true
			if number := binary.NativeEndian.Uint32(data); number != 0 {
				err = syscall.Errno(number)
			}
		}
		return !confirmed
	}, func() {})
	if err != nil {
		return err
	}
	return n.file.SetReadDeadline(time.Time{})
}

// listenMessage is the subscription: a netlink header, a connector header and one word.
func listenMessage() []byte {
	const size = unix.SizeofNlMsghdr + connectorHeader + 4
	b := make([]byte, size)
	e := binary.NativeEndian
	e.PutUint32(b, size)
	e.PutUint16(b[4:], unix.NLMSG_DONE)
	e.PutUint32(b[unix.SizeofNlMsghdr:], connectorProc)
	e.PutUint32(b[unix.SizeofNlMsghdr+4:], connectorProc)
	e.PutUint16(b[unix.SizeofNlMsghdr+16:], 4)
	e.PutUint32(b[unix.SizeofNlMsghdr+connectorHeader:], connectorListen)
	return b
}

// receive calls take with each message of the kernel until that returns false, and overrun when some were lost.
func (n *newborns) receive(take func([]byte) bool, overrun func()) error {
	buf := make([]byte, 4096)
	var failure error
	err := n.raw.Read(func(fd uintptr) bool {
		for {
			k, from, err := unix.Recvfrom(int(fd), buf, 0)
			switch {
			case errors.Is(err, unix.EAGAIN):
				return false
			case errors.Is(err, unix.EINTR):
				continue
			case errors.Is(err, unix.ENOBUFS):
				overrun()
				continue
			case err != nil:
				failure = err
				return true
			}
			if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
				continue // any process may send to a netlink socket
			}
			if !take(buf[:k]) {
				return true
			}
		}
	})
	return errors.Join(failure, err)
}

// loop tells of processes until close.
func (n *newborns) loop(news *pokes) {
	defer news.end()
	_ = n.receive(func(b []byte) bool { // the error says that it was closed, or that the scans must do without
		if pid := eventPID(b); pid != 0 {
			news.add(pid)
		}
		return true
	}, news.lost)
}

func (n *newborns) close() { _ = n.file.Close() }

// parseEvent returns the kind and the data of a process event; -1 for any other message.
func parseEvent(b []byte) (what int64, data []byte) {
	if len(b) < unix.SizeofNlMsghdr+connectorHeader+eventHeader {
		return -1, nil
	}
	b = b[unix.SizeofNlMsghdr:]
	e := binary.NativeEndian
	if e.Uint32(b) != connectorProc || e.Uint32(b[4:]) != connectorProc {
		return -1, nil
	}
	b = b[connectorHeader:]
	return int64(e.Uint32(b)), b[eventHeader:]
}

// eventPID returns the process that an event is about; 0: none that matters, or a thread.
func eventPID(b []byte) int {
	what, data := parseEvent(b)
	if what == eventFork && len(data) >= 16 {
		data = data[8:] // behind the parent comes the child
	} else if what != eventExec && what != eventComm && what != eventExit {
		return 0
	}
	if len(data) < 8 {
		return 0
	}
	thread, process := binary.NativeEndian.Uint32(data), binary.NativeEndian.Uint32(data[4:])
	if thread != process {
		return 0
	}
	return int(process)
}
