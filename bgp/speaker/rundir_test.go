package speaker

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"failoverd/bgp/call"
)

// Only what is certainly ours and certainly dead is removed: the directory may be /tmp.
func TestSweep(t *testing.T) {
	dir, err := os.MkdirTemp("", "fo-bgp-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	make := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	listen := func(path, name string) *net.UnixListener {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(path, name)})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		t.Cleanup(func() { _ = l.Close() })
		return l
	}
	write := func(path string) {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	make(dirPrefix+"empty", 0o700)
	_ = listen(make(dirPrefix+"dead", 0o700), socketName).Close()
	both := make(dirPrefix+"dead-with-both", 0o700)
	_ = listen(both, socketName).Close()
	_ = listen(both, call.SocketName).Close()
	listen(make(dirPrefix+"listening", 0o700), socketName)
	half := make(dirPrefix+"listening-for-calls", 0o700)
	_ = listen(half, socketName).Close()
	listen(half, call.SocketName)
	make(dirPrefix+"open", 0o755)
	make("speaker-stand", 0o700)
	other := make(dirPrefix+"other", 0o700)
	write(filepath.Join(other, "precious"))
	file := make(dirPrefix+"file", 0o700)
	write(filepath.Join(file, socketName))
	write(filepath.Join(dir, dirPrefix+"not-a-directory"))
	past := time.Now().Add(-time.Minute)
	all, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if err := os.Chtimes(p, past, past); err != nil {
			t.Fatal(err)
		}
	}
	make(dirPrefix+"young", 0o700)

	if err := sweep(dir); err != nil {
		t.Fatal(err)
	}
	var left []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		left = append(left, e.Name())
	}
	want := []string{
		dirPrefix + "file", dirPrefix + "listening", dirPrefix + "listening-for-calls", dirPrefix + "not-a-directory", dirPrefix + "open", dirPrefix + "other",
		dirPrefix + "young", "speaker-stand",
	}
	if !slices.Equal(left, want) {
		t.Errorf("left %q, want %q", left, want)
	}
	if err := sweep(filepath.Join(dir, "nowhere")); err == nil {
		t.Error("a directory that is not there is no error")
	}
}
