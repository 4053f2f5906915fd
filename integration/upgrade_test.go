package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"failoverd/integration/lab"
	"failoverd/vrrp/wire"
)

// nextVersion is what the program of these labs says that it is.
const nextVersion = "9.9.9-next"

// nextWord is one of global_defs that only the next version understands.
const nextWord = "word_of_the_next_version"

// nextProgram builds another version of the program beside the one under test, once for all labs.
var nextProgram = sync.OnceValues(func() (path string, err error) {
	path = filepath.Join(filepath.Dir(binary), "failoverd-next")
	overlay, err := nextOverlay(filepath.Dir(binary))
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-overlay", overlay, "-tags", "grpcnotrace,nethttpomithttp2", "-ldflags", "-s -w -X main.version="+nextVersion,
		"-o", path, "../cmd/failoverd")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

// nextOverlay writes what the next version has changed, for the compiler, and returns where.
func nextOverlay(dir string) (path string, err error) {
	table, err := filepath.Abs("../conf/globaltable.go")
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(table)
	if err != nil {
		return "", err
	}
	const old = `accepted[*globals]("dynamic_interfaces", 1),`
	text := strings.Replace(string(b), old, old+` accepted[*globals]("`+nextWord+`", 1),`, 1)
	if text == string(b) {
		return "", fmt.Errorf("%s does not have %s any more", table, old)
	}
	changed := filepath.Join(dir, "globaltable.next")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {table: changed}})
	path = filepath.Join(dir, "overlay.json")
	return path, errors.Join(err, os.WriteFile(changed, []byte(text), 0o644), os.WriteFile(path, overlay, 0o644))
}

// buildNext returns another version of the program.
func buildNext(t *testing.T) string {
	t.Helper()
	path, err := nextProgram()
	must(t, err)
	return path
}

// buildImpostors builds programs that cannot take over, by the names that testdata/impostor knows, and returns where they are.
// next is the failoverd that they say they are.
func buildImpostors(t *testing.T, next string, names ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "impostor"), "./testdata/impostor")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		must(t, os.Link(filepath.Join(dir, "impostor"), path))
		must(t, os.Symlink(next, path+".next"))
	}
	return dir
}

// TestUpgrade: another version of the program takes over, on the MASTER and on the BACKUP, and nobody notices. What cannot
// take over is refused, and nothing happens.
func TestUpgrade(t *testing.T) {
	notShort(t)
	next := buildNext(t)
	dir := buildImpostors(t, next, "other", "older", "dies")
	must(t, os.WriteFile(filepath.Join(dir, "script"), []byte("#!/bin/sh\nexec "+next+` "$@"`+"\n"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "garbage"), []byte("\x7fELF, and then nothing"), 0o755))
	foreign, err := os.ReadFile(filepath.Join(dir, "other"))
	must(t, err)
	foreign[18], foreign[19] = 0xf7, 0 // e_machine: BPF, which no kernel executes
	must(t, os.WriteFile(filepath.Join(dir, "foreign"), foreign, 0o755))
	for _, interval := range []string{"1", "0.1"} {
		t.Run("advert_int "+interval, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t, "")
			route := announce(service + " speaker EDGE")
			ma := startAgent(t, e.lab, e.a, e.speaker("a", "")+e.instance(prioA, 3, interval, route...))
			ma.waitState("MASTER", 8*time.Second)
			mb := startAgent(t, e.lab, e.b, e.speaker("b", "")+e.instance(prioB, 3, interval, route...))
			mb.waitState("BACKUP", 5*time.Second)
			ma.waitSession(15 * time.Second)
			mb.waitSession(15 * time.Second)
			e.waitRoute("192.0.2.1", true, 5*time.Second)
			probe, err := e.c.Probe(e.vip)
			must(t, err)
			_, who, err := probe.WaitForAnswer(time.Now(), 5*time.Second)
			must(t, err)
			if who != "a" {
				t.Fatalf("%s answers, want a", who)
			}
			time.Sleep(300 * time.Millisecond)
			seconds, err := strconv.ParseFloat(interval, 64)
			must(t, err)
			u := &upgradeLab{edge: e, probe: probe, interval: time.Duration(seconds * float64(time.Second)), at: time.Now(), speakers: map[*agent]int{}}
			u.refused(ma, filepath.Join(dir, "other"), "is not a failoverd that can take over")
			u.refused(ma, filepath.Join(dir, "older"), "understands another")
			u.refused(ma, filepath.Join(dir, "dies"), "exit status 3")
			u.refused(ma, filepath.Join(dir, "script"), "is a script")
			u.refused(ma, filepath.Join(dir, "garbage"), "exec format error")
			u.refused(ma, filepath.Join(dir, "foreign"), "exec format error")
			u.refused(ma, "/nonexistent", "no such file")
			u.upgrade(ma, next)
			u.upgrade(mb, next)
			u.upgrade(ma, next) // once more, and the supervisor is another one
			u.unnoticed(ma, mb)
		})
	}
}

// upgradeLab is an edge on which programs are replaced.
type upgradeLab struct {
	*edge
	probe    *lab.Probe
	interval time.Duration
	speakers map[*agent]int // their processes, which stay
	at       time.Time      // since when nothing may be noticed
}

// refused checks that a program is refused and that the same process goes on.
func (u *upgradeLab) refused(a *agent, path, why string) {
	u.t.Helper()
	pid := a.pid()
	out, code := a.cli("upgrade", "--binary", path)
	if code != 2 || !strings.Contains(out, why) {
		u.t.Errorf("upgrade to %s: exit status %d, want 2 and %q:\n%s", filepath.Base(path), code, why, out)
	}
	if a.pid() != pid {
		u.t.Errorf("upgrade to %s: the agent is another process", filepath.Base(path))
	}
}

// upgrade has another program take over.
func (u *upgradeLab) upgrade(a *agent, path string) {
	t := u.t
	t.Helper()
	before, main := a.status(), a.proc.PID()
	if u.speakers[a] == 0 {
		u.speakers[a] = childOf(t, a.pid()) // later it is the supervisor's
	}
	speaker := u.speakers[a]
	begun := time.Now()
	if out, code := a.cli("upgrade", "--binary", path); code != 0 || !strings.Contains(out, nextVersion) {
		t.Fatalf("upgrade: exit status %d:\n%s\n%s", code, out, logOf(t, a.proc))
	}
	took := time.Since(begun)
	after := a.status()
	if after == nil || after.Version != nextVersion || after.PID == before.PID {
		t.Fatalf("after the upgrade: %+v", after)
	}
	was, is := before.Routers[0], after.Routers[0]
	if is.State != was.State || is.Why != was.Why || is.Since.Sub(was.Since).Abs() > time.Second || is.Counters.BecameMaster != was.Counters.BecameMaster {
		t.Errorf("%s: %s since %v (%s), was %s since %v (%s)", a.node.Name(), is.State, is.Since, is.Why, was.State, was.Since, was.Why)
	}
	waitFor(t, 3*time.Second, "the supervisor to be the new program", func() bool {
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", main))
		return err == nil && exe == path
	})
	for _, pid := range []int{main, after.PID} {
		waitFor(t, 3*time.Second, "the process to have its program's name", func() bool {
			name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
			return err == nil && strings.TrimSpace(string(name)) == filepath.Base(path)
		})
	}
	const first = "(devel)" // the version that has started the speaker
	waitFor(t, 3*time.Second, "the version of the speaker", func() bool { s := a.status(); return s != nil && s.Speakers[0].Version == first })
	if out, code := a.cli("status"); code != 0 || !strings.Contains(out, "its process is of version "+first) {
		t.Errorf("%s: status does not say that the speaker is of another version, exit status %d:\n%s", a.node.Name(), code, out)
	}
	if !exists(fmt.Sprintf("/proc/%d", speaker)) {
		t.Errorf("%s: the speaker's process is another one", a.node.Name())
	}
	a.waitSession(3 * time.Second)
	t.Logf("%s: upgraded in %v", a.node.Name(), took.Round(time.Millisecond))
}

// unnoticed checks what others have seen since u.at.
func (u *upgradeLab) unnoticed(ma, mb *agent) {
	t := u.t
	t.Helper()
	time.Sleep(3 * time.Second) // longer than anything is held back
	gap, last, n := time.Duration(0), time.Time{}, 0
	for _, p := range u.adverts("192.0.2.1", u.at.Add(-2*u.interval)) {
		if !last.IsZero() {
			gap = max(gap, p.At.Sub(last))
		}
		if last, n = p.At, n+1; p.VRRP.Priority == wire.PriorityRelease {
			t.Error("an advertisement of priority 0")
		}
	}
	o := u.probe.Longest(u.at.Add(-50*time.Millisecond), time.Now())
	t.Logf("%d advertisements, longest gap %v; longest outage %v", n, gap.Round(100*time.Microsecond), o)
	if most := max(u.interval*12/10, u.interval+slack/3); gap > most {
		t.Errorf("a gap of %v between advertisements, want %v at most", gap, most)
	}
	if o.Duration() != 0 {
		t.Errorf("an outage of %v", o)
	}
	if list := u.adverts("192.0.2.2", u.at); len(list) != 0 {
		t.Errorf("b has sent %d advertisements", len(list))
	}
	for _, s := range u.capture.Sightings() {
		if s.At.After(u.at) && strings.Contains(s.What, "bgp 192.0.2.") && !strings.Contains(s.What, "KEEPALIVE") {
			t.Errorf("%v after the beginning: %s", s.At.Sub(u.at).Round(time.Millisecond), s.What)
		}
	}
	if text := logOf(t, ma.proc); strings.Contains(text, "the agent has died") {
		t.Errorf("the log:\n%s", text)
	}
	// The new supervisor does what the old one did.
	pid := ma.pid()
	must(t, ma.proc.Signal(syscall.SIGTERM))
	waitFor(t, 5*time.Second, "b to be MASTER", func() bool { r := mb.router(); return r != nil && r.State == "MASTER" })
	waitFor(t, 8*time.Second, "the agent to end", func() bool { return !exists(fmt.Sprintf("/proc/%d", pid)) })
}
