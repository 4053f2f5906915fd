package link

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"failoverd/vrrp/wire"
)

// listener is an open link whose Run fills channels.
type listener struct {
	*Link
	t       testing.TB
	packets chan *wire.Packet
	dropped chan string // "REASON from SOURCE vrid VRID"
	ended   chan error
}

// listen opens a link in a namespace and runs it until the test ends, when Run must return nil.
func listen(t testing.TB, n namespace, id ID) *listener {
	t.Helper()
	return listenWith(t, n, id, Options{})
}

func listenWith(t testing.TB, n namespace, id ID, opts Options) *listener {
	t.Helper()
	l := startWith(t, n, id, opts)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := l.end(); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return l
}

func start(t testing.TB, n namespace, id ID) *listener {
	t.Helper()
	return startWith(t, n, id, Options{})
}

// startWith replaces the Drop of opts.
func startWith(t testing.TB, n namespace, id ID, opts Options) *listener {
	t.Helper()
	l := &listener{
		t: t, packets: make(chan *wire.Packet, 4096), dropped: make(chan string, 1<<16), ended: make(chan error, 1),
	}
	n.do(t, func() (err error) {
		opts.Drop = func(r wire.DropReason, src netip.Addr, vrid uint8) {
			l.dropped <- fmt.Sprintf("%v from %v vrid %d", r, src, vrid)
		}
		l.Link, err = Open(id, opts)
		return err
	})
	go func() {
		l.ended <- l.Run(func(p *wire.Packet) bool {
			select {
			case l.packets <- p:
				return true
			default:
				return false
			}
		})
	}()
	return l
}

// end waits until Run returns.
func (l *listener) end() error {
	l.t.Helper()
	select {
	case err := <-l.ended:
		return err
	case <-time.After(20 * time.Second):
		l.t.Fatal("Run does not return")
		return nil
	}
}

// next waits for a packet.
func (l *listener) next() *wire.Packet {
	l.t.Helper()
	select {
	case p := <-l.packets:
		return p
	case <-time.After(5 * time.Second):
		drops := l.Drops()
		l.t.Fatalf("nothing received; drops %v", drops.Map())
		return nil
	}
}

// expect waits for the packet with a VRID, which must be the very next: what was sent before it had no effect.
func (l *listener) expect(vrid uint8) *wire.Packet {
	l.t.Helper()
	p := l.next()
	if p.VRID != vrid {
		l.t.Fatalf("received VRID %d from %v to %v, want VRID %d", p.VRID, p.Src, p.Dst, vrid)
	}
	return p
}

// sender opens a link that only sends.
func sender(t testing.TB, n namespace, id ID) *Link {
	t.Helper()
	var l *Link
	n.do(t, func() (err error) {
		l, err = Open(id, Options{})
		return err
	})
	t.Cleanup(func() { l.Close() })
	return l
}

// advert encodes a version 3 advertisement of a virtual address that suits the family of src.
func advert(t testing.TB, vrid uint8, src, dst netip.Addr) []byte {
	t.Helper()
	a := wire.Advertisement{Version: wire.V3, VRID: vrid, Priority: 100, Interval: 100}
	if src.Is4() {
		a.Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.10")}
	} else {
		a.Addresses = []netip.Addr{netip.MustParseAddr("fe80::51"), netip.MustParseAddr("2001:db8::51")}
	}
	b, err := a.Append(nil, src, dst, wire.ChecksumPseudo)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// families runs a test over IPv4 and IPv6.
func families(t *testing.T, f func(t *testing.T, fam wire.Family, own, peer netip.Addr)) {
	t.Run("IPv4", func(t *testing.T) { f(t, wire.IPv4, addrA, addrB) })
	t.Run("IPv6", func(t *testing.T) { f(t, wire.IPv6, localA, localB) })
}
