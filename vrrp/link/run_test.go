package link

import (
	"errors"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/vrrp/wire"
)

// idle returns a link without a socket, for run.
func idle() *Link {
	return &Link{
		id: ID{"eth0", wire.IPv4}, closing: make(chan struct{}),
		drop: func(wire.DropReason, netip.Addr, uint8) {},
	}
}

// good fills d with an advertisement.
func good(t *testing.T, d *datagram, vrid uint8) {
	group := wire.IPv4.Group()
	d.Header = wire.Header{Src: addrB, Dst: group, TTL: 255}
	d.payload = advert(t, vrid, addrB, group)
}

func TestRunOutlivesReadErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, begin, reads := idle(), time.Now(), 0
		var times []time.Duration
		read := func(d *datagram) error {
			times = append(times, time.Since(begin))
			switch reads++; {
			case reads <= 12:
				return unix.ENETDOWN
			case reads == 13:
				good(t, d, 51)
				return nil
			case reads == 14:
				return unix.ENOBUFS
			}
			return os.ErrClosed
		}
		var heard []*wire.Packet
		if err := l.run(read, func(p *wire.Packet) bool { heard = append(heard, p); return true }); err != nil {
			t.Errorf("run: %v", err)
		}
		if len(heard) != 1 || heard[0].VRID != 51 {
			t.Errorf("heard %v, want one packet", heard)
		}
		if got := l.Counters(); got.ReadErrors != 13 || got.Received != 1 {
			t.Errorf("counters %+v, want 13 read errors and 1 received", got)
		}
		// 1 ms doubles up to 1 s; a good read starts it over.
		if gap := times[12] - times[11]; gap != lastPause {
			t.Errorf("pause after the twelfth error %v, want %v", gap, lastPause)
		}
		if gap := times[14] - times[13]; gap != firstPause {
			t.Errorf("pause after a good read and an error %v, want %v", gap, firstPause)
		}
	})
}

func TestCloseEndsAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, begin := idle(), time.Now()
		go func() {
			time.Sleep(3500 * time.Millisecond) // in the middle of one of the pauses of 1 s
			close(l.closing)
		}()
		if err := l.run(func(*datagram) error { return unix.ENETDOWN }, nil); err != nil {
			t.Errorf("run: %v", err)
		}
		if took := time.Since(begin); took != 3500*time.Millisecond {
			t.Errorf("returned after %v, want 3.5 s", took)
		}
	})
}

func TestFullQueueIsCountedAndThePacketReused(t *testing.T) {
	l, reads := idle(), 0
	var reasons []wire.DropReason
	l.drop = func(r wire.DropReason, src netip.Addr, vrid uint8) {
		if src != addrB || vrid != 51 {
			t.Errorf("drop from %v vrid %d", src, vrid)
		}
		reasons = append(reasons, r)
	}
	read := func(d *datagram) error {
		if reads++; reads > 4 {
			return os.ErrClosed
		}
		good(t, d, 51)
		return nil
	}
	seen := make(map[*wire.Packet]int)
	full := []bool{false, true, true, false}
	err := l.run(read, func(p *wire.Packet) bool {
		seen[p]++
		return !full[reads-1]
	})
	if err != nil {
		t.Fatal(err)
	}
	// The refused packet serves for the next two reads, an accepted one for none.
	if len(seen) != 2 {
		t.Errorf("%d packets used, want 2", len(seen))
	}
	if d := l.Drops(); d[wire.DropQueueFull] != 2 || len(reasons) != 2 || reasons[0] != wire.DropQueueFull {
		t.Errorf("drops %v, callback %v, want 2 of queue_full", d.Map(), reasons)
	}
	if got := l.Counters().Received; got != 2 {
		t.Errorf("received %d, want 2", got)
	}
}

func TestKernelLossIsCountedAcrossWraparound(t *testing.T) {
	l, reads := idle(), 0
	counts := []uint32{0, 5, 5, 1<<32 - 1, 2}
	read := func(d *datagram) error {
		if reads == len(counts) {
			return os.ErrClosed
		}
		d.lost = counts[reads]
		reads++
		return nil
	}
	if err := l.run(read, nil); err != nil {
		t.Fatal(err)
	}
	if got, want := l.Counters().Overflowed, uint64(1<<32+2); got != want {
		t.Errorf("overflowed %d, want %d", got, want)
	}
}

func TestRunEndsWhenTheInterfaceIsGone(t *testing.T) {
	for name, after := range map[string]func(*testing.T, *lab){
		"deleted":  func(*testing.T, *lab) {},
		"replaced": func(t *testing.T, l *lab) { l.plug(t) },
	} {
		t.Run(name, func(t *testing.T) {
			families(t, func(t *testing.T, fam wire.Family, _, _ netip.Addr) {
				lab := newLab(t)
				l := start(t, lab.a, ID{ifA, fam})
				defer l.Close()
				lab.a.ip(t, "link del "+ifA)
				after(t, lab)
				if err := l.end(); !errors.Is(err, ErrNoInterface) {
					t.Errorf("run: %v, want %v", err, ErrNoInterface)
				}
			})
		})
	}
}

func TestRunOutlivesLinkDown(t *testing.T) {
	families(t, func(t *testing.T, fam wire.Family, own, peer netip.Addr) {
		lab := newLab(t)
		l := listen(t, lab.a, ID{ifA, fam})
		lab.a.ip(t, "link set "+ifA+" down")
		lab.a.ip(t, "link set "+ifA+" up")
		lab.a.ready(t, ifA)
		wiretap := newTap(t, lab.b, ifB)
		wiretap.send(peer, fam.Group(), 255, advert(t, 51, peer, fam.Group()))
		l.expect(51)
		if fam == wire.IPv6 {
			lab.a.ip(t, "addr replace "+own.String()+"/64 dev "+ifA+" nodad") // the kernel removed it with the link
		}
		if err := l.Send(advert(t, 52, own, fam.Group()), own, fam.Group(), 0); err != nil {
			t.Fatal(err)
		}
		wiretap.advert(macA)
	})
}

func TestSendAndRunAndCloseTogether(t *testing.T) {
	families(t, func(t *testing.T, fam wire.Family, own, peer netip.Addr) {
		lab := newLab(t)
		wiretap := newTap(t, lab.b, ifB)
		l := start(t, lab.a, ID{ifA, fam})
		payload, incoming := advert(t, 51, own, fam.Group()), advert(t, 52, peer, fam.Group())
		ended := make(chan error, 1)
		go func() {
			for {
				if err := l.Send(payload, own, fam.Group(), 0); err != nil {
					ended <- err
					return
				}
				_, _ = l.Drops(), l.Counters()
			}
		}()
		for range 200 {
			wiretap.send(peer, fam.Group(), 255, incoming)
			l.expect(52)
		}
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := <-ended; !errors.Is(err, os.ErrClosed) {
			t.Errorf("send: %v, want %v", err, os.ErrClosed)
		}
		if err := l.end(); err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

func TestCloseFromDeliver(t *testing.T) {
	lab := newLab(t)
	wiretap := newTap(t, lab.b, ifB)
	l := sender(t, lab.a, ID{ifA, wire.IPv4})
	ended := make(chan error, 1)
	go func() { ended <- l.Run(func(*wire.Packet) bool { l.Close(); return true }) }()
	group := wire.IPv4.Group()
	wiretap.send(addrB, group, 255, advert(t, 51, addrB, group))
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("run: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Close inside deliver does not return")
	}
}
