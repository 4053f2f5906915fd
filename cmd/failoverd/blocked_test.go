package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover/status"
)

// Nobody reads the log, and its pipe is full. The agent works, and its end comes as asked for.
func TestRunBlockedLog(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: must be root to make a network namespace")
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	fill(t, write)
	dir := t.TempDir()
	cmd := process(t, "run", "-f", file(t, goodConf))
	cmd.Env = append(cmd.Env, "FAILOVERD_STATE_DIR="+dir)
	cmd.Stderr = write
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := errors.Join(cmd.Start(), write.Close()); err != nil {
		t.Fatal(err)
	}
	client := status.Dial(filepath.Join(dir, "status.sock"))
	eventually(t, "the agent works", func() bool {
		s, err := client.Status(t.Context())
		return err == nil && len(s.Routers) == 1
	})
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it does not end")
		_ = cmd.Process.Kill()
		<-ended
	}
}

// fill writes into a pipe until it takes no more.
func fill(t *testing.T, write *os.File) {
	t.Helper()
	fd := int(write.Fd()) // which makes it blocking
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{4096, 1} {
		for b := bytes.Repeat([]byte("x"), size); ; {
			if _, err := unix.Write(fd, b); errors.Is(err, unix.EAGAIN) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
}
