package rpki

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"failoverd/bgp"
	"failoverd/bgp/rtr"
)

var (
	own  = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	roa  = bgp.VRP{Prefix: own[0], MaxLength: 24, AS: 64501}
	evil = bgp.VRP{Prefix: own[0], MaxLength: 24, AS: 64666}
)

// world is where a client of a test dials: each name is a cache that a function plays.
type world struct {
	mu     sync.Mutex
	caches map[string]func(net.Conn)
	dials  map[string]int
}

func (w *world) dial(ctx context.Context, address string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dials[address]++
	play := w.caches[address]
	if play == nil {
		return nil, errors.New("connection refused")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // a pipe has no buffers, which a cache can count on
	if err != nil {
		return nil, err
	}
	go func() {
		defer l.Close()
		theirs, err := l.Accept()
		if err != nil {
			return
		}
		defer theirs.Close()
		play(theirs)
	}()
	var d net.Dialer
	ours, err := d.DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		l.Close() // nobody will come
	}
	return ours, err
}

func (w *world) set(address string, play func(net.Conn)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.caches[address] = play
}

// clientGoroutines counts the goroutines that run or wait in a Client: those of caches and of the test are not its doing.
func clientGoroutines() (n int) {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(stack, "rpki.(*Client)") {
			n++
		}
	}
	return n
}

// run starts a client and returns how to wait for a report, and the client.
func (w *world) run(t *testing.T, caches ...string) (await func(what string, ok func(bgp.RPKIReport) bool) bgp.RPKIReport, c *Client) {
	t.Helper()
	if w.dials == nil {
		w.dials = make(map[string]int)
	}
	before := clientGoroutines()
	c = New(Config{Speaker: "EDGE", Caches: caches, Prefixes: own}, slog.New(slog.DiscardHandler), Options{Dial: w.dial})
	reports := make(chan bgp.RPKIReport, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Run(ctx, func(r bgp.RPKIReport) { reports <- r })
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			t.Error("Run does not end")
		}
		for range 100 {
			if clientGoroutines() <= before {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Errorf("%d goroutines of clients, %d before", clientGoroutines(), before)
	})
	return func(what string, ok func(bgp.RPKIReport) bool) bgp.RPKIReport {
		t.Helper()
		var last bgp.RPKIReport
		for timeout := time.After(20 * time.Second); ; {
			select {
			case last = <-reports:
				if ok(last) {
					return last
				}
			case <-timeout:
				t.Fatalf("no report that %s; the last: %+v", what, last)
			}
		}
	}, c
}

// serve plays a good cache with these VRPs, until the router hangs up.
func serve(vrps ...bgp.VRP) func(net.Conn) {
	return func(c net.Conn) {
		buf := make([]byte, 64)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
			var b []byte
			for _, p := range append(prefixes(vrps), rtr.PDU{Type: rtr.EndOfData, Session: 7, Serial: 1, Refresh: 3600, Retry: 600, Expire: 7200}) {
				p.Version = 1
				b = p.Append(b)
			}
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	}
}

func prefixes(vrps []bgp.VRP) []rtr.PDU {
	pdus := []rtr.PDU{{Type: rtr.CacheResponse, Session: 7}}
	for _, v := range vrps {
		pdus = append(pdus, rtr.PDU{Type: rtr.IPv4Prefix, VRP: v, Announce: true})
	}
	return pdus
}

func using(address string, want ...bgp.VRP) func(bgp.RPKIReport) bool {
	return func(r bgp.RPKIReport) bool {
		return r.Using == address && slices.Equal(r.VRPs, want) && slices.Equal(r.Scope, own)
	}
}

func TestTheFirstCacheThatIsUpCounts(t *testing.T) {
	w := &world{caches: map[string]func(net.Conn){"second:323": serve(evil)}}
	await, _ := w.run(t, "first:323", "second:323")
	r := await("uses the second", using("second:323", evil))
	if !r.Settled || r.Caches[0].State == "up" || r.Caches[0].Error != "" && !strings.Contains(r.Caches[0].Error, "refused") {
		t.Errorf("report %+v", r)
	}
	w.set("first:323", serve(roa))
	await("uses the first", using("first:323", roa))
}

func TestTheDataOfACacheThatIsGoneCounts(t *testing.T) {
	var mu sync.Mutex
	var conn net.Conn
	w := &world{caches: map[string]func(net.Conn){"a:323": func(c net.Conn) {
		mu.Lock()
		conn = c
		mu.Unlock()
		serve(roa)(c)
	}}}
	await, _ := w.run(t, "a:323")
	await("has data", using("a:323", roa))
	w.set("a:323", nil)
	mu.Lock()
	conn.Close()
	mu.Unlock()
	r := await("says that it is down", func(r bgp.RPKIReport) bool { return strings.Contains(r.Caches[0].Error, "refused") })
	if !using("a:323", roa)(r) {
		t.Errorf("the data is gone: %+v", r)
	}
	if v, why := r.Validate(own[0], 64501); v != bgp.Valid {
		t.Errorf("%v, %s", v, why)
	}
}

func TestNobodyAnswers(t *testing.T) {
	w := &world{}
	await, _ := w.run(t, "a:323", "b:323")
	r := await("is settled", func(r bgp.RPKIReport) bool { return r.Settled })
	if v, _ := r.Validate(own[0], 64501); v != bgp.Unchecked {
		t.Errorf("validity %v", v)
	}
}

func TestReconfigure(t *testing.T) {
	w := &world{caches: map[string]func(net.Conn){"a:323": serve(roa), "b:323": serve(evil)}}
	await, c := w.run(t, "a:323")
	await("uses a", using("a:323", roa))
	c.Reconfigure(Config{Speaker: "EDGE", Caches: []string{"b:323", "a:323"}, Prefixes: own})
	await("uses b", using("b:323", evil))
	if w.dials["a:323"] != 1 {
		t.Errorf("a was dialed %d times", w.dials["a:323"])
	}
	more := append(slices.Clone(own), netip.MustParsePrefix("203.0.113.0/24"))
	c.Reconfigure(Config{Speaker: "EDGE", Caches: []string{"a:323"}, Prefixes: more})
	r := await("knows of both prefixes", func(r bgp.RPKIReport) bool { return r.Using == "a:323" && len(r.Scope) == 2 })
	if len(r.Caches) != 1 {
		t.Errorf("caches %+v", r.Caches)
	}
}

// TestHostileCaches: each is beside a good one, which must not be held up, and the reason is told.
func TestHostileCaches(t *testing.T) {
	endless := func(p rtr.PDU) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = c.Read(make([]byte, 64))
			begin := rtr.PDU{Version: 1, Type: rtr.CacheResponse}
			_, err := c.Write(begin.Append(nil))
			var b []byte
			for len(b) < 64<<10 {
				b = p.Append(b)
			}
			for err == nil {
				_, err = c.Write(b)
			}
		}
	}
	for _, h := range []struct {
		name string
		play func(net.Conn)
		says string
	}{
		{"speaks HTTP", func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }, "Unsupported Protocol Version: protocol version 72"},
		{"hangs up", func(net.Conn) {}, "closed"},
		{"sends zeros", func(c net.Conn) {
			for {
				if _, err := c.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		}, "Corrupt Data"},
		{"announces one record for ever", endless(rtr.PDU{Version: 1, Type: rtr.IPv4Prefix, Announce: true, VRP: roa}), "Duplicate Announcement"},
		{"sends keys for ever", endless(rtr.PDU{Version: 1, Type: rtr.RouterKey, Announce: true}), "more than"},
	} {
		t.Run(h.name, func(t *testing.T) {
			w := &world{caches: map[string]func(net.Conn){"bad:323": h.play, "good:323": serve(roa)}}
			await, _ := w.run(t, "bad:323", "good:323")
			await("uses the good one", using("good:323", roa))
			r := await("says "+h.says, func(r bgp.RPKIReport) bool { return strings.Contains(r.Caches[0].Error, h.says) })
			if !using("good:323", roa)(r) {
				t.Errorf("the good one is not used: %+v", r)
			}
		})
	}
	t.Run("says nothing and reads nothing", func(t *testing.T) {
		stop := make(chan struct{})
		defer close(stop)
		w := &world{caches: map[string]func(net.Conn){"bad:323": func(net.Conn) { <-stop }, "good:323": serve(roa)}}
		await, _ := w.run(t, "bad:323", "good:323")
		await("uses the good one", using("good:323", roa))
	})
}
