package integration

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// childOf returns the process id of the only child of a process.
func childOf(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	var kids []string
	if err == nil {
		kids = strings.Fields(string(b))
	}
	if len(kids) == 0 {
		kids = childrenByScan(t, pid)
	}
	if len(kids) != 1 {
		t.Fatalf("process %d has children %v, want one", pid, kids)
	}
	n, err := strconv.Atoi(kids[0])
	must(t, err)
	return n
}

// childrenByScan finds children whichever thread started them.
func childrenByScan(t *testing.T, pid int) (kids []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	must(t, err)
	for _, e := range entries {
		b, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		rest := string(b[strings.LastIndexByte(string(b), ')')+1:])
		if f := strings.Fields(rest); len(f) > 1 && f[1] == strconv.Itoa(pid) {
			kids = append(kids, e.Name())
		}
	}
	return kids
}

// memory returns the resident memory of a process in octets.
func memory(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	for l := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(l, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.Fields(v)[0])
			must(t, err)
			return kb * 1024
		}
	}
	t.Fatalf("process %d has no VmRSS", pid)
	return 0
}
