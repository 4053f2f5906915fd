package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// firstFlow is the source port of the first flow of Spread.
const firstFlow = 20000

// Spread asks the service of host once by each of a number of flows, which differ in their source ports only, and returns
// who answered each of them within a quarter of a second; an empty name is nobody. A flow has the same number, and the same
// port, every time, so that two results can be compared.
func (n *Node) Spread(host netip.Addr, flows int) (names []string, err error) {
	conns := make([]*net.UDPConn, 0, flows)
	defer func() {
		for _, c := range conns {
			err = errors.Join(err, c.Close())
		}
	}()
	err = n.Do(func() error {
		for i := range flows {
			c, err := net.ListenUDP("udp", &net.UDPAddr{Port: firstFlow + i})
			if err != nil {
				return err
			}
			conns = append(conns, c)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: spread flows to %s: %w", n, host, err)
	}
	for i, c := range conns {
		// A failed send, for want of a route, say, is a flow without an answer.
		_, _ = c.WriteToUDPAddrPort(appendProbe(nil, uint64(i)), ask(host))
	}
	names = make([]string, flows)
	buf := make([]byte, 512)
	deadline := time.Now().Add(answerTimeout)
	for i, c := range conns {
		if err := c.SetReadDeadline(deadline); err != nil {
			return nil, fmt.Errorf("%s: spread flows to %s: %w", n, host, err)
		}
		k, err := c.Read(buf)
		if err != nil {
			continue
		}
		if seq, name, ok := parseProbe(buf[:k]); ok && seq == uint64(i) {
			names[i] = string(name)
		}
	}
	return names, nil
}
