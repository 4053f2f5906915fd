package speaker

import (
	"net/netip"
	"testing"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"failoverd/bgp"
)

// Everything that can change while the process goes on, and what neighbors see of it: one that stays as it is sees
// routes come and go, and never loses its session.
func TestReconfigure(t *testing.T) {
	t.Parallel()
	stays, goes, comes := newRawPeer(t, "127.0.0.2", nil), newRawPeer(t, "127.0.0.3", nil), newRawPeer(t, "127.0.0.4", nil)
	second := netip.MustParsePrefix("192.0.2.0/24")
	routes := func() []bgp.Route { return []bgp.Route{{Prefix: second}, route4()} }
	cfg := speakerOf(rawNeighbor(stays), rawNeighbor(goes))
	a := startAgent(t, cfg)
	a.set(routes()...)
	a.until(sessionUp, "the sessions", allEstablished)
	_, n := stays.wait(0, prompt, "announcement", is("+198.51.100.0/24"))
	pid := a.s.PID()
	change := func(what string, f func(*bgp.SpeakerConfig)) {
		t.Helper()
		next := cfg
		next.Neighbors = append([]bgp.Neighbor(nil), cfg.Neighbors...)
		f(&next)
		if !a.s.Reconfigure(next) {
			t.Fatalf("%s takes another process", what)
		}
		cfg = next
	}

	change("another prefix", func(c *bgp.SpeakerConfig) { c.Allow = bgp.AllowList{service4, service6, second} })
	_, n = stays.wait(n, prompt, "the newly allowed route", is("+192.0.2.0/24"))
	goes.wait(0, prompt, "the newly allowed route", is("+192.0.2.0/24"))

	change("neighbors", func(c *bgp.SpeakerConfig) {
		c.Neighbors[0].Description = "another one"
		c.Neighbors[1] = rawNeighbor(comes)
	})
	m, i := goes.wait(0, prompt, "CEASE", kind(packet.BGP_MSG_NOTIFICATION))
	if m.body[0] != 6 || m.body[1] != 3 {
		t.Errorf("NOTIFICATION %d/%d to a removed neighbor, want 6/3", m.body[0], m.body[1])
	}
	goes.wait(i, prompt, "the end", func(m rawMessage) bool { return m.eof })
	r := a.until(sessionUp, "the new session", func(r bgp.Report) bool {
		return allEstablished(r) && r.Neighbors[1].Address == comes.addr.Addr()
	})
	if len(r.Neighbors) != 2 {
		t.Errorf("neighbors %+v", r.Neighbors)
	}

	change("fewer prefixes", func(c *bgp.SpeakerConfig) { c.Allow = bgp.AllowList{second, service6} })
	_, n = stays.wait(n, prompt, "withdrawal", is("-198.51.100.0/24"))
	a.until(prompt, "the complaint", func(r bgp.Report) bool { return r.Err != "" && len(r.Announced) == 1 })
	change("both again", func(c *bgp.SpeakerConfig) { c.Allow = bgp.AllowList{service4, service6, second} })
	_, n = stays.wait(n, prompt, "announcement again", is("+198.51.100.0/24"))
	change("a limit", func(c *bgp.SpeakerConfig) { c.MaxAnnouncements = 1 })
	_, n = stays.wait(n, prompt, "withdrawal", is("-198.51.100.0/24"))
	change("no limit", func(c *bgp.SpeakerConfig) { c.MaxAnnouncements = 0 })
	stays.wait(n, prompt, "announcement again", is("+198.51.100.0/24"))

	n = len(comes.all())
	change("timers", func(c *bgp.SpeakerConfig) { c.Neighbors[1].HoldTime = 12 * time.Second })
	m, _ = comes.wait(n, sessionUp, "another OPEN", kind(packet.BGP_MSG_OPEN))
	if o, _, err := m.open(); err != nil || o.HoldTime != 12 {
		t.Errorf("OPEN %+v, %v; want hold time 12", o, err)
	}
	a.until(sessionUp, "its session", func(r bgp.Report) bool {
		return allEstablished(r) && r.Neighbors[1].HoldTime == 12*time.Second
	})
	comes.wait(n, prompt, "the route", func(m rawMessage) bool { return m.update() != nil })

	for _, m := range stays.all() {
		if m.eof || m.conn > 0 {
			t.Fatalf("the session that nothing changed for was lost: %s", stays.describe())
		}
	}
	if r := a.last(); r.Restarts != 0 || a.s.PID() != pid || r.Neighbors[0].Flaps != 0 || r.Err != "" {
		t.Errorf("report %+v", r)
	}
}

// What is changed while a process is being started holds for it.
func TestReconfigureAtTheStart(t *testing.T) {
	t.Parallel()
	p := newRawPeer(t, "127.0.0.2", nil)
	a := startAgent(t, speakerOf())
	if !a.s.Reconfigure(speakerOf(rawNeighbor(p))) {
		t.Fatal("refused")
	}
	a.set(route4())
	p.wait(0, sessionUp, "announcement", is("+198.51.100.0/24"))
}

func TestReconfigureRefuses(t *testing.T) {
	s, err := New(Config{Speaker: speakerOf(), Command: []string{"x"}, RunDir: "/run/failoverd", Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	if !s.Reconfigure(speakerOf()) {
		t.Error("the same is refused")
	}
	for name, change := range map[string]func(*bgp.SpeakerConfig){
		"name":        func(c *bgp.SpeakerConfig) { c.Name = "OTHER" },
		"local AS":    func(c *bgp.SpeakerConfig) { c.LocalAS++ },
		"router id":   func(c *bgp.SpeakerConfig) { c.RouterID = netip.MustParseAddr("192.0.2.9") },
		"listen port": func(c *bgp.SpeakerConfig) { c.ListenPort = 1790 },
		"families":    func(c *bgp.SpeakerConfig) { c.Allow = bgp.AllowList{service4} },
		"nonsense":    func(c *bgp.SpeakerConfig) { c.Allow = bgp.AllowList{{}} },
	} {
		cfg := speakerOf()
		change(&cfg)
		if s.Reconfigure(cfg) {
			t.Errorf("%s: accepted", name)
		}
	}
}
