package supervisor

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"
)

// kind is the first octet of a message. Both ends are the same program, but for an upgrade: Formats says whether they can
// talk.
type kind byte

// What the agent says.
const (
	hello   kind = 'h' // it handles signals from now on
	working kind = 'w' // it has taken up its work
	tell    kind = 't' // the rest is for systemd
	goodbye kind = 'g' // it ends by itself, and is not to be started again
	claim   kind = 'c' // it is back, and would go on with its roles
	decline kind = 'd' // it is back, and cannot; the rest is why
	keep    kind = 'k' // hold what a child of it lives by; the rest is a kept in JSON, and two files come with it
	drop    kind = 'x' // let go of that; the rest is its name
	upgrade kind = 'u' // start the program in the rest, which comes as a file, to take the place of this one
	restart kind = 'r' // have this one stop in order, and go on with the program in the rest, which comes as a file
	yielded kind = 'z' // it has said its last word, and does nothing until it is told to leave or to go on; the rest is for how long (see parseBound)
	staged  kind = 's' // a successor: it has learned all that there is to know
	taken   kind = 'T' // a successor: the roles are its own
	refuse  kind = 'f' // a successor: it cannot take them; the rest is why
)

// What the supervisor says during an upgrade.
const (
	yield kind = 'Y' // hand over
	take  kind = 'K' // to the successor: take over, the will says what
	leave kind = 'L' // end without a word: the successor has the roles
	goOn  kind = 'O' // the upgrade has failed; the rest is why
)

// What the supervisor answers to a claim.
const (
	granted kind = 'y'
	gone    kind = 'n' // it is too late: the roles have been released; the rest is why
)

// maxMessage bounds a message in octets.
const maxMessage = 4096

// message is one datagram of the socket pair.
type message struct {
	kind kind
	text string
	// files come with hello: the network namespace of the agent, or none; with keep; and with upgrade and restart.
	files []*os.File
}

// read hands over the messages of the process pid until its end of the socket pair is closed. Those of anybody else are
// refused.
func read(f *os.File, pid int, log *slog.Logger, to chan<- message) {
	defer close(to)
	for {
		m, from, err := receive(f)
		switch {
		case errors.Is(err, unix.ECONNRESET): // it has ended without reading everything; what it said follows, and then the end
		case errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded):
			return
		case err != nil:
			log.Warn("message of the agent not read", "err", err)
			return
		case from != pid:
			closeAll(m.files)
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
	buf, oob := make([]byte, maxMessage), make([]byte, unix.CmsgSpace(unix.SizeofUcred)+unix.CmsgSpace(2*4))
	var n, oobn int
	var got error
	err = conn.Read(func(fd uintptr) bool {
		n, oobn, _, _, got = unix.Recvmsg(int(fd), buf, oob, unix.MSG_CMSG_CLOEXEC)
		return !errors.Is(got, unix.EAGAIN) && !errors.Is(got, unix.EINTR)
	})
	switch {
	case err != nil:
		// A raw connection does not say that its file is closed with the error that everybody knows; an empty read does.
		if _, e := f.Read(nil); errors.Is(e, os.ErrClosed) {
			err = os.ErrClosed
		}
		return m, 0, err
	case got != nil:
		return m, 0, got
	case n == 0:
		return m, 0, io.EOF
	}
	m, from = message{kind: kind(buf[0]), text: string(buf[1:n])}, 0
	m.files, from = attached(oob[:oobn])
	return m, from, nil
}

// attached returns the files that came with a message, and the process that its credentials name; 0: there are none.
func attached(oob []byte) (files []*os.File, sender int) {
	all, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, 0
	}
	for i := range all {
		if c, err := unix.ParseUnixCredentials(&all[i]); err == nil {
			sender = int(c.Pid)
		}
		if fds, err := unix.ParseUnixRights(&all[i]); err == nil {
			for _, fd := range fds {
				files = append(files, os.NewFile(uintptr(fd), "attached"))
			}
		}
	}
	return files, sender
}

// closeAll lets go of files; what that says is of no use.
func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// send sends a message, with descriptors of which the other end gets copies, and never waits: an end that does not read is told so with EAGAIN.
func send(f *os.File, k kind, text string, fds ...int) error {
	if len(text) >= maxMessage {
		return fmt.Errorf("message of %d octets (at most %d)", len(text), maxMessage-1)
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	var sent error
	err = conn.Control(func(fd uintptr) {
		_, sent = unix.SendmsgN(int(fd), append([]byte{byte(k)}, text...), oob, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	})
	return errors.Join(err, sent)
}
