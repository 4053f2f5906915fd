package speaker

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"failoverd/bgp"
)

// attr is one path attribute as it stands on the wire (RFC 4271 section 4.3), whatever its content is worth.
func attr(flags, kind byte, value ...byte) []byte {
	return append([]byte{flags, kind, byte(len(value))}, value...)
}

// Attributes that are as they should be.
var (
	originAttr = attr(0x40, 1, 0)
	pathAttr   = attr(0x40, 2, 2, 1, 0, 0, 0xfb, 0xf4) // AS 64500
	hopAttr    = attr(0x40, 3, 192, 0, 2, 77)
	theirs     = []byte{24, 10, 9, 8} // 10.9.8.0/24
)

// update makes an UPDATE of attributes and NLRI.
func update(nlri []byte, attrs ...[]byte) []byte {
	var all []byte
	for _, a := range attrs {
		all = append(all, a...)
	}
	body := binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(len(all)))
	return message(packet.BGP_MSG_UPDATE, append(append(body, all...), nlri...))
}

// outcome is what becomes of the session on which a message came.
type outcome int

const (
	stay    outcome = iota // the route counts as withdrawn, or the attribute is discarded: RFC 7606
	lenient                // the same, where RFC 4271, 4760 or 7606 demand the end of the session: gobgp passes it over
	end                    // it ends, with a NOTIFICATION or without, and is back soon
	late                   // gobgp waits for octets that do not come, until the hold timer expires
	kill                   // gobgp's process dies, and is back soon
)

// malformed is RFC 7606 and its neighbors, one message each, with what gobgp 3.37.0 makes of it.
var malformed = []struct {
	name    string
	message []byte
	want    outcome
}{
	{"ORIGIN of 7", update(theirs, attr(0x40, 1, 7), pathAttr, hopAttr), stay},
	{"ORIGIN of two octets", update(theirs, attr(0x40, 1, 0, 0), pathAttr, hopAttr), stay},
	{"ORIGIN with wrong flags", update(theirs, attr(0xc0, 1, 0), pathAttr, hopAttr), stay},
	{"no ORIGIN", update(theirs, pathAttr, hopAttr), stay},
	{"ORIGIN twice", update(theirs, originAttr, originAttr, pathAttr, hopAttr), stay},
	{"AS_PATH segment longer than the attribute", update(theirs, originAttr, attr(0x40, 2, 2, 9, 0, 0, 0xfb, 0xf4), hopAttr), stay},
	{"AS_PATH segment of unknown type", update(theirs, originAttr, attr(0x40, 2, 9, 1, 0, 0, 0xfb, 0xf4), hopAttr), stay},
	{"AS_PATH segment of no length", update(theirs, originAttr, attr(0x40, 2, 2, 0), hopAttr), stay},
	{"AS_PATH does not begin with the neighbor's AS", update(theirs, originAttr, attr(0x40, 2, 2, 1, 0, 0, 0xfb, 0xf5), hopAttr), stay},
	{"no AS_PATH", update(theirs, originAttr, hopAttr), stay},
	{"NEXT_HOP of three octets", update(theirs, originAttr, pathAttr, attr(0x40, 3, 192, 0, 2)), stay},
	{"NEXT_HOP 0.0.0.0", update(theirs, originAttr, pathAttr, attr(0x40, 3, 0, 0, 0, 0)), stay},
	{"NEXT_HOP multicast", update(theirs, originAttr, pathAttr, attr(0x40, 3, 224, 0, 0, 1)), stay},
	{"no NEXT_HOP", update(theirs, originAttr, pathAttr), stay},
	{"MED of three octets", update(theirs, originAttr, pathAttr, hopAttr, attr(0x80, 4, 0, 0, 1)), stay},
	{"LOCAL_PREF of two octets from eBGP", update(theirs, originAttr, pathAttr, hopAttr, attr(0x40, 5, 0, 1)), stay},
	{"ATOMIC_AGGREGATE with a value", update(theirs, originAttr, pathAttr, hopAttr, attr(0x40, 6, 1)), stay},
	{"AGGREGATOR of five octets", update(theirs, originAttr, pathAttr, hopAttr, attr(0xc0, 7, 0, 0, 0, 1, 1)), stay},
	{"COMMUNITIES of three octets", update(theirs, originAttr, pathAttr, hopAttr, attr(0xc0, 8, 1, 2, 3)), stay},
	{"ORIGINATOR_ID from eBGP", update(theirs, originAttr, pathAttr, hopAttr, attr(0x80, 9, 1, 2, 3)), stay},
	{"CLUSTER_LIST of three octets", update(theirs, originAttr, pathAttr, hopAttr, attr(0x80, 10, 1, 2, 3)), stay},
	{"EXTENDED COMMUNITIES of seven octets", update(theirs, originAttr, pathAttr, hopAttr, attr(0xc0, 16, 1, 2, 3, 4, 5, 6, 7)), stay},
	{"AS4_PATH of one octet", update(theirs, originAttr, pathAttr, hopAttr, attr(0xc0, 17, 1)), stay},
	{"AS4_AGGREGATOR of two octets", update(theirs, originAttr, pathAttr, hopAttr, attr(0xc0, 18, 1, 2)), stay},
	{"AIGP cut off", update(theirs, originAttr, pathAttr, hopAttr, attr(0x80, 26, 1, 0, 11)), stay},
	{"LARGE_COMMUNITY of eleven octets", update(theirs, originAttr, pathAttr, hopAttr, attr(0xc0, 32, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)), stay},
	{"OTC of three octets", update(theirs, originAttr, pathAttr, hopAttr, attr(0xc0, 35, 0, 0, 1)), stay},
	{"unknown optional transitive", update(theirs, originAttr, pathAttr, hopAttr, attr(0xc0, 200, 1, 2, 3)), stay},
	{"unknown well-known", update(theirs, originAttr, pathAttr, hopAttr, attr(0x40, 201, 1)), end},
	{"GRACEFUL_SHUTDOWN", update(theirs, originAttr, pathAttr, hopAttr, attr(0xc0, 8, 0xff, 0xff, 0, 0)), stay},
	{"prefix longer than 32", update([]byte{33, 10, 9, 8, 7, 6}, originAttr, pathAttr, hopAttr), end},
	{"prefix cut off", update([]byte{24, 10}, originAttr, pathAttr, hopAttr), end},
	{"attributes longer than the message", message(packet.BGP_MSG_UPDATE, []byte{0, 0, 0xff, 0xff, 0x40, 1, 1, 0}), end},
	{"withdrawn routes longer than the message", message(packet.BGP_MSG_UPDATE, []byte{0xff, 0xff, 0, 0}), end},
	{"attribute longer than the attributes", update(theirs, originAttr, []byte{0x40, 2, 200, 2, 1}), stay},
	{"UPDATE of two octets", message(packet.BGP_MSG_UPDATE, []byte{0, 0}), end},
	{"MP_REACH of two octets", update(nil, originAttr, pathAttr, attr(0x80, 14, 0, 2)), lenient},
	{"MP_REACH with a next hop longer than itself", update(nil, originAttr, pathAttr, attr(0x80, 14, 0, 2, 1, 200, 1, 2)), lenient},
	{"MP_REACH twice", update(nil, attr(0x80, 14, 0, 2, 1, 0, 0), attr(0x80, 14, 0, 2, 1, 0, 0)), end},
	{"MP_UNREACH of one octet", update(nil, attr(0x80, 15, 0)), lenient},
	{"MP_REACH of a family that was not agreed on", update(nil, originAttr, pathAttr, attr(0x80, 14, 0, 25, 70, 4, 1, 2, 3, 4, 0, 1)), lenient},
	{"KEEPALIVE with a body", message(packet.BGP_MSG_KEEPALIVE, []byte{1}), lenient},
	{"a second OPEN", openMessage(64500, 90, nil), kill},
	{"ROUTE-REFRESH of three octets", message(packet.BGP_MSG_ROUTE_REFRESH, []byte{0, 1, 0}), end},
	{"ROUTE-REFRESH of an unknown family", message(packet.BGP_MSG_ROUTE_REFRESH, []byte{9, 9, 0, 9}), stay},
	{"NOTIFICATION of one octet", message(packet.BGP_MSG_NOTIFICATION, []byte{6}), end},
	{"unknown message type", message(99, []byte{1, 2, 3}), kill},
	{"length 18", append(append(make([]byte, 0, 19), ff16...), 0, 18, 4), end},
	{"length 5000", append(append(make([]byte, 0, 19), ff16...), 0x13, 0x88, 2), late},
	{"wrong marker", append(make([]byte, 16), 0, 19, 4), lenient},
	{"not BGP at all", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), late},
	{"AS4_PATH ahead of a final AS_PATH", update(theirs, originAttr, hopAttr, attr(0xc0, 17, 2, 1, 0, 0, 0xfb, 0xf4), pathAttr), kill},
}

var ff16 = []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// hostile returns the messages with an outcome.
func hostile(want ...outcome) (names []string, messages [][]byte) {
	for _, m := range malformed {
		if slices.Contains(want, m.want) {
			names, messages = append(names, m.name), append(messages, m.message)
		}
	}
	return names, messages
}

// What is malformed and need not end the session does not end it: our route is not even sent again, and nothing of what came
// is in the table.
func TestBGP_UPD_01_Malformed_BGP_OPEN_07_BGP_GSHUT_04(t *testing.T) {
	t.Parallel()
	p, a := connect(t, nil, nil, route4())
	p.wait(0, prompt, "announcement", is("+198.51.100.0/24"))
	names, messages := hostile(stay, lenient)
	for i, m := range messages {
		p.send(m)
		time.Sleep(50 * time.Millisecond)
		if r := a.last(); !r.Established() || r.Neighbors[0].Flaps > 0 || r.Restarts > 0 {
			t.Fatalf("%s: %+v", names[i], r)
		}
	}
	time.Sleep(time.Second + slack/4) // the table is read every second
	if r := a.last(); !r.Established() || r.Neighbors[0].Flaps > 0 || len(r.Announced) != 1 || r.Announced[0].Prefix != service4 {
		t.Errorf("report %+v", r)
	}
	if c := count(p, "UPDATE"); c != 1 {
		t.Errorf("%d UPDATEs: %s", c, p.describe())
	}
	t.Logf("%d messages, and the session stayed", len(messages))
}

// What ends a session ends that one only, with a reason, and it is back, with the route, within three seconds.
func TestBGP_UPD_01_MalformedEndsOneSession(t *testing.T) {
	t.Parallel()
	names, messages := hostile(end)
	var neighbors []bgp.Neighbor
	var peers []*rawPeer
	for i := range append(names, "the good one") {
		p := newRawPeer(t, fmt.Sprintf("127.0.1.%d", i+1), nil)
		peers, neighbors = append(peers, p), append(neighbors, rawNeighbor(p))
	}
	good := len(names)
	a := startAgent(t, speakerOf(neighbors...))
	a.set(route4())
	a.until(sessionUp, "all sessions", allEstablished)
	var from []int
	for i, m := range messages {
		_, n := peers[i].wait(0, prompt, "announcement", is("+198.51.100.0/24"))
		from = append(from, n+1)
		peers[i].send(m)
		peers[i].send(message(packet.BGP_MSG_KEEPALIVE, nil)) // completes what is cut off
	}
	start := time.Now()
	var longest time.Duration
	for i, name := range names {
		m, _ := peers[i].wait(from[i], sessionUp, "announcement again after "+name, is("+198.51.100.0/24"))
		longest = max(longest, m.at.Sub(start))
		if took := m.at.Sub(start); took > 3*time.Second+slack {
			t.Errorf("%s: announced again after %v", name, took)
		}
		if !a.hadReason(i) {
			t.Errorf("%s: the loss had no reason", name)
		}
	}
	r := a.until(prompt, "all sessions again", allEstablished)
	if r.Restarts != 0 || r.Neighbors[good].Flaps != 0 || len(r.Announced) != 1 {
		t.Errorf("report %+v", r)
	}
	t.Logf("%d messages, and every session was back with the route within %v", len(messages), longest)
}

// What kills gobgp - three messages are known - kills nothing but the process: session and route are back within three seconds
// of it, and the reason is there. The last one comes from an established neighbor, so does the second; the first needs no OPEN.
func TestBGP_UPD_01_MalformedKillsTheProcess(t *testing.T) {
	t.Parallel()
	names, messages := hostile(kill)
	for i, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, a := connect(t, nil, nil, route4())
			_, n := p.wait(0, prompt, "announcement", is("+198.51.100.0/24"))
			p.send(messages[i])
			start := time.Now()
			a.until(prompt, "the death", func(r bgp.Report) bool { return !r.Connected && strings.Contains(r.Err, "panic: ") || r.Restarts == 1 })
			m, _ := p.wait(n+1, sessionUp, "announcement again", is("+198.51.100.0/24"))
			t.Logf("announced again after %v", m.at.Sub(start))
			if took := m.at.Sub(start); took > 3*time.Second+slack {
				t.Errorf("announced again after %v", took)
			}
			if !a.hadReason(0) {
				t.Error("no reason")
			}
		})
	}
}

// What leaves gobgp waiting for the rest of a message ends with the hold timer.
func TestBGP_UPD_01_MalformedThatNeverEnds(t *testing.T) {
	t.Parallel()
	names, messages := hostile(late)
	for i, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, a := connect(t, nil, quick, route4())
			_, n := p.wait(0, prompt, "announcement", is("+198.51.100.0/24"))
			p.send(messages[i])
			a.until(3*time.Second+slack, "the loss", func(r bgp.Report) bool { return r.Neighbors[0].Flaps > 0 })
			p.wait(n+1, sessionUp, "announcement again", is("+198.51.100.0/24"))
			if !a.hadReason(0) {
				t.Error("no reason")
			}
		})
	}
}

// hadReason reports whether any report so far said why there was no session with the i-th neighbor.
func (a *agent) hadReason(i int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.reports {
		if !r.Connected && r.Err != "" || len(r.Neighbors) > i && r.Neighbors[i].LastError != "" {
			return true
		}
	}
	return false
}

// Two hundred thousand routes from a neighbor: the session ends with CEASE 6/1, the process stays within its
// bounds and reports what it needs, and afterwards everything is back within three seconds.
func TestBGP_POL_05_TooManyRoutes(t *testing.T) {
	t.Parallel()
	p, a := connect(t, nil, nil, route4())
	_, n := p.wait(0, prompt, "announcement", is("+198.51.100.0/24"))
	const total, each = 200_000, 1000
	for i := 0; i < total; i += each {
		prefixes := make([]netip.Prefix, 0, each)
		for j := i; j < i+each; j++ {
			prefixes = append(prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10 + byte(j>>16), byte(j >> 8), byte(j), 0}), 24))
		}
		p.send(updateMessage(64500, prefixes...))
	}
	m, _ := p.wait(n, sessionUp, "CEASE", kind(packet.BGP_MSG_NOTIFICATION))
	if m.body[0] != 6 || m.body[1] != 1 {
		t.Errorf("NOTIFICATION %d/%d, want 6/1", m.body[0], m.body[1])
	}
	over := time.Now()
	a.until(sessionUp, "the reason", func(r bgp.Report) bool {
		return strings.Contains(r.Neighbors[0].LastError, "Maximum Number of Prefixes Reached")
	})
	known := time.Now()
	again, _ := p.wait(n+1, sessionUp, "announcement again", func(x rawMessage) bool { return x.conn > 0 && is("+198.51.100.0/24")(x) })
	// gobgp first works through all that it has been sent, which takes seconds on a busy machine.
	if took := again.at.Sub(known); took > raceFactor*3*time.Second+slack {
		t.Errorf("announced again %v after the flood was over", took)
	}
	mb := residentMB(t, a.s.PID())
	r := a.until(prompt, "its memory", func(r bgp.Report) bool { return r.Resident > 0 })
	t.Logf("CEASE, %v later its reason, %v later the route again; resident %.1f MB, reported %d MB of %d MB", known.Sub(over), again.at.Sub(known), mb, r.Resident>>20, r.MemoryLimit>>20)
	if r.Restarts != 0 || mb > float64(memoryLimit(1)>>20) || r.MemoryLimit != memoryLimit(1) {
		t.Errorf("report %+v, resident %.1f MB", r, mb)
	}
}

// A neighbor that ends every session as soon as it is up is not hammered, everybody else is served, and when it comes to its
// senses it is back with the next attempt; the log stays short.
func TestNotificationStorm(t *testing.T) {
	t.Parallel()
	var stormy atomic.Bool
	p := newRawPeer(t, "127.0.0.2", nil)
	p.answer(func() []byte {
		if stormy.Load() {
			return message(packet.BGP_MSG_NOTIFICATION, []byte{6, 7})
		}
		return openMessage(64500, 90, nil)
	})
	q := newRawPeer(t, "127.0.0.3", nil)
	a := startAgent(t, speakerOf(rawNeighbor(p), rawNeighbor(q)))
	a.set(route4())
	a.until(sessionUp, "both sessions", allEstablished)
	stormy.Store(true)
	p.reset()
	time.Sleep(6 * time.Second)
	attempts := 0
	for _, m := range p.all() {
		if m.kind == packet.BGP_MSG_OPEN && !m.eof {
			attempts++
		}
	}
	r := a.last()
	if attempts < 2 || attempts > 8 {
		t.Errorf("%d attempts in six seconds", attempts)
	}
	if r.Neighbors[1].State != bgp.Established || r.Neighbors[1].Flaps != 0 || r.Restarts != 0 || len(r.Announced) != 1 {
		t.Errorf("the other one suffered: %+v", r)
	}
	if r.Neighbors[0].LastError == "" {
		t.Error("no reason")
	}
	stormy.Store(false)
	over, n := time.Now(), len(p.all())
	a.until(sessionUp, "the session", allEstablished)
	m, _ := p.wait(n, prompt, "announcement again", is("+198.51.100.0/24"))
	t.Logf("%d attempts; announced again %v after the storm; %s", attempts, m.at.Sub(over), r.Neighbors[0].LastError)
	if took := m.at.Sub(over); took > 3*time.Second+slack {
		t.Errorf("announced again %v after the storm", took)
	}
}

// A neighbor that takes connections and says nothing, and one that stops in the middle of a message: given up, with a reason,
// while the others go on.
func TestHalfOpen(t *testing.T) {
	t.Parallel()
	var silent atomic.Bool
	silent.Store(true)
	p := newRawPeer(t, "127.0.0.2", nil)
	p.answer(func() []byte {
		if silent.Load() {
			p.mute.Store(true)
			return openMessage(64500, 3, nil)[:25] // and nothing more
		}
		p.mute.Store(false)
		return openMessage(64500, 90, nil)
	})
	p.deaf.Store(true)
	q := newRawPeer(t, "127.0.0.3", nil)
	a := startAgent(t, speakerOf(rawNeighbor(p), rawNeighbor(q)))
	a.set(route4())
	q.wait(0, sessionUp, "announcement", is("+198.51.100.0/24"))
	r := a.until(30*time.Second, "the reason", func(r bgp.Report) bool {
		return strings.Contains(r.Neighbors[0].LastError, "no OPEN from the neighbor")
	})
	if r.Neighbors[1].State != bgp.Established || r.Neighbors[1].Flaps != 0 || len(r.Announced) != 1 {
		t.Errorf("the other one suffered: %+v", r)
	}
	silent.Store(false)
	p.deaf.Store(false)
	a.until(sessionUp, "the session", allEstablished)
}
