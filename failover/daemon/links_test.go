package daemon

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"failoverd/failover"
	"failoverd/vrrp/wire"
)

// withLinks calls f in a lab with the links of an agent that does not run; f plays the loop.
func withLinks(t *testing.T, f func(l *lab, k *links, log *testLog)) {
	l, log := newLab(t), new(testLog)
	o, _ := options(t, webConf, log)
	if err := l.do(func() error {
		a, err := New(o)
		if err != nil {
			return err
		}
		f(l, a.loop.links, log)
		close(a.over)
		return a.loop.close()
	}); err != nil {
		t.Fatal(err)
	}
}

func foA(index int) failover.Interface {
	return failover.Interface{Name: "fo-a", Index: index, Up: true}
}

var idA = failover.LinkID{Interface: "fo-a", Family: wire.IPv4}

// The reader of a link ends by itself when its interface is replaced. Should nobody else notice, a MASTER would be deaf
// for ever.
func TestDeafLinkIsReplaced(t *testing.T) {
	withLinks(t, func(l *lab, k *links, _ *testLog) {
		if c := k.interfaceChanged(foA(2)); len(c) != 1 || !c[0].Open {
			t.Fatalf("changed %v, failed %v", c, k.failed)
		}
		l.ip("link del fo-a")
		l.ip("link add fo-a type veth peer name fo-b")
		var o *openLink
		select {
		case o = <-k.agent.deaf:
		case <-time.After(10 * time.Second):
			t.Fatal("the reader does not notice")
		}
		if c := k.reopen(o); len(c) != 2 || c[0].Open || !c[1].Open {
			t.Errorf("changed %v", c)
		}
		if c := k.reopen(o); c != nil {
			t.Errorf("a link that was replaced already: changed %v", c)
		}
	})
}

// A link that cannot be opened is tried again, and complained of once.
func TestFailedLinkIsRetried(t *testing.T) {
	withLinks(t, func(l *lab, k *links, log *testLog) {
		l.ip("link set fo-a down")
		l.ip("link set fo-a name fo-x")
		if c := k.interfaceChanged(foA(2)); len(c) != 1 || c[0].Open || c[0].Err == "" {
			t.Fatalf("changed %v", c)
		}
		now := monotonic()
		if c := k.retry(now); c != nil || len(k.failed) != 1 {
			t.Errorf("changed %v, failed %v", c, k.failed)
		}
		l.ip("link set fo-x name fo-a")
		if c := k.retry(now.Add(retryGap - 1)); c != nil {
			t.Errorf("tried again too soon: %v", c)
		}
		if c := k.retry(now.Add(retryGap)); len(c) != 1 || !c[0].Open || len(k.failed) != 0 {
			t.Errorf("changed %v, failed %v", c, k.failed)
		}
		if n := log.count("link not opened"); n != 1 {
			t.Errorf("%d lines, want 1", n)
		}
	})
}

// Interfaces come and go with containers; nothing is kept of them, and nothing opened for them.
func TestForeignInterfaces(t *testing.T) {
	withLinks(t, func(_ *lab, k *links, _ *testLog) {
		for _, i := range []failover.Interface{
			{Name: "veth1", Index: 7, Up: true}, {Name: "veth2", Index: 8}, {Name: "veth1"}, {Name: "veth2"}, {Name: "never-seen"},
		} {
			if c := k.interfaceChanged(i); c != nil {
				t.Errorf("%s: changed %v", i.Name, c)
			}
		}
		if len(k.interfaces)+len(k.open)+len(k.failed)+len(k.announcers) != 0 {
			t.Errorf("kept: %v %v %v %v", k.interfaces, k.open, k.failed, k.announcers)
		}
	})
}

// What a configuration does not want any more is closed, and what it wants as before is not touched.
func TestLinksAdopt(t *testing.T) {
	withLinks(t, func(_ *lab, k *links, _ *testLog) {
		k.interfaceChanged(foA(2))
		o, cfg := k.open[idA], k.agent.loop.core.Config()
		if o == nil || k.announcers["fo-a"] == nil {
			t.Fatalf("open %v, announcers %v", k.open, k.announcers)
		}
		a := k.announcers["fo-a"]
		if c := k.adopt(cfg); c != nil || k.open[idA] != o || k.announcers["fo-a"] != a {
			t.Errorf("the same configuration: changed %v", c)
		}
		if c := k.adopt(&failover.Config{}); len(c) != 0 || len(k.open) != 1 {
			t.Errorf("an empty configuration, before the last words are out: changed %v, open %v", c, k.open)
		}
		if c := k.prune(); len(c) != 1 || c[0].Open || len(k.open)+len(k.announcers) != 0 {
			t.Errorf("an empty configuration: changed %v, open %v, announcers %v", c, k.open, k.announcers)
		}
		if c := k.adopt(cfg); len(c) != 1 || !c[0].Open {
			t.Errorf("the first configuration again: changed %v", c)
		}
	})
}

// Announcements that fail are complained of once in a while, however many there are.
func TestAnnouncementsFail(t *testing.T) {
	withLinks(t, func(l *lab, k *links, log *testLog) {
		n := failover.LinkAnnouncement{Interface: "fo-a", Address: netip.MustParseAddr("192.0.2.10")}
		k.announce(n)
		first := k.announcers["fo-a"]
		if first == nil || log.String() != "" {
			t.Fatalf("log %s", log)
		}
		l.ip("link set fo-a down")
		for range 5 {
			k.announce(n)
		}
		if k.announcers["fo-a"] != first {
			t.Error("an interface that is down needs no other socket")
		}
		l.ip("link del fo-a")
		for range 5 {
			k.announce(n)
		}
		if n := log.count("the LAN cannot be told"); n != 1 {
			t.Errorf("%d lines, want 1:\n%s", n, log)
		}
		l.ip("link add fo-a type veth peer name fo-b")
		l.ip("link set fo-a up")
		k.announce(n)
		if a := k.announcers["fo-a"]; a == nil || a == first {
			t.Error("the new interface is not used")
		}
	})
}

func TestDropLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(testLog)
		d := &dropLog{log: slog.New(slog.NewTextHandler(log, nil)), link: idA}
		src := netip.MustParseAddr("192.0.2.99")
		for range 100 {
			d.note(wire.DropTTL, src, 51)
			d.note(wire.DropChecksum, src, 52)
			d.failed(errTest)
			time.Sleep(dropLogGap / 50)
		}
		time.Sleep(dropLogGap / 50)
		d.note(wire.DropTTL, src, 51)
		for text, want := range map[string]int{
			"reason=ttl src=192.0.2.99 vrid=51 more_since_last=0\n":      1,
			"reason=ttl src=192.0.2.99 vrid=51 more_since_last=49\n":     2,
			"reason=checksum src=192.0.2.99 vrid=52 more_since_last=0\n": 1,
			"reason=checksum": 2,
			"link=fo-a/4":     7,
			"advertisement not sent\" link=fo-a/4 err=\"test error\"\n": 2,
		} {
			if n := log.count(text); n != want {
				t.Errorf("%d lines with %q, want %d:\n%s", n, text, want, log)
			}
		}
		if strings.Count(log.String(), "\n") != 7 {
			t.Errorf("log:\n%s", log)
		}
	})
}
