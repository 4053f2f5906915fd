package witness

import (
	"net"
	"testing"
	"time"

	"failoverd/failover"
)

// What a reload does not change goes on as if there had been none; other keys are no change either.
func TestReload(t *testing.T) {
	at, other := freePort(t, "127.0.0.1"), freePort(t, "127.0.0.1")
	w, a := start(t, server(at, keyA)), start(t, site(at, keyA))
	exchange(t, a, w, witnessID, false)
	exchange(t, a, w, witnessID, true)
	socket := w.x.listeners[at].socket

	both := server(at, keyB, keyA)
	both.Watches = []failover.WatchConfig{{Name: "mainland", Listen: other, Keys: [][]byte{keyA}}}
	w.x.Configure(both)
	w.x.OpenMissing()
	exchange(t, a, w, witnessID, true)
	a.x.Configure(site(at, keyB))
	a.x.OpenMissing()
	exchange(t, a, w, witnessID, true)
	if w.x.listeners[at].socket != socket || len(w.x.listeners) != 2 {
		t.Errorf("listeners %v", w.x.listeners)
	}
	a.took(4)
	if p := a.partner(0); p.Sent != 4 {
		t.Errorf("partner %+v", p)
	}

	// Another address is another partner's life.
	a.x.Configure(site(other, keyA))
	a.x.OpenMissing()
	exchange(t, a, w, witnessID, false)
	exchange(t, a, w, witnessID, true)

	w.x.Configure(new(failover.Config))
	if c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at)); err != nil {
		t.Errorf("a listener that is gone: %v", err)
	} else {
		c.Close()
	}
}

// A listener whose address is not there yet, or is taken, is shown, complained of once, and opened later.
func TestListenerIsRetried(t *testing.T) {
	at := freePort(t, "127.0.0.1")
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	w, a := start(t, server(at, keyA)), start(t, site(at, keyA))
	if l := w.listener(0); l.Open || l.Error == "" {
		t.Errorf("listener %+v", l)
	}
	w.x.retryAt = time.Time{}
	w.x.OpenMissing()
	c.Close()
	w.x.OpenMissing()
	if w.listener(0).Open {
		t.Error("tried again too soon")
	}
	w.x.retryAt = time.Time{}
	w.x.OpenMissing()
	if l := w.listener(0); !l.Open || l.Error != "" || w.x.missing {
		t.Errorf("listener %+v", l)
	}
	if n := w.log.count("not opened"); n != 1 {
		t.Errorf("%d lines, want 1", n)
	}
	exchange(t, a, w, witnessID, false)
}
