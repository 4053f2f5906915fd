package supervisor

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Link is the agent's end. A nil Link is that of an agent without a supervisor: everything about it does nothing. Any
// goroutine may use it.
type Link struct {
	file *os.File
	lost chan struct{} // closed when the supervisor has died
	said chan message  // the supervisor's answers
	told chan Order
	// constant
	program string
	store   *Store
	next    Succession
	kept    []Kept
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
	l, err := attach(text)
	if err == nil {
		l.program = getenv(programEnvironment)
		l.kept, err = parseKept(getenv(keptEnvironment))
		err = errors.Join(err, os.Unsetenv(keptEnvironment), os.Unsetenv(programEnvironment))
	}
	if err != nil {
		return nil, fmt.Errorf("%s=%q, which failoverd run sets for its own children, is not the socket of a supervisor: %w", environment, text, err)
	}
	go l.watch()
	return l, nil
}

// attach opens what the text in the environment names.
func attach(text string) (*Link, error) {
	var (
		fd, memory int
		next       Succession
	)
	if _, err := fmt.Sscanf(text, "%d %d %s", &fd, &memory, &next); err != nil {
		return nil, err
	}
	if next != Fresh && next != Resume && next != Resign && next != Take {
		return nil, fmt.Errorf("unknown succession %q", next)
	}
	if err := checkParent(fd); err != nil {
		return nil, err
	}
	unix.CloseOnExec(fd)
	unix.CloseOnExec(memory)
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	store, err := openStore(os.NewFile(uintptr(memory), storeName))
	if err != nil {
		return nil, err
	}
	return &Link{
		file: os.NewFile(uintptr(fd), "supervisor"), store: store, next: next, lost: make(chan struct{}), said: make(chan message, 1),
		told: make(chan Order, 8),
	}, nil
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

// watch passes answers on until the supervisor has ended.
func (l *Link) watch() {
	defer close(l.lost)
	for {
		m, _, err := receive(l.file)
		if err != nil {
			return
		}
		if o, ok := orderOf(m); ok {
			select {
			case l.told <- o:
			default: // it is not for anybody who listens
			}
			continue
		}
		select {
		case l.said <- m:
		default: // nobody has asked
		}
	}
}

// answerBound is how long the answer of a supervisor is waited for. It takes some ten microseconds.
const answerBound = time.Second

// Store is the memory of the last will, the agent's own from now on.
func (l *Link) Store() *Store { return l.store }

// Succession says how this agent follows the one before. After Resume it must Claim or Decline.
func (l *Link) Succession() Succession { return l.next }

// Claim asks to go on with the roles that the one before had, and reports whether it is in time: if so, nobody releases
// them any more. Otherwise the roles have been released, because of why.
func (l *Link) Claim() (inTime bool, why string, err error) {
	if err := l.send(claim, ""); err != nil {
		return false, "", err
	}
	limit := time.NewTimer(answerBound)
	defer limit.Stop()
	select {
	case m := <-l.said:
		return m.kind == granted, m.text, nil
	case <-l.lost:
		return false, "the supervisor has died", nil
	case <-limit.C:
		return false, "", fmt.Errorf("the supervisor does not answer within %v", answerBound)
	}
}

// Decline says that this agent does not go on with those roles: they are released at once.
func (l *Link) Decline(why string) error { return l.send(decline, why) }

// Lost is closed when the supervisor has died; nil: there is none.
func (l *Link) Lost() <-chan struct{} {
	if l == nil {
		return nil
	}
	return l.lost
}

// Hello says that this process handles signals: those that came before wait for it. A will is carried out in the network
// namespace that it is in now.
func (l *Link) Hello() error {
	if l == nil {
		return nil
	}
	namespace, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return l.send(hello, "") // no /proc: it is the supervisor's, or the will is of no use
	}
	defer namespace.Close()
	return told(send(l.file, hello, "", int(namespace.Fd())))
}

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
	return told(send(l.file, k, text))
}

// told passes over that the supervisor has died, which Lost says.
func told(err error) error {
	if err == nil || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		return nil
	}
	return fmt.Errorf("tell the supervisor: %w", err)
}
