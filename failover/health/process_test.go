package health

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
)

var programs atomic.Int32

// program makes a program of its own name that behaves as the other one.
func program(t *testing.T, like string) string {
	t.Helper()
	target, err := exec.LookPath(like)
	do(t, err)
	path := filepath.Join(t.TempDir(), fmt.Sprintf("fo%d-%d", os.Getpid(), programs.Add(1)))
	do(t, os.Symlink(target, path))
	return path
}

// run starts a program that is killed at the end of the test. stdin is what is written to it.
func run(t *testing.T, path string, args ...string) (cmd *exec.Cmd, stdin io.Writer) {
	t.Helper()
	cmd = exec.Command(path, args...)
	in, err := cmd.StdinPipe()
	do(t, err)
	do(t, cmd.Start())
	t.Cleanup(func() { kill(cmd) })
	return cmd, in
}

// kill ends a program, and leaves no zombie.
func kill(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func processes(c failover.ProcessConfig) *failover.Config {
	c.Name = "p"
	return &failover.Config{Processes: []failover.ProcessConfig{c}}
}

// alone leaves one way only in which the census can learn of anything.
func alone(way string) func(*settings) {
	return func(s *settings) {
		s.births, s.scan, s.full = way == "news", time.Hour, time.Hour
		switch way {
		case "scan":
			s.scan = 10 * time.Millisecond
		case "full":
			s.scan, s.full = 10*time.Millisecond, 10*time.Millisecond
		}
	}
}

// needNews skips the test where the kernel does not tell of new processes.
func needNews(t *testing.T) {
	t.Helper()
	n, err := openNewborns(context.Background())
	if err != nil {
		t.Skip("NO PROCESS EVENTS HERE, NOT TESTED: ", err)
	}
	n.close()
}

// TestProcessComesAndGoes runs the same story with each way to learn of a new process.
func TestProcessComesAndGoes(t *testing.T) {
	for _, way := range []string{"scan", "full", "news"} {
		t.Run(way, func(t *testing.T) {
			if way == "news" {
				needNews(t)
			}
			path := program(t, "sleep")
			w := watch(t, processes(failover.ProcessConfig{Args: []string{filepath.Base(path)}, Quorum: 2}), alone(way))
			w.expect(false, 0, "no process, at least 2 wanted")
			a, _ := run(t, path, "1000")
			b, _ := run(t, path, "1000")
			w.expect(true, 0, "2 processes, at least 2 wanted")
			kill(b)
			w.expect(false, 0, "1 process, at least 2 wanted")
			run(t, path, "1000")
			w.expect(true, 0, "2 processes, at least 2 wanted")
			kill(a)
			w.expect(false, 0, "1 process, at least 2 wanted")
			w.silent()
		})
	}
}

// TestDeathIsToldAtOnce: without scans and news, and though nobody collects the dead.
func TestDeathIsToldAtOnce(t *testing.T) {
	path := program(t, "sleep")
	cmd, _ := run(t, path, "1000")
	w := watch(t, processes(failover.ProcessConfig{Args: []string{filepath.Base(path)}}), alone("nothing"))
	w.expect(true, 0, "1 process, at least 1 wanted")
	do(t, cmd.Process.Kill())
	w.expect(false, 0, "no process, at least 1 wanted")
}

// TestProcessTakesName: a shell that counts for nothing becomes a program that counts.
func TestProcessTakesName(t *testing.T) {
	for _, way := range []string{"scan", "full", "news"} {
		t.Run(way, func(t *testing.T) {
			if way == "news" {
				needNews(t)
			}
			path := program(t, "sleep")
			_, in := run(t, "/bin/sh", "-c", `read x; exec "$0" 1000`, path)
			w := watch(t, processes(failover.ProcessConfig{Args: []string{path, "1000"}, Match: failover.ParamExact}), alone(way))
			w.expect(false, 0, "no process, at least 1 wanted")
			_, err := io.WriteString(in, "go\n")
			do(t, err)
			w.expect(true, 0, "1 process, at least 1 wanted")
		})
	}
}

// TestProcessForks: a child without another program counts as its parent does.
func TestProcessForks(t *testing.T) {
	for _, way := range []string{"scan", "news"} {
		t.Run(way, func(t *testing.T) {
			if way == "news" {
				needNews(t)
			}
			path := program(t, "sh")
			fifo := filepath.Join(t.TempDir(), "fifo")
			do(t, unix.Mkfifo(fifo, 0o600))
			_, in := run(t, path, "-c", `read x; (read y <"$0"; true) & wait`, fifo)
			w := watch(t, processes(failover.ProcessConfig{Args: []string{filepath.Base(path)}, Quorum: 1, QuorumMax: 1}), alone(way))
			w.expect(true, 0, "1 process, 1 to 1 wanted")
			_, err := io.WriteString(in, "go\n")
			do(t, err)
			w.expect(false, 0, "2 processes, 1 to 1 wanted")
			f, err := os.OpenFile(fifo, os.O_WRONLY, 0) // the child ends, and the parent with it
			do(t, err)
			do(t, f.Close())
			for r := w.next(); r.Reason != "no process, 1 to 1 wanted"; r = w.next() {
				if !r.OK { // one may have been seen to go first
					t.Fatalf("got %+v", r)
				}
			}
		})
	}
}

func TestProcessReconfigured(t *testing.T) {
	path := program(t, "sleep")
	name := filepath.Base(path)
	run(t, path, "1000")
	w := watch(t, processes(failover.ProcessConfig{Args: []string{name}}), alone("nothing"))
	w.expect(true, 0, "1 process, at least 1 wanted")
	w.m.Configure(processes(failover.ProcessConfig{Args: []string{name}}))
	w.m.Configure(processes(failover.ProcessConfig{Args: []string{name}, Quorum: 2}))
	w.expect(false, 0, "1 process, at least 2 wanted")
	w.m.Configure(processes(failover.ProcessConfig{Args: []string{name, "1000"}, Match: failover.ParamExact}))
	w.expect(true, 0, "1 process, at least 1 wanted")
	w.m.Configure(processes(failover.ProcessConfig{Args: []string{name, "99"}, Match: failover.ParamExact}))
	w.expect(false, 0, "no process, at least 1 wanted")
	w.m.Configure(&failover.Config{})
	w.m.Configure(processes(failover.ProcessConfig{Args: []string{name}}))
	w.expect(true, 0, "1 process, at least 1 wanted")
	w.silent()
}

func TestProcessDelays(t *testing.T) {
	const delay = 300 * time.Millisecond
	path := program(t, "sleep")
	cmd, _ := run(t, path, "1000")
	w := watch(t, processes(failover.ProcessConfig{Args: []string{filepath.Base(path)}, TerminateDelay: delay}), alone("scan"))
	w.expect(true, 0, "1 process, at least 1 wanted")
	killed := time.Now()
	kill(cmd)
	w.expect(false, 0, "no process, at least 1 wanted")
	if took := time.Since(killed); took < delay {
		t.Errorf("after %v, want %v at least", took, delay)
	}
}

// TestProcessesCannotBeListed: a check that cannot run has failed.
func TestProcessesCannotBeListed(t *testing.T) {
	root := filepath.Join(t.TempDir(), "proc")
	w := watch(t, processes(failover.ProcessConfig{Args: []string{"x"}}), func(s *settings) {
		alone("scan")(s)
		s.proc = root
	})
	w.expect(false, 0, "processes cannot be listed: no such file or directory")
	do(t, os.MkdirAll(filepath.Join(root, "1"), 0o755))
	write(t, filepath.Join(root, "1", "stat"), "1 (x) S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 100 200\n")
	do(t, os.Mkdir(filepath.Join(root, "self"), 0o755))
	for r := w.next(); !r.OK; r = w.next() { // the directory may be seen before the file
		if r.Reason != "no process, at least 1 wanted" {
			t.Fatalf("got %+v", r)
		}
	}
}

// TestManyDeaths: each death is told, and a process that is none cannot be awaited.
func TestManyDeaths(t *testing.T) {
	o, err := openObituaries()
	do(t, err)
	var wg sync.WaitGroup
	deaths := newPokes()
	wg.Go(func() { o.loop(deaths) })
	path := program(t, "sleep")
	want := map[int]bool{}
	for range 20 {
		cmd, _ := run(t, path, "1000")
		if !o.await(cmd.Process.Pid) {
			t.Fatal("not awaited")
		}
		want[cmd.Process.Pid] = true
		do(t, cmd.Process.Kill())
	}
	for len(want) > 0 {
		select {
		case <-deaths.ready:
		case <-time.After(patience):
			t.Fatalf("not told of %d deaths", len(want))
		}
		pids, all := deaths.take()
		if all {
			t.Fatal("told of all")
		}
		for pid := range pids {
			if !want[pid] {
				t.Errorf("told of %d", pid)
			}
			delete(want, pid)
		}
	}
	if o.await(1 << 30) {
		t.Error("a process that does not exist is awaited")
	}
	o.close()
	wg.Wait()
	if o.await(os.Getpid()) {
		t.Error("awaited after close")
	}
}

func TestPokesOverflow(t *testing.T) {
	p := newPokes()
	for pid := range maxPokes + 10 {
		p.add(pid + 1)
	}
	pids, all := p.take()
	if !all || len(pids) > maxPokes {
		t.Errorf("%d remembered, all %v", len(pids), all)
	}
	if pids, all = p.take(); all || len(pids) != 0 {
		t.Errorf("%d left, all %v", len(pids), all)
	}
}
