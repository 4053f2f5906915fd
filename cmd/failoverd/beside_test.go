package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// keepalived in the same network namespace is refused, unless it only does IPVS.
func TestBesideKeepalived(t *testing.T) {
	for _, c := range []struct {
		name, comm, ns, cmdline string
		refused                 bool
	}{
		{"with VRRP", "keepalived\n", "net:[1]", "/usr/sbin/keepalived\x00--dont-fork\x00-D\x00", true},
		{"IPVS only", "keepalived\n", "net:[1]", "/usr/sbin/keepalived\x00-C\x00", false},
		{"IPVS only, with others", "keepalived\n", "net:[1]", "keepalived\x00-nlC\x00", false},
		{"IPVS only, long", "keepalived\n", "net:[1]", "keepalived\x00--check\x00", false},
		{"in another namespace", "keepalived\n", "net:[2]", "keepalived\x00", false},
		{"another program", "keepalivedx\n", "net:[1]", "keepalived\x00", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			proc := t.TempDir()
			fakeProcess(t, proc, "self", "failoverd\n", "net:[1]", "failoverd\x00run\x00")
			fakeProcess(t, proc, "42", c.comm, c.ns, c.cmdline)
			fakeProcess(t, proc, "43", c.comm, c.ns, c.cmdline) // keepalived's children have its name
			err := besideKeepalived(proc)
			if (err != nil) != c.refused || err != nil && !strings.Contains(err.Error(), "pid 42:") {
				t.Errorf("error %v", err)
			}
		})
	}
	if err := besideKeepalived(t.TempDir()); err != nil {
		t.Errorf("without /proc: %v", err)
	}
}

func fakeProcess(t *testing.T, proc, pid, comm, ns, cmdline string) {
	t.Helper()
	dir := filepath.Join(proc, pid)
	if err := os.MkdirAll(filepath.Join(dir, "ns"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"comm": comm, "cmdline": cmdline} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(ns, filepath.Join(dir, "ns/net")); err != nil {
		t.Fatal(err)
	}
}
