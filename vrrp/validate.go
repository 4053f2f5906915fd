package vrrp

import (
	"errors"
	"fmt"
	"net/netip"

	"failoverd/vrrp/wire"
)

// maxPacket is the size of an IP packet that every link carries whole. An advertisement is never fragmented
// (V3-TX-19): a firewall that drops fragments would make two Active routers.
const maxPacket = 1500

// validate reports the first parameter that is out of range.
func (c *Config) validate() error {
	for _, check := range []func() error{c.validateParameters, c.validateAddresses, c.validatePeers} {
		if err := check(); err != nil {
			return fmt.Errorf("virtual router %s: %w", c.Key, err)
		}
	}
	return nil
}

func (c *Config) validateParameters() error {
	k := c.Key
	switch {
	case k.VRID == 0:
		return errors.New("VRID 0 (want 1 to 255)")
	case k.Family != wire.IPv4 && k.Family != wire.IPv6:
		return fmt.Errorf("family %d (want 4 or 6)", uint8(k.Family))
	case c.Version != wire.V2 && c.Version != wire.V3:
		return fmt.Errorf("version %d (want 2 or 3)", c.Version)
	case c.Version == wire.V2 && k.Family == wire.IPv6:
		return errors.New("version 2 exists over IPv4 only")
	case c.Priority == 0:
		return errors.New("priority 0 (want 1 to 255)")
	case c.Version == wire.V3 && (c.Interval < 1 || c.Interval > wire.MaxIntervalV3):
		return fmt.Errorf("advertisement interval %d cs (version 3 takes 1 to 4095)", c.Interval)
	case c.Version == wire.V2 && (c.Interval < 100 || c.Interval > 25500 || c.Interval%100 != 0):
		return fmt.Errorf("advertisement interval %d cs (version 2 takes whole seconds, 1 to 255)", c.Interval)
	case c.PreemptDelay < 0:
		return fmt.Errorf("preempt delay %v (want zero or more)", c.PreemptDelay)
	case c.DownTimerAdverts > 100:
		return fmt.Errorf("down_timer_adverts %d (want 1 to 100)", c.DownTimerAdverts)
	case c.Version == wire.V3 && c.AuthType != wire.AuthNone:
		return errors.New("version 3 has no authentication")
	case c.AuthType == wire.AuthAH:
		return errors.New("authentication type AH is not supported")
	case c.AuthType > wire.AuthAH:
		return fmt.Errorf("authentication type %d (want 0 or 1)", c.AuthType)
	case c.HMAC != nil && c.AuthType != wire.AuthNone:
		return errors.New("auth_hmac and authentication exclude each other")
	case c.Checksum > wire.ChecksumPseudoGroup:
		return fmt.Errorf("checksum form %d (want 0 to 2)", c.Checksum)
	}
	return c.HMAC.validate()
}

func (c *Config) validateAddresses() error {
	n, f := len(c.Addresses), c.Key.Family
	if n > wire.MaxAddresses {
		return fmt.Errorf("%d addresses (want at most %d)", n, wire.MaxAddresses)
	}
	for i, a := range c.Addresses {
		switch {
		case !a.IsValid() || wire.FamilyOf(a) != f:
			return fmt.Errorf("address %v is not %v", a, f)
		case a.Zone() != "" || a.IsUnspecified() || a.IsMulticast():
			return fmt.Errorf("address %v cannot be a virtual address", a)
		case i == 0 && f == wire.IPv6 && !c.Unicast && !a.IsLinkLocalUnicast():
			return fmt.Errorf("first address %v is not link-local (RFC 9568 section 5.2.9)", a)
		}
	}
	if most := MaxAddresses(f, c.HMAC != nil); n > most {
		return fmt.Errorf("%d %v addresses do not fit in a packet of %d octets (want at most %d)", n, f, maxPacket, most)
	}
	return nil
}

// MaxAddresses returns how many addresses fit in an advertisement that no link needs to fragment. Over IPv4 it is the
// header that limits them: 255 addresses, authentication data and a trailer are 1084 octets.
func MaxAddresses(f wire.Family, signed bool) int {
	const ipv6Header, vrrpHeader = 40, 8
	if f == wire.IPv4 {
		return wire.MaxAddresses
	}
	room := maxPacket - ipv6Header - vrrpHeader
	if signed {
		room -= wire.TrailerLen
	}
	return room / f.AddrLen()
}

func (c *Config) validatePeers() error {
	if c.Unicast && len(c.Watchers) > 0 {
		return errors.New("watchers go with multicast; a unicast router names them as peers")
	}
	for _, peers := range [][]Peer{c.Peers, c.Watchers} {
		for _, p := range peers {
			if err := p.validate(c.Key.Family); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p Peer) validate(f wire.Family) error {
	a := p.Address
	switch {
	case !a.IsValid() || wire.FamilyOf(a) != f:
		return fmt.Errorf("peer %v is not %v", a, f)
	case a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("peer %v is no unicast address", a)
	case p.MaxTTL != 0 && p.MinTTL > p.MaxTTL:
		return fmt.Errorf("peer %v: TTL at least %d and at most %d", a, p.MinTTL, p.MaxTTL)
	}
	return nil
}
