package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"failoverd/conf"
)

// TestAuthorityFiles: check says which ca file cannot be used, and why, and does not wait for one that is a FIFO.
func TestAuthorityFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty, fifo := filepath.Join(dir, "empty"), filepath.Join(dir, "fifo")
	if err := os.WriteFile(empty, []byte("nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "missing"): "no such file or directory", dir: "not a regular file", fifo: "not a regular file",
		empty: "no certificate in it (want a PEM file)",
	} {
		file := filepath.Join(t.TempDir(), "f.conf")
		text := "health_check h { http https://127.0.0.1/ { ca " + path + " } }\n" +
			"vrrp_instance V { interface lo virtual_router_id 5 virtual_ipaddress { 192.0.2.1/24 } track_check { h } }\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, diagnostics, err := Load(LoadOptions{File: file})
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, d := range diagnostics {
			found = found || strings.Contains(d.String(), ":1:47: warning: ca "+path+": "+want+"; the check sees nothing") && d.Severity == conf.Warning
		}
		if !found {
			t.Errorf("ca %s: %v, want a warning with %q", path, diagnostics, want)
		}
	}
}
