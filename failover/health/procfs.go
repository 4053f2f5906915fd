package health

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// procFS reads processes from the kernel's process file system.
type procFS struct{ root string }

// stat is what counts of a process.
type stat struct {
	comm  string
	dead  bool   // it is a zombie, or going
	start uint64 // with the number, it tells a process from another one
}

// list returns the numbers of all processes.
func (p procFS) list() ([]int, error) {
	d, err := os.Open(p.root)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", p.root, err)
	}
	pids := make([]int, 0, len(names))
	for _, name := range names {
		if name[0] < '1' || name[0] > '9' {
			continue
		}
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// stat returns what is known about a process; false: there is none.
func (p procFS) stat(pid int) (stat, bool) {
	b, err := os.ReadFile(filepath.Join(p.root, strconv.Itoa(pid), "stat"))
	if err != nil {
		return stat{}, false
	}
	return parseStat(b)
}

// parseStat parses /proc/PID/stat: "PID (NAME) STATE PPID ...". The name may have blanks and parentheses in it.
func parseStat(b []byte) (stat, bool) {
	open, shut := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || shut < open {
		return stat{}, false
	}
	fields := bytes.Fields(b[shut+1:])
	const state, start = 0, 19 // fields 3 and 22 of the line
	if len(fields) <= start {
		return stat{}, false
	}
	n, err := strconv.ParseUint(string(fields[start]), 10, 64)
	if err != nil {
		return stat{}, false
	}
	return stat{comm: string(b[open+1 : shut]), dead: bytes.ContainsAny(fields[state], "ZXx"), start: n}, true
}

// command returns the command line; nil: there is none, or no such process.
func (p procFS) command(pid int) []string {
	b, err := os.ReadFile(filepath.Join(p.root, strconv.Itoa(pid), "cmdline"))
	if err != nil || len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}
