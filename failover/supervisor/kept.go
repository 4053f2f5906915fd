package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// keptEnvironment tells an agent what the supervisor has kept for it: a list of Kept in JSON. Their descriptors follow
// firstKept, two each.
const (
	keptEnvironment = "FAILOVERD_KEPT"
	firstKept       = 5
)

// Kept is a child of an agent, such as a BGP speaker, that lives for as long as somebody holds the writing end of a pipe. The
// supervisor does so when the agent has died, until another one takes over, or until the roles are released.
type Kept struct {
	Name string
	PID  int
	// Place is where it is to be spoken to.
	Place string
	// Version is that of its program; empty: not known.
	Version string `json:",omitempty"`
	// Life is the writing end of the pipe that it lives by, and Log the reading end of what it says.
	Life, Log *os.File `json:"-"`
}

// keptList is what a supervisor holds, in the order in which it came.
type keptList []Kept

// keep takes over what came with a message.
func (l *keptList) keep(m message, log *slog.Logger) {
	var k Kept
	if err := json.Unmarshal([]byte(m.text), &k); err != nil || len(m.files) != 2 {
		log.Warn("a child of the agent cannot be kept", "files", len(m.files), "err", err)
		closeAll(m.files)
		return
	}
	l.drop(k.Name)
	k.Life, k.Log = m.files[0], m.files[1]
	*l = append(*l, k)
}

// drop lets go of one.
func (l *keptList) drop(name string) {
	*l = slices.DeleteFunc(*l, func(k Kept) bool {
		if k.Name == name {
			closeAll([]*os.File{k.Life, k.Log})
		}
		return k.Name == name
	})
}

// dropAll lets go of all of them: they end when nobody else holds them.
func (l *keptList) dropAll() {
	for len(*l) > 0 {
		l.drop((*l)[0].Name)
	}
}

func (l keptList) text() string {
	b, err := json.Marshal(l)
	if err != nil {
		panic(fmt.Sprintf("encode what is kept: %v", err)) // no value of these types is refused
	}
	return string(b)
}

// descriptors are for a child. Their modes are not touched: they belong to the other ends, too.
func (l keptList) descriptors() (fds []uintptr) {
	for _, k := range l {
		for _, f := range []*os.File{k.Life, k.Log} {
			if conn, err := f.SyscallConn(); err == nil {
				_ = conn.Control(func(fd uintptr) { fds = append(fds, fd) })
			}
		}
	}
	return fds
}

// parseKept reads what keptEnvironment says.
func parseKept(text string) ([]Kept, error) {
	if text == "" {
		return nil, nil
	}
	var list []Kept
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("%s: %w", keptEnvironment, err)
	}
	for i := range list {
		for j, f := range []**os.File{&list[i].Life, &list[i].Log} {
			fd := firstKept + 2*i + j
			if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
				return nil, fmt.Errorf("%s: descriptor %d: %w", keptEnvironment, fd, err)
			}
			unix.CloseOnExec(fd)
			*f = os.NewFile(uintptr(fd), list[i].Name)
		}
	}
	return list, nil
}

// Keep has the supervisor hold copies of the two descriptors.
func (l *Link) Keep(k Kept, life, log int) error {
	if l == nil {
		return errors.New("there is no supervisor")
	}
	b, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return told(send(l.file, keep, string(b), life, log))
}

// Drop has it let go of them.
func (l *Link) Drop(name string) error { return l.send(drop, name) }

// Kept returns what the supervisor has kept of the life before. It belongs to the caller, who must Drop what it does not
// take over.
func (l *Link) Kept() []Kept { return l.kept }
