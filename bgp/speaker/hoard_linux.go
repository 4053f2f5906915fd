package speaker

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"
	"golang.org/x/sys/unix"

	"failoverd/bgp/gobgp"
)

// outOfResources is NOTIFICATION 6/8 (RFC 4486 section 4).
var outOfResources = []byte{
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0, 21, packet.BGP_MSG_NOTIFICATION, packet.BGP_ERROR_CEASE, packet.BGP_ERROR_SUB_OUT_OF_RESOURCES,
}

// run looks at the memory until ctx ends. It asks gobgp nothing, which may be busy for seconds with what it was sent.
func (k *keeper) run(ctx context.Context) {
	tick := time.NewTicker(weighEvery)
	defer tick.Stop()
	var h hoard
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			k.look(&h, now)
		}
	}
}

func (k *keeper) look(h *hoard, now time.Time) {
	have, limit := resident(os.Getpid()), k.limit()
	if have <= limit/2 && now.Sub(h.looked) < time.Second { // who has sent how much costs more than how much there is
		return
	}
	conns, err := connections()
	if err != nil {
		k.log.log.Debug("look at the BGP connections", "err", err)
	}
	h.note(now, received(conns))
	peer, err := h.decide(now, have, limit)
	if err != nil {
		k.fatal(err)
		return
	}
	if peer.IsValid() {
		k.end(conns, peer, fmt.Sprintf("the speaker process has %d MB in memory, its limit is %d MB, and this neighbor has sent most", have>>20, limit>>20))
	}
	if have > limit {
		k.free()
	}
}

// received is what came on each connection.
func received(conns []connection) []sender {
	all := make([]sender, 0, len(conns))
	for _, c := range conns {
		if info, err := unix.GetsockoptTCPInfo(c.fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			all = append(all, sender{c.peer(), info.Bytes_received})
		}
	}
	return all
}

// end sends a CEASE on the connections of a neighbor, ends them, and has gobgp forget what it has not worked through yet: the end of
// the connection would wait behind it. The agent adds the neighbor again after a while.
func (k *keeper) end(conns []connection, peer netip.Addr, why string) {
	for _, c := range conns {
		if c.peer() != peer {
			continue
		}
		// A neighbor that does not read does not get it.
		_ = unix.Send(c.fd, outOfResources, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if err := unix.Shutdown(c.fd, unix.SHUT_RDWR); err != nil {
			k.log.log.Debug("close a connection", "peer", peer.String(), "err", err)
		}
	}
	why = "session closed with CEASE 6/8 (Out of Resources): " + why
	k.log.explain(peer, why)
	k.log.trouble(peer.String(), why)
	go func() { // gobgp may be busy
		if err := gobgp.DropPeer(k.server, peer); err != nil {
			k.log.log.Debug("drop a neighbor", "peer", peer.String(), "err", err)
			return
		}
		k.neighbors.Add(-1)
		k.free()
	}()
}

// peer is the neighbor as gobgp calls it.
func (c *connection) peer() netip.Addr {
	if c.zone == 0 {
		return c.remote
	}
	if l, err := net.InterfaceByIndex(int(c.zone)); err == nil {
		return c.remote.WithZone(l.Name)
	}
	return c.remote.WithZone(strconv.Itoa(int(c.zone)))
}
