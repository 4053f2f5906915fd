package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// handedEnvironment tells a supervisor which descriptor holds what the one before it, the same process, has handed over.
const handedEnvironment = "FAILOVERD_SUPERVISOR_STATE"

// handed is what a supervisor that replaces itself by another program hands over to that. Descriptors stay open.
type handed struct {
	Format    int
	Child     *handedChild `json:",omitempty"` // nil: an agent is to be started
	Store     int
	Namespace int // -1: none
	Kept      []Kept
	KeptFiles []int // two for each of Kept
	Carried   uint64
	Deaths    []time.Time
	Signals   []int // that have come and were not acted on
}

type handedChild struct {
	PID, Socket     int
	Handles, Worked bool
}

// Handed reports whether the environment says that this process was a supervisor before it became this program.
func Handed(getenv func(string) string) bool { return getenv(handedEnvironment) != "" }

// signalSet returns the signals that a supervisor handles, and that of its children, as a set.
func signalSet(signals []os.Signal) *unix.Sigset_t {
	set := new(unix.Sigset_t)
	for _, s := range append([]os.Signal{syscall.SIGCHLD}, signals...) {
		if n, ok := s.(syscall.Signal); ok && n > 0 {
			const word = int(8 * unsafe.Sizeof(set.Val[0]))
			set.Val[(int(n)-1)/word] |= 1 << ((int(n) - 1) % word)
		}
	}
	return set
}

// become replaces this process by another program, an open file of that path, under the same number, with the same
// children. It returns when that cannot be done: then everything goes on as before.
func (s *supervisor) become(path string, program *os.File) {
	s.up.closed = true
	err := s.replace(path, program)
	s.up.closed = false
	s.opts.Log.Warn("the supervisor stays the program that it is", "program", path, "err", err)
}

func (s *supervisor) replace(path string, program *os.File) (err error) {
	h := handed{Format: Formats["supervisor"], Namespace: -1, Carried: s.carried, Deaths: s.deaths}
	var open []*os.File
	inherit := func(f *os.File) (number int) {
		conn, e := f.SyscallConn()
		if e == nil {
			e = errors.Join(e, conn.Control(func(fd uintptr) {
				number = int(fd)
				_, err := unix.FcntlInt(fd, unix.F_SETFD, 0)
				e = errors.Join(e, err)
			}))
		}
		open, err = append(open, f), errors.Join(err, e)
		return number
	}
	defer func() {
		for _, f := range open {
			if conn, e := f.SyscallConn(); e == nil {
				_ = conn.Control(func(fd uintptr) { unix.CloseOnExec(int(fd)) })
			}
		}
	}()
	if c := s.child; c != nil {
		for _, m := range c.hush() {
			s.hear(m)
		}
		defer c.listen(s.opts.Log)
		defer c.speakUp()
		h.Child = &handedChild{PID: c.pid, Socket: inherit(c.ours), Handles: c.handles, Worked: c.worked}
	}
	h.Store = inherit(s.store.file)
	if s.namespace != nil {
		h.Namespace = inherit(s.namespace)
	}
	for _, k := range s.kept {
		h.Kept, h.KeptFiles = append(h.Kept, k), append(h.KeptFiles, inherit(k.Life), inherit(k.Log))
	}
	if err != nil {
		return err
	}
	return s.exec(path, program, &h, inherit)
}

// exec executes the program. Signals are blocked meanwhile: they wait for it. It returns if it fails.
func (s *supervisor) exec(path string, program *os.File, h *handed, inherit func(*os.File) int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	set, old := signalSet(s.opts.Signals), new(unix.Sigset_t)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, set, old); err != nil {
		return fmt.Errorf("block signals: %w", err)
	}
	// What is in the channel by now would be lost.
	for waiting := true; waiting; {
		select {
		case sig := <-s.signals:
			if n, ok := sig.(syscall.Signal); ok && n != syscall.SIGCHLD {
				h.Signals = append(h.Signals, int(n))
			}
		default:
			waiting = false
		}
	}
	err := func() error {
		b, err := json.Marshal(h)
		if err != nil {
			return err
		}
		fd, err := unix.MemfdCreate("failoverd-supervisor", unix.MFD_CLOEXEC)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), "handed")
		defer f.Close()
		if _, err := f.WriteAt(b, 0); err != nil {
			return err
		}
		env := append(os.Environ(), handedEnvironment+"="+strconv.Itoa(inherit(f)))
		return fmt.Errorf("execute %s: %w", path, syscall.Exec(descriptorPath(program), append([]string{path}, os.Args[1:]...), append(env, s.opts.ExecEnv...)))
	}()
	err = errors.Join(err, unix.PthreadSigmask(unix.SIG_SETMASK, old, nil))
	for _, n := range h.Signals {
		s.signalled(syscall.Signal(n))
	}
	// A child may have ended, and its signal been taken out of the channel.
	select {
	case s.signals <- syscall.SIGCHLD:
	default:
	}
	return err
}

// receive goes on from what this process has handed over when it was another program.
func (s *supervisor) receive() error {
	h, err := readHanded()
	if err != nil {
		return fmt.Errorf("%s, which only a supervisor sets for itself: %w", handedEnvironment, err)
	}
	take := func(fd int, name string) *os.File {
		unix.CloseOnExec(fd)
		return os.NewFile(uintptr(fd), name)
	}
	store, err := openStore(take(h.Store, storeName))
	if err != nil {
		return err
	}
	_ = s.store.file.Close()
	s.store, s.carried, s.deaths = store, h.Carried, h.Deaths
	if h.Namespace >= 0 {
		s.namespace = take(h.Namespace, "namespace")
	}
	for i, k := range h.Kept {
		k.Life, k.Log = take(h.KeptFiles[2*i], k.Name), take(h.KeptFiles[2*i+1], k.Name)
		s.kept = append(s.kept, k)
	}
	if h.Child == nil {
		return s.start()
	}
	s.worked = true
	s.child = &child{pid: h.Child.PID, ours: take(h.Child.Socket, "agent"), handles: h.Child.Handles, worked: h.Child.Worked}
	s.child.listen(s.opts.Log)
	s.opts.Log.Info("upgrade: the supervisor is another program now", "program", s.opts.Argv[0], "agent", s.child.pid)
	for _, n := range h.Signals {
		s.signalled(syscall.Signal(n))
	}
	return nil
}

func readHanded() (*handed, error) {
	fd, err := strconv.Atoi(os.Getenv(handedEnvironment))
	if err = errors.Join(err, os.Unsetenv(handedEnvironment)); err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "handed")
	if f == nil {
		return nil, fmt.Errorf("descriptor %d", fd)
	}
	defer f.Close()
	h := new(handed)
	if err := json.NewDecoder(f).Decode(h); err != nil {
		return nil, err
	}
	switch {
	case h.Format != Formats["supervisor"]:
		return nil, fmt.Errorf("format %d, want %d", h.Format, Formats["supervisor"])
	case len(h.KeptFiles) != 2*len(h.Kept):
		return nil, fmt.Errorf("%d descriptors of %d processes", len(h.KeptFiles), len(h.Kept))
	}
	return h, nil
}

// hush ends the reader, and returns what it has read and nobody has heard.
func (c *child) hush() (unheard []message) {
	if err := c.ours.SetReadDeadline(time.Now()); err != nil || c.silent {
		return nil
	}
	for m := range c.inbox {
		unheard = append(unheard, m)
	}
	return unheard
}

// speakUp takes back what hush has done, before listen.
func (c *child) speakUp() { _ = c.ours.SetReadDeadline(time.Time{}) }
