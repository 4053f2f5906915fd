package speaker

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stampedConn reads a connection and knows when the kernel had what was read last (SO_TIMESTAMPNS): when it was on the wire, and
// not when the goroutine that reads has had its turn.
type stampedConn struct {
	raw syscall.RawConn
	at  time.Time // wall clock; zero: the kernel does not say
}

func newStampedConn(tb testing.TB, c *net.TCPConn) *stampedConn {
	raw, err := c.SyscallConn()
	if err == nil {
		e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) })
		err = errors.Join(err, e)
	}
	if err != nil {
		tb.Errorf("timestamps: %v", err)
	}
	return &stampedConn{raw: raw}
}

// Read implements io.Reader.
func (c *stampedConn) Read(p []byte) (n int, err error) {
	oob, have := make([]byte, 64), 0
	e := c.raw.Read(func(fd uintptr) bool {
		n, have, _, _, err = unix.Recvmsg(int(fd), p, oob, 0)
		return !errors.Is(err, unix.EAGAIN)
	})
	switch {
	case e != nil:
		return 0, e
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	messages, err := unix.ParseSocketControlMessage(oob[:have])
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16 {
			c.at = time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
		}
	}
	return n, err
}
