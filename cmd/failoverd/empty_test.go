package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"failoverd/failover/daemon"
)

// TestNothingToDo: check warns of a file that a reload would refuse because nothing is left, and plan refuses it.
func TestNothingToDo(t *testing.T) {
	dir := t.TempDir()
	empty, full := filepath.Join(dir, "empty"), filepath.Join(dir, "full")
	for name, text := range map[string]string{empty: "global_defs {\n}\n", full: "anycast_service A {\nno_virtual_ipaddress\n}\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, diagnostics, err := daemon.Load(daemon.LoadOptions{File: empty, Strict: true})
	var log bytes.Buffer
	for _, d := range diagnostics {
		log.WriteString(d.String())
	}
	if err != nil || cfg == nil || !strings.Contains(log.String(), "nothing to do: no vrrp_instance, anycast_service or witness_server") {
		t.Errorf("check: %v, %s", err, log.String())
	}
	service, diagnostics, err := daemon.Load(daemon.LoadOptions{File: full, Strict: true})
	if err != nil || service == nil {
		t.Fatal(err, diagnostics)
	}
	if a := daemon.PlanAgainst(empty, service, cfg); !a.Refused || len(a.Entries) != 0 || !strings.Contains(strings.Join(a.Diagnostics, ""), "no vrrp_instance, anycast_service or witness_server") {
		t.Errorf("plan: %+v", a)
	}
	if a := daemon.PlanAgainst(full, cfg, service); a.Refused || len(a.Entries) == 0 {
		t.Errorf("plan: %+v", a)
	}
}
