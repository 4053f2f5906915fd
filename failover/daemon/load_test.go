package daemon

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"failoverd/conf"
)

const loadConf = `vrrp_instance WEB {
    interface eth0
    virtual_router_id 51
    priority 100
    virtual_ipaddress {
        198.51.100.10/32
    }
}
`

func write(t *testing.T, name, content string, mode fs.FileMode) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	good := write(t, filepath.Join(dir, "good.conf"), loadConf, 0o644)
	link := filepath.Join(dir, "link.conf")
	if err := os.Symlink("good.conf", link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{good, link} {
		cfg, diagnostics, err := Load(LoadOptions{File: name})
		if err != nil || cfg == nil || len(cfg.Routers) != 1 || len(diagnostics) != 0 {
			t.Errorf("%s: %v, %v, %v", name, cfg, diagnostics, err)
		}
	}
	unknown := write(t, filepath.Join(dir, "unknown.conf"), strings.Replace(loadConf, "priority", "priorty 7\n    priority", 1), 0o644)
	if cfg, d, err := Load(LoadOptions{File: unknown}); err != nil || cfg == nil || len(d) != 1 || d[0].Severity != conf.Warning {
		t.Errorf("unknown keyword at run: %v, %v, %v; want a warning", cfg, d, err)
	}
	if cfg, d, err := Load(LoadOptions{File: unknown, Strict: true}); err != nil || cfg != nil || len(d) != 1 || d[0].Severity != conf.Error {
		t.Errorf("unknown keyword in a check: %v, %v, %v; want an error", cfg, d, err)
	}
}

func TestLoadFileErrors(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink("loop", loop); err != nil {
		t.Fatal(err)
	}
	huge := filepath.Join(dir, "huge")
	write(t, huge, "", 0o644)
	if err := os.Truncate(huge, maxFile+1); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file, want string
		is         error
	}{
		"missing":      {filepath.Join(dir, "none"), "no such file or directory", fs.ErrNotExist},
		"directory":    {dir, "is a directory", nil},
		"FIFO":         {fifo, "is not a regular file", nil},
		"device":       {"/dev/null", "is not a regular file", nil},
		"link to self": {loop, "too many levels of symbolic links", nil},
		"too large":    {huge, "is larger than 64 MB", nil},
		"empty name":   {"", "no such file or directory", fs.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, diagnostics, err := Load(LoadOptions{File: c.file})
			var load *LoadError
			if cfg != nil || diagnostics != nil || !errors.As(err, &load) || c.is != nil && !errors.Is(err, c.is) {
				t.Fatalf("%v, %v, %v; want a LoadError that is %v", cfg, diagnostics, err, c.is)
			}
			if got, want := err.Error(), "read configuration "+c.file+": "+c.want; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestLoadUnreadableFile(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "secret.conf"), loadConf, 0o600)
	asNobody(t)
	_, _, err := Load(LoadOptions{File: file})
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "permission denied to user root (chgrp") {
		t.Errorf("error %v, want permission denied to a user", err)
	}
}

// asNobody takes root's access to files from the calling goroutine until the test ends.
func asNobody(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: must be root to become somebody else")
	}
	runtime.LockOSThread() // the user id is the thread's
	if err := unix.Setfsuid(65534); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setfsuid(0); err != nil {
			panic(err) // other tests must not get this thread
		}
		runtime.UnlockOSThread()
	})
}

func TestFilesGlob(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]fs.FileMode{"10-b.conf": 0o644, "05-a.conf": 0o600, "run.conf": 0o755, "other.txt": 0o644} {
		write(t, filepath.Join(dir, name), "", mode)
	}
	if err := os.Mkdir(filepath.Join(dir, "dir.conf"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo.conf"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"20-link.conf": "10-b.conf", "30-dangling.conf": "nowhere"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := newFiles().Glob(filepath.Join(dir, "*.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i] = filepath.Base(got[i])
	}
	if diff := cmp.Diff([]string{"05-a.conf", "10-b.conf", "20-link.conf", "30-dangling.conf"}, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if _, err := newFiles().Glob("[a"); err == nil {
		t.Error("a bad pattern is accepted")
	}
}

// Within one load a file has one content, however often it is asked for and whoever changes it meanwhile.
func TestFilesReadOnce(t *testing.T) {
	name := write(t, filepath.Join(t.TempDir(), "f"), "one", 0o644)
	s := newFiles()
	for range 2 {
		if b, err := s.Read(name); err != nil || string(b) != "one" {
			t.Errorf("%q, %v", b, err)
		}
		write(t, name, "two", 0o644)
	}
}

const passwordConf = loadConf + `bgp_speaker EDGE {
    local_as 64501
    router_id 203.0.113.2
    allow_prefix {
        198.51.100.0/24
    }
    neighbor 203.0.113.1 {
        remote_as 64500
        PASSWORD
    }
}
`

func TestLoadWarnsAboutExposedPasswords(t *testing.T) {
	for _, c := range []struct {
		name string
		mode fs.FileMode
		line string
		at   string // behind the file's name
		warn bool
	}{
		{"readable by everybody", 0o644, `password "hunter2"`, ":17:9", true},
		{"without quotes", 0o644, `password hunter2`, ":17:9", true},
		{"behind a comment that shows it", 0o644, "! password hunter2\n\tpassword\thunter2", ":18:2", true},
		{"behind a description of it", 0o644, "description password\npassword hunter2", ":18:1", true},
		{"in a variable", 0o644, "$P=hunter2\npassword $P", "", true},
		{"by the group", 0o640, `password "hunter2"`, "", false},
		{"no password", 0o644, "", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := write(t, filepath.Join(t.TempDir(), "f.conf"), strings.Replace(passwordConf, "PASSWORD", c.line, 1), c.mode)
			cfg, diagnostics, err := Load(LoadOptions{File: file, Strict: true})
			if err != nil || cfg == nil {
				t.Fatalf("%v, %v", diagnostics, err)
			}
			want := file + c.at + ": warning: holds a BGP password and everybody may read it (mode 0644); chmod o-r helps"
			if warned := len(diagnostics) == 1 && diagnostics[0].String() == want; warned != c.warn || len(diagnostics) > 1 {
				t.Errorf("diagnostics %v", diagnostics)
			}
			for _, d := range diagnostics {
				if strings.Contains(d.String(), "hunter2") {
					t.Errorf("the password is shown: %v", d)
				}
			}
		})
	}
}
