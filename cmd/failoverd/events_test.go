package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// eventLines are lines of an event log that count from first.
func eventLines(first, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"time":"2026-05-04T12:00:00.000000000Z","seq":%d,"kind":"fault","router":"WEB","reason":"number %d"}`+"\n", first+i, first+i)
	}
	return b.String()
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestEventsCommand(t *testing.T) {
	dir := t.TempDir()
	env := map[string]string{"FAILOVERD_STATE_DIR": dir}
	path := filepath.Join(dir, eventsFile)
	code, _, stderr := cli(t, env, "events")
	if code != exitFatal || !strings.Contains(stderr, path) {
		t.Errorf("without a file: exit status %d, %s", code, stderr)
	}
	writeFile(t, path+".1", eventLines(1, 30))
	writeFile(t, path, eventLines(31, 5)+`{"half a`)
	for _, c := range []struct {
		args        []string
		lines       int
		first, last string
	}{
		{nil, 20, "fault           WEB: number 16", "fault           WEB: number 35"},
		{[]string{"--last", "3"}, 3, "number 33", "number 35"},
		{[]string{"--last", "1000"}, 35, "number 1", "number 35"},
		{[]string{"--last", "1", "--json"}, 1, `"seq":35,"kind":"fault"`, "}"},
		{[]string{"--last", "0"}, 0, "", ""},
	} {
		code, stdout, stderr := cli(t, env, append([]string{"events"}, c.args...)...)
		lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
		if code != 0 || strings.Count(stdout, "\n") != c.lines || !strings.Contains(lines[0], c.first) || !strings.HasSuffix(lines[len(lines)-1], c.last) {
			t.Errorf("%q: exit status %d\n%s%s", c.args, code, stdout, stderr)
		}
	}
	// A configuration that names no other file.
	conf := filepath.Join(dir, "conf")
	writeFile(t, conf, "vrrp_instance V {\n interface lo\n virtual_router_id 1\n virtual_ipaddress {\n 192.0.2.1\n }\n}\n")
	if code, stdout, _ := cli(t, env, "events", "-f", conf, "--last", "1"); code != 0 || !strings.Contains(stdout, "number 35") {
		t.Errorf("with -f: exit status %d\n%s", code, stdout)
	}
}

// output is what a command prints, to be looked at meanwhile.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// To follow is to see every event once, in order, whatever becomes of the file.
func TestEventsFollow(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, eventsFile)
	var out output
	p := &program{
		stdout: &out, stderr: &out,
		getenv: func(name string) string { return map[string]string{"FAILOVERD_STATE_DIR": dir}[name] },
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan int)
	go func() { done <- p.execute(ctx, []string{"events", "--follow", "--json"}) }()
	seen := 0
	appear := func(n int) {
		t.Helper()
		seen += n
		for start := time.Now(); out.String() != eventLines(1, seen); time.Sleep(5 * time.Millisecond) {
			if time.Since(start) > 5*time.Second {
				t.Fatalf("want %d events, got:\n%s", seen, out.String())
			}
		}
	}
	add := func(text string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f.WriteString(text)
		_ = f.Close()
	}
	time.Sleep(2 * followEvery) // the file comes later
	add(eventLines(1, 3))
	appear(3)
	line := eventLines(4, 1)
	add(line[:20])
	time.Sleep(2 * followEvery)
	add(line[20:])
	appear(1)
	add(eventLines(5, 2)) // seen only after the rotation
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	add(eventLines(7, 2))
	appear(4)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * followEvery)
	add(eventLines(9, 1))
	appear(1)
	stop()
	if code := <-done; code != 0 {
		t.Errorf("exit status %d", code)
	}
}

func TestEventLogDefault(t *testing.T) {
	for _, c := range []struct {
		env       map[string]string
		namespace string
		want      string
	}{
		{nil, "", "/var/lib/failoverd/events.jsonl"},
		{nil, "blue", "/var/lib/failoverd/blue/events.jsonl"},
		{map[string]string{"STATE_DIRECTORY": "/var/lib/x:/y"}, "", "/var/lib/x/events.jsonl"},
		{map[string]string{"FAILOVERD_STATE_DIR": "/s", "STATE_DIRECTORY": "/y"}, "", ""},
	} {
		p := &program{getenv: func(name string) string { return c.env[name] }}
		if got := p.eventLog(c.namespace); got != c.want {
			t.Errorf("%v %q: %q, want %q", c.env, c.namespace, got, c.want)
		}
	}
}
