package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// besideKeepalived refuses to start beside a keepalived that does VRRP in the same network namespace: both would be
// MASTER, and each would take the other's addresses for an administrator's. One that only does IPVS (-C) is welcome.
func besideKeepalived(proc string) error {
	own, err := os.Readlink(filepath.Join(proc, "self/ns/net"))
	if err != nil {
		return nil // without it nothing can be said
	}
	found := 0
	names, _ := filepath.Glob(filepath.Join(proc, "[0-9]*/comm"))
	for _, name := range names {
		dir := filepath.Dir(name)
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || found != 0 && pid > found {
			continue
		}
		comm, _ := os.ReadFile(name)
		if strings.TrimSpace(string(comm)) != "keepalived" {
			continue
		}
		there, err := os.Readlink(filepath.Join(dir, "ns/net"))
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err == nil && there == own && !onlyIPVS(strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")) {
			found = pid
		}
	}
	if found == 0 {
		return nil
	}
	return fmt.Errorf("keepalived does VRRP in this network namespace, pid %d: end it first, and keep it from being started again "+
		"(systemctl disable --now keepalived); keepalived -C may stay, for IPVS", found)
}

// onlyIPVS reports whether keepalived was started without its VRRP half.
func onlyIPVS(argv []string) bool {
	return slices.Contains(argv, "--check") || slices.ContainsFunc(argv, func(a string) bool {
		return len(a) > 1 && a[0] == '-' && a[1] != '-' && strings.ContainsRune(a, 'C')
	})
}
