package kernel

import (
	"bufio"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"failoverd/failover"
)

const (
	agentVariable = "FAILOVERD_TEST_AGENT"
	crashLease    = 2 * time.Second
)

func crashAddresses() []failover.Address {
	return []failover.Address{
		address("192.0.2.10/24", "eth0", crashLease), address("192.0.2.11/32", "lo", crashLease),
		address("2001:db8::10/64", "eth0", crashLease),
	}
}

// TestHelperAgent is not a test but the process that TestV3_HOST_13 kills: a loop that renews leases, and gives up
// when it finds that it was stopped for longer than a lease.
func TestHelperAgent(t *testing.T) {
	if os.Getenv(agentVariable) == "" {
		t.Skip("only a helper process of TestV3_HOST_13")
	}
	w, err := New(slog.New(slog.DiscardHandler), Options{})
	if err != nil {
		t.Fatal(err)
	}
	told := false
	go func() {
		_ = w.Run(context.Background(), func(rep failover.AddressReport) {
			if !told && len(rep.Present) == len(crashAddresses()) {
				told = true
				_, _ = os.Stdout.WriteString("present\n")
			}
		})
	}()
	d := failover.DesiredAddresses{Generation: 1, Addresses: crashAddresses()}
	for last := time.Now(); time.Since(last) < crashLease; time.Sleep(crashLease / 3) {
		last = time.Now()
		d.Renewal++
		w.Set(d)
	}
	_, _ = os.Stdout.WriteString("stopped too long\n")
	time.Sleep(time.Minute)
}

// startAgent runs the helper process in the namespace of w until the end of the test.
func startAgent(t *testing.T, w *realWorld) (process *os.Process, lines *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperAgent$")
	cmd.Env = append(os.Environ(), agentVariable+"=1")
	out, err := cmd.StdoutPipe()
	w.check(err)
	w.ns.do(func() { err = cmd.Start() })
	w.check(err)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines = bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "present" {
		t.Fatalf("agent says %q", lines.Text())
	}
	return cmd.Process, lines
}

// V3-HOST-13: after a crash or a hang the addresses end by themselves within valid_lft + 1 s.
func TestV3_HOST_13_AddressesEndWithTheAgent(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		signal syscall.Signal
	}{{"crash", syscall.SIGKILL}, {"hang", syscall.SIGSTOP}} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newRealWorld(t)
			w.addLink("eth0")
			process, lines := startAgent(t, w)
			staysFor(t, 2*crashLease, "present while it lives", func() bool { return len(w.show()) == 3 })
			w.check(process.Signal(row.signal))
			took := within(t, crashLease+soon, "gone", func() bool { return len(w.show()) == 0 })
			t.Logf("lease %v, gone %v after %v", crashLease, took, row.signal)
			if took > crashLease+time.Second {
				t.Errorf("gone after %v, want at most %v", took, crashLease+time.Second)
			}
			if row.signal != syscall.SIGSTOP {
				return
			}
			time.Sleep(crashLease) // so that it notices
			w.check(process.Signal(syscall.SIGCONT))
			if !lines.Scan() || lines.Text() != "stopped too long" {
				t.Fatalf("agent says %q", lines.Text())
			}
			staysFor(t, time.Second, "not brought back from the dead", func() bool { return len(w.show()) == 0 })
		})
	}
}
