package script_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"failoverd/failover"
	"failoverd/failover/script"
)

// TestCannotRun has commands that Check and Run refuse alike.
func TestCannotRun(t *testing.T) {
	dir := openDir(t)
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain := write("plain", "#!/bin/sh\n", 0o644)
	link := filepath.Join(dir, "loop")
	if err := os.Symlink("loop", link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		cmd  failover.Command
		want string
	}{
		{"nothing", failover.Command{}, "empty command"},
		{"empty name", failover.Command{Args: []string{""}}, "empty command"},
		{"NUL", failover.Command{Args: []string{"true", "a\x00b"}}, "argument 1 has a NUL octet"},
		{"missing", failover.Command{Args: []string{dir + "/missing"}}, dir + "/missing: no such file or directory"},
		{"missing directory", failover.Command{Args: []string{dir + "/no/x"}}, dir + "/no/x: " + dir + "/no: no such file or directory"},
		{"not in PATH", failover.Command{Args: []string{"no-such-program"}}, "no-such-program: not found in PATH"},
		{"not executable", failover.Command{Args: []string{plain}}, plain + ": not executable by user root: permission denied"},
		{"directory", failover.Command{Args: []string{dir}}, "but a directory"},
		{"device", failover.Command{Args: []string{"/dev/null"}}, "but a device"},
		{"file for a directory", failover.Command{Args: []string{plain + "/x"}}, "not a directory"},
		{"links in a circle", failover.Command{Args: []string{link}}, "too many levels of symbolic links"},
		{"missing user", failover.Command{Args: []string{"true"}, User: "nosuchuser"}, "look up user nosuchuser"},
		{"missing group", failover.Command{Args: []string{"true"}, Group: "nosuchgroup"}, "look up group nosuchgroup"},
		{"user without a group", failover.Command{Args: []string{"true"}, User: "4711017"}, "user 4711017 has no group of its own"},
		{"interpreter missing", failover.Command{Args: []string{write("i", "#!/usr/bin/pyton -u\n", 0o755)}}, `interpreter "/usr/bin/pyton" in its first line: no such file`},
		{"interpreter with a carriage return", failover.Command{Args: []string{write("cr", "#!/bin/sh\r\n", 0o755)}}, `interpreter "/bin/sh\r" in its first line: no such file`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.cmd.User == "" {
				c.cmd.User = ownUser()
			}
			want := strings.ReplaceAll(c.want, "user root", "user "+ownName())
			_, runErr := script.Run(t.Context(), c.cmd, script.Policy{}, script.Exec{})
			for _, err := range []error{script.Check(c.cmd, script.Policy{}), runErr} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want %q", err, want)
				}
			}
		})
	}
}

func ownUser() string {
	if os.Geteuid() == 0 {
		return "root"
	}
	return ""
}

func ownName() string {
	if os.Geteuid() == 0 {
		return "root"
	}
	return strconv.Itoa(os.Geteuid())
}

// TestPath shows that files which may not be executed are passed over, as a shell does.
func TestPath(t *testing.T) {
	first, second := openDir(t), openDir(t)
	for dir, mode := range map[string]os.FileMode{first: 0o644, second: 0o755} {
		if err := os.WriteFile(filepath.Join(dir, "prog"), []byte("#!/bin/sh\necho $0\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", "relative:"+first+"::"+second+":/bin:/usr/bin")
	_, lines := run(t, failover.Command{Args: []string{"prog"}}, script.Exec{})
	if want := []string{filepath.Join(second, "prog")}; !slices.Equal(lines, want) {
		t.Errorf("ran %q, want %q", lines, want)
	}
	t.Setenv("PATH", "")
	if err := script.Check(failover.Command{Args: []string{"sh"}}, script.Policy{}); err != nil {
		t.Error(err)
	}
	t.Setenv("PATH", first)
	if err := script.Check(failover.Command{Args: []string{"prog"}}, script.Policy{}); !errors.Is(err, unix.EACCES) {
		t.Errorf("error %v", err)
	}
}

func TestUsers(t *testing.T) {
	needRoot(t)
	const who = "id -u; id -g; sed -n 's/^Groups:[[:space:]]*//p' /proc/self/status | tr -d ' '"
	for _, c := range []struct {
		name string
		cmd  failover.Command
		want string
	}{
		{"root", failover.Command{User: "root"}, "0 0 0"},
		{"by name", failover.Command{User: "nobody"}, "65534 65534 65534"},
		{"by number", failover.Command{User: "65534"}, "65534 65534 65534"},
		{"with a group", failover.Command{User: "nobody", Group: "daemon"}, "65534 1 1"},
		{"with a group's number", failover.Command{User: "nobody", Group: "4711"}, "65534 4711 4711"},
		{"unknown numbers", failover.Command{User: "4711", Group: "4712"}, "4711 4712 4712"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cmd.Args = sh(who).Args
			_, lines := run(t, c.cmd, script.Exec{})
			if got := strings.Join(lines, " "); got != c.want {
				t.Errorf("user, group, groups %q, want %q", got, c.want)
			}
		})
	}
}

// TestPermission has files that root may execute, and others may not.
func TestPermission(t *testing.T) {
	needRoot(t)
	path := file(t, "#!/bin/sh\n")
	cmd := failover.Command{Args: []string{path}, User: "nobody"}
	check := func(what, want string) {
		t.Helper()
		err := script.Check(cmd, script.Policy{})
		_, runErr := script.Run(t.Context(), cmd, script.Policy{}, script.Exec{})
		if want == "" {
			if err != nil || runErr != nil {
				t.Errorf("%s: %v, %v", what, err, runErr)
			}
			return
		}
		if err == nil || !strings.Contains(err.Error(), want) || runErr == nil {
			t.Errorf("%s: %v, %v, want %q", what, err, runErr, want)
		}
	}
	check("for all", "")
	chmod(t, path, 0o700)
	check("for its owner", "not executable by user nobody")
	chown(t, path, nobody, 0)
	check("for nobody as its owner", "")
	chmod(t, path, 0o750)
	chown(t, path, 0, nobody)
	check("for nobody's group", "")
	chmod(t, path, 0o705)
	check("for all but nobody's group", "not executable by user nobody")
	chmod(t, path, 0o755)
	chmod(t, filepath.Dir(path), 0o700)
	check("in a closed directory", "user nobody may not enter directory "+filepath.Dir(path))
}

func chmod(t *testing.T, path string, mode uint32) {
	t.Helper()
	if err := unix.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func chown(t *testing.T, path string, uid, gid int) {
	t.Helper()
	if err := os.Lchown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
}

// TestSecurity has commands that root would run and somebody else could change. The verdicts are keepalived's.
func TestSecurity(t *testing.T) {
	needRoot(t)
	for _, c := range []struct {
		name   string
		change func(t *testing.T, dir, path, link string)
		want   string // with DIR for the directory
	}{
		{"all root's", func(*testing.T, string, string, string) {}, ""},
		{"group root may write", func(t *testing.T, _, path, _ string) { chmod(t, path, 0o775) }, ""},
		{"sticky directory", func(t *testing.T, dir, _, _ string) { chmod(t, dir, 0o1777) }, ""},
		{"another owner, read only", func(t *testing.T, _, path, _ string) {
			chmod(t, path, 0o555)
			chown(t, path, nobody, 0)
		}, "the file DIR/prog belongs to user 65534"},
		{"another group may write", func(t *testing.T, _, path, _ string) {
			chown(t, path, 0, nobody)
			chmod(t, path, 0o775)
		}, "the file DIR/prog can be written by group 65534"},
		{"everybody may write", func(t *testing.T, _, path, _ string) { chmod(t, path, 0o757) }, "the file DIR/prog can be written by everybody"},
		{"directory of another owner", func(t *testing.T, dir, _, _ string) { chown(t, dir, nobody, 0) }, "the directory DIR belongs to user 65534"},
		{"directory of everybody", func(t *testing.T, dir, _, _ string) { chmod(t, dir, 0o777) }, "the directory DIR can be written by everybody"},
		{"link of another owner", func(t *testing.T, _, _, link string) { chown(t, link, nobody, 0) }, "the symbolic link "},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := file(t, "#!/bin/sh\n")
			dir := filepath.Dir(path)
			link := filepath.Join(openDir(t), "link")
			if err := os.Symlink(path, link); err != nil {
				t.Fatal(err)
			}
			c.change(t, dir, path, link)
			cmd := failover.Command{Args: []string{link}, User: "root"}
			secure := script.Policy{Security: true}
			_, runErr := script.Run(t.Context(), cmd, secure, script.Exec{})
			for _, err := range []error{script.Check(cmd, secure), runErr} {
				switch want := strings.ReplaceAll(c.want, "DIR", dir); {
				case want == "" && err != nil:
					t.Error(err)
				case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
					t.Errorf("error %v, want %q", err, want)
				}
			}
			if err := script.Check(cmd, script.Policy{}); err != nil {
				t.Errorf("without security: %v", err)
			}
			if cmd.User = "nobody"; script.Check(cmd, secure) != nil {
				t.Errorf("as nobody: %v", script.Check(cmd, secure))
			}
		})
	}
}

// TestOrdinaryAgent has an agent that is not root.
func TestOrdinaryAgent(t *testing.T) {
	needRoot(t)
	for _, c := range []struct {
		name string
		cmd  failover.Command
		want string
	}{
		{"no user", failover.Command{}, "65534 65534"},
		{"the same user", failover.Command{User: "nobody"}, "65534 65534"},
		{"the same numbers", failover.Command{User: "65534", Group: "65534"}, "65534 65534"},
		{"another user", failover.Command{User: "root"}, "cannot run as user root, group 0: the agent runs as user 65534"},
		{"another group", failover.Command{User: "nobody", Group: "daemon"}, "cannot run as user nobody, group 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cmd.Args = sh("id -u; id -g").Args
			rep := asAgent(t, c.cmd, func(agent *exec.Cmd) { agent.SysProcAttr = asUser(nobody) })
			if got := rep.Err + strings.Join(rep.Lines, " "); !strings.Contains(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func BenchmarkCheck(b *testing.B) {
	cmd := failover.Command{Args: []string{"/bin/sh", "-c", "true"}, User: ownUser()}
	for b.Loop() {
		if err := script.Check(cmd, script.Policy{Security: true}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRun(b *testing.B) {
	cmd := failover.Command{Args: []string{"/bin/true"}, User: ownUser()}
	for b.Loop() {
		if _, err := script.Run(b.Context(), cmd, script.Policy{Security: true}, script.Exec{Output: func(string) {}}); err != nil {
			b.Fatal(err)
		}
	}
}
