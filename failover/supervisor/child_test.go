package supervisor

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A program that is executed by its descriptor is that program, whichever files it gets and however they are numbered.
func TestProgramBeyondFiles(t *testing.T) {
	path, err := exec.LookPath("true")
	if err != nil {
		t.Skipf("SKIPPED, NOT PASSED: %v", err)
	}
	program, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	memory, err := unix.MemfdCreate("memory", unix.MFD_CLOEXEC) // which may be executed, and is no program
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(memory)
	for n := range 40 {
		// Files that the child has to park, because their numbers are below their places.
		files := []uintptr{0, 1, 2}
		for range n {
			files = append(files, uintptr(memory))
		}
		f, err := beyond(program, files)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := forkExec(descriptorPath(f), []string{"true"}, &syscall.ProcAttr{Files: files}, nil)
		f.Close()
		if err != nil {
			t.Errorf("with %d files: %v", len(files), err)
			continue
		}
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || status.ExitStatus() != 0 {
			t.Errorf("with %d files: %v, status %d", len(files), err, status)
		}
	}
}
