package notify

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
)

func oneFIFO(path string) *failover.Config {
	return &failover.Config{FIFOs: []failover.FIFOConfig{{Path: path}}}
}

// listener reads a FIFO as users' programs do.
type listener struct {
	file *os.File
	scan *bufio.Scanner
}

func listen(t *testing.T, path string) *listener {
	t.Helper()
	soon(t, "a FIFO at "+path, func() bool {
		info, err := os.Lstat(path)
		return err == nil && info.Mode()&os.ModeNamedPipe != 0
	})
	opened := make(chan *os.File, 1)
	go func() {
		f, err := os.OpenFile(path, os.O_RDONLY, 0) // waits for somebody who writes
		if err != nil {
			t.Error(err)
		}
		opened <- f
	}()
	select {
	case f := <-opened:
		t.Cleanup(func() { _ = f.Close() })
		return &listener{f, bufio.NewScanner(f)}
	case <-time.After(slack):
		t.Fatalf("nobody writes to %s", path)
		return nil
	}
}

// next returns the next line; "": the end.
func (l *listener) next(t *testing.T) string {
	t.Helper()
	_ = l.file.SetReadDeadline(time.Now().Add(slack))
	if !l.scan.Scan() && l.scan.Err() != nil {
		t.Fatal(l.scan.Err())
	}
	return l.scan.Text()
}

func (l *listener) expect(t *testing.T, want string) {
	t.Helper()
	if got := l.next(t); got != want {
		t.Fatalf("read %q, want %q", got, want)
	}
}

func TestFIFO(t *testing.T) {
	path := filepath.Join(openDir(t), "fifo")
	old := syscall.Umask(0)
	t.Cleanup(func() { syscall.Umask(old) })
	w := start(t, quick(), oneFIFO(path))
	l := listen(t, path)
	soon(t, "its mode", func() bool {
		info, err := os.Lstat(path)
		return err == nil && info.Mode() == os.ModeNamedPipe|0o600
	})
	w.Tell([]failover.Notification{
		transition("A", "BACKUP", 100, nil),
		transition("A", "MASTER_PRIORITY", 110, nil),
		{Group: true, Name: "G", State: "MASTER", Quiet: true},
	})
	l.expect(t, `INSTANCE "A" BACKUP 100`)
	l.expect(t, `INSTANCE "A" MASTER_PRIORITY 110`)
	l.expect(t, `GROUP "G" MASTER 0`)
	w.stop()
	l.expect(t, "") // only now
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the FIFO is still there: %v", err)
	}
}

func TestFIFOOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: only root can give files away")
	}
	path := filepath.Join(openDir(t), "fifo")
	cfg := oneFIFO(path)
	cfg.FIFOs[0].User = "nobody"
	w := start(t, quick(), cfg)
	owned := func(uid, gid uint32) func() bool {
		return func() bool {
			var s unix.Stat_t
			return unix.Lstat(path, &s) == nil && s.Uid == uid && s.Gid == gid
		}
	}
	soon(t, "the owner", owned(65534, 65534))
	changed := oneFIFO(path)
	changed.FIFOs[0].User, changed.FIFOs[0].Group = "daemon", "nogroup"
	w.Configure(changed)
	soon(t, "the new owner", owned(1, 65534))
	broken := oneFIFO(path)
	broken.FIFOs[0].User = "nosuchuser"
	w.Configure(broken)
	soon(t, "the complaint", func() bool { return w.log.has("FIFO not as it should be", "nosuchuser") })
}

// TestReload keeps a FIFO that is in both configurations: its reader does not see an end, and nothing gets lost.
func TestReload(t *testing.T) {
	dir := openDir(t)
	kept, old, fresh := filepath.Join(dir, "kept"), filepath.Join(dir, "old"), filepath.Join(dir, "new")
	w := start(t, quick(), &failover.Config{FIFOs: []failover.FIFOConfig{{Path: kept}, {Path: old}}})
	l, lOld := listen(t, kept), listen(t, old)
	w.Tell([]failover.Notification{transition("A", "BACKUP", 1, nil)})
	w.Configure(&failover.Config{FIFOs: []failover.FIFOConfig{{Path: kept}, {Path: fresh}}})
	w.Tell([]failover.Notification{transition("A", "MASTER", 1, nil)})
	l.expect(t, `INSTANCE "A" BACKUP 1`)
	l.expect(t, `INSTANCE "A" MASTER 1`)
	lOld.expect(t, `INSTANCE "A" BACKUP 1`)
	lOld.expect(t, "")
	listen(t, fresh).expect(t, `INSTANCE "A" MASTER 1`)
	soon(t, "the removal", func() bool { _, err := os.Lstat(old); return os.IsNotExist(err) })
	// There and back again: the new one waits until the old one has gone.
	w.Configure(nil)
	w.Configure(&failover.Config{FIFOs: []failover.FIFOConfig{{Path: kept}}})
	w.Tell([]failover.Notification{transition("A", "FAULT", 1, nil)})
	l.expect(t, "")
	listen(t, kept).expect(t, `INSTANCE "A" FAULT 1`)
}

func TestFIFOThatIsThere(t *testing.T) {
	path := filepath.Join(openDir(t), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	w := start(t, quick(), oneFIFO(path))
	l := listen(t, path)
	w.Tell([]failover.Notification{transition("A", "STOP", 1, nil)})
	l.expect(t, `INSTANCE "A" STOP 1`)
	w.stop()
	if info, err := os.Lstat(path); err != nil || info.Mode() != os.ModeNamedPipe|0o666 {
		t.Errorf("somebody's own FIFO is %v, %v", info, err)
	}
}

func TestSomethingElseIsThere(t *testing.T) {
	dir := openDir(t)
	path := filepath.Join(dir, "fifo")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/dev/null", link); err != nil {
		t.Fatal(err)
	}
	w := start(t, quick(), &failover.Config{FIFOs: []failover.FIFOConfig{{Path: path}, {Path: link}, {Path: dir + "/no/fifo"}, {Path: path}}})
	w.Tell([]failover.Notification{transition("A", "MASTER", 1, nil)})
	for _, want := range [][]string{
		{"level=ERROR", path, "something else than a FIFO"},
		{"level=ERROR", link, "something else than a FIFO"},
		{"level=ERROR", dir + "/no/fifo", "no such file or directory"},
		{"configured twice", path},
	} {
		soon(t, fmt.Sprint(want), func() bool { return w.log.has(want...) })
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("the file is %q, %v", text, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	listen(t, path).expect(t, `INSTANCE "A" MASTER 1`)
}

func TestFIFORemovedBySomebody(t *testing.T) {
	path := filepath.Join(openDir(t), "fifo")
	w := start(t, quick(), oneFIFO(path))
	l := listen(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	w.Tell([]failover.Notification{transition("A", "MASTER", 1, nil)})
	again := listen(t, path)
	again.expect(t, `INSTANCE "A" MASTER 1`)
	l.expect(t, "")
}

// TestFullFIFO tells more than a FIFO holds while nobody reads.
func TestFullFIFO(t *testing.T) {
	path := filepath.Join(openDir(t), "fifo")
	w := start(t, quick(), oneFIFO(path))
	name := strings.Repeat("x", 200) // 64 KiB are soon full
	told := 0
	tell := func(ns ...failover.Notification) {
		begun := time.Now()
		w.Tell(ns)
		told += len(ns)
		if took := time.Since(begun); took > time.Second {
			t.Errorf("Tell took %v", took)
		}
	}
	tell(transition("once", "FAULT", 1, nil))
	soon(t, "the complaint", func() bool {
		for range 20 {
			tell(transition(name, "MASTER", 1, nil))
		}
		return w.log.has("FIFO is full")
	})
	tell(transition("again", "FAULT", 2, nil))
	for range 300 {
		tell(transition(name, "BACKUP", 1, nil))
	}
	tell(transition(name, "STOP", 255, nil))
	l := listen(t, path)
	l.expect(t, `INSTANCE "once" FAULT 1`)
	n, again := 1, false
	for want := fmt.Sprintf("INSTANCE %q STOP 255", name); ; {
		n++
		line := l.next(t)
		if line == want {
			break
		}
		again = again || line == `INSTANCE "again" FAULT 2`
	}
	if !again || n >= told {
		t.Errorf("%d of %d lines read, the last state of another router: %v", n, told, again)
	}
	soon(t, "the number", func() bool { return w.log.has("states left out", "dropped=") })
}

// TestFIFOScript has a script that dies, and one in its place.
func TestFIFOScript(t *testing.T) {
	m := newMailbox(t)
	path := filepath.Join(openDir(t), "fifo")
	cfg := func(text string, args ...string) *failover.Config {
		return &failover.Config{FIFOs: []failover.FIFOConfig{{Path: path, Script: sh(text, args...)}}}
	}
	dies := "echo $$ \"$@\" > " + m.path + "; read line < $2; echo got $line > " + m.path + "; exit 1"
	w := start(t, quick(), cfg(dies, "first"))
	started := func(want string) (pid string) {
		t.Helper()
		line := m.next(t)
		pid, rest, _ := strings.Cut(line, " ")
		if rest != want+" "+path {
			t.Fatalf("started as %q, want %s %s", line, want, path)
		}
		return pid
	}
	for i := range 3 {
		started("first")
		w.Tell([]failover.Notification{transition("A", "MASTER", i, nil)})
		m.expect(t, fmt.Sprintf(`got INSTANCE "A" MASTER %d`, i))
	}
	started("first")
	w.Configure(cfg(dies, "first")) // the same one stays
	w.Tell([]failover.Notification{transition("A", "MASTER", 9, nil)})
	m.expect(t, `got INSTANCE "A" MASTER 9`)
	pid := started("first")
	stubborn := "trap '' TERM; (sleep 600; :) & echo $$ \"$@\" > " + m.path + "; echo $! > " + m.path + "; while :; do sleep 600; done"
	w.Configure(cfg(stubborn, "second"))
	pids := []string{pid, started("second"), m.next(t)}
	if !w.log.has("FIFO script has ended", `result="exit status 1"`) {
		t.Error("not logged")
	}
	// The end comes while this one is still allowed to end politely.
	w.Configure(&failover.Config{FIFOs: []failover.FIFOConfig{{Path: path}}})
	begun := time.Now()
	w.stop()
	if took := time.Since(begun); took > slack {
		t.Errorf("took %v", took)
	}
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %s is alive", pid)
		}
	}
}

// TestForeignFIFO finds a FIFO that another user has put where everybody may: he could write to it, and the script that
// reads it would do what he says.
func TestForeignFIFO(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: only root can make what belongs to somebody else")
	}
	const somebody = 1234
	for _, c := range []struct {
		name        string
		directory   os.FileMode
		owner, user int // of the FIFO, and configured; 0: none
		refused     bool
	}{
		{"somebody's in a directory of all", 0o777 | os.ModeSticky, somebody, 0, true},
		{"and the directory is not sticky", 0o777, somebody, 0, true},
		{"it is the configured user's", 0o777 | os.ModeSticky, somebody, somebody, false},
		{"somebody's in a directory of root", 0o755, somebody, 0, false},
		{"root's in a directory of all", 0o777 | os.ModeSticky, 0, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(openDir(t), "dir")
			path := filepath.Join(dir, "fifo")
			if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, c.directory), unix.Mkfifo(path, 0o600), os.Chown(path, c.owner, 0)); err != nil {
				t.Fatal(err)
			}
			cfg := oneFIFO(path)
			if c.user != 0 {
				cfg.FIFOs[0].User, cfg.FIFOs[0].Group = strconv.Itoa(c.user), "0"
			}
			w := start(t, quick(), cfg)
			w.Tell([]failover.Notification{transition("V", "MASTER", 1, nil)})
			if c.refused {
				soon(t, "the refusal", func() bool { return w.log.has("FIFO not as it should be", "belongs to user 1234") })
				return
			}
			if got := listen(t, path).next(t); got != `INSTANCE "V" MASTER 1` {
				t.Errorf("%q", got)
			}
		})
	}
}
