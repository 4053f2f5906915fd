package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// neededCapabilities are those without which no router can run.
var neededCapabilities = []struct {
	bit  uint
	name string
	why  string
}{
	{unix.CAP_NET_RAW, "CAP_NET_RAW", "to send and receive VRRP and gratuitous ARP"},
	{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN", "to add and remove addresses"},
}

// checkCapabilities returns an error that names the capabilities this process lacks.
func checkCapabilities() error {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return nil // no /proc: the first socket will tell
	}
	defer f.Close()
	return missingCapabilities(f)
}

// missingCapabilities reads a /proc/PID/status.
func missingCapabilities(status io.Reader) error {
	effective, err := effectiveCapabilities(status)
	if err != nil {
		return nil // not a kernel that tells; the first socket will
	}
	var missing []string
	for _, c := range neededCapabilities {
		if effective&(1<<c.bit) == 0 {
			missing = append(missing, fmt.Sprintf("%s (%s)", c.name, c.why))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("missing capability %s: run as root, or grant it (systemd: AmbientCapabilities=CAP_NET_RAW CAP_NET_ADMIN)",
		strings.Join(missing, " and "))
}

func effectiveCapabilities(status io.Reader) (uint64, error) {
	s := bufio.NewScanner(status)
	for s.Scan() {
		if v, ok := strings.CutPrefix(s.Text(), "CapEff:"); ok {
			return strconv.ParseUint(strings.TrimSpace(v), 16, 64)
		}
	}
	return 0, fmt.Errorf("no CapEff line: %w", s.Err())
}
