package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestPIDFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "failoverd.pid")
	p, err := createPIDFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != strconv.Itoa(os.Getpid())+"\n" {
		t.Errorf("content %q, %v", b, err)
	}
	_, err = createPIDFile(path)
	if err == nil || !strings.Contains(err.Error(), "another failoverd is running, pid "+strconv.Itoa(os.Getpid())) {
		t.Errorf("second agent: %v", err)
	}
	p.Close()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Close: %v", err)
	}
}

// keepalived takes a number in its pid file for a running daemon if any process has that number, as containers do.
func TestPIDFileOfDeadAgent(t *testing.T) {
	for name, content := range map[string]string{
		"pid 1":           "1\n",
		"pid of ours":     fmt.Sprintf("%d\n", os.Getppid()),
		"longer than now": strings.Repeat("9", 100),
		"garbage":         "\x00\xff",
		"empty":           "",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "pid")
			if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
			p, err := createPIDFile(path)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if b, _ := os.ReadFile(path); string(b) != strconv.Itoa(os.Getpid())+"\n" {
				t.Errorf("content %q", b)
			}
		})
	}
}

// The lock ends with the process, however that ends.
func TestPIDFileOfKilledAgent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	cmd := process(t)
	cmd.Env = append(cmd.Env, holdPIDFile+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("child said %q, %v", line, err)
	}
	_, err = createPIDFile(path)
	if want := fmt.Sprintf("pid %d", cmd.Process.Pid); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("while the child lives: %v, want %q", err, want)
	}
	cmd.Process.Kill()
	cmd.Wait()
	p, err := createPIDFile(path)
	if err != nil {
		t.Fatalf("after the child was killed: %v", err)
	}
	p.Close()
}

func TestPIDFileRefuses(t *testing.T) {
	dir := t.TempDir()
	fifo, link, target := filepath.Join(dir, "fifo"), filepath.Join(dir, "link"), filepath.Join(dir, "target")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(target, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"directory": dir, "FIFO": fifo, "symbolic link": link, "below a file": filepath.Join(target, "pid"),
	} {
		if p, err := createPIDFile(path); err == nil || !strings.Contains(err.Error(), path[:len(dir)]) {
			t.Errorf("%s: %v, %v; want an error with the path", name, p, err)
		}
	}
	if b, _ := os.ReadFile(target); string(b) != "precious" {
		t.Errorf("target of the link is %q", b)
	}
}

func TestPIDFileOfAnotherIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	first, err := createPIDFile(path)
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(path)
	second, err := createPIDFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	first.Close()
	if _, err := os.Stat(path); err != nil {
		t.Errorf("file of the second agent: %v", err)
	}
}

func TestPIDFiles(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	files, err := createPIDFiles(a, "", a, b)
	if err != nil || len(files) != 2 {
		t.Fatalf("%d files, %v; want a and b", len(files), err)
	}
	if _, err := createPIDFiles(filepath.Join(dir, "c"), b); err == nil {
		t.Error("b was created twice")
	}
	if _, err := os.Stat(filepath.Join(dir, "c")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("c was left behind: %v", err)
	}
	files.Close()
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
