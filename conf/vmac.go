package conf

import (
	"fmt"
	"strconv"
	"strings"

	"failoverd/failover"
	"failoverd/vrrp/wire"
)

// vmac is the draft of what a vrrp_instance says about the virtual router's own link-layer address.
type vmac struct {
	at        *Token // use_vmac
	name      field[string]
	mac       field[linkAddress]
	xmitBase  *Token // vmac_xmit_base
	addresses *Token // use_vmac_addr
}

// linkAddress is the link-layer address as it is written: whole, or without the last octet, which is the VRID then.
type linkAddress struct {
	octets [6]byte
	short  bool
}

// defaultVMACPrefix begins the names of macvlan interfaces that have not been given one (vmac_prefix).
const defaultVMACPrefix = "vrrp"

// useVMAC decodes use_vmac [NAME] [MAC].
func (d *decoder) useVMAC(v *vmac, c *cursor) {
	at := c.keyword
	v.at = &at
	v.name, v.mac = field[string]{}, field[linkAddress]{} // the last one given wins
	for c.value() {
		switch w := c.words[0].Text; {
		case w == "group" || w == "netlink_notify_msg":
			d.errorf(c.take(), "use_vmac: %s is not supported yet", w)
			if w == "group" && c.value() {
				c.take()
			}
		case strings.Contains(w, ":") && !v.mac.given:
			v.mac.set(d.linkAddress(c))
		case !v.name.given && !v.mac.given:
			v.name.set(d.device(c))
		default:
			words := c.rest()
			d.errorf(words[0], "use_vmac: unexpected %s (want use_vmac [NAME] [MAC])", join(words))
		}
	}
}

// vmacXmitBase decodes vmac_xmit_base.
func (d *decoder) vmacXmitBase(v *vmac, c *cursor) {
	at := c.keyword
	v.xmitBase = &at
}

// useVMACAddr decodes use_vmac_addr.
func (d *decoder) useVMACAddr(v *vmac, c *cursor) {
	at := c.keyword
	v.addresses = &at
}

// linkAddress returns a link-layer address of six octets, or of five that the VRID completes.
func (d *decoder) linkAddress(c *cursor) (linkAddress, Token, bool) {
	t := c.take()
	var out linkAddress
	parts := strings.Split(t.Text, ":")
	ok := len(parts) == 5 || len(parts) == 6
	out.short = len(parts) == 5
	for i := 0; ok && i < len(parts); i++ {
		n, err := strconv.ParseUint(parts[i], 16, 8)
		out.octets[i] = byte(n)
		ok = err == nil && len(parts[i]) <= 2
	}
	switch {
	case !ok:
		d.errorf(t, "use_vmac %q: not a link-layer address (want six octets like 02:00:5e:10:00:01, or five before the virtual_router_id)", t.Text)
	case out.octets[0]&1 != 0:
		d.errorf(t, "use_vmac %s: is an address of a group", t.Text)
		ok = false
	}
	return out, t, ok
}

// virtualMAC is the link-layer address of RFC 9568 section 7.3.
func virtualMAC(family wire.Family, vrid uint8) [6]byte {
	if family == wire.IPv6 {
		return [6]byte{0, 0, 0x5e, 0, 2, vrid}
	}
	return [6]byte{0, 0, 0x5e, 0, 1, vrid}
}

// resolveVMAC returns the virtual link-layer address of a router, or nil: it uses that of its interface, device. prefix
// is vmac_prefix, or "". In unicast, advertisements always leave with the address of device.
func (d *decoder) resolveVMAC(v *vmac, device string, family wire.Family, vrid uint8, prefix string, unicast bool) *failover.VMAC {
	if v.at == nil {
		if v.xmitBase != nil {
			d.warnf(*v.xmitBase, "vmac_xmit_base has no effect without use_vmac")
		}
		return nil
	}
	if unicast && v.xmitBase == nil {
		d.warnf(*v.at, "use_vmac: unicast advertisements leave with the address of %s; write vmac_xmit_base to say so", device)
	}
	out := &failover.VMAC{Name: v.name.value, MAC: virtualMAC(family, vrid), XmitBase: unicast || v.xmitBase != nil}
	if v.name.missing() {
		out.Name = vmacName(prefix, family, vrid)
		if len(out.Name) > maxInterfaceName {
			d.errorf(*v.at, "use_vmac: the name %q made of vmac_prefix has more than %d characters", out.Name, maxInterfaceName)
		}
	}
	if device != "" && out.Name == device {
		d.errorf(v.name.at, "use_vmac %s: the macvlan interface needs another name than the interface below it", out.Name)
	}
	if v.mac.ok {
		out.MAC = d.ownMAC(v.mac.value, v.mac.at, out.MAC, vrid)
	}
	return out
}

func vmacName(prefix string, family wire.Family, vrid uint8) string {
	if prefix == "" {
		prefix = defaultVMACPrefix
	}
	if family == wire.IPv6 {
		prefix += "6"
	}
	return prefix + "." + strconv.Itoa(int(vrid))
}

// ownMAC returns the configured address. One of RFC 9568 must be the router's own, which is def.
func (d *decoder) ownMAC(a linkAddress, at Token, def [6]byte, vrid uint8) [6]byte {
	mac := a.octets
	if a.short {
		mac[5] = vrid
	}
	switch {
	case mac == [6]byte{}:
		d.errorf(at, "use_vmac %s: no interface can have this address", at.Text)
	case mac != def && mac[0] == 0 && mac[1] == 0 && mac[2] == 0x5e && mac[3] == 0 && (mac[4] == 1 || mac[4] == 2):
		d.suggestf(at, formatMAC(def), "use_vmac %s: belongs to another virtual router (RFC 9568 section 7.3)", at.Text)
	}
	return mac
}

// checkVMACs looks for macvlan interfaces with the name of another interface of the configuration. drafts are those of
// cfg.Routers, in their order.
func (d *decoder) checkVMACs(cfg *failover.Config, drafts []*vmac) {
	bases, first := map[string]string{}, map[string]int{}
	for i := range cfg.Routers {
		bases[cfg.Routers[i].VRRP.Key.Interface] = cfg.Routers[i].Name
	}
	for i, v := range drafts {
		m, base := cfg.Routers[i].VMAC, cfg.Routers[i].VRRP.Key.Interface
		if m == nil || m.Name == "" || m.Name == base {
			continue
		}
		at := *v.at
		if v.name.given {
			at = v.name.at
		}
		if j, twice := first[m.Name]; twice {
			d.errorf(at, "use_vmac: vrrp_instance %s has a macvlan interface %s, too, at %s; give each its name with use_vmac NAME",
				cfg.Routers[j].Name, m.Name, drafts[j].at.Pos)
			continue
		}
		first[m.Name] = i
		if router, taken := bases[m.Name]; taken {
			d.errorf(at, "use_vmac %s: vrrp_instance %s runs on an interface of that name", m.Name, router)
		}
	}
}

// checkVMACAddresses reports the addresses that use_vmac_addr asks a macvlan interface for: those on another interface
// than the router's own. Without such addresses the word changes nothing.
func (d *decoder) checkVMACAddresses(v *vmac, addresses []*address, device string) {
	if v.addresses == nil {
		return
	}
	for _, a := range addresses {
		if a.ok && a.device.ok && a.device.value != device {
			d.errorf(a.at, "use_vmac_addr is not supported yet: %s would have the link-layer address of %s", a.prefix.Addr(), a.device.value)
		}
	}
}

// formatMAC returns a link-layer address with colons.
func formatMAC(mac [6]byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5])
}

// formatVMAC returns the line that makes v, but for vmac_xmit_base.
func formatVMAC(v failover.VMAC) string {
	return "use_vmac " + name(v.Name) + " " + formatMAC(v.MAC)
}
