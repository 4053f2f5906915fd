package supervisor

import (
	"errors"
	"os"
	"strconv"
	"time"
)

// Formats are the versions of what two programs that hand over to each other have to understand. One that differs in any
// of them cannot take the place of the other.
var Formats = map[string]int{
	"link":       1, // messages between the supervisor and the agent (message.go)
	"will":       1, // Will and Store
	"supervisor": 1, // handed
	"legacy":     2, // failover.Legacy, and what else the daemon hands over with it
	"speaker":    1, // how an agent goes on with a speaker process (bgp/speaker)
}

// Order is what the supervisor says to an agent during an upgrade.
type Order struct {
	What OrderKind
	Why  string // of GoOn
}

// OrderKind says what is to be done.
type OrderKind uint8

const (
	// Yield: hand over, and say so (Link.Yielded).
	Yield OrderKind = iota
	// TakeOver: the will says what was handed over; take it up, and say so (Link.Taken).
	TakeOver
	// Leave: another program has the roles; end without a word.
	Leave
	// GoOn: the upgrade has failed, and nothing has happened.
	GoOn
)

func orderOf(m message) (Order, bool) {
	switch m.kind {
	case yield:
		return Order{What: Yield}, true
	case take:
		return Order{What: TakeOver}, true
	case leave:
		return Order{What: Leave}, true
	case goOn:
		return Order{What: GoOn, Why: m.text}, true
	}
	return Order{}, false
}

// Orders is where they arrive; nil: there is no supervisor.
func (l *Link) Orders() <-chan Order {
	if l == nil {
		return nil
	}
	return l.told
}

// Program is the path that the supervisor was started from; empty: not known.
func (l *Link) Program() string { return l.program }

// Upgrade asks for a program to take the place of this one. It is the open file that is executed; path is its name. Orders
// follow. The file stays the caller's.
func (l *Link) Upgrade(path string, program *os.File) error {
	return l.sendFile(upgrade, path, program)
}

// Restart asks for an orderly stop, after which the program starts afresh under the same supervisor.
func (l *Link) Restart(path string, program *os.File) error {
	return l.sendFile(restart, path, program)
}

// sendFile is send with a copy of an open file.
func (l *Link) sendFile(k kind, text string, f *os.File) error {
	if l == nil {
		return nil
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = conn.Control(func(fd uintptr) { sent = send(l.file, k, text, int(fd)) })
	return told(errors.Join(err, sent))
}

// Yielded says that the will is the last word, and that nothing is done any more until an order comes. If the successor has
// not taken over within a time, it is killed and the order is GoOn; the neighbors must bear that time, and what it takes
// to kill a process.
func (l *Link) Yielded(within time.Duration) error {
	return l.send(yielded, strconv.FormatInt(int64(within), 10))
}

// Staged says that this agent has learned all that it needs to take over.
func (l *Link) Staged() error { return l.send(staged, "") }

// Taken says that it has taken over.
func (l *Link) Taken() error { return l.send(taken, "") }

// Refuse says that it cannot take over: the one before goes on.
func (l *Link) Refuse(why string) error {
	return l.send(refuse, why[:min(len(why), maxMessage-1)])
}
