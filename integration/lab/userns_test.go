package lab_test

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"failoverd/integration/lab"
)

const nobody = 65534

// asNobody prepares a copy of this test binary, readable by everybody, to run in a role as an ordinary user.
func asNobody(t *testing.T, role string) *exec.Cmd {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED, NOT PASSED: root is needed to become another user")
	}
	dir := must(os.MkdirTemp("", "fo-userns-"))(t)
	t.Cleanup(func() { os.RemoveAll(dir) })
	check(t, os.Chmod(dir, 0o777)) //nolint:gosec // for another user, and removed at the end of the test
	self := must(os.Open("/proc/self/exe"))(t)
	defer self.Close()
	bin := filepath.Join(dir, "program")
	f := must(os.OpenFile(bin, os.O_CREATE|os.O_WRONLY, 0o755))(t)
	must(io.Copy(f, self))(t)
	check(t, f.Close())
	cmd := exec.Command(bin)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), helperEnv+"="+role, "TMPDIR="+dir, "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return cmd
}

// insideUserNamespace is a whole small program: a lab as an ordinary user.
func insideUserNamespace() int {
	if code, done, err := lab.EnterUserNamespace(); err != nil {
		fmt.Println("refused:", err)
		return 3
	} else if done {
		return code
	}
	who, err := smallLab()
	fmt.Printf("answer from %q, uid %d, err %v\n", who, os.Getuid(), err)
	return 42
}

// smallLab probes a responder across a switch.
func smallLab() (who string, err error) {
	l, err := lab.New(lab.Options{Named: true})
	if err != nil {
		return "", err
	}
	defer func() {
		if e := l.Close(); e != nil {
			err = e
		}
	}()
	sw, err := l.Switch("lan")
	if err != nil {
		return "", err
	}
	var nodes []*lab.Node
	for i, name := range []string{"a", "b"} {
		n, err := l.Node(name)
		if err != nil {
			return "", err
		}
		if _, err := sw.Plug(n, "eth0"); err != nil {
			return "", err
		}
		if err := n.AddAddress("eth0", fmt.Sprintf("10.0.0.%d/24", i+1)); err != nil {
			return "", err
		}
		nodes = append(nodes, n)
	}
	if _, err := nodes[1].Capture("eth0"); err != nil {
		return "", err
	}
	if _, err := nodes[1].Respond(); err != nil {
		return "", err
	}
	if _, err := nodes[0].Start(helper("idle")); err != nil {
		return "", err
	}
	p, err := nodes[0].Probe(netip.MustParseAddr("10.0.0.2"))
	if err != nil {
		return "", err
	}
	_, who, err = p.WaitForAnswer(time.Now(), 10*time.Second)
	return who, err
}

func TestOrdinaryUser(t *testing.T) {
	cmd := asNobody(t, "userns")
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "refused:") {
		t.Skipf("SKIPPED, NOT PASSED: %s", out)
	}
	if want := "answer from \"b\", uid 0, err <nil>\n"; string(out) != want || cmd.ProcessState.ExitCode() != 42 {
		t.Errorf("%v, said %q, want %q and exit status 42", err, out, want)
	}
	left := must(filepath.Glob(filepath.Join(cmd.Dir, "fo-*")))(t)
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestOrdinaryUserIsInterrupted(t *testing.T) {
	cmd := asNobody(t, "userns-interrupted")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	r, w, err := os.Pipe()
	check(t, err)
	defer r.Close()
	cmd.Stdout = w
	check(t, cmd.Start())
	check(t, w.Close())
	var dir string
	var pid int
	line := make([]byte, 256)
	n, err := r.Read(line)
	if _, e := fmt.Sscanf(string(line[:n]), "%s %d", &dir, &pid); e != nil {
		_ = cmd.Wait()
		t.Skipf("SKIPPED, NOT PASSED: helper said %q (%v)", line[:n], err)
	}
	check(t, cmd.Process.Signal(syscall.SIGTERM))
	err = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 128+int(syscall.SIGTERM) {
		t.Errorf("%v, exit status %d, want that of a program ended by SIGTERM", err, code)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s is still there", dir)
	}
	if err := syscall.Kill(pid, 0); err == nil && !zombie(pid) {
		t.Errorf("process %d is still there", pid)
	}
}

// userNamespaceUntilSignal builds a lab as an ordinary user and waits for the end.
func userNamespaceUntilSignal() int {
	if code, done, err := lab.EnterUserNamespace(); err != nil {
		fmt.Println("refused:", err)
		return 3
	} else if done {
		return code
	}
	if _, err := furnished(); err != nil {
		fmt.Println("refused:", err)
		return 3
	}
	select {}
}
