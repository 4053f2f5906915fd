package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// procEntry is a line of the process table. A zombie has ended and waits for its parent to notice; terminal is 0 for a
// process without a controlling one.
type procEntry struct {
	pid, parent, group, session, terminal int
	zombie                                bool
}

// processTable reads /proc. Processes that end meanwhile are left out.
func processTable() ([]procEntry, error) {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("read process table: %w", err)
	}
	var out []procEntry
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile(filepath.Join("/proc", d.Name(), "stat"))
		if err != nil {
			continue
		}
		if e, ok := parseStat(pid, string(b)); ok {
			out = append(out, e)
		}
	}
	return out, nil
}

// parseStat reads "PID (NAME) STATE PARENT GROUP SESSION TERMINAL ..."; the name may hold anything, also parentheses.
func parseStat(pid int, s string) (procEntry, bool) {
	_, rest, ok := strings.Cut(s[max(0, strings.LastIndexByte(s, ')')):], ") ")
	f := strings.Fields(rest)
	if !ok || len(f) < 5 {
		return procEntry{}, false
	}
	var v [4]int
	for i := range v {
		var err error
		if v[i], err = strconv.Atoi(f[i+1]); err != nil {
			return procEntry{}, false
		}
	}
	return procEntry{pid, v[0], v[1], v[2], v[3], f[0] == "Z" || f[0] == "X"}, true
}

// family returns the process group of pid, and its descendants that do not belong to the group.
func family(pid int) (group, outside []int, err error) {
	table, err := processTable()
	if err != nil {
		return nil, nil, err
	}
	children := make(map[int][]procEntry)
	for _, e := range table {
		children[e.parent] = append(children[e.parent], e)
		if e.group == pid {
			group = append(group, e.pid)
		}
	}
	for todo := []int{pid}; len(todo) > 0; todo = todo[1:] {
		for _, c := range children[todo[0]] {
			todo = append(todo, c.pid)
			if c.group != pid {
				outside = append(outside, c.pid)
			}
		}
	}
	return group, outside, nil
}

// gone reports whether all of those processes have ended. The first thread of a process may be a zombie while others are
// still on their way out, and keep its sockets open.
func gone(pids []int) bool {
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		e, ok := parseStat(pid, string(b))
		if err != nil || !ok {
			continue
		}
		if threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid)); !e.zombie || err == nil && len(threads) > 1 {
			return false
		}
	}
	return true
}

// killStrangers kills whatever still runs in the nodes' namespaces: daemons that left their parent behind. Visitors - a
// shell at another terminal, by nsenter - are left alone.
func killStrangers(nodes []*Node) error {
	ours := make(map[string]bool)
	for _, n := range nodes {
		ours["net:["+strconv.FormatUint(n.inode, 10)+"]"] = true
	}
	deadline := time.Now().Add(5 * time.Second)
	for {
		left, err := inNamespaces(ours)
		if err != nil || len(left) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v do not die: %w", left, ErrTimeout)
		}
		for _, pid := range left {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill %d: %w", pid, err)
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// inNamespaces returns the other processes whose network namespace is one of those.
func inNamespaces(ours map[string]bool) ([]int, error) {
	table, err := processTable()
	if err != nil {
		return nil, err
	}
	session, err := unix.Getsid(0)
	if err != nil {
		return nil, fmt.Errorf("read own session: %w", err)
	}
	var out []int
	for _, e := range table {
		if e.pid == os.Getpid() || (e.terminal != 0 && e.session != session) {
			continue
		}
		// A zombie has no namespace any more, and the link of somebody else's process cannot be read: neither is ours.
		if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", e.pid)); err == nil && ours[ns] {
			out = append(out, e.pid)
		}
	}
	return out, nil
}
