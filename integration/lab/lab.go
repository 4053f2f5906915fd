package lab

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

// Options are what New needs to know. The zero value is right for tests.
type Options struct {
	// Name appears in the name of the private directory; empty: "lab".
	Name string
	// Named gives every namespace a name under /run/netns, fo-PID-NODE, so that `ip netns exec` finds it; an ordinary
	// user cannot, and then it has no effect. Without it a namespace has no name and disappears with this process,
	// however that ends.
	Named bool
	// Signals makes the lab clean up and end this process when SIGINT, SIGTERM or SIGHUP arrives. Leave it off where
	// somebody else looks after signals and calls Close.
	Signals bool
}

// Lab owns a set of namespaces, the processes in them, the witnesses that watch them, and a private directory. Its
// methods may be called from several goroutines. Close gives everything back.
type Lab struct {
	opts   Options
	dir    string
	stamps stamps

	mu     sync.Mutex
	nodes  map[string]*Node
	order  []*Node
	procs  []*Process
	opened map[io.Closer]struct{}
	fabric *Node
	ports  int
	nics   int

	closing  sync.Once
	closeErr error
	done     chan struct{}
}

// New makes an empty lab with a private directory under os.TempDir. It fails with an error that names the missing
// privilege when this process may not create network namespaces; see EnterUserNamespace.
func New(opts Options) (*Lab, error) {
	if err := Privileged(); err != nil {
		return nil, fmt.Errorf("create lab: %w", err)
	}
	if opts.Name == "" {
		opts.Name = "lab"
	}
	makeRoom()
	dir, err := os.MkdirTemp("", "fo-"+opts.Name+"-")
	if err != nil {
		return nil, fmt.Errorf("create lab: %w", err)
	}
	l := &Lab{
		opts: opts, dir: dir, nodes: make(map[string]*Node), opened: make(map[io.Closer]struct{}), done: make(chan struct{}),
	}
	if opts.Signals {
		l.closeOnSignal()
	}
	return l, nil
}

// closeOnSignal cleans up when a signal asks this process to end, then lets the signal have its way.
func (l *Lab) closeOnSignal() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		defer signal.Stop(c)
		select {
		case <-l.done:
		case s := <-c:
			if err := l.Close(); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
			signal.Reset(s)
			if err := syscall.Kill(os.Getpid(), s.(syscall.Signal)); err != nil {
				os.Exit(1)
			}
		}
	}()
}

// Dir returns the private directory. It is removed by Close.
func (l *Lab) Dir() string { return l.dir }

// WriteFile writes a file into the private directory and returns its path. Only this user can read it.
func (l *Lab) WriteFile(name, content string) (string, error) {
	path := filepath.Join(l.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return "", fmt.Errorf("write %s: %w", name, err)
	}
	return path, nil
}

// Nodes returns the nodes in the order of their creation, without the one that holds the switches.
func (l *Lab) Nodes() []*Node {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.order), func(n *Node) bool { return n == l.fabric })
}

// Processes returns all processes started so far, also the ones that have ended.
func (l *Lab) Processes() []*Process {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.procs)
}

// Close kills the processes, stops the witnesses, gives the namespaces back and removes the private directory. It may
// be called more than once and from any goroutine; each call waits for the first to finish and returns its error.
func (l *Lab) Close() error {
	l.closing.Do(func() {
		l.closeErr = l.close()
		close(l.done)
	})
	return l.closeErr
}

func (l *Lab) close() error {
	l.mu.Lock()
	opened := make([]io.Closer, 0, len(l.opened))
	for c := range l.opened {
		opened = append(opened, c)
	}
	procs, nodes := slices.Clone(l.procs), slices.Clone(l.order)
	l.mu.Unlock()

	var errs []error
	for _, p := range procs {
		errs = append(errs, p.end())
	}
	for _, c := range opened {
		errs = append(errs, c.Close())
	}
	errs = append(errs, killStrangers(nodes))
	for _, n := range slices.Backward(nodes) {
		errs = append(errs, n.close())
	}
	errs = append(errs, os.RemoveAll(l.dir))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close lab: %w", err)
	}
	return nil
}

// own registers something that Close has to close; disown forgets it.
func (l *Lab) own(c io.Closer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.opened[c] = struct{}{}
}

func (l *Lab) disown(c io.Closer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.opened, c)
}

// nextMAC returns a locally administered hardware address that no other interface of the lab has. Small and counted,
// so that captures can be read by eye.
func (l *Lab) nextMAC() net.HardwareAddr {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nics++
	return net.HardwareAddr{0x02, 0xf0, 0, 0, byte(l.nics >> 8), byte(l.nics)}
}

// TB is the part of testing.TB that ForTest uses; package testing stays out of the demo's binary.
type TB interface {
	Helper()
	Name() string
	Cleanup(func())
	Failed() bool
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
	Skipf(format string, args ...any)
}

// ForTest returns a lab that is closed at the end of the test, after the tail of every process's log has been printed
// if the test failed. It skips the test, saying why, when network namespaces cannot be created.
func ForTest(tb TB) *Lab {
	tb.Helper()
	if err := Privileged(); err != nil {
		tb.Skipf("SKIPPED, NOT PASSED: %v", err)
	}
	l, err := New(Options{Name: "test", Signals: true})
	if err != nil {
		tb.Fatalf("%v", err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			for _, p := range l.Processes() {
				tb.Logf("--- %s (%v)\n%s", p.Name(), p.Argv(), p.Tail(4000))
			}
		}
		if err := l.Close(); err != nil {
			tb.Errorf("%v", err)
		}
	})
	return l
}
