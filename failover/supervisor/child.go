package supervisor

import (
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// environment tells an agent that it has a supervisor: the descriptors of its end of the socket pair and of the memory, and
// how it follows the one before.
const environment = "FAILOVERD_SUPERVISED"

// programEnvironment tells an agent the path that its supervisor was started from: an upgrade looks there.
const programEnvironment = "FAILOVERD_PROGRAM"

// child is one life of the agent. It is owned by Run's goroutine, but for the socket, which a reader has.
type child struct {
	pid   int
	born  time.Time // zero: before this program was that of the supervisor
	ours  *os.File
	inbox chan message // closed when the agent's end is

	handles bool // it handles signals
	worked  bool // it has taken up its work
	goodbye bool // it ends by itself
	silent  bool // inbox is closed
}

// startChild starts an agent with one end of a new socket pair as descriptor 3, and the memory as 4. It runs the open file
// program; nil: what path names.
func startChild(o *Options, path string, program *os.File, store *Store, next Succession, kept keptList) (*child, error) {
	ours, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	argv := o.Argv
	if program != nil {
		argv = append([]string{path}, argv[1:]...)
	}
	env := append(append([]string(nil), o.Env...), environment+"=3 4 "+string(next), programEnvironment+"="+argv[0])
	files := []uintptr{0, 1, 2, theirs.Fd(), store.file.Fd()}
	if len(kept) > 0 {
		env = append(env, keptEnvironment+"="+kept.text())
		files = append(files, kept.descriptors()...)
	}
	if program != nil {
		f, err := beyond(program, files)
		if err != nil {
			return nil, errors.Join(err, ours.Close())
		}
		defer f.Close()
		path = descriptorPath(f)
	}
	// Not os/exec: it would wait for the child, and reap waits for all.
	pid, err := forkExec(path, argv, &syscall.ProcAttr{Env: env, Files: files}, o.Signals)
	if err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	c := &child{pid: pid, born: time.Now(), ours: ours}
	c.listen(o.Log)
	return c, nil
}

// listen starts the reader.
func (c *child) listen(log *slog.Logger) {
	c.inbox, c.silent = make(chan message), false
	go read(c.ours, c.pid, log, c.inbox)
}

// ownProgram leads to the program that runs, also when another one has got its name: an agent that dies after a package
// was installed is followed by one of its own kind, which can go on with what it had.
const ownProgram = "/proc/self/exe"

// program is what an agent that follows another one is started from: a path, or an open file.
func (s *supervisor) program() (path string, f *os.File) {
	switch {
	case s.up.phase == leaving:
		return s.up.path, s.up.program
	case s.outdone != nil:
		return s.opts.Argv[0], s.outdone
	}
	if _, err := os.Stat(ownProgram); err != nil {
		return s.opts.Argv[0], nil
	}
	return ownProgram, nil
}

// beyond returns a copy of a file with a descriptor that stays what it is in a child that gets those files, until it executes
// its program: the child makes them its first descriptors, and before that parks some of them, and the pipe by which it
// reports an error, right above the largest one of all.
func beyond(f *os.File, files []uintptr) (*os.File, error) {
	least := max(len(files), int(slices.Max(files))) + len(files) + 2
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	e := conn.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, least) })
	if err = errors.Join(e, err); err != nil {
		return nil, fmt.Errorf("copy the descriptor of %s: %w", f.Name(), err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// descriptorPath leads to an open file, whatever its name means by now. It ends with the descriptor, so that a script cannot
// be executed like this, because its interpreter would not find it.
func descriptorPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// forkExec starts a program with no signal blocked: those of a supervisor that has replaced itself are (see become).
func forkExec(program string, argv []string, attr *syscall.ProcAttr, signals []os.Signal) (int, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	set, old := signalSet(signals), new(unix.Sigset_t)
	if err := unix.PthreadSigmask(unix.SIG_UNBLOCK, set, old); err != nil {
		return 0, fmt.Errorf("unblock signals: %w", err)
	}
	pid, err := syscall.ForkExec(program, argv, attr)
	return pid, errors.Join(err, unix.PthreadSigmask(unix.SIG_SETMASK, old, nil))
}

// pair makes the two ends of a socket pair that keeps messages apart.
func pair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	// Each message then says who has sent it.
	if err := unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("make a socket pair: %w", err), unix.Close(fds[0]), unix.Close(fds[1]))
	}
	return os.NewFile(uintptr(fds[0]), "agent"), os.NewFile(uintptr(fds[1]), "supervisor"), nil
}

// signal sends a signal; an error says that the agent has just ended.
func (c *child) signal(s syscall.Signal) { _ = syscall.Kill(c.pid, s) }

// send says something to the agent; it never waits.
func (c *child) send(k kind, text string) error { return send(c.ours, k, text) }

// rest yields the messages that an agent which has ended has left, and those that do not come any more within
// lastMessages are given up: somebody else has the other end.
func (c *child) rest() iter.Seq[message] {
	return func(yield func(message) bool) {
		if c.silent {
			return
		}
		limit := time.NewTimer(lastMessages)
		defer limit.Stop()
		for {
			select {
			case m, ok := <-c.inbox:
				if !ok || !yield(m) {
					return
				}
			case <-limit.C:
				return
			}
		}
	}
}

// close ends the reader.
func (c *child) close() {
	_ = c.ours.Close()
	go func() {
		for range c.inbox { // it may be about to hand over one more
		}
	}()
}
