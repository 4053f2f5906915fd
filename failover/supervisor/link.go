package supervisor

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Link is the agent's end. A nil Link is that of an agent without a supervisor: everything about it does nothing. Any
// goroutine may use it.
type Link struct {
	file *os.File
	lost chan struct{} // closed when the supervisor has died
}

// Supervised reports whether the environment says that this process has a supervisor.
func Supervised(getenv func(string) string) bool { return getenv(environment) != "" }

// Attach returns the link to the supervisor that the environment speaks of, and removes that from the environment; nil:
// there is none. What the environment speaks of and is not the socket of the parent process is refused.
func Attach(getenv func(string) string) (*Link, error) {
	text := getenv(environment)
	if text == "" {
		return nil, nil
	}
	if err := os.Unsetenv(environment); err != nil {
		return nil, err
	}
	fd, err := strconv.Atoi(text)
	if err == nil {
		err = checkParent(fd)
	}
	if err != nil {
		return nil, fmt.Errorf("%s=%q, which failoverd run sets for its own children, is not the socket of a supervisor: %w", environment, text, err)
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("%s=%q: %w", environment, text, err)
	}
	l := &Link{file: os.NewFile(uintptr(fd), "supervisor"), lost: make(chan struct{})}
	go l.watch()
	return l, nil
}

// checkParent reports what speaks against fd being one end of a socket pair that the parent process has made.
func checkParent(fd int) error {
	if t, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil {
		return err
	} else if t != unix.SOCK_SEQPACKET {
		return fmt.Errorf("a socket of type %d", t)
	}
	c, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return err
	}
	if parent := os.Getppid(); int(c.Pid) != parent {
		return fmt.Errorf("process %d has made it, and the parent is %d", c.Pid, parent)
	}
	return nil
}

// watch waits for the end of the supervisor, who says nothing.
func (l *Link) watch() {
	defer close(l.lost)
	for {
		if _, _, err := receive(l.file); err != nil {
			return
		}
	}
}

// Lost is closed when the supervisor has died; nil: there is none.
func (l *Link) Lost() <-chan struct{} {
	if l == nil {
		return nil
	}
	return l.lost
}

// Hello says that this process handles signals: those that came before wait for it.
func (l *Link) Hello() error { return l.send(hello, "") }

// Working says that the agent has taken up its work: from now on it is started again when it dies.
func (l *Link) Working() error { return l.send(working, "") }

// Goodbye says that the agent ends by itself: its exit status is that of the supervisor.
func (l *Link) Goodbye() error { return l.send(goodbye, "") }

// Notify passes a message of sd_notify(3) on. It never waits; EAGAIN: there is no room now.
func (l *Link) Notify(text string) error { return l.send(tell, text) }

func (l *Link) send(k kind, text string) error {
	if l == nil {
		return nil
	}
	if err := send(l.file, k, text); err != nil && !errors.Is(err, unix.EPIPE) { // Lost says that
		return fmt.Errorf("tell the supervisor: %w", err)
	}
	return nil
}
