package supervisor

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"
)

// kind is the first octet of a message. Both ends are the same program, so there are no versions.
type kind byte

// What the agent says.
const (
	hello   kind = 'h' // it handles signals from now on
	working kind = 'w' // it has taken up its work
	tell    kind = 't' // the rest is for systemd
	goodbye kind = 'g' // it ends by itself, and is not to be started again
)

// maxMessage bounds a message in octets.
const maxMessage = 4096

// message is one datagram of the socket pair.
type message struct {
	kind kind
	text string
}

// read hands over the messages of the process pid until its end of the socket pair is closed. Those of anybody else are
// refused.
func read(f *os.File, pid int, log *slog.Logger, to chan<- message) {
	defer close(to)
	for {
		m, from, err := receive(f)
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) || errors.Is(err, unix.ECONNRESET):
			return
		case err != nil:
			log.Warn("message of the agent not read", "err", err)
			return
		case from != pid:
			log.Warn("a foreign process has the agent's socket, its message is refused", "pid", from)
		default:
			to <- m
		}
	}
}

// receive waits for a message, and returns which process has sent it; 0: nobody says.
func receive(f *os.File) (m message, from int, err error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return m, 0, err
	}
	buf, oob := make([]byte, maxMessage), make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	var n, oobn int
	var got error
	err = conn.Read(func(fd uintptr) bool {
		n, oobn, _, _, got = unix.Recvmsg(int(fd), buf, oob, unix.MSG_CMSG_CLOEXEC)
		return !errors.Is(got, unix.EAGAIN) && !errors.Is(got, unix.EINTR)
	})
	switch {
	case err != nil:
		return m, 0, err
	case got != nil:
		return m, 0, got
	case n == 0:
		return m, 0, io.EOF
	}
	return message{kind(buf[0]), string(buf[1:n])}, sender(oob[:oobn]), nil
}

// sender returns the process that the credentials of a message name; 0: there are none.
func sender(oob []byte) int {
	all, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0
	}
	for i := range all {
		if c, err := unix.ParseUnixCredentials(&all[i]); err == nil {
			return int(c.Pid)
		}
	}
	return 0
}

// send sends a message and never waits: an end that does not read is told so with EAGAIN.
func send(f *os.File, k kind, text string) error {
	if len(text) >= maxMessage {
		return fmt.Errorf("message of %d octets (at most %d)", len(text), maxMessage-1)
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = conn.Control(func(fd uintptr) {
		sent = unix.Sendto(int(fd), append([]byte{byte(k)}, text...), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil)
	})
	return errors.Join(err, sent)
}
