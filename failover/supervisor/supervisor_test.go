package supervisor

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test binary is a supervisor, or the agent of one, when this variable says how the agent is to behave.
const behave = "SUPERVISOR_TEST_BEHAVE"

// livesFile is where each life of the agent leaves a line.
const livesFile = "SUPERVISOR_TEST_LIVES"

func TestMain(m *testing.M) {
	how := os.Getenv(behave)
	switch {
	case how == "":
		os.Exit(m.Run())
	case Supervised(os.Getenv):
		os.Exit(beAgent(how))
	}
	status, err := Run(Options{
		Argv: []string{"/proc/self/exe"}, Env: os.Environ(),
		Signals: []os.Signal{syscall.SIGTERM, syscall.SIGHUP}, Ends: []os.Signal{syscall.SIGTERM},
		Ready:        func() error { fmt.Println("ready"); return nil },
		NotifySocket: os.Getenv("SUPERVISOR_TEST_NOTIFY"),
		Log:          slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	fmt.Println("status", status, err)
	os.Exit(status)
}

// beAgent is an agent that does what a word says in each of its lives; the last word is for all that follow.
func beAgent(how string) int {
	l, err := Attach(os.Getenv)
	if err != nil {
		fmt.Println(err)
		return 99
	}
	f, _ := os.OpenFile(os.Getenv(livesFile), os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o600)
	fmt.Fprintln(f, os.Getpid())
	b, _ := os.ReadFile(f.Name())
	words := strings.Fields(how)
	word := words[min(bytes.Count(b, []byte("\n")), len(words))-1]
	signals := make(chan os.Signal, 8)
	if word == "late" {
		time.Sleep(300 * time.Millisecond) // signals that come now would kill
	}
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP)
	if word == "barred" {
		return 5
	}
	_ = errors.Join(l.Hello(), l.Working(), l.Notify("READY=1"))
	switch word {
	case "heir", "keeper":
		if err := leaveWill(l, word == "keeper"); err != nil {
			fmt.Println(err)
			return 98
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "claim", "tardy":
		if word == "tardy" {
			time.Sleep(tooLate)
		}
		in, why, err := l.Claim()
		fmt.Println(l.Succession(), "in time", in, why, err)
		_ = l.Goodbye()
		return 7
	case "decline":
		fmt.Println(l.Succession(), l.Decline("it does not want to"))
		_ = l.Goodbye()
		return 7
	case "kept":
		for _, k := range l.Kept() {
			b := make([]byte, 4)
			n, err := k.Log.Read(b)
			_, e := k.Life.Write([]byte("x"))
			fmt.Println("kept", k.Name, k.PID, k.Place, string(b[:n]), err, e, l.Drop(k.Name))
		}
		fmt.Println(len(l.Kept()), "kept")
		_ = l.Goodbye()
		return 7
	case "crash":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "panic":
		panic("on purpose")
	case "leave":
		_ = l.Goodbye()
		return 7
	case "foreign":
		// A child that was given the socket says goodbye in the agent's name.
		fd, _ := unix.Dup(int(l.file.Fd()))
		c := exec.Command("/proc/self/exe", "-test.run=TestForeign$")
		c.Env = []string{"SUPERVISOR_TEST_FOREIGN=3"}
		c.ExtraFiles = []*os.File{os.NewFile(uintptr(fd), "stolen")}
		out, err := c.CombinedOutput()
		fmt.Println("foreign", err, strings.Contains(string(out), "PASS"))
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	for {
		select {
		case <-l.Lost():
			fmt.Fprintln(f, "orphan")
			return 0
		case s := <-signals:
			fmt.Println("agent", s)
			if s == syscall.SIGTERM {
				_ = l.Goodbye()
				return 0
			}
		}
	}
}

// Times of the wills in these tests: an agent has testInterval twice to be back.
const (
	testInterval = 5 * time.Second
	tooLate      = 11 * time.Second
)

// leaveWill leaves a will with one role, whose advertisement goes nowhere, and, if asked to, something to be kept.
func leaveWill(l *Link, keeps bool) error {
	w := someWill("x")
	w.Interval, w.Adverts[0].Interface = testInterval, "no-such-if"
	l.Store().Alive(monotonic())
	if err := l.Store().Put(w); err != nil || !keeps {
		return err
	}
	var life, log [2]int
	if err := errors.Join(unix.Pipe(life[:]), unix.Pipe(log[:])); err != nil {
		return err
	}
	_, err := unix.Write(log[1], []byte("said"))
	// The reading end of its life stays open in the supervisor, too, so that there is somebody to write to.
	return errors.Join(err, l.Keep(Kept{Name: "n", PID: 42, Place: "/p"}, life[1], log[0]),
		l.Keep(Kept{Name: "other", PID: 43, Place: "/q"}, life[1], life[0]), l.Drop("nobody"))
}

// TestForeign is the body of a process that has got hold of an agent's socket.
func TestForeign(t *testing.T) {
	if os.Getenv("SUPERVISOR_TEST_FOREIGN") == "" {
		t.Skip("for the test of foreign messages")
	}
	if err := send(os.NewFile(3, "stolen"), goodbye, ""); err != nil {
		t.Fatal(err)
	}
}

// supervised runs a supervisor with an agent that behaves so.
type supervised struct {
	*exec.Cmd
	out   *syncBuffer
	lives string
}

type syncBuffer struct{ f *os.File }

func (b *syncBuffer) String() string { s, _ := os.ReadFile(b.f.Name()); return string(s) }

func supervise(t *testing.T, how string, env ...string) *supervised {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	self, _ := os.Executable()
	s := &supervised{Cmd: exec.Command(self), out: &syncBuffer{f}, lives: filepath.Join(dir, "lives")}
	s.Env = append(append(os.Environ(), behave+"="+how, livesFile+"="+s.lives), env...)
	s.Stdout, s.Stderr = f, f
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.Process.Kill()
		if t.Failed() {
			t.Log(s.out.String())
		}
	})
	return s
}

func (s *supervised) agents() []string {
	b, _ := os.ReadFile(s.lives)
	return strings.Fields(string(b))
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

func TestSupervisor(t *testing.T) {
	for _, c := range []struct {
		name, how string
		lives     int
		status    int
		says      []string
		silent    string
	}{
		{"ends by itself", "leave", 1, 7, []string{"ready", "status 7"}, "has died"},
		{"never works", "barred", 1, 5, []string{"status 5"}, "ready"},
		{"killed, then ends by itself", "crash leave", 2, 7, []string{"the agent has died", "how=killed"}, "pause"},
		{"panics", "panic leave", 2, 7, []string{"panic: on purpose", "how=\"exit status 2\""}, ""},
		{"killed twice", "crash crash leave", 3, 7, []string{"pause=100ms"}, "pause=200ms"},
		{"cannot start again", "crash barred leave", 3, 7, []string{"status=5", "pause=100ms"}, ""},
		{"back in time", "heir claim", 2, 7, []string{"resume in time true"}, "not back in time"},
		{"back too late", "heir tardy", 2, 7, []string{"resume in time false it is not back in time", "no-such-if"}, ""},
		{"back, and declines", "heir decline", 2, 7, []string{"resume <nil>", "it does not want to", "no-such-if"}, ""},
		{"killed twice with a role", "heir heir claim", 3, 7, []string{"resign in time false it has died before within 1m0s", "no-such-if"}, "in time true"},
		{"ends with a role", "heir leave", 2, 7, []string{"no-such-if"}, ""},
		{"keeps what it was given", "keeper kept", 2, 7, []string{"kept n 42 /p said <nil> <nil> <nil>", "2 kept"}, ""},
		{"keeps nothing after two deaths", "keeper heir kept", 3, 7, []string{"0 kept"}, ""},
		{"foreign process on the socket", "foreign leave", 2, 7, []string{"foreign <nil> true", "its message is refused"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := supervise(t, c.how)
			_ = s.Wait()
			out := strings.ReplaceAll(s.out.String(), `how="exit status 5"`, "status=5")
			if got := s.ProcessState.ExitCode(); got != c.status || len(s.agents()) != c.lives {
				t.Errorf("exit status %d after %d lives, want %d after %d", got, len(s.agents()), c.status, c.lives)
			}
			for _, w := range c.says {
				if !strings.Contains(out, w) {
					t.Errorf("says nothing of %q", w)
				}
			}
			if c.silent != "" && strings.Contains(out, c.silent) {
				t.Errorf("speaks of %q", c.silent)
			}
			if strings.Count(out, "ready") > 1 {
				t.Error("ready more than once")
			}
		})
	}
}

// Signals are passed on; those that come before the agent handles any wait, and the end that was asked for is the end.
func TestSignals(t *testing.T) {
	for _, how := range []string{"stay", "late"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := supervise(t, how)
			eventually(t, "a life", func() bool { return len(s.agents()) == 1 })
			if how == "stay" {
				eventually(t, "the start", func() bool { return strings.Contains(s.out.String(), "ready") })
			}
			_ = s.Process.Signal(syscall.SIGHUP)
			eventually(t, "the agent has it", func() bool { return strings.Contains(s.out.String(), "agent hangup") })
			_ = s.Process.Signal(syscall.SIGTERM)
			if err := s.Wait(); err != nil || !strings.Contains(s.out.String(), "agent terminated") || len(s.agents()) != 1 {
				t.Errorf("after SIGTERM: %v", err)
			}
		})
	}
}

// An agent whose supervisor is killed notices.
func TestOrphan(t *testing.T) {
	t.Parallel()
	s := supervise(t, "stay")
	eventually(t, "the start", func() bool { return strings.Contains(s.out.String(), "ready") })
	begun := time.Now()
	_ = s.Process.Kill()
	eventually(t, "the orphan", func() bool { return strings.HasSuffix(strings.Join(s.agents(), " "), " orphan") })
	t.Logf("noticed after %v", time.Since(begun))
}

// What the agent has to tell systemd comes from the process that systemd knows.
func TestNotify(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notify")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1)); err != nil {
		t.Fatal(err)
	}
	s := supervise(t, "leave", "SUPERVISOR_TEST_NOTIFY="+path)
	_ = s.Wait()
	buf, oob := make([]byte, 100), make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	n, oobn, _, _, err := unix.Recvmsg(fd, buf, oob, unix.MSG_DONTWAIT)
	if err != nil || string(buf[:n]) != "READY=1" || from(oob[:oobn]) != s.Process.Pid {
		t.Errorf("got %q from %d, %v; want READY=1 from %d", buf[:n], from(oob[:oobn]), err, s.Process.Pid)
	}
}

func from(oob []byte) int { _, pid := attached(oob); return pid }

func TestBackoff(t *testing.T) {
	for deaths, want := range map[int]time.Duration{0: 0, 1: 0, 2: 100 * time.Millisecond, 3: 200 * time.Millisecond, 7: 3200 * time.Millisecond, 8: maxBackoff, 1000: maxBackoff} {
		if got := backoff(deaths); got != want {
			t.Errorf("%d deaths: %v, want %v", deaths, got, want)
		}
	}
}

// What the environment speaks of has to be the socket of the parent process.
func TestAttachRefuses(t *testing.T) {
	ours, theirs, err := pair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	defer theirs.Close()
	for name, text := range map[string]string{
		"no number": "x", "no descriptor": "98765 4 fresh", "no socket": "0 4 fresh", "a socket of this process": fmt.Sprint(theirs.Fd(), " 0 fresh"),
		"too little": "3", "no succession": fmt.Sprint(theirs.Fd(), " 0 heir"),
	} {
		t.Run(name, func(t *testing.T) {
			l, err := Attach(func(string) string { return text })
			if l != nil || err == nil || !strings.Contains(err.Error(), environment+"=") {
				t.Errorf("%v, %v", l, err)
			}
		})
	}
	if l, err := Attach(func(string) string { return "" }); l != nil || err != nil {
		t.Errorf("without a supervisor: %v, %v", l, err)
	}
}
