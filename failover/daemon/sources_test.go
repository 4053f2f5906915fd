package daemon

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"failoverd/failover/status"
)

const inheritedConf = "vrrp_instance V {\n interface eth0\n virtual_router_id 51\n priority 100\n advert_int 1\n virtual_ipaddress {\n  192.0.2.10/24\n }\n include more.conf\n}\n"

// A program that takes over begins with what was in force, whatever the files say by now: the same configuration, once.
func TestInherited(t *testing.T) {
	dir := t.TempDir()
	o := LoadOptions{File: filepath.Join(dir, "a.conf")}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("a.conf", inheritedConf)
	write("more.conf", " track_interface {\n  eth1\n }\n")
	s := new(Sources)
	cfg, diagnostics, err := s.Load(o)
	if cfg == nil || err != nil {
		t.Fatal(diagnostics, err)
	}
	if s.of(cfg.Hash) != nil {
		t.Error("what was only loaded is in force")
	}
	s.use(cfg.Hash)
	text := s.of(cfg.Hash)
	write("more.conf", " priority 7\n")
	if other, _, err := s.Load(o); err != nil || other == nil || other.Hash == cfg.Hash || s.of(other.Hash) != nil {
		t.Errorf("another one: %v", err)
	}
	if text == nil || s.of(cfg.Hash) != text {
		t.Fatal("what is in force is forgotten because another one was looked at")
	}
	if err := leaveInherited(dir, text); err != nil {
		t.Fatal(err)
	}
	next := new(Sources)
	got, diagnostics, found, err := next.LoadInherited(o, dir)
	if err != nil || !found || got == nil || got.Hash != cfg.Hash || len(got.Routers[0].Tracks) != 1 || got.Routers[0].VRRP.Priority != 100 {
		t.Fatalf("%+v, %v, %v, %v", got, diagnostics, found, err)
	}
	next.use(got.Hash)
	if next.of(cfg.Hash) == nil {
		t.Error("the next one after it could not begin with it")
	}
	if _, _, found, err := next.LoadInherited(o, dir); found || err != nil {
		t.Errorf("it is there for the second time: %v, %v", found, err)
	}
	var nobody *Sources
	nobody.use("x")
	if nobody.of("x") != nil {
		t.Error("who remembers nothing remembers something")
	}
}

// What somebody else may have written or read, or what is about something else, is refused.
func TestInheritedRefused(t *testing.T) {
	good := &status.PlanRequest{File: "/etc/a.conf", Files: []status.PlanFile{{Name: "/etc/a.conf", Content: []byte(inheritedConf)}}}
	for _, c := range []struct {
		name  string
		spoil func(path string) error
		want  string
	}{
		{"of another configuration", func(string) error { return nil }, "is about the configuration /etc/a.conf"},
		{"readable by others", func(path string) error { return os.Chmod(path, 0o644) }, "is not a file of this user alone"},
		{"torn", func(path string) error { return os.Truncate(path, 20) }, "unexpected EOF"},
		{"a symbolic link", func(path string) error {
			if err := os.Rename(path, path+".real"); err != nil {
				return err
			}
			return os.Symlink(path+".real", path)
		}, "too many levels"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := leaveInherited(dir, good); err != nil {
				t.Fatal(err)
			}
			if err := c.spoil(filepath.Join(dir, inheritedFile)); err != nil {
				t.Fatal(err)
			}
			file := "/etc/a.conf"
			if c.name == "of another configuration" {
				file = "/etc/b.conf"
			}
			cfg, _, found, err := new(Sources).LoadInherited(LoadOptions{File: file}, dir)
			if cfg != nil || !found || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, %v, %v; want %q", cfg, found, err, c.want)
			}
		})
	}
}

// FuzzInherited: whatever the file holds, it is refused, or a configuration comes of it, or diagnostics.
func FuzzInherited(f *testing.F) {
	b, err := json.Marshal(&status.PlanRequest{
		File: "a", Files: []status.PlanFile{{Name: "a", Content: []byte(inheritedConf)}, {Name: "more.conf", Error: "none"}}, Globs: map[string][]string{"more.conf": {"more.conf"}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"file":"a","files":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, inheritedFile), text, 0o600); err != nil {
			t.Fatal(err)
		}
		s := new(Sources)
		cfg, diagnostics, found, err := s.LoadInherited(LoadOptions{File: "a"}, dir)
		if !found || cfg == nil && err == nil && len(diagnostics) == 0 {
			t.Errorf("%v, %v, %v, %v", cfg, diagnostics, found, err)
		}
		if _, err := os.Lstat(filepath.Join(dir, inheritedFile)); err == nil {
			t.Error("it is still there")
		}
	})
}
