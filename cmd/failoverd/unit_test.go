package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const unitFile = "systemd/failoverd.service"

// TestUnit reads the unit that is shipped: what the service may do, and what it must not.
func TestUnit(t *testing.T) {
	b, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for l := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(l), "="); ok && !strings.HasPrefix(l, "#") {
			if _, twice := got[key]; twice {
				t.Errorf("%s is there twice", key)
			}
			got[key] = value
		}
	}
	const capabilities = "CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE"
	for key, want := range map[string]string{
		"Type": "notify", "NotifyAccess": "main", "User": "failoverd", "Restart": "on-failure", "WatchdogSec": "10",
		"RuntimeDirectory": "failoverd", "StateDirectory": "failoverd",
		"CapabilityBoundingSet": capabilities, "AmbientCapabilities": capabilities,
		"NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes",
		"MemoryDenyWriteExecute": "yes", "LockPersonality": "yes", "RestrictNamespaces": "yes",
		"RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET", "SystemCallFilter": "@system-service",
		"LimitRTPRIO": "50", "LimitMEMLOCK": "infinity",
		"ExecStart": "/usr/sbin/failoverd run -f /etc/failoverd/failoverd.conf", "ExecReload": "/usr/sbin/failoverd upgrade --if-changed --reload",
	} {
		if got[key] != want {
			t.Errorf("%s=%s, want %s", key, got[key], want)
		}
	}
	for _, key := range []string{"RestrictRealtime", "ProtectKernelTunables", "DynamicUser"} {
		if v, ok := got[key]; ok {
			t.Errorf("%s=%s takes away what the agent needs", key, v)
		}
	}
}

// TestUnitInReadme: the unit that the README shows is the one that is shipped.
func TestUnitInReadme(t *testing.T) {
	unit, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(readme), "[Service]"); n != 1 || !strings.Contains(string(readme), "```ini\n"+string(unit)+"```\n") {
		t.Errorf("the README has %d units, want the one in %s, word for word", n, unitFile)
	}
}

// TestUnitVerify has systemd-analyze read the unit; the programs in it are this test, because they have to exist.
func TestUnitVerify(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); errors.Is(err, exec.ErrNotFound) {
		if os.Getenv("FAILOVERD_LABS") == "required" {
			t.Fatal("systemd-analyze is not installed, and this run is to skip nothing")
		}
		t.Skip("SKIPPED, NOT PASSED: systemd-analyze is not installed")
	}
	b, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(text string) (string, error) {
		path := filepath.Join(t.TempDir(), "failoverd.service")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", path).CombinedOutput()
		return string(out), err
	}
	text := strings.ReplaceAll(string(b), "/usr/sbin/failoverd ", os.Args[0]+" ")
	if out, err := verify(text); err != nil || out != "" {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	// A word that systemd does not know is seen, so silence means something.
	broken := slices.Concat([]byte(text), []byte("\n[Service]\nProtectEverything=yes\n"))
	if out, _ := verify(string(broken)); !strings.Contains(out, "ProtectEverything") {
		t.Errorf("systemd-analyze verify does not speak of an unknown word: %q", out)
	}
}
