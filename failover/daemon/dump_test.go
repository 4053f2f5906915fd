package daemon

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// A dump replaces what is there, also a link that somebody has put there, and is for its owner only.
func TestDump(t *testing.T) {
	dir := t.TempDir()
	victim := write(t, filepath.Join(dir, "victim"), "precious", 0o644)
	path := filepath.Join(dir, "state")
	if err := os.Symlink(victim, path); err != nil {
		t.Fatal(err)
	}
	a := &Agent{}
	if _, err := a.Dump(DumpStats); err == nil {
		t.Error("a dump before there is any state")
	}
	a.published.Store(&published{
		&failover.Snapshot{Routers: []failover.RouterStatus{{Name: "V"}}},
		&failover.Config{Routers: []failover.RouterConfig{{Name: "V"}}, Dump: failover.DumpFiles{Stats: path, Data: filepath.Join(dir, "no", "such", "place")}},
	})
	for range 2 {
		got, err := a.Dump(DumpStats)
		if err != nil || got != path {
			t.Fatalf("%q, %v", got, err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(b), "VRRP Instance: V\n") {
		t.Errorf("%q, %v", b, err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != fs.FileMode(0o600) {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if b, err := os.ReadFile(victim); err != nil || string(b) != "precious" {
		t.Errorf("what the link led to is %q, %v", b, err)
	}
	if _, err := a.Dump(DumpData); err == nil || !strings.Contains(err.Error(), "no such file or directory") {
		t.Errorf("error %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A dump replaces files only: who writes state_dump_file /dev/null does not want to lose the device.
func TestDumpReplacesFilesOnly(t *testing.T) {
	dir := t.TempDir()
	fifo, link, directory := filepath.Join(dir, "fifo"), filepath.Join(dir, "link"), filepath.Join(dir, "directory")
	if err := errors.Join(unix.Mkfifo(fifo, 0o600), os.Symlink(fifo, link), os.Mkdir(directory, 0o700)); err != nil {
		t.Fatal(err)
	}
	a := &Agent{}
	for _, path := range []string{fifo, link, directory} {
		before, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		a.published.Store(&published{&failover.Snapshot{}, &failover.Config{Dump: failover.DumpFiles{Stats: path}}})
		if _, err := a.Dump(DumpStats); err == nil || !strings.Contains(err.Error(), path+": is not a regular file") {
			t.Errorf("%s: error %v", path, err)
		}
		if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
			t.Errorf("%s: replaced, %v", path, err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
