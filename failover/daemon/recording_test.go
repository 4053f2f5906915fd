package daemon

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/failover/record"
	"failoverd/vrrp"
)

// replayed replays a file and returns the replay, which must not differ.
func replayed(t *testing.T, path string) *record.Replay {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := record.NewReader(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	p, err := record.NewReplay(r, nil)
	if err == nil {
		err = p.All(func() {})
	}
	if err != nil {
		t.Fatal(err)
	}
	if d := p.Difference; d != nil {
		t.Fatalf("line %d: %s\nrecorded:\n%s\nreplayed:\n%s", d.Line, d.What, strings.Join(d.Recorded.Lines(), "\n"), strings.Join(d.Replayed.Lines(), "\n"))
	}
	return p
}

// A recording ends when it is full, when the disk fails, and when the goroutine does not keep up; what there is of it is
// replayed all the same, the one before is kept, and nobody else may read it.
func TestRecordingEnds(t *testing.T) {
	cfg := &failover.Config{BGPLease: 3 * time.Second}
	begin := func(t *testing.T, path string) (*recording, *record.Core) {
		c := *cfg
		c.Record = failover.RecordConfig{File: path, LimitMB: 1}
		r := newRecording(&c, slog.New(slog.DiscardHandler))
		core, err := record.New(&c, 0, r.begin(&Options{Version: "v"}))
		if err != nil {
			t.Fatal(err)
		}
		return r, core
	}
	work := func(core *record.Core, n int, pause func(int)) (done int) {
		var fx failover.Effects
		for i := range n {
			if !core.Recording() {
				return i
			}
			core.Step(vrrp.Instant(i), failover.TrackerReported{Report: failover.TrackerReport{Reason: strings.Repeat("x", 500)}}, &fx)
			core.Flush(vrrp.Instant(i), &fx)
			fx.Reset()
			pause(i)
		}
		return n
	}
	t.Run("stopped", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "deep", "r")
		for range 2 { // lives
			r, core := begin(t, path)
			r.start()
			work(core, 10, func(int) {})
			core.Snapshot(11, wallClock())
			core.Abandon()
			r.stop()
			if p := replayed(t, path); p.Inputs != 10 || p.Reader.Ended != "the agent has ended" {
				t.Errorf("%d inputs, ended because %q", p.Inputs, p.Reader.Ended)
			}
		}
		replayed(t, path+".1")
		info, err := os.Stat(path)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%v %v", info.Mode(), err)
		}
	})
	t.Run("full", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "r")
		r, core := begin(t, path)
		r.start()
		work(core, 1_000_000, func(i int) {
			if i%64 == 0 {
				time.Sleep(time.Millisecond)
			}
		})
		<-r.over
		info, err := os.Stat(path)
		if err != nil || info.Size() > 1<<20 || info.Size() < 1<<19 {
			t.Errorf("%d octets, %v", info.Size(), err)
		}
		p := replayed(t, path)
		if p.Reader.Ended != "it is full: record_size 1" || p.Inputs < 500 {
			t.Errorf("%d inputs, ended because %q", p.Inputs, p.Reader.Ended)
		}
		var s failover.AgentStatus
		r.describe(&s)
		if s.Recording.Ended != p.Reader.Ended || s.Recording.Size != info.Size() {
			t.Errorf("status %+v", s.Recording)
		}
	})
	t.Run("too slow", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "r")
		r, core := begin(t, path)
		if n := work(core, 1_000_000, func(int) {}); n > recordQueue+1 {
			t.Errorf("%d lines wait", n)
		}
		r.start()
		<-r.over
		if why := *r.reason.Load(); why != "the disk cannot keep up" {
			t.Error(why)
		}
	})
	t.Run("no such place", func(t *testing.T) {
		for _, path := range []string{"/dev/null", "/proc/x/y"} {
			r, core := begin(t, path)
			r.start()
			<-r.over
			if r.reason.Load() == nil {
				t.Errorf("%s: goes on", path)
			}
			if work(core, 10, func(int) {}); core.Recording() {
				t.Errorf("%s: the core does not know", path)
			}
			r.stop()
		}
	})
}

const recordedText = `
global_defs { record %s }
vrrp_script up { script "/bin/test -e %s" interval 1 fall 1 rise 1 }
vrrp_instance V {
  interface fo-a
  virtual_router_id 7
  priority 200
  advert_int 0.1
  version 3
  virtual_ipaddress { 198.51.100.7/32 }
  track_script { up }
}
`

// The recording of a real agent, over start, takeover, check failure, reload and stop, is replayed to the same decisions.
func TestRecordedAgentReplays(t *testing.T) {
	l := newLab(t)
	dir := t.TempDir()
	file, flag := filepath.Join(dir, "recording"), filepath.Join(dir, "up")
	touch := func() {
		if err := os.WriteFile(flag, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	touch()
	text := strings.NewReplacer("%s }\nvrrp", file+" }\nvrrp", "-e %s", "-e "+flag).Replace(recordedText)
	r := l.start(text)
	r.waitState("MASTER")
	if err := os.Remove(flag); err != nil {
		t.Fatal(err)
	}
	r.waitState("FAULT")
	touch()
	r.waitState("MASTER")
	r.rewrite(strings.Replace(text, "priority 200", "priority 150", 1))
	if _, err := r.agent.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the recording grows", func() bool {
		s := r.snapshot().Agent.Recording
		return s != nil && s.Lines > 10 && s.Ended == ""
	})
	r.mustEnd()
	p := replayed(t, file)
	if p.Reader.Ended != "the agent has ended" || p.Inputs < 8 || p.Decisions < 20 {
		t.Errorf("%d inputs, %d decisions, ended because %q", p.Inputs, p.Decisions, p.Reader.Ended)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode() != 0o600 {
		t.Fatal(info, err)
	}
	t.Logf("%d inputs, %d calls, %d decisions, %d octets", p.Inputs, p.Calls, p.Decisions, info.Size())
}

// The recording of an agent that is to take the place of another one leaves that one's alone until its turn comes; if it does not,
// nothing of it is left.
func TestStagedRecording(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r")
	text := func(p string) string {
		b, err := os.ReadFile(p)
		if err != nil {
			return err.Error()
		}
		return string(b)
	}
	begin := func() *recording {
		r := newRecording(&failover.Config{Record: failover.RecordConfig{File: path, LimitMB: 1}}, slog.New(slog.DiscardHandler))
		r.stage()
		r.start()
		eventually(t, "the file beside", func() bool { _, err := os.Stat(path + ".next"); return err == nil })
		return r
	}
	if err := os.WriteFile(path, []byte("of another program"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".next", []byte("a leftover"), 0o600); err != nil {
		t.Fatal(err)
	}
	begin().stop()
	if _, err := os.Stat(path + ".next"); err == nil || text(path) != "of another program" {
		t.Errorf("after one that did not take over: %v, %q", err, text(path))
	}
	r := begin()
	r.takeOver()
	eventually(t, "the recording in its place", func() bool { _, err := os.Stat(path + ".next"); return err != nil })
	r.stop()
	if text(path+".1") != "of another program" || !strings.Contains(text(path), "the agent has ended") {
		t.Errorf("after one that did: %q, before it %q", text(path), text(path+".1"))
	}
	var none *recording
	none.stage()
	none.takeOver()
}
