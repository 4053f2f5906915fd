package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdlayher/ndp"
	"golang.org/x/sys/unix"

	"failoverd/vrrp/wire"
)

// Claim is what another host has said: that an address of ours is at its link-layer address. RFC 5227 section 2.4 calls
// that a conflicting ARP packet; for IPv6 it is a neighbor advertisement (RFC 4861 section 7.2.5).
type Claim struct {
	Address netip.Addr
	MAC     [6]byte
}

// Claims hears on one interface, for one family, who else claims addresses. A claim by any link-layer address of this host
// is none. What is said to a third host alone, as the answer to its question is, a switch does not bring here.
//
//	reader goroutine   Claims.Run
//	anybody            Claims.Lost, Claims.Close
type Claims struct {
	// constant after OpenClaims
	id      ID
	sock    *socket
	parse   func([]byte) (Claim, bool)
	wanted  []netip.Addr // sorted
	closing chan struct{}
	once    sync.Once

	own    map[[6]byte]bool // link-layer addresses of this host; owned by Run
	ownOld time.Time        // they are asked for again then

	lost atomic.Uint64
}

const (
	// After claimBurst claims there is a pause of claimGap. What comes faster waits in the socket, and what does not fit there
	// is lost: whoever floods the LAN says the same over and over.
	claimBurst = 100
	claimGap   = 10 * time.Millisecond

	// claimBuffer holds a thousand claims, as somebody makes who has taken a whole network's addresses.
	claimBuffer = 1 << 20

	// ownFor is how long a list of the host's own link-layer addresses is believed.
	ownFor = time.Second

	// maxClaim is longer than an ARP packet, and than what is of interest of a neighbor advertisement.
	maxClaim = 1 << 10
)

// OpenClaims listens on the interface id.Interface for claims of addrs, all of the family of id. Its errors are those of Open.
// The network namespace is that of the calling thread; Run must be called in the same one.
func OpenClaims(id ID, addrs []netip.Addr) (*Claims, error) {
	c := &Claims{id: id, wanted: slices.SortedFunc(slices.Values(addrs), netip.Addr.Compare), closing: make(chan struct{})}
	var err error
	switch id.Family {
	case wire.IPv4:
		c.parse = parseARP
		c.sock, err = openARP(id.Interface, c.wanted)
	case wire.IPv6:
		c.parse = parseNA
		c.sock, err = openAdvertisements(id.Interface)
	default:
		err = fmt.Errorf("address family %d (want 4 or 6)", uint8(id.Family))
	}
	if err != nil {
		return nil, fmt.Errorf("listen for claims on %s: %w", id, err)
	}
	return c, nil
}

// Lost returns how many claims were heard and not delivered. Safe for concurrent use.
func (c *Claims) Lost() uint64 { return c.lost.Load() }

// Close ends Run. It may be called more than once and from any goroutine.
func (c *Claims) Close() (err error) {
	c.once.Do(func() {
		close(c.closing)
		err = c.sock.close()
	})
	return err
}

// Run hears claims until Close. deliver must not block; false means that there was no room. Call it once.
func (c *Claims) Run(deliver func(Claim) bool) {
	b := make([]byte, maxClaim)
	for burst := 0; ; {
		n, err := c.sock.read(b)
		switch {
		case errors.Is(err, os.ErrClosed):
			return
		case err != nil: // the interface is down or gone, which others tell, or the kernel is short of memory
			if !c.pause(lastPause) {
				return
			}
			continue
		}
		claim, ok := c.parse(b[:n])
		if !ok || !c.isWanted(claim.Address) || c.isOwn(claim.MAC) {
			continue
		}
		if !deliver(claim) {
			c.lost.Add(1)
		}
		if burst++; burst%claimBurst == 0 && !c.pause(claimGap) {
			return
		}
	}
}

func (c *Claims) isWanted(a netip.Addr) bool {
	_, ok := slices.BinarySearchFunc(c.wanted, a, netip.Addr.Compare)
	return ok
}

// isOwn reports whether a link-layer address is one of this host: another interface of it may be on the same LAN.
func (c *Claims) isOwn(mac [6]byte) bool {
	if now := time.Now(); c.own == nil || !now.Before(c.ownOld) {
		list, err := net.Interfaces()
		if err != nil {
			return false
		}
		c.own, c.ownOld = make(map[[6]byte]bool, len(list)), now.Add(ownFor)
		for _, i := range list {
			if len(i.HardwareAddr) == 6 {
				c.own[[6]byte(i.HardwareAddr)] = true
			}
		}
	}
	return c.own[mac]
}

// pause waits for d, or less if Close is called meanwhile; it reports whether to go on.
func (c *Claims) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.closing:
		return false
	}
}

// Where things are in an ARP packet for IPv4 on Ethernet (RFC 826).
const (
	arpSenderMAC = 8
	arpSenderIP  = 14
	arpLength    = 28
)

// parseARP reads the claim in an ARP packet. Requests count as replies do: whoever sends one says where its sender is
// (RFC 5227 section 1.1). A probe, which asks before anybody has the address, has no sender, and claims nothing.
func parseARP(b []byte) (c Claim, ok bool) {
	if len(b) < arpLength || [6]byte(b[:6]) != [6]byte{0, 1, 8, 0, 6, 4} {
		return c, false
	}
	if op := binary.BigEndian.Uint16(b[6:]); op != 1 && op != 2 {
		return c, false
	}
	c.MAC = [6]byte(b[arpSenderMAC:])
	c.Address = netip.AddrFrom4([4]byte(b[arpSenderIP:]))
	return c, isHost(c.MAC) && !c.Address.IsUnspecified()
}

// parseNA reads the claim in a neighbor advertisement: the target, and where the option says that it is. Without the option it
// moves nobody's cache entry.
func parseNA(b []byte) (c Claim, ok bool) {
	m, err := ndp.ParseMessage(b)
	if err != nil {
		return c, false
	}
	na, ok := m.(*ndp.NeighborAdvertisement)
	if !ok {
		return c, false
	}
	for _, o := range na.Options {
		l, ok := o.(*ndp.LinkLayerAddress)
		if !ok || l.Direction != ndp.Target || len(l.Addr) != 6 {
			continue
		}
		c = Claim{na.TargetAddress, [6]byte(l.Addr)}
		return c, isHost(c.MAC) && !c.Address.IsUnspecified() && !c.Address.IsMulticast()
	}
	return c, false
}

// isHost reports whether a link-layer address can be that of one host.
func isHost(mac [6]byte) bool { return mac[0]&1 == 0 && mac != [6]byte{} }

// read waits for one message that may be believed: of a raw socket for ICMPv6, one that no router has forwarded.
func (s *socket) read(b []byte) (n int, err error) {
	oob := make([]byte, controlSpace)
	fetch := func(fd uintptr) bool {
		var nn int
		n, nn, _, _, err = unix.Recvmsg(int(fd), b, oob, unix.MSG_DONTWAIT)
		if err == nil && forwarded(oob[:nn]) {
			err = unix.EINTR
		}
		return !errors.Is(err, unix.EAGAIN)
	}
	for {
		if failed := s.raw.Read(fetch); failed != nil {
			return 0, s.fault(failed)
		}
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// forwarded reports whether a message has a hop limit, and one that Neighbor Discovery does not believe (RFC 4861 section 7.1.2).
func forwarded(oob []byte) (yes bool) {
	eachControl(oob, func(level, typ int32, data []byte) {
		if level == unix.IPPROTO_IPV6 && typ == unix.IPV6_HOPLIMIT && len(data) >= 4 {
			yes = binary.NativeEndian.Uint32(data) != wire.TTL
		}
	})
	return yes
}
