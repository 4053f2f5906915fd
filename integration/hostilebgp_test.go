package integration

import (
	"context"
	octets "encoding/binary"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"failoverd/failover/status"
	"failoverd/integration/lab"
)

// evilPeer is a BGP neighbor, AS 64500, made of octets: well-behaved until it is told otherwise.
type evilPeer struct {
	t *testing.T

	mu     sync.Mutex
	greet  func() []byte // what answers an OPEN; nil: as it should be
	conn   net.Conn      // the newest with an established session
	routes []time.Time   // when the service was announced to it
}

// bgpMessage frames a body (RFC 4271 section 4.1).
func bgpMessage(kind byte, body ...byte) []byte {
	m := append([]byte(strings.Repeat("\xff", 16)), 0, 0, kind)
	octets.BigEndian.PutUint16(m[16:], uint16(19+len(body)))
	return append(m, body...)
}

// startEvilPeer listens on a node's address.
func startEvilPeer(t *testing.T, e *lan, address string) *evilPeer {
	t.Helper()
	var l net.Listener
	must(t, e.c.Do(func() (err error) {
		l, err = net.Listen("tcp4", address+":179")
		return err
	}))
	p := &evilPeer{t: t}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		if p.conn != nil {
			_ = p.conn.Close()
		}
		p.mu.Unlock()
		wg.Wait()
	})
	return p
}

// serve plays one connection.
func (p *evilPeer) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	stop := make(chan struct{})
	defer close(stop)
	for {
		_ = c.SetReadDeadline(time.Now().Add(15 * time.Second)) // nobody leaves this open for ever
		head := make([]byte, 19)
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		body := make([]byte, octets.BigEndian.Uint16(head[16:])-19)
		if _, err := io.ReadFull(c, body); err != nil {
			return
		}
		p.mu.Lock()
		greet := p.greet
		if head[18] == 2 && len(body) > 4 {
			p.routes = append(p.routes, time.Now()) // the only route that there is
		}
		if head[18] == 4 {
			p.conn = c
		}
		p.mu.Unlock()
		if head[18] != 1 {
			continue
		}
		if greet != nil {
			_, _ = c.Write(greet())
			continue
		}
		_, _ = c.Write(evilOpen())
		_, _ = c.Write(bgpMessage(4))
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Second):
					_, _ = c.Write(bgpMessage(4))
				}
			}
		}()
	}
}

// evilOpen is an OPEN as it should be: hold time 9, IPv4 unicast, four-octet AS.
func evilOpen() []byte {
	return bgpMessage(1, 4, 0xfb, 0xf4, 0, 9, 192, 0, 2, 3, 14, 2, 12, 1, 4, 0, 1, 0, 1, 65, 4, 0, 0, 0xfb, 0xf4)
}

// behave sets what answers an OPEN.
func (p *evilPeer) behave(greet func() []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.greet = greet
}

// send writes to the established session, all of it or until it ends.
func (p *evilPeer) send(b []byte) {
	p.mu.Lock()
	c := p.conn
	p.mu.Unlock()
	if c != nil {
		_, _ = c.Write(b)
	}
}

// announcedAfter returns when the service was announced first after a moment.
func (p *evilPeer) announcedAfter(since time.Time) (at time.Time, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, at := range p.routes {
		if at.After(since) {
			return at, true
		}
	}
	return time.Time{}, false
}

// flood is total routes, a thousand an UPDATE.
func flood(total int) (all []byte) {
	attributes := []byte{0, 0, 0, 20, 0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfb, 0xf4, 0x40, 3, 4, 192, 0, 2, 3}
	for i := 0; i < total; i += 1000 {
		body := append([]byte(nil), attributes...)
		for j := i; j < i+1000; j++ {
			body = append(body, 24, byte(11+j>>16), byte(j>>8), byte(j))
		}
		all = append(all, bgpMessage(2, body...)...)
	}
	return all
}

// hostileAct is something that a neighbor does.
type hostileAct struct {
	name   string
	do     func() // returns when the hostile act is over
	reason string // in status, while it lasts, and in the events
	within time.Duration
}

// TestRouteFlood: a neighbor with more routes than it may have. It takes a core for some seconds, so it runs alone.
func TestRouteFlood(t *testing.T) {
	notShort(t)
	n := newHostileLab(t)
	evil, a := n.evil, n.agent
	n.endure([]hostileAct{
		{"200 000 routes", func() {
			evil.send(flood(200_000))
			waitFor(t, 20*time.Second, "gobgp to have worked through it", func() bool {
				s := a.status()
				return s != nil && len(s.Speakers) == 1 && len(s.Speakers[0].Neighbors) == 1 && s.Speakers[0].Neighbors[0].State.String() != "Established"
			})
		}, "Maximum Number of Prefixes Reached", 3 * time.Second},
	})
}

// TestHostileBGPPeer: a neighbor that breaks the protocol.
func TestHostileBGPPeer(t *testing.T) {
	t.Parallel()
	notShort(t)
	n := newHostileLab(t)
	evil, a := n.evil, n.agent
	as4 := bgpMessage(2, append([]byte{0, 0, 0, 29, 0x40, 1, 1, 0, 0x40, 3, 4, 192, 0, 2, 3, 0xc0, 17, 6, 2, 1, 0, 0, 0xfb, 0xf4, 0x40, 2, 6, 2, 1, 0, 0, 0xfb, 0xf4}, 24, 10, 9, 8)...)
	n.endure([]hostileAct{
		{"unknown message before OPEN", func() {
			evil.behave(func() []byte { return bgpMessage(99, 1, 2, 3) })
			evil.send(bgpMessage(3, 6, 4)) // the session ends
			time.Sleep(4 * time.Second)
			evil.behave(nil)
		}, "panic: ", 3 * time.Second},
		{"AS4_PATH ahead of AS_PATH", func() { evil.send(as4) }, "index out of range", 3 * time.Second},
		{"a second OPEN", func() { evil.send(evilOpen()) }, "interface conversion", 3 * time.Second},
		{"half-open", func() {
			evil.behave(func() []byte { return evilOpen()[:20] })
			evil.send(bgpMessage(3, 6, 4))
			waitFor(t, 25*time.Second, "the reason in status", func() bool {
				s := a.status()
				return s != nil && strings.Contains(s.Speakers[0].Neighbors[0].LastError, "no OPEN from the neighbor")
			})
			evil.behave(nil)
		}, "no OPEN from the neighbor", 3 * time.Second}, // a pause of a second, and up to two until gobgp connects
		{"notification storm", func() {
			evil.behave(func() []byte { return bgpMessage(3, 6, 7) })
			evil.send(bgpMessage(3, 6, 7))
			time.Sleep(4 * time.Second)
			evil.behave(nil)
		}, "NOTIFICATION", 3 * time.Second},
	})
}

// hostileLab is an agent that announces the service to a hostile neighbor.
type hostileLab struct {
	*lan
	evil   *evilPeer
	agent  *agent
	before int // memory of the agent, in octets
}

func newHostileLab(t *testing.T) *hostileLab {
	t.Helper()
	n := &hostileLab{lan: newLAN(t, false)}
	e := &edge{lan: n.lan}
	n.evil = startEvilPeer(t, n.lan, "192.0.2.3")
	n.agent = startAgent(t, n.lab, n.a, e.speaker("a", "")+n.instance(prioA, 3, "0.2", announce(service+" speaker EDGE")...))
	n.agent.waitState("MASTER", 20*time.Second)
	n.agent.waitSession(20 * time.Second)
	time.Sleep(time.Second)
	n.before = memory(t, n.agent.proc.PID())
	return n
}

// heard collects what status says is wrong with the speaker and its session, each reason once, from now until the end of what it
// returns.
func (n *hostileLab) heard() (end func() []string) {
	ctx, cancel := context.WithCancel(n.t.Context())
	said := make(chan []string, 1)
	go func() {
		var list []string
		for ctx.Err() == nil {
			if s := n.agent.status(); s != nil && len(s.Speakers) == 1 && len(s.Speakers[0].Neighbors) == 1 {
				for _, text := range []string{s.Speakers[0].Error, s.Speakers[0].Neighbors[0].LastError} {
					if text != "" && !slices.Contains(list, text) {
						list = append(list, text)
					}
				}
			}
			time.Sleep(50 * time.Millisecond)
		}
		said <- list
	}()
	return func() []string {
		cancel()
		return <-said
	}
}

// told returns the reasons in the events of the speaker and its session since a moment.
func (n *hostileLab) told(since time.Time) (reasons []string) {
	log, err := os.ReadFile(filepath.Join(n.agent.dir, "events.jsonl"))
	must(n.t, err)
	for line := range strings.Lines(string(log)) {
		var e status.Event
		if json.Unmarshal([]byte(line), &e) != nil || e.Kind != "speaker" && e.Kind != "session" {
			continue
		}
		if when, err := time.Parse(status.EventTime, e.Time); err == nil && when.After(since) {
			reasons = append(reasons, e.Kind+" "+e.To+": "+e.Reason)
		}
	}
	return reasons
}

// endure lets the neighbor do things. Whatever it does to the speaker, VRRP does not miss an advertisement, the agent's memory
// does not move, that of the speaker stays under its limit, session and route are back within three seconds of the end of it,
// and the reason is in the status, until then, and in the events.
func (n *hostileLab) endure(acts []hostileAct) {
	t, a, evil, before := n.t, n.agent, n.evil, n.before
	t.Helper()
	begin := time.Now()
	var highest uint64
	for _, act := range acts {
		start, heard := time.Now(), n.heard()
		act.do()
		over := time.Now()
		var at time.Time
		waitFor(t, act.within+2*slack+time.Second, "the route to be announced again after "+act.name, func() (ok bool) {
			at, ok = evil.announcedAfter(start)
			return ok
		})
		s := a.status()
		highest = max(highest, s.Speakers[0].ResidentBytes)
		t.Logf("%s: announced again %v after its end; speaker %d MB, restarted %d times", act.name, max(at.Sub(over), 0), s.Speakers[0].ResidentBytes>>20, s.Speakers[0].Restarts)
		if said := heard(); !strings.Contains(strings.Join(said, "\n"), act.reason) {
			t.Errorf("%s: status did not say %q, but %q", act.name, act.reason, said)
		}
		var told []string
		if lab.WaitFor(t.Context(), 3*time.Second, "an event with the reason", func() bool {
			told = n.told(start)
			return strings.Contains(strings.Join(told, "\n"), act.reason)
		}) != nil {
			t.Errorf("%s: no event says %q, but %q", act.name, act.reason, told)
		}
		a.waitSession(5 * time.Second)
		time.Sleep(500 * time.Millisecond)
	}
	end := time.Now()

	last, adverts := begin, n.adverts("192.0.2.1", begin)
	var gap time.Duration
	for _, p := range adverts {
		gap = max(gap, p.At.Sub(last))
		last = p.At
	}
	gap = max(gap, end.Sub(last))
	r, after := a.router(), memory(t, a.proc.PID())
	t.Logf("%d advertisements, longest gap %v; agent %.1f MB, was %.1f MB; speaker at most %d MB", len(adverts), gap, float64(after)/1e6, float64(before)/1e6, highest>>20)
	if gap > 200*time.Millisecond+slack {
		t.Errorf("%v without an advertisement", gap)
	}
	if r == nil || r.State != "MASTER" || r.Counters.BecameMaster != 1 {
		t.Errorf("the role was disturbed: %+v", r)
	}
	if after > before+8e6 {
		t.Errorf("the agent grew from %d to %d octets", before, after)
	}
	if limit := a.status().Speakers[0].MemoryLimit; highest > limit || limit == 0 {
		t.Errorf("the speaker had %d octets, its limit is %d", highest, limit)
	}
}
