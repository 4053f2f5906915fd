package daemon

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"failoverd/failover"
	"failoverd/failover/status"
)

// happened returns n events, whose reasons count from first.
func happened(first, n int) (events []failover.Event) {
	for i := range n {
		events = append(events, failover.Event{Kind: failover.EventFault, Reason: fmt.Sprint(first + i)})
	}
	return events
}

// reasons reads a file of events; every line must be one.
func reasons(t *testing.T, path string) (list []string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		var e status.Event
		if err := json.Unmarshal(line, &e); err != nil || line[len(line)-1] != '\n' {
			t.Fatalf("%s: line %q: %v", path, line, err)
		}
		list = append(list, e.Reason)
	}
	return list
}

// sequence is what reasons returns of happened(first, n).
func sequence(first, n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprint(first+i))
	}
	return fmt.Sprint(list)
}

func newTestJournal(log *testLog, paths ...string) *journal {
	j := newJournal(slog.New(slog.NewTextHandler(log, nil)), "boot")
	j.use(paths)
	return j
}

func TestJournalWritesEveryEvent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "events.jsonl")
	j := newTestJournal(new(testLog), path)
	j.start()
	j.put(happened(1, 3))
	j.put(happened(4, 1))
	j.stop()
	if got := fmt.Sprint(reasons(t, path)); got != sequence(1, 4) {
		t.Errorf("%s", got)
	}
	var e status.Event
	last := j.last(2)
	if err := json.Unmarshal(last[1], &e); err != nil || len(last) != 2 || e.Seq != 4 || e.BootID != "boot" || e.PID != os.Getpid() || e.Kind != "fault" {
		t.Errorf("%d events, the last one %+v: %v", len(last), e, err)
	}
	// Another run goes on in the same file, behind a line that a power cut has left half written.
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString(`{"seq":5,`)
	_ = f.Close()
	j = newTestJournal(new(testLog), path)
	j.start()
	j.put(happened(5, 1))
	j.stop()
	b, _ := os.ReadFile(path)
	if lines := strings.Split(string(b), "\n"); len(lines) != 7 || lines[4] != `{"seq":5,` || !strings.Contains(lines[5], `"reason":"5"`) {
		t.Errorf("after a torn line:\n%s", b)
	}
}

// Nobody waits for a goroutine that does not run; what is too much is counted, and the numbers show the gap.
func TestJournalNeverBlocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	j := newTestJournal(new(testLog), path)
	j.put(happened(1, journalQueue+7))
	j.start()
	j.stop()
	<-j.ended // a machine that is busy may take longer than stop waits
	var s failover.AgentStatus
	j.describe(&s)
	if got := reasons(t, path); len(got) != journalQueue || s.EventsLost != 7 || s.EventLog != path || s.EventLogError != "" {
		t.Errorf("%d events, status %+v", len(got), s)
	}
}

// Without a place to write to events are kept, it is said once, and when there is one they are written.
func TestJournalSurvivesADirectoryThatCannotBeMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "dir")
		if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file, where a directory has to be
			t.Fatal(err)
		}
		log, path := new(testLog), filepath.Join(dir, "events.jsonl")
		j := newTestJournal(log, path)
		j.start()
		for i := range 20 {
			j.put(happened(1+i, 1))
			time.Sleep(time.Second)
		}
		j.put(happened(21, journalBacklog-18)) // two too many
		time.Sleep(time.Second)
		if n := log.count("event log cannot be written"); n != 1 {
			t.Errorf("said %d times", n)
		}
		var s failover.AgentStatus
		if j.describe(&s); s.EventLogError == "" || s.EventsLost != 2 || len(j.last(1000)) != journalRing {
			t.Errorf("status %+v, %d events in memory", s, len(j.last(1000)))
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * journalRetry)
		if got := fmt.Sprint(reasons(t, path)); got != sequence(3, journalBacklog) {
			t.Errorf("%s", got)
		}
		if j.describe(&s); s.EventLogError != "" || log.count("can be written again") != 1 {
			t.Errorf("status %+v", s)
		}
		j.stop()
	})
}

func TestJournalFallsBackOnTheStateDirectory(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	second := filepath.Join(dir, "state", "events.jsonl")
	j := newTestJournal(new(testLog), filepath.Join(file, "events.jsonl"), second)
	j.start()
	j.put(happened(1, 1))
	j.stop()
	var s failover.AgentStatus
	if j.describe(&s); s.EventLog != second || s.EventLogError != "" || fmt.Sprint(reasons(t, second)) != "[1]" {
		t.Errorf("status %+v", s)
	}
}

func TestEventPaths(t *testing.T) {
	for _, tt := range []struct{ name, configured, option, want string }{
		{"configured", "/c/e", "/o/e", "[/c/e]"},
		{"default", "", "/o/e", "[/o/e /s/events.jsonl]"},
		{"state directory", "", "", "[/s/events.jsonl]"},
		{"the same twice", "", "/s/events.jsonl", "[/s/events.jsonl]"},
	} {
		a := &Agent{dir: "/s", opts: Options{EventLog: tt.option}}
		if got := fmt.Sprint(a.eventPaths(&failover.Config{EventLog: tt.configured})); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestEventFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	read := func(p string) string {
		b, _ := os.ReadFile(p)
		return string(b)
	}
	e := eventFile{most: 20}
	defer e.close()
	add := func(s string) {
		t.Helper()
		if err := e.append(path, []byte(s+"\n")); err != nil {
			t.Fatal(err)
		}
	}
	add("one line")
	add("two line")
	add("three")
	add("a line that is longer than a file may be")
	if a, b := read(path), read(path+".1"); a != "a line that is longer than a file may be\n" || b != "three\n" {
		t.Errorf("after two rotations %q, %q", a, b)
	}
	if err := os.Rename(path, path+".old"); err != nil { // as logrotate does
		t.Fatal(err)
	}
	add("four")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	add("five")
	if got := read(path); got != "five\n" {
		t.Errorf("after somebody moved and removed it: %q", got)
	}
}

// A disk that is full in the middle of a line leaves none that is torn.
func TestEventFileOnAFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: NOT ROOT: this test mounts a small file system")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8k"); err != nil {
		t.Skipf("SKIPPED, NOT PASSED: mount: %v", err)
	}
	defer func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }()
	path := filepath.Join(dir, "events.jsonl")
	e := eventFile{most: journalMax}
	defer e.close()
	line := []byte(strings.Repeat("x", 2999) + "\n")
	written := 0
	for e.append(path, line) == nil {
		written++
	}
	b, err := os.ReadFile(path)
	if err != nil || written < 1 || len(b) != written*len(line) {
		t.Errorf("%d lines are written, the file has %d octets: %v", written, len(b), err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	e.close()
	if err := e.append(path, line); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// What is no regular file is refused, and nobody hangs.
func TestEventFileThatIsNone(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, dir, "/dev/null"} {
		var e eventFile
		if err := e.append(path, []byte("line\n")); err == nil {
			t.Errorf("%s is written to", path)
		}
	}
}
