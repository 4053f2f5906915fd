package health

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"syscall" // and not x/sys/unix: the race detector knows that what is read was written before
)

// eager is a connection that reads and writes at once whatever there is, and becomes a link, which can wait, only when it has to.
// A target that is near has connected by the time that connect returns, and may have answered by the time that the other checks
// have asked which are due at the same moment: what a link costs, with the poller that it waits by, is a tenth of a probe.
type eager struct {
	attempt
	ctx  context.Context
	link *link // nil: nothing had to be waited for
}

// Write implements io.Writer.
func (e *eager) Write(b []byte) (n int, err error) {
	if e.link == nil {
		n, err = syscall.Write(e.fd, b)
		if n == len(b) {
			return n, nil
		}
		if n < 0 {
			n = 0
		}
		if err != nil && !waits(err) {
			return n, os.NewSyscallError("write", err)
		}
		e.link = e.open(e.ctx)
	}
	rest, err := e.link.Write(b[n:])
	return n + rest, err
}

// Read implements io.Reader. When nothing is there it gives way to the other checks that are due, and looks once more.
func (e *eager) Read(b []byte) (int, error) {
	for again := false; e.link == nil; again = true {
		n, err := syscall.Read(e.fd, b)
		switch {
		case n > 0:
			return n, nil
		case err == nil:
			return 0, io.EOF
		case !waits(err):
			return 0, os.NewSyscallError("read", err)
		case again:
			e.link = e.open(e.ctx)
		default:
			runtime.Gosched()
		}
	}
	return e.link.Read(b)
}

// Close ends the connection.
func (e *eager) Close() error {
	if e.link != nil {
		return e.link.Close()
	}
	return os.NewSyscallError("close", syscall.Close(e.fd))
}

// waits reports whether an error says that something has to be waited for.
func waits(err error) bool { return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR) }
