package script_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/failover/script"
)

// nobody is a user whom every Debian has.
const nobody = 65534

// agentVariable makes the test binary an agent that runs one command and says what became of it. Its name is not one
// of those that are kept from commands.
const agentVariable = "TEST_AGENT_COMMAND"

// report is what such an agent says.
type report struct {
	Result script.Result
	Err    string
	Lines  []string
}

func TestMain(m *testing.M) {
	text, ok := os.LookupEnv(agentVariable)
	if !ok {
		os.Exit(m.Run())
	}
	_ = os.Unsetenv(agentVariable)
	var cmd failover.Command
	if err := json.Unmarshal([]byte(text), &cmd); err != nil {
		panic(err)
	}
	r, lines, err := try(context.Background(), cmd, script.Policy{}, script.Exec{})
	rep := report{Result: r, Lines: lines}
	if err != nil {
		rep.Err = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(rep); err != nil {
		panic(err)
	}
}

// asAgent runs a command in an agent of its own that change has prepared.
func asAgent(t *testing.T, cmd failover.Command, change func(*exec.Cmd)) report {
	t.Helper()
	text, err := json.Marshal(cmd)
	if err != nil {
		t.Fatal(err)
	}
	agent := exec.Command(readableSelf(t))
	agent.Env = append(os.Environ(), agentVariable+"="+string(text))
	agent.Stderr = os.Stderr
	change(agent)
	out, err := agent.Output()
	if err != nil {
		t.Fatal(err)
	}
	var rep report
	if err := json.NewDecoder(bytes.NewReader(out)).Decode(&rep); err != nil {
		t.Fatalf("%v: %q", err, out)
	}
	return rep
}

// readableSelf returns a copy of the test binary that everybody may execute.
func readableSelf(t *testing.T) string {
	t.Helper()
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	path := filepath.Join(openDir(t), "agent")
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(to, from)
	if closed := to.Close(); err != nil || closed != nil {
		t.Fatal(err, closed)
	}
	return path
}

// openDir returns a new directory that everybody may enter.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// file writes an executable file and returns its path.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(openDir(t), "prog")
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// sh returns the command that runs a text in a shell.
func sh(text string, args ...string) failover.Command {
	return failover.Command{Args: append([]string{"/bin/sh", "-c", text, "sh"}, args...)}
}

// try runs a command as Run does and returns its lines, too.
func try(ctx context.Context, cmd failover.Command, p script.Policy, x script.Exec) (script.Result, []string, error) {
	var mu sync.Mutex
	var lines []string
	x.Output = func(line string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, line)
	}
	r, err := script.Run(ctx, cmd, p, x)
	mu.Lock()
	defer mu.Unlock()
	return r, lines, err
}

// run is try for a command that must be able to run; it must not take longer than slack.
func run(t *testing.T, cmd failover.Command, x script.Exec) (script.Result, []string) {
	t.Helper()
	r, lines, err := try(t.Context(), cmd, script.Policy{}, x)
	if err != nil {
		t.Fatal(err)
	}
	return r, lines
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: only root can become another user")
	}
}

// alive reports whether a process runs; a zombie does not.
func alive(t *testing.T, pid string) bool {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// descriptors counts those of this process.
func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// zombies counts the children of this process that nobody has waited for.
func zombies(t *testing.T) int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		t.Fatalf("no process file system: %v", err)
	}
	n := 0
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[0] == "Z" && fields[1] == strconv.Itoa(os.Getpid()) {
			n++
		}
	}
	return n
}

// soon waits for something that is about to happen, with slack for a busy machine.
func soon(t *testing.T, what string, happened func() bool) {
	t.Helper()
	limit := time.Now().Add(10 * time.Second)
	for !happened() {
		if time.Now().After(limit) {
			t.Fatalf("%s has not happened", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func asUser(uid uint32) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
}
