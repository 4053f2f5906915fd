package health

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"failoverd/failover"
)

// serve answers each connection by a function, in a goroutine, until the test ends.
func serve(t *testing.T, answer func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(patience))
				if _, err := bufio.NewReader(c).ReadString('\n'); err == nil {
					answer(c)
				}
			})
		}
	})
	return l.Addr().String()
}

// An answer counts however it comes: octet by octet, in parts, in full, too long for the sweep.
func TestAnswerInPieces(t *testing.T) {
	const header = "HTTP/1.1 200 OK\r\nContent-Length: "
	long := strings.Repeat("0123456789", maxQuick/10*2)
	for _, tt := range []struct {
		name, text string
		piece      int
		body       string
	}{
		{"at once", header + "4\r\n\r\nwell", 100, "^well$"},
		{"in two pieces", header + "4\r\n\r\nwell", 20, "^well$"},
		{"octet by octet", header + "4\r\n\r\nwell", 1, "^well$"},
		{"long", header + fmt.Sprint(len(long)) + "\r\n\r\n" + long, len(long), "^(0123456789)+$"},
		{"long, in pieces", header + fmt.Sprint(len(long)) + "\r\n\r\n" + long, 5000, "^(0123456789)+$"},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nwe\r\n2\r\nll\r\n0\r\n\r\n", 9, "^well$"},
		{"until the end", "HTTP/1.0 200 OK\r\n\r\nwell", 3, "^well$"},
	} {
		c := failover.CheckConfig{Timeout: patiently, Probe: failover.Probe{Kind: failover.ProbeHTTP, Body: tt.body}}
		c.Probe.Target = "http://" + serve(t, func(c net.Conn) {
			for b := []byte(tt.text); len(b) > 0; {
				n := min(tt.piece, len(b))
				if _, err := c.Write(b[:n]); err != nil {
					return
				}
				b = b[n:]
				time.Sleep(time.Millisecond) // so that the next piece comes by itself
			}
		}) + "/"
		if got := probeOnce(t, c); got != "ok: status 200" {
			t.Errorf("%s: %s", tt.name, got)
		}
	}
}

// A request that does not fit into the buffers of a socket is sent all the same.
func TestLongRequest(t *testing.T) {
	value := strings.Repeat("x", 8<<20)
	c := failover.CheckConfig{Timeout: patience, Probe: failover.Probe{Kind: failover.ProbeHTTP, Headers: [][2]string{{"X", value}}}}
	c.Probe.Target = "http://" + serve(t, func(c net.Conn) {
		time.Sleep(50 * time.Millisecond) // the buffers are full by then
		buffer, last := make([]byte, 1<<16), ""
		for !strings.HasSuffix(last, "\r\n\r\n") {
			n, err := c.Read(buffer)
			if err != nil {
				return
			}
			if last += string(buffer[:n]); len(last) > 4 {
				last = last[len(last)-4:]
			}
		}
		_, _ = c.Write([]byte("HTTP/1.1 204 No Content\r\n\r\n"))
	}) + "/"
	if got := probeOnce(t, c); got != "ok: status 204" {
		t.Error(got)
	}
}

// What hangs fails at its timeout, time after time, and delays nobody: neither those that are due together with it nor their round
// trips.
func TestHungChecksDelayNobody(t *testing.T) {
	well := serve(t, func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) })
	deaf := listen(t)
	cfg := &failover.Config{}
	for i := range 100 {
		c := checkParams(failover.CheckConfig{Name: fmt.Sprintf("well %d", i), Interval: second / 5, Timeout: patiently})
		c.Probe = failover.Probe{Kind: failover.ProbeHTTP, Target: "http://" + well + "/"}
		if i%2 == 1 {
			c.Name, c.Interval, c.Timeout, c.Probe.Target = fmt.Sprintf("hung %d", i), second, second, "http://"+deaf+"/"
		}
		cfg.Checks = append(cfg.Checks, c)
	}
	w := watch(t, cfg, nil)
	for seen := make(map[string]bool); len(seen) < len(cfg.Checks); {
		r := w.next()
		seen[r.Tracker.Name] = true
		if well := strings.HasPrefix(r.Tracker.Name, "well"); r.OK != well || !well && !strings.HasPrefix(r.Reason, "timed out after 1s") {
			t.Fatalf("%s: %v %s", r.Tracker.Name, r.OK, r.Reason)
		}
	}
	// The others have looked several times by then, and none of the second is in what they have measured.
	list := []failover.CheckStatus{{Name: "well 0"}, {Name: "well 98"}}
	w.m.Describe(list)
	for _, s := range list {
		if s.Probes < 2 || s.RTTMS <= 0 || s.RTTMS > 800 {
			t.Errorf("%+v", s)
		}
	}
}

// Checks come, change and go while runs go on, and none of it is left.
func TestSweepReconfigured(t *testing.T) {
	well := serve(t, func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) })
	deaf := listen(t)
	m := New(Options{})
	ctx, cancel := context.WithCancel(t.Context())
	over, told := make(chan error, 1), make(chan failover.TrackerReport, 1000)
	go func() {
		over <- m.Run(ctx, func(r failover.TrackerReport) {
			select {
			case told <- r:
			default:
			}
		})
	}()
	for round := range 20 {
		cfg := &failover.Config{}
		for i := range 30 {
			target := [...]string{well, deaf}[(i+round)%2]
			c := checkParams(failover.CheckConfig{Name: fmt.Sprint(i), Interval: second / 10, Timeout: second / 10, Rise: 1, Fall: 1 + round%3})
			c.Probe = failover.Probe{Kind: [...]failover.ProbeKind{failover.ProbeHTTP, failover.ProbeTCP, failover.ProbeLink}[(i+round)%3], Target: target}
			switch c.Probe.Kind {
			case failover.ProbeHTTP:
				c.Probe.Target = "http://" + target + "/"
			case failover.ProbeLink:
				c.Probe.Target = "lo"
			}
			if (i+round)%5 != 0 {
				cfg.Checks = append(cfg.Checks, c)
			}
		}
		m.Configure(cfg)
		<-told
	}
	cancel()
	if err := <-over; err != nil {
		t.Error(err)
	}
	if m.sweep != nil || len(m.checks) != 0 {
		t.Error("something is left")
	}
}

// Those that have begun together stay together when they leave the grid, so that they are looked after together.
func TestStayTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		var mu sync.Mutex
		at := make(map[time.Duration]int)
		s.quick = func(prober) quick {
			n := 0
			return instant(func(context.Context) outcome {
				mu.Lock()
				at[time.Since(s.zero)]++
				mu.Unlock()
				n++
				return outcome{ok: n != 3, cause: "so"}
			})
		}
		cfg := &failover.Config{}
		for i := range 10 {
			c := webCheck()
			c.Name, c.FallInterval = fmt.Sprint(i), second/3
			cfg.Checks = append(cfg.Checks, c)
		}
		s.m.Configure(cfg)
		s.start()
		s.pass(5 * second)
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		want := map[time.Duration]int{}
		for _, d := range []time.Duration{0, second, 2 * second, 2*second + second/3, 3*second + second/3, 4*second + second/3} {
			want[d] = 10
		}
		if fmt.Sprint(at) != fmt.Sprint(want) {
			t.Errorf("%v, want %v", at, want)
		}
	})
}
