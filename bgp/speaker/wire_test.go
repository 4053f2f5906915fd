package speaker

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"failoverd/bgp"
)

// connect starts a speaker with one raw neighbor and waits for the session.
func connect(t *testing.T, open func() []byte, change func(*bgp.SpeakerConfig), routes ...bgp.Route) (*rawPeer, *agent) {
	t.Helper()
	p := newRawPeer(t, "127.0.0.2", open)
	cfg := speakerOf(rawNeighbor(p))
	if change != nil {
		change(&cfg)
	}
	a := startAgent(t, cfg)
	if len(routes) > 0 {
		a.set(routes...)
	}
	a.until(sessionUp, "a session", established)
	return p, a
}

func TestBGP_OPEN_05_Capabilities(t *testing.T) {
	t.Parallel()
	// A capability that nobody knows (RFC 5492 section 3: ignored).
	unknown := func() []byte { return openMessage(64500, 90, []byte{200, 3, 1, 2, 3}) }
	p, _ := connect(t, unknown, func(c *bgp.SpeakerConfig) { c.LocalAS = 4200000001 })
	m, _ := p.wait(0, prompt, "OPEN", kind(packet.BGP_MSG_OPEN))
	o, caps, err := m.open()
	if err != nil {
		t.Fatal(err)
	}
	if o.Version != 4 || o.MyAS != 23456 || o.ID.String() != "192.0.2.1" {
		t.Errorf("OPEN %+v: want version 4, AS_TRANS, the router id", o)
	}
	if c := caps[packet.BGP_CAP_FOUR_OCTET_AS_NUMBER]; len(c) != 1 || c[0].(*packet.CapFourOctetASNumber).CapValue != 4200000001 {
		t.Errorf("four-octet AS: %v", c)
	}
	var families []string
	for _, c := range caps[packet.BGP_CAP_MULTIPROTOCOL] {
		families = append(families, c.(*packet.CapMultiProtocol).CapValue.String())
	}
	slices.Sort(families)
	if want := []string{"ipv4-unicast", "ipv6-unicast"}; !slices.Equal(families, want) {
		t.Errorf("families %v, want %v: IPv4 is the only session, and the allow list has both", families, want)
	}
	if len(caps[packet.BGP_CAP_ROUTE_REFRESH]) != 1 {
		t.Error("no route refresh capability")
	}
}

// A neighbor without four-octet AS numbers is thrown out, unless that is allowed.
func TestBGP_OPEN_05_FourOctetASRequired(t *testing.T) {
	t.Parallel()
	old := func() []byte {
		body := []byte{4, 0xfb, 0xf4, 0, 90, 192, 0, 2, 77, 8, 2, 6, 1, 4, 0, 1, 0, 1} // AS 64500, IPv4 unicast only
		return message(packet.BGP_MSG_OPEN, body)
	}
	p := newRawPeer(t, "127.0.0.2", old)
	a := startAgent(t, speakerOf(rawNeighbor(p)))
	m, _ := p.wait(0, sessionUp, "CEASE", kind(packet.BGP_MSG_NOTIFICATION))
	if m.body[0] != 6 {
		t.Errorf("NOTIFICATION %d/%d, want CEASE", m.body[0], m.body[1])
	}
	a.until(prompt, "the reason", func(r bgp.Report) bool {
		return strings.Contains(r.Neighbors[0].LastError, "RFC 6793") && !r.Established()
	})
	q := newRawPeer(t, "127.0.0.3", old)
	n := rawNeighbor(q)
	n.AllowTwoOctetAS = true
	b := startAgent(t, speakerOf(n))
	b.set(route4())
	b.until(sessionUp, "a session", established)
	q.wait(0, prompt, "announcement", func(m rawMessage) bool { return m.kind == packet.BGP_MSG_UPDATE })
	time.Sleep(1200 * time.Millisecond) // a round of looking at the sessions
	if r := b.last(); !r.Established() || r.Neighbors[0].Flaps != 0 {
		t.Errorf("the allowed one: %+v", r.Neighbors)
	}
}

func TestBGP_GR_01_DefaultOpenHasNoGracefulRestart(t *testing.T) {
	t.Parallel()
	p, _ := connect(t, nil, nil)
	m, _ := p.wait(0, prompt, "OPEN", kind(packet.BGP_MSG_OPEN))
	_, caps, err := m.open()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []packet.BGPCapabilityCode{packet.BGP_CAP_GRACEFUL_RESTART, packet.BGP_CAP_LONG_LIVED_GRACEFUL_RESTART} {
		if len(caps[c]) > 0 {
			t.Errorf("capability %v is sent: %v", c, caps[c])
		}
	}
}

// With graceful restart configured, it is there, LLGR is not, and End-of-RIB follows the first table, also an empty one.
// Without it gobgp sends no End-of-RIB; no peer waits for one then (RFC 4724 section 4.2).
func TestBGP_GR_04_NeverLongLived_BGP_UPD_04_EndOfRIB(t *testing.T) {
	t.Parallel()
	restart := func() []byte { return openMessage(64500, 90, []byte{64, 6, 0, 20, 0, 1, 1, 0}) }
	p, _ := connect(t, restart, func(c *bgp.SpeakerConfig) {
		c.Allow = bgp.AllowList{service4}
		c.Neighbors[0].GracefulRestart = 20 * time.Second
	})
	m, _ := p.wait(0, prompt, "OPEN", kind(packet.BGP_MSG_OPEN))
	_, caps, err := m.open()
	if err != nil {
		t.Fatal(err)
	}
	gr := caps[packet.BGP_CAP_GRACEFUL_RESTART]
	if len(gr) != 1 || gr[0].(*packet.CapGracefulRestart).Time != 20 {
		t.Errorf("graceful restart: %v, want 20 s", gr)
	}
	if c := caps[packet.BGP_CAP_LONG_LIVED_GRACEFUL_RESTART]; len(c) > 0 {
		t.Errorf("long-lived graceful restart is sent: %v", c)
	}
	p.wait(0, prompt, "End-of-RIB", func(m rawMessage) bool {
		return m.kind == packet.BGP_MSG_UPDATE && bytes.Equal(m.body, []byte{0, 0, 0, 0})
	})
}

func TestBGP_OPEN_02_ReceivedHoldTimeTooShort(t *testing.T) {
	t.Parallel()
	for i, hold := range []uint16{1, 2} {
		p := newRawPeer(t, fmt.Sprintf("127.0.1.%d", i+1), func() []byte { return openMessage(64500, hold, nil) })
		a := startAgent(t, speakerOf(rawNeighbor(p)))
		m, _ := p.wait(0, sessionUp, "NOTIFICATION", kind(packet.BGP_MSG_NOTIFICATION))
		if m.body[0] != 2 || m.body[1] != 6 {
			t.Errorf("hold time %d: NOTIFICATION %d/%d, want 2/6", hold, m.body[0], m.body[1])
		}
		a.until(prompt, "the reason", func(r bgp.Report) bool {
			return strings.Contains(r.Neighbors[0].LastError, "2/6 (OPEN Message Error, Unacceptable Hold Time)")
		})
	}
}

func TestBGP_OPEN_03_NegotiatedHoldTimeIsTheSmaller(t *testing.T) {
	t.Parallel()
	for i, row := range []struct {
		ours   time.Duration
		theirs uint16
		want   time.Duration
	}{{9 * time.Second, 180, 9 * time.Second}, {9 * time.Second, 3, 3 * time.Second}} {
		p := newRawPeer(t, fmt.Sprintf("127.0.2.%d", i+1), func() []byte { return openMessage(64500, row.theirs, nil) })
		n := rawNeighbor(p)
		n.HoldTime, n.Keepalive = row.ours, row.ours/3
		a := startAgent(t, speakerOf(n))
		r := a.until(sessionUp, "a session", established)
		if got := r.Neighbors[0].HoldTime; got != row.want {
			t.Errorf("%v and %d s: status says %v", row.ours, row.theirs, got)
		}
		m, _ := p.wait(0, prompt, "OPEN", kind(packet.BGP_MSG_OPEN))
		if hold := binary.BigEndian.Uint16(m.body[3:]); time.Duration(hold)*time.Second != row.ours {
			t.Errorf("OPEN says %d s, the configuration %v", hold, row.ours)
		}
		// The fastest of three KEEPALIVEs comes after a third of the hold time; a busy machine delays some.
		_, seen := p.wait(0, prompt, "first KEEPALIVE", kind(packet.BGP_MSG_KEEPALIVE))
		fastest, last := time.Hour, p.all()[seen].at
		for range 3 {
			var m rawMessage
			m, seen = p.wait(seen+1, row.want+slack, "KEEPALIVE", kind(packet.BGP_MSG_KEEPALIVE))
			fastest, last = min(fastest, m.at.Sub(last)), m.at
		}
		if fastest > row.want/3+500*time.Millisecond {
			t.Errorf("hold time %v: a KEEPALIVE every %v", row.want, fastest)
		}
	}
}

// A standby has its session up with nothing announced; what it then announces is exactly what is wanted, at once.
func TestBGP_UPD_05_BackupIsSilent_BGP_UPD_06_ActiveAnnouncesAtOnce(t *testing.T) {
	// Not beside others: a process that takes 0.3 s to confirm a withdrawal is killed, and rightly so.
	p, a := connect(t, nil, nil)
	p.wait(0, prompt, "KEEPALIVE", kind(packet.BGP_MSG_KEEPALIVE))
	time.Sleep(300 * time.Millisecond) // the assertion is that nothing comes
	for _, m := range p.all() {
		if m.kind == packet.BGP_MSG_UPDATE {
			t.Errorf("UPDATE without a wish: %s", p.describe())
		}
	}
	six := bgp.Route{Prefix: service6}
	six.NextHop = netip.MustParseAddr("2001:db8::2")
	// The fastest of several times is what the program takes; the rest is what else the machine does.
	fastest := time.Hour
	const rounds = 5
	for i := range rounds {
		n := len(p.all())
		start := time.Now()
		want := a.set(route4(), six)
		m4, _ := p.wait(n, prompt, "IPv4 announcement", is("+198.51.100.0/24"))
		m6, _ := p.wait(n, prompt, "IPv6 announcement", is("+2001:db8:100::/48"))
		fastest = min(fastest, max(m4.at.Sub(start), m6.at.Sub(start)))
		r := a.until(prompt, "the generation", func(r bgp.Report) bool { return r.Generation == want })
		if len(r.Announced) != 2 || r.Err != "" {
			t.Errorf("report %+v", r)
		}
		n = len(p.all())
		a.set()
		p.wait(n, prompt, "IPv4 withdrawal", is("-198.51.100.0/24"))
		p.wait(n, prompt, "IPv6 withdrawal", is("-2001:db8:100::/48"))
		if c := count(p, "UPDATE"); c != 4*(i+1) {
			t.Fatalf("%d UPDATEs after round %d, want four for each: %s", c, i, p.describe())
		}
	}
	if fastest > 100*time.Millisecond {
		t.Errorf("on the wire after %v, want under 100 ms", fastest)
	}
}

func count(p *rawPeer, kind string) int { return strings.Count(p.describe(), kind) }

// The next hop is the session's own address unless another one is wanted; nothing else is ever sent.
func TestBGP_UPD_03_NextHop(t *testing.T) {
	t.Parallel()
	p, a := connect(t, nil, nil, route4())
	m, n := p.wait(0, prompt, "announcement", is("+198.51.100.0/24"))
	if hop := nextHop(m.update()); hop != "127.0.0.1" {
		t.Errorf("next hop %s, want the session's own address", hop)
	}
	six := bgp.Route{Prefix: service6}
	six.NextHop = netip.MustParseAddr("2001:db8::2")
	a.set(six, route4(func(r *bgp.Route) { r.NextHop = netip.MustParseAddr("203.0.113.9") }))
	m, _ = p.wait(n+1, prompt, "another next hop", is("+198.51.100.0/24"))
	if hop := nextHop(m.update()); hop != "203.0.113.9" {
		t.Errorf("next hop %s, want 203.0.113.9", hop)
	}
	m, _ = p.wait(0, prompt, "IPv6", is("+2001:db8:100::/48"))
	if hop := nextHop(m.update()); hop != "2001:db8::2" {
		t.Errorf("next hop %s, want 2001:db8::2", hop)
	}
	if c := count(p, "-198.51"); c != 0 {
		t.Errorf("withdrawn in between: %s", p.describe())
	}
}

func nextHop(u *packet.BGPUpdate) string {
	for _, a := range u.PathAttributes {
		switch a := a.(type) {
		case *packet.PathAttributeNextHop:
			return a.Value.String()
		case *packet.PathAttributeMpReachNLRI:
			return a.Nexthop.String()
		}
	}
	return "none"
}

func TestBGP_COM_01_ExactAttributesInCanonicalOrder(t *testing.T) {
	t.Parallel()
	p, a := connect(t, nil, nil)
	a.set(route4(func(r *bgp.Route) {
		r.MED, r.Prepend = ptr(50), 2
		r.Communities = []bgp.Community{0xFFFF0000, 64500<<16 | 200, 64500<<16 | 100, 0xFFFF0000}
		r.LargeCommunities = []bgp.LargeCommunity{{Global: 64500, Local1: 9, Local2: 9}, {Global: 64500, Local1: 1, Local2: 2}}
		r.LocalPref = ptr(300) // not for eBGP
	}))
	m, n := p.wait(0, prompt, "announcement", is("+198.51.100.0/24"))
	got := map[string]string{}
	for _, attr := range m.update().PathAttributes {
		got[attr.GetType().String()] = attr.String()
	}
	want := map[string]string{
		"BGP_ATTR_TYPE_ORIGIN":          "{Origin: i}",
		"BGP_ATTR_TYPE_AS_PATH":         "{AsPath: 64501 64501 64501}",
		"BGP_ATTR_TYPE_NEXT_HOP":        "{Nexthop: 127.0.0.1}",
		"BGP_ATTR_TYPE_MULTI_EXIT_DISC": "{Med: 50}",
		"BGP_ATTR_TYPE_COMMUNITIES":     "{Communities: 64500:100, 64500:200, planned-shut}",
		"BGP_ATTR_TYPE_LARGE_COMMUNITY": "{LargeCommunity: [ 64500:1:2, 64500:9:9]}",
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s is %q, want %q", k, got[k], v)
		}
		delete(got, k)
	}
	if len(got) > 0 {
		t.Errorf("also sent: %v", got)
	}
	// Other attributes: one UPDATE that replaces, and no withdrawal.
	a.set(route4(func(r *bgp.Route) { r.MED = ptr(200) }))
	p.wait(n+1, prompt, "replacement", is("+198.51.100.0/24"))
	// The same once more: nothing at all.
	g := a.set(route4(func(r *bgp.Route) { r.MED = ptr(200) }))
	a.until(prompt, "the generation", func(r bgp.Report) bool { return r.Generation == g })
	time.Sleep(100 * time.Millisecond)
	if u, w := count(p, "UPDATE"), count(p, "-198.51"); u != 2 || w != 0 {
		t.Errorf("%d UPDATEs and %d withdrawals, want 2 and 0: %s", u, w, p.describe())
	}
	if r := a.last(); len(r.Announced) != 1 || *r.Announced[0].MED != 200 {
		t.Errorf("report %+v", r.Announced)
	}
}

// The end: withdrawals, then CEASE 6/2 with the text, then the connection closes; all within two seconds.
func TestBGP_GR_06_StopWithdrawsThenCeases_BGP_SHUT_01_WithText(t *testing.T) {
	// Not beside others: a process that takes 0.3 s to confirm a withdrawal is killed, and rightly so.
	p := newRawPeer(t, "127.0.0.2", nil)
	text := "wartung: Übergabe an HK \x00" + strings.Repeat("ä", 100)
	a := startAgent(t, speakerOf(rawNeighbor(p)), func(c *Config) { c.Communication = text })
	a.set(route4())
	a.until(sessionUp, "a session", established)
	_, n := p.wait(0, prompt, "announcement", is("+198.51.100.0/24"))
	took := a.end()
	if took > 2*time.Second+slack {
		t.Errorf("stopping took %v", took)
	}
	_, w := p.wait(n+1, prompt, "withdrawal", is("-198.51.100.0/24"))
	m, c := p.wait(n+1, prompt, "CEASE", kind(packet.BGP_MSG_NOTIFICATION))
	_, eof := p.wait(n+1, prompt, "end of the connection", func(m rawMessage) bool { return m.eof })
	if w > c || c > eof {
		t.Errorf("order: %s", p.describe())
	}
	if m.body[0] != 6 || m.body[1] != 2 {
		t.Fatalf("NOTIFICATION %d/%d, want 6/2", m.body[0], m.body[1])
	}
	said := string(m.body[3:])
	if int(m.body[2]) != len(said) || len(said) > 128 || !utf8.ValidString(said) || strings.ContainsRune(said, 0) {
		t.Errorf("communication of %d octets, length octet %d: %q", len(said), m.body[2], said)
	}
	if !strings.HasPrefix(said, "wartung: Übergabe an HK ä") || len(said) < 126 {
		t.Errorf("communication %q", said)
	}
	if a.s.PID() != 0 {
		t.Error("the process is still there")
	}
}

// What the neighbor says at its end is shown, with everything that is not text escaped; and it is tried again soon.
func TestBGP_SHUT_01_ReceivedTextIsEscaped(t *testing.T) {
	t.Parallel()
	p, a := connect(t, nil, nil)
	said := "bye \xff\xfe\x1b[31m\n"
	p.send(message(packet.BGP_MSG_NOTIFICATION, append([]byte{6, 2, byte(len(said))}, said...)))
	p.reset()
	r := a.until(prompt, "the reason", func(r bgp.Report) bool {
		return strings.HasPrefix(r.Neighbors[0].LastError, "received NOTIFICATION")
	})
	want := `received NOTIFICATION 6/2 (Cease, Administrative Shutdown): "bye \xff\xfe\x1b[31m\n"`
	if got := r.Neighbors[0].LastError; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if r.Neighbors[0].Flaps != 1 {
		t.Errorf("%d flaps", r.Neighbors[0].Flaps)
	}
	// gobgp alone would take six to seven seconds.
	start := time.Now()
	r = a.until(sessionUp, "another session", established)
	if took := time.Since(start); took > 3*time.Second+slack {
		t.Errorf("again after %v", took)
	}
	if r.Neighbors[0].LastError != "" {
		t.Errorf("still complains: %s", r.Neighbors[0].LastError)
	}
}
