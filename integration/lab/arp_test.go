package lab_test

import (
	"net"
	"net/netip"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// gratuitousARP announces an IPv4 address on an interface of the current namespace.
func gratuitousARP(ifname string, a netip.Addr) error {
	nic, err := net.InterfaceByName(ifname)
	if err != nil {
		return err
	}
	c, err := packet.Listen(nic, packet.Raw, unix.ETH_P_ARP, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	everyone := net.HardwareAddr{255, 255, 255, 255, 255, 255}
	f := append(append([]byte{}, everyone...), nic.HardwareAddr...)
	f = append(f, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1)
	f = append(append(append(f, nic.HardwareAddr...), a.AsSlice()...), everyone...)
	_, err = c.WriteTo(append(f, a.AsSlice()...), &packet.Addr{HardwareAddr: everyone})
	return err
}
