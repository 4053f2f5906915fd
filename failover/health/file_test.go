package health

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
)

func tracked(path string) *failover.Config {
	return &failover.Config{Files: []failover.FileConfig{{Name: "f", Path: path}}}
}

// told turns the readings without news off, so that only the kernel can tell of a change.
func told(s *settings) { s.reread = time.Hour }

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFileChanges(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	w := watch(t, tracked(path), told)
	w.expect(true, 0, "no such file, taken as 0")
	write(t, path, "5\n")
	w.expect(true, 5, "the file says 5")
	write(t, path, " -7 ")
	w.expect(true, -7, "the file says -7")
	write(t, path+".new", "9")
	do(t, os.Rename(path+".new", path))
	w.expect(true, 9, "the file says 9")
	write(t, path, "")
	w.expect(true, 0, "empty, taken as 0")
	write(t, path, "words\n")
	w.expect(true, 0, `"words" is not a number, taken as 0`)
	write(t, path, "0\n")
	w.expect(true, 0, "the file says 0")
	write(t, path, "1")
	w.expect(true, 1, "the file says 1")
	do(t, os.Rename(path, path+".old"))
	w.expect(true, 0, "no such file, taken as 0")
	do(t, os.Rename(path+".old", path))
	w.expect(true, 1, "the file says 1")
	do(t, os.Remove(path))
	w.expect(true, 0, "no such file, taken as 0")
	do(t, os.Mkdir(path, 0o755))
	write(t, filepath.Join(dir, "other"), "3") // wakes nobody
	do(t, os.Remove(path))
	write(t, path, "2")
	for r := w.next(); r.Value != 2; r = w.next() { // the directory may or may not have been seen
		if r.OK && r.Value != 0 {
			t.Fatalf("got %+v", r)
		}
	}
	w.silent()
}

// TestFileEmptiedAndFilled: a file that is emptied and then written is not 0 in between.
func TestFileEmptiedAndFilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "1")
	w := watch(t, tracked(path), func(s *settings) {
		told(s)
		s.settle = patience // on a busy machine the moment between two steps can be long
	})
	w.expect(true, 1, "the file says 1")
	for n := 2; n < 200; n++ {
		write(t, path, strings.Repeat(" ", n)+"2")
		do(t, os.Remove(path))
		write(t, path, "2")
	}
	write(t, path, "3")
	for r := w.next(); r.Value != 3; r = w.next() {
		if r.Value != 2 {
			t.Fatalf("got %+v", r)
		}
	}
}

// TestFileDirectoryComesAndGoes: the directory is found again by looking, and then watched.
func TestFileDirectoryComesAndGoes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	path := filepath.Join(dir, "f")
	w := watch(t, tracked(path), told)
	w.expect(true, 0, "no such file, taken as 0")
	do(t, os.Mkdir(dir, 0o755))
	write(t, path, "1")
	w.expect(true, 1, "the file says 1")
	do(t, os.Rename(dir, dir+".old"))
	w.expect(true, 0, "no such file, taken as 0")
	do(t, os.Mkdir(dir, 0o755))
	write(t, path, "2")
	w.expect(true, 2, "the file says 2")
	write(t, filepath.Join(dir+".old", "f"), "4") // is nobody's any more
	do(t, os.RemoveAll(dir))
	w.expect(true, 0, "no such file, taken as 0")
	w.silent()
}

// TestFileBehindLink: nothing tells of changes at the other end of a symbolic link, so it is looked at now and then.
func TestFileBehindLink(t *testing.T) {
	dir := t.TempDir()
	far := filepath.Join(t.TempDir(), "far")
	write(t, far, "1")
	do(t, os.Symlink(far, filepath.Join(dir, "f")))
	w := watch(t, tracked(filepath.Join(dir, "f")), func(s *settings) { s.reread = 20 * time.Millisecond })
	w.expect(true, 1, "the file says 1")
	write(t, far, "2")
	w.expect(true, 2, "the file says 2")
}

func TestFileThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	write(t, path, "4")
	w := watch(t, tracked(path), told)
	w.expect(true, 4, "the file says 4")
	do(t, os.Mkdir(path+".d", 0o755))
	do(t, unix.Renameat2(unix.AT_FDCWD, path+".d", unix.AT_FDCWD, path, unix.RENAME_EXCHANGE))
	w.expect(false, 4, "cannot be read: it is not a regular file")
	do(t, os.Remove(path))
	w.expect(true, 0, "no such file, taken as 0")
	do(t, unix.Mkfifo(path+".p", 0o644))
	do(t, os.Rename(path+".p", path))
	w.expect(false, 0, "cannot be read: it is not a regular file")
	write(t, path+".n", "5")
	do(t, os.Rename(path+".n", path))
	w.expect(true, 5, "the file says 5")
}

// TestFileHangs: a dead file server makes the check fail, costs one goroutine, and does not keep Run from ending.
func TestFileHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hang atomic.Bool
		var attempts atomic.Int32
		release := make(chan struct{})
		w := &watching{t: t, m: New(Options{}), reports: make(chan failover.TrackerReport, 10)}
		f := newFileCheck(&w.m.settings, w.m.box, nil, failover.FileConfig{Name: "f", Path: "/server/f"})
		w.m.settings.reader = func(string) (string, error) {
			attempts.Add(1)
			if hang.Load() {
				<-release
				return "", &fs.PathError{Op: "read", Path: "/server/f", Err: syscall.ESTALE}
			}
			return "1", nil
		}
		c := newCrew(t.Context())
		f.cancel = c.start("f", f.loop)
		c.start("reports", func(ctx context.Context) { w.m.box.deliver(ctx, func(r failover.TrackerReport) { w.reports <- r }) })
		w.expect(true, 1, "the file says 1")
		hang.Store(true)
		w.expect(false, 1, "cannot be read: no answer in 5s")
		n := attempts.Load()
		for range 100 {
			f.wake()
			time.Sleep(time.Second)
		}
		if attempts.Load() != n {
			t.Errorf("%d attempts beside the one that hangs", attempts.Load()-n)
		}
		hang.Store(false)
		close(release)
		for r := w.next(); !r.OK; r = w.next() {
			if r.Reason != "cannot be read: stale file handle" || r.Value != 1 {
				t.Errorf("got %+v", r)
			}
		}
	})
}

func TestInitFile(t *testing.T) {
	number := func(n int) *int { return &n }
	for _, c := range []struct {
		name      string
		there     string // content; "": the file is missing
		init      *int
		overwrite bool
		want      int
		content   string
	}{
		{"a missing file is written", "", number(7), false, 7, "7\n"},
		{"a file that is there stays", "3", number(7), false, 3, "3"},
		{"unless it is to be overwritten", "31415", number(7), true, 7, "7\n"},
		{"a missing one is written then, too", "", number(-7), true, -7, "-7\n"},
		{"nothing is written without being asked", "3", nil, true, 3, "3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			if c.there != "" {
				write(t, path, c.there)
			}
			cfg := tracked(path)
			cfg.Files[0].Init, cfg.Files[0].Overwrite = c.init, c.overwrite
			w := watch(t, cfg, told)
			if r := w.next(); !r.OK || r.Value != c.want {
				t.Errorf("got %+v", r)
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != c.content {
				t.Errorf("content %q, %v", b, err)
			}
			// A reload writes nothing, whatever init_file says now.
			write(t, path, "50")
			w.expect(true, 50, "the file says 50")
			again := tracked(path)
			again.Files[0].Init, again.Files[0].Overwrite = number(8), true
			w.m.Configure(again)
			write(t, path, "51")
			w.expect(true, 51, "the file says 51")
			w.silent()
		})
	}
}

// TestFileReconfigured: another path is another file; one that is removed is not reported any more.
func TestFileReconfigured(t *testing.T) {
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	write(t, a, "1")
	write(t, b, "2")
	w := watch(t, tracked(a), told)
	w.expect(true, 1, "the file says 1")
	w.m.Configure(tracked(b))
	w.expect(true, 2, "the file says 2")
	write(t, a, "5")
	write(t, b, "3")
	w.expect(true, 3, "the file says 3")
	w.m.Configure(&failover.Config{})
	write(t, b, "4")
	w.m.Configure(tracked(a))
	w.expect(true, 5, "the file says 5")
	w.m.mu.Lock()
	n := w.m.notices
	w.m.mu.Unlock()
	w.silent()
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.dirs)+len(n.of)+len(n.gone) != 0 {
		t.Errorf("left behind: %v %v %v", n.dirs, n.of, n.gone)
	}
}

func TestCanOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	fifo := filepath.Join(dir, "p")
	write(t, path, "")
	do(t, unix.Mkfifo(fifo, 0o644))
	for _, c := range []struct{ name, path, want string }{
		{"a file", path, ""},
		{"a directory", dir, ""},
		{"a device", "/dev/null", ""},
		{"a missing file", path + "x", "no such file or directory"},
		{"not a directory", path + "/x", "not a directory"},
		{"a named pipe, without waiting", fifo, "it is a named pipe"},
		{"an empty path", "", "no such file or directory"},
		{"NUL in the path", "a\x00b", "invalid argument"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			if err := canOpen(c.path); err != nil {
				got = plain(err)
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
