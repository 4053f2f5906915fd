package status

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestNewCreatesDirectoryAndSocketModes(t *testing.T) {
	old := syscall.Umask(0o027)
	defer syscall.Umask(old)
	dir := filepath.Join(t.TempDir(), "run")
	path := filepath.Join(dir, "status.sock")
	s, err := New(path, &fakeSource{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := info.Mode(), fs.ModeSocket|0o660; got != want {
		t.Errorf("mode of the socket %v, want %v whatever the umask", got, want)
	}
	if info, err = os.Stat(dir); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("mode of the directory %v, %v; want 0755 less the umask", info.Mode(), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Close: %v, want no file", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestNewReplacesSocketOfDeadAgent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "status.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	s, err := New(path, &fakeSource{}, nil)
	if err != nil {
		t.Fatalf("stale socket: %v", err)
	}
	s.Close()
}

func TestNewLeavesLiveAgentAlone(t *testing.T) {
	src := &fakeSource{}
	src.snapshot.Store(sample())
	path := serve(t, src)
	_, err := New(path, &fakeSource{}, nil)
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), path) {
		t.Fatalf("error %v, want ErrInUse with the path", err)
	}
	if _, err := Dial(path).Status(t.Context()); err != nil {
		t.Errorf("first agent after the second one's attempt: %v", err)
	}
}

func TestNewRefusesPaths(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, want string }{
		"empty":            {"", "want the name of a file"},
		"abstract":         {"@failoverd", "want the name of a file"},
		"too long":         {filepath.Join(dir, strings.Repeat("x", 108)), "the kernel takes up to 107"},
		"regular file":     {file, "is not a socket"},
		"symbolic link":    {link, "is not a socket"},
		"directory":        {dir, "is not a socket"},
		"below a file":     {filepath.Join(file, "s"), "not a directory"},
		"too long, nested": {"/" + strings.Repeat("x/", 60), "the kernel takes up to 107"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(c.path, &fakeSource{}, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "x" {
		t.Errorf("the file in the way was touched: %q, %v", b, err)
	}
}

func TestCloseLeavesFileOfAnotherAgent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "status.sock")
	first, err := New(path, &fakeSource{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second, err := New(path, &fakeSource{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	first.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("socket of the second agent: %v", err)
	}
}

// Agents that start at once over a stale socket: exactly one gets it.
func TestNewRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "status.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	const agents = 16
	var (
		wg      sync.WaitGroup
		servers [agents]*Server
		errs    [agents]error
	)
	for i := range agents {
		wg.Go(func() { servers[i], errs[i] = New(path, &fakeSource{}, nil) })
	}
	wg.Wait()
	won := 0
	for i := range agents {
		if errs[i] == nil {
			won++
			defer servers[i].Close()
		} else if !errors.Is(errs[i], ErrInUse) {
			t.Errorf("loser %d: %v, want ErrInUse", i, errs[i])
		}
	}
	if won != 1 {
		t.Errorf("%d agents got the socket, want 1", won)
	}
}
