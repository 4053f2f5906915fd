package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"failoverd/conf"
	"failoverd/failover"
	"failoverd/failover/status"
	"failoverd/vrrp/wire"
)

// goroutines returns the stacks of all goroutines that run code of this module, but for the caller's.
func goroutines() (ours []string) {
	b := make([]byte, 4<<20)
	for i, g := range strings.Split(string(b[:runtime.Stack(b, true)]), "\n\n") {
		if i > 0 && strings.Contains(g, "failoverd/") && !strings.Contains(g, "testing.(*T).Run") {
			ours = append(ours, g)
		}
	}
	return ours
}

func descriptors(t *testing.T) []string {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var open []string
	for _, e := range list {
		if to, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name())); err == nil {
			open = append(open, e.Name()+" "+to)
		}
	}
	return open
}

// The whole life of an agent: it takes the role, programs the address, and leaves nothing behind.
func TestRunLeavesNothingBehind(t *testing.T) {
	for _, c := range []struct{ name, conf string }{{"router", webConf}, {"router and speaker", speakConf}} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t)
			goroutinesBefore, descriptorsBefore := goroutines(), descriptors(t)
			r := l.start(c.conf, speaking)
			r.waitState("MASTER")
			eventually(t, "the address", func() bool { return l.holds("192.0.2.10/32") })
			if c.conf == speakConf {
				eventually(t, "the speaker", func() bool { return r.snapshot().Speakers[0].Connected })
			}
			if s := r.snapshot(); s.Version != "test" || s.PID != os.Getpid() || len(s.Links) != 1 || !s.Links[0].Open {
				t.Errorf("snapshot %+v", s)
			}
			begin := time.Now()
			took, err := r.end()
			if err != nil || took > stopBound+slack {
				t.Errorf("the end took %v: %v", took, err)
			}
			t.Logf("stopped in %v", took)
			if l.holds("192.0.2.10/32") {
				t.Error("the address is left")
			}
			if ads := l.adverts(begin); len(ads) == 0 || ads[len(ads)-1].payload[2] != 0 {
				t.Errorf("%d advertisements at the end, want a last one with priority 0", len(ads))
			}
			eventually(t, "the end of the goroutines:\n"+strings.Join(goroutines(), "\n\n"), func() bool {
				return len(goroutines()) <= len(goroutinesBefore)
			})
			if now := descriptors(t); len(now) > len(descriptorsBefore) {
				t.Errorf("descriptors before: %q\nand after: %q", descriptorsBefore, now)
			}
			left, err := os.ReadDir(filepath.Join(filepath.Dir(r.file), "state"))
			left = slices.DeleteFunc(left, func(e os.DirEntry) bool { return e.Name() == eventsFile })
			if err != nil || len(left) > 0 {
				t.Errorf("left in the state directory: %v, %v", left, err)
			}
		})
	}
}

// A flood of advertisements that nobody is there for delays neither the own ones nor what the kernel says.
func TestFloodDelaysNothing(t *testing.T) {
	l := newLab(t)
	r := l.start("global_defs {\n    log_unknown_vrids\n}\n" + webConf)
	r.waitState("MASTER")
	eventually(t, "the address", func() bool { return l.holds("192.0.2.10/32") })
	const interval = 200 * time.Millisecond
	stranger := l.packet(wire.V3, 77, 200)
	begin, sent := time.Now(), 0
	removed := time.Time{}
	for time.Since(begin) < 3*time.Second {
		for due := int(time.Since(begin) / (100 * time.Microsecond)); sent < due; sent++ {
			l.send(stranger)
		}
		if removed.IsZero() && time.Since(begin) > time.Second {
			l.ip("addr del 192.0.2.10/32 dev fo-a")
			removed = time.Now()
		}
		time.Sleep(time.Millisecond)
	}
	end := time.Now()
	last := begin
	for _, f := range append(l.adverts(begin), frame{at: end}) {
		if gap := f.at.Sub(last); gap > interval+slack {
			t.Errorf("%v without an advertisement", gap)
		}
		last = f.at
	}
	if !l.holds("192.0.2.10/32") || r.log.count("address removed by somebody else, put back") != 1 {
		t.Error("the address that was removed during the flood is not back, or that is not in the log")
	}
	var s *failover.Snapshot
	eventually(t, "a snapshot from after the flood", func() bool { s = r.snapshot(); return s.TakenAt.After(end) })
	k := s.Links[0]
	lost := k.Drops["vrid_unknown"] + k.Drops["queue_full"] + k.Drops["socket_full"]
	if s.Routers[0].State != "MASTER" || k.Drops["vrid_unknown"] < uint64(sent)/10 || lost > uint64(sent) {
		t.Errorf("%d sent; link %+v, router %s", sent, k, s.Routers[0].State)
	}
	if k.Received > 0 {
		t.Errorf("%d packets count as received, nobody was there for any of them", k.Received)
	}
	if n := r.log.count("packet dropped"); n == 0 || n > 4 {
		t.Errorf("%d lines about %d packets", n, sent)
	}
	t.Logf("%d packets: %v, loop at most %.1f ms late", sent, k.Drops, s.Agent.LoopLateMillis)
	r.mustEnd()
}

// A packet that its virtual router refuses is counted there and not at the link, and told once.
func TestRefusedPackets(t *testing.T) {
	l := newLab(t)
	r := l.start(webConf)
	r.waitState("MASTER")
	for range 3 {
		l.send(l.packet(wire.V2, 51, 200))
	}
	l.send(l.packet(wire.V3, 51, 200))
	r.waitState("BACKUP")
	s := r.snapshot()
	if n := s.Routers[0].Counters.Drops["version"]; n != 3 {
		t.Errorf("the router counts %d packets of another version, want 3", n)
	}
	if k := s.Links[0]; k.Received != 4 || len(k.Drops) != 0 {
		t.Errorf("link %+v, want 4 received and none dropped", k)
	}
	if r.log.count("packet dropped") != 1 || r.log.count("reason=version src=192.0.2.99 vrid=51") != 1 {
		t.Error("want one line about the three packets")
	}
	r.mustEnd()
}

// Whoever hangs, Run ends.
func TestRunEndsInTime(t *testing.T) {
	t.Run("a speaker that never answers", func(t *testing.T) {
		l := newLab(t)
		r := l.start(speakConf, func(o *Options) { o.SpeakerArgv = []string{"/bin/sh", "-c", "exec sleep 60"} })
		r.waitState("MASTER")
		r.mustEnd()
		r.left(t)
	})
	t.Run("a speaker that cannot start", func(t *testing.T) {
		l := newLab(t)
		r := l.start(speakConf)
		r.waitState("MASTER")
		eventually(t, "the reason in status", func() bool { return strings.Contains(r.snapshot().Speakers[0].Error, "/nonexistent/speaker") })
		r.mustEnd()
	})
	t.Run("a speaker that freezes while its route is out", func(t *testing.T) {
		l := newLab(t)
		r := l.start(announceConf, speaking)
		r.announced(t)
		for _, pid := range children(t) {
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		}
		begin := time.Now()
		r.stop(nil)
		eventually(t, "the address to be gone", func() bool { return !l.holds("192.0.2.10/32") })
		const interval = 200 * time.Millisecond // for which nobody takes the role
		if d := time.Since(begin); d > interval+failover.HandoverMargin+failover.ReleaseBound+failover.DefaultWithdrawGrace+slack {
			t.Errorf("the address stayed for %v", d)
		}
		r.mustEnd()
		r.left(t)
	})
	t.Run("before anything has begun", func(t *testing.T) {
		l := newLab(t)
		r := l.start(webConf)
		r.mustEnd()
	})
	t.Run("a worker that hangs", func(t *testing.T) {
		a, _ := plain(t, new(testLog))
		hang := make(chan struct{})
		defer close(hang)
		a.loop.crew.spawn("netlink", func() { <-hang })
		ctx, stop := context.WithCancel(context.Background())
		stop()
		begin := time.Now()
		err := a.Run(ctx)
		if d := time.Since(begin); err == nil || err.Error() != "stop: not ended in time: netlink" || d > stopBound+slack {
			t.Errorf("after %v: %v", d, err)
		}
	})
	t.Run("a worker that nothing works without", func(t *testing.T) {
		a, _ := plain(t, new(testLog))
		a.needed(errTest)
		a.needed(errors.New("another one"))
		if err := a.Run(context.Background()); !errors.Is(err, errTest) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("stop asked for before Run", func(t *testing.T) {
		a, _ := plain(t, new(testLog))
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := a.Run(ctx); err != nil {
			t.Error(err)
		}
		if _, err := a.Reload(context.Background()); !errors.Is(err, ErrStopped) {
			t.Errorf("reload after the end: %v", err)
		}
	})
}

// left checks that no child process is.
func (r *running) left(t *testing.T) {
	t.Helper()
	if c := children(t); len(c) > 0 {
		t.Errorf("processes left: %v", c)
	}
}

// children returns the processes that this one has started.
func children(t *testing.T) (pids []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it has gone
		}
		pid, _ := strconv.Atoi(strings.TrimPrefix(filepath.Dir(name), "/proc/"))
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if f[0] != "Z" && f[1] == fmt.Sprint(os.Getpid()) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// An interface that is missing, appears, is replaced and renamed: its sockets follow.
func TestInterfaceComesAndGoes(t *testing.T) {
	l := newLab(t)
	l.ip("link set fo-a down")
	l.ip("link set fo-a name fo-x")
	r := l.start(webConf)
	r.waitState("FAULT")
	if k := r.snapshot().Links[0]; k.Open || k.Error != "there is no interface fo-a" {
		t.Errorf("link %+v", k)
	}
	for _, step := range []struct{ line, state string }{
		{"link set fo-x name fo-a", "FAULT"},
		{"link set fo-a up", "MASTER"},
		{"link set fo-a down", "FAULT"},
		{"link set fo-a up", "MASTER"},
	} {
		l.ip(step.line)
		r.waitState(step.state)
	}
	if k := r.snapshot().Links[0]; !k.Open || k.Error != "" {
		t.Errorf("link %+v", k)
	}
	r.mustEnd()
}

// A socket that cannot be opened for a reason that no interface tells of is tried again.
func TestSocketComesLater(t *testing.T) {
	l := newLab(t)
	set := func(sysctl, value string) {
		if err := l.do(func() error { return os.WriteFile("/proc/sys/net/"+sysctl, []byte(value), 0) }); err != nil {
			t.Fatal(err)
		}
	}
	set("ipv6/conf/fo-a/disable_ipv6", "1") // its addresses would be news of the interface
	set("ipv4/igmp_max_memberships", "0")
	r := l.start(webConf)
	r.waitState("FAULT")
	time.Sleep(50 * time.Millisecond) // the interface has settled
	set("ipv4/igmp_max_memberships", "20")
	r.waitState("MASTER")
	r.mustEnd()
}

// plain returns an agent without routers, which needs no privilege and touches nothing.
func plain(t testing.TB, log *testLog) (*Agent, *failover.Config) {
	t.Helper()
	cfg := &failover.Config{Hash: "0123456789abcdef", BGPLease: 3 * time.Second}
	a, err := New(Options{
		File: "f", StateDir: t.TempDir(), Log: slog.New(slog.NewTextHandler(log, nil)),
		Load: func() (*failover.Config, []conf.Diagnostic, error) { return cfg, nil, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return a, cfg
}

// A second agent on the same status socket does not start: it would sweep the addresses of the first.
func TestSecondAgentDoesNotStart(t *testing.T) {
	l := newLab(t)
	r := l.start(webConf)
	r.waitState("MASTER")
	eventually(t, "the address", func() bool { return l.holds("192.0.2.10/32") })
	second := l.start(webConf, func(o *Options) { o.StateDir = r.agent.opts.StateDir })
	select {
	case err := <-second.ended:
		if !errors.Is(err, status.ErrInUse) {
			t.Errorf("the second agent ended with %v", err)
		}
	case <-time.After(stopBound):
		t.Error("the second agent runs")
	}
	if r.log.count("put back") > 0 || !l.holds("192.0.2.10/32") {
		t.Error("the second agent took the address of the first")
	}
	r.mustEnd()
}

// A log that blocks, such as a pipe that nobody reads, holds up neither the role nor the end.
func TestBlockedLog(t *testing.T) {
	l := newLab(t)
	rd, wr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	defer wr.Close()
	for room := true; room; { // until it is full
		if err := wr.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		_, err := wr.Write(make([]byte, 4096))
		room = err == nil
	}
	if err := wr.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	r := l.start(webConf, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(wr, nil)) })
	r.waitState("MASTER")
	begin := time.Now()
	time.Sleep(time.Second)
	if n := len(l.adverts(begin)); n < 3 {
		t.Errorf("%d advertisements in a second", n)
	}
	r.mustEnd()
	if l.holds("192.0.2.10/32") {
		t.Error("the address is left")
	}
}
