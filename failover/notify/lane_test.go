package notify

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
)

func TestArgumentsAndOrder(t *testing.T) {
	m := newMailbox(t)
	w := start(t, quick(), nil)
	c := &failover.NotifyConfig{
		Master: sh(m.say("master"), "two words"), Backup: sh(m.say("backup")), Fault: sh(m.say("fault")), Stop: sh(m.say("stop")),
		Any: sh("sleep 0.05;" + m.say("any")), RivalHeard: sh(m.say("rival")),
	}
	w.Tell([]failover.Notification{transition("A", "BACKUP", 100, c), transition("A", "MASTER", 100, c)})
	w.Tell([]failover.Notification{transition("A", "MASTER_RX_LOWER_PRI", 100, c), transition("A", "MASTER_PRIORITY", 90, c), transition("A", "FAULT", 100, c)})
	m.expect(t, "backup", "any INSTANCE A BACKUP 100", "master two words", "any INSTANCE A MASTER 100", "rival", "fault", "any INSTANCE A FAULT 100")
	quiet := transition("A", "BACKUP", 100, c)
	quiet.Quiet = true
	w.Tell([]failover.Notification{quiet, {Group: true, Name: "A", State: "MASTER", Commands: c}})
	m.expect(t, "master two words", "any GROUP A MASTER 0")
}

// TestOneAtATime has scripts that would notice if another one of their router ran.
func TestOneAtATime(t *testing.T) {
	m := newMailbox(t)
	w := start(t, quick(), nil)
	dir := filepath.Join(w.dir, "lock")
	text := fmt.Sprintf("mkdir %s || echo overlap > %s; sleep 0.02; rmdir %s; %s", dir, m.path, dir, m.say("done"))
	c := &failover.NotifyConfig{Any: sh(text)}
	for i := range 8 {
		w.Tell([]failover.Notification{transition("A", "MASTER", i, c)})
	}
	for i := range 8 {
		m.expect(t, fmt.Sprintf("done INSTANCE A MASTER %d", i))
	}
}

// TestHangingScript shows that other routers do not wait for a script that hangs, and that it is killed with its
// children at its timeout although they ignore SIGTERM.
func TestHangingScript(t *testing.T) {
	m := newMailbox(t)
	s := quick()
	s.timeout = 300 * time.Millisecond
	w := start(t, s, nil)
	hang := &failover.NotifyConfig{
		Master: sh("trap '' TERM; (sleep 600; :) & echo $$ $! > " + m.path + "; while :; do sleep 600; done"),
		Backup: sh(m.say("backup")),
	}
	w.Tell([]failover.Notification{transition("A", "MASTER", 1, hang)})
	pids := strings.Fields(m.next(t))
	begun := time.Now()
	w.Tell([]failover.Notification{transition("A", "BACKUP", 2, hang)})
	other := &failover.NotifyConfig{Any: sh(m.say("other"))}
	for i := range 20 {
		w.Tell([]failover.Notification{transition(fmt.Sprint(i), "MASTER", i, other)})
	}
	for range 20 {
		if line := m.next(t); !strings.HasPrefix(line, "other") {
			t.Fatalf("reported %q before the others", line)
		}
	}
	m.expect(t, "backup")
	if took := time.Since(begun); took > slack {
		t.Errorf("took %v", took)
	}
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %s is alive", pid)
		}
	}
	if !w.log.has("notify script failed", "timed out after 300ms, killed", "router=A", "state=MASTER") {
		t.Error("not logged")
	}
}

// TestBurst tells more than scripts can follow.
func TestBurst(t *testing.T) {
	m := newMailbox(t)
	w := start(t, quick(), nil)
	c := &failover.NotifyConfig{Any: sh(m.say("told"))}
	var longest time.Duration
	for i := range 1000 {
		begun := time.Now()
		w.Tell([]failover.Notification{transition("A", []string{"BACKUP", "MASTER"}[i%2], i%250, c), transition("B", "BACKUP", i%250, c)})
		longest = max(longest, time.Since(begun))
	}
	w.Tell([]failover.Notification{transition("A", "FAULT", 255, c), transition("B", "FAULT", 255, c)})
	var told []string
	for want := 2; want > 0; {
		line := m.next(t)
		told = append(told, line)
		if line == "told INSTANCE A FAULT 255" || line == "told INSTANCE B FAULT 255" {
			want--
		}
	}
	if len(told) > 400 {
		t.Errorf("%d scripts ran", len(told))
	}
	if !w.log.has("states left out", "router=A") {
		t.Error("not logged")
	}
	if longest > time.Second {
		t.Errorf("Tell took up to %v", longest)
	}
	soon(t, "the end of all lanes", func() bool { return len(w.rest()) == 0 })
}

func TestParallelIsBounded(t *testing.T) {
	m := newMailbox(t)
	s := quick()
	s.parallel = 2
	w := start(t, s, nil)
	gate := filepath.Join(w.dir, "gate")
	c := &failover.NotifyConfig{Any: sh("echo started > " + m.path + "; while [ ! -e " + gate + " ]; do sleep 0.02; done; echo ended > " + m.path)}
	for i := range 4 {
		w.Tell([]failover.Notification{transition(fmt.Sprint(i), "MASTER", 1, c)})
	}
	m.expect(t, "started", "started")
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m.expect(t, "ended")
	started, ended := 2, 1
	for ended < 4 {
		if m.next(t) == "started" {
			started++
		} else {
			ended++
		}
		if started-ended > 2 {
			t.Fatal("more than two at once")
		}
	}
}

func TestOutputAndFailuresAreLogged(t *testing.T) {
	w := start(t, quick(), nil)
	w.Tell([]failover.Notification{
		transition("A", "MASTER", 1, &failover.NotifyConfig{Master: sh("echo hello; echo there >&2; exit 3")}),
		transition("B", "MASTER", 1, &failover.NotifyConfig{Master: &failover.Command{Args: []string{"/no/such/program"}, User: ownUser()}}),
		{Group: true, Name: "G", State: "STOP", Commands: &failover.NotifyConfig{Stop: sh("kill -9 $$")}},
	})
	for _, want := range [][]string{
		{"level=INFO", "says", "line=hello", "router=A", "state=MASTER", "script=/bin/sh"},
		{"says", "line=there"},
		{"level=WARN", "failed", `result="exit status 3"`, "router=A"},
		{"level=ERROR", "cannot run", "no such file or directory", "router=B"},
		{"level=WARN", "failed", `result="ended by SIGKILL"`, "group=G"},
	} {
		soon(t, fmt.Sprint(want), func() bool { return w.log.has(want...) })
	}
}

// TestSecurity refuses a script that others can change as soon as the configuration asks for it.
func TestSecurity(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: script security is about what root runs")
	}
	m := newMailbox(t)
	w := start(t, quick(), nil)
	path := filepath.Join(w.dir, "script")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+m.say("ran")+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	c := &failover.NotifyConfig{Master: &failover.Command{Args: []string{path}, User: "root"}}
	w.Tell([]failover.Notification{transition("A", "MASTER", 1, c)})
	m.expect(t, "ran")
	w.Configure(&failover.Config{ScriptSecurity: true})
	w.Tell([]failover.Notification{transition("A", "MASTER", 1, c)})
	soon(t, "the refusal", func() bool { return w.log.has("cannot run", "belongs to user 65534") })
}

func TestToldBeforeRun(t *testing.T) {
	m := newMailbox(t)
	n := New(nil)
	n.Tell([]failover.Notification{transition("A", "BACKUP", 1, &failover.NotifyConfig{Any: sh(m.say("told"))})})
	w := &world{Notifier: n, t: t, log: new(logText), ended: make(chan error, 1)}
	ctx, cancel := contextOf(t)
	w.cancel = cancel
	go func() { w.ended <- n.Run(ctx) }()
	m.expect(t, "told INSTANCE A BACKUP 1")
	w.stop()
	if err := n.Run(ctx); err == nil {
		t.Error("a second Run")
	}
	n.Tell([]failover.Notification{transition("A", "MASTER", 1, &failover.NotifyConfig{Any: sh(m.say("told"))})})
	n.Configure(&failover.Config{FIFOs: []failover.FIFOConfig{{Path: "/no/such/fifo"}}})
	if len(n.lanes)+len(n.fifos) != 0 {
		t.Error("something is told after the end")
	}
}

// TestNothingIsLeft counts descriptors and goroutines.
func TestNothingIsLeft(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	m := newMailbox(t)
	round := func() {
		w := start(t, quick(), &failover.Config{FIFOs: []failover.FIFOConfig{{Path: filepath.Join(openDir(t), "fifo"), Script: sh("cat > /dev/null < $1")}}})
		c := &failover.NotifyConfig{Any: sh(m.say("told"))}
		for i := range 5 {
			w.Tell([]failover.Notification{transition(fmt.Sprint(i), "MASTER", 1, c)})
		}
		for range 5 {
			m.next(t)
		}
		w.stop()
	}
	round()
	fds, goroutines := count(), runtime.NumGoroutine()
	for range 5 {
		round()
	}
	soon(t, "the end of all goroutines", func() bool { return runtime.NumGoroutine() <= goroutines })
	if n := count(); n > fds {
		t.Errorf("%d descriptors, were %d", n, fds)
	}
}

// TestShortOfDescriptors lets the machine be short of something when a state is to be told. It is told later.
func TestShortOfDescriptors(t *testing.T) {
	box := newMailbox(t)
	w := start(t, quick(), nil)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	set := func(l unix.Rlimit) {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
			t.Error(err)
		}
	}
	set(unix.Rlimit{Cur: 3, Max: before.Max})
	t.Cleanup(func() { set(before) })
	w.Tell([]failover.Notification{transition("V", "MASTER", 1, &failover.NotifyConfig{Master: sh(box.say("master"))})})
	soon(t, "a second attempt", func() bool { return strings.Count(w.log.String(), "too many open files") >= 2 })
	set(before)
	box.expect(t, "master")
}
