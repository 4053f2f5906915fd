package conf_test

import (
	"strings"
	"testing"

	"failoverd/conf"
)

// complaints are the errors of a file f, without its name.
func complaints(diags []conf.Diagnostic) string {
	var errors []conf.Diagnostic
	for _, d := range diags {
		if d.Severity == conf.Error {
			errors = append(errors, d)
		}
	}
	return strings.ReplaceAll(strings.TrimSpace(lines(errors)), "f:", "")
}

// TestBGP_UPD_03_AddressesOfSessions: neither a session nor a next hop hangs on an address that comes and goes with the
// role, nor on the neighbor's own.
func TestBGP_UPD_03_AddressesOfSessions(t *testing.T) {
	const text = `bgp_speaker E {
  local_as 64501
  router_id 203.0.113.2
  allow_prefix { 198.51.100.0/24 2001:db8:100::/48 }
  NEIGHBOR
}
vrrp_instance X {
  interface e0
  virtual_router_id 5
  virtual_ipaddress { 192.0.2.1/24 198.51.100.9/32 }
  bgp_announce { ANNOUNCE }
}
anycast_service Y {
  interface lo
  virtual_ipaddress { 2001:db8:100::9/128 }
}
`
	const (
		plain = "neighbor 203.0.113.1 { remote_as 64500 local_address 203.0.113.2 }"
		line  = "198.51.100.0/24 speaker E"
		while = " is a virtual address of vrrp_instance X, which is here only while the role is "
	)
	for _, r := range []struct{ name, neighbor, announce, want string }{
		{"as it should be", plain, line + " next_hop 203.0.113.2", ""},
		{"next hop is the neighbor", plain, line + " next_hop 203.0.113.1", "11:18: error: bgp_announce: speaker E: 198.51.100.0/24: unusable next hop: next_hop 203.0.113.1 is the neighbor itself, which refuses that (RFC 4271 section 5.1.3)"},
		{"next hop is a virtual address", plain, line + " next_hop 192.0.2.1", "11:53: error: next_hop 192.0.2.1" + while + "(want an address that this node always has, on a network of the neighbor's)"},
		{"next hop is link-local, over IPv4", plain, "2001:db8:100::/48 speaker E next_hop fe80::1", "11:18: error: bgp_announce: speaker E: 2001:db8:100::/48: unusable next hop: next_hop fe80::1 is a link-local address, and a global one is wanted"},
		{"session from a virtual address", "neighbor 198.51.100.1 { remote_as 64500 local_address 198.51.100.9 }", line, "5:57: error: local_address 198.51.100.9" + while + "(want an address that this node always has)"},
		{"session to a virtual address", "neighbor 198.51.100.9 { remote_as 64500 local_address 198.51.100.1 }", line, "5:12: error: neighbor 198.51.100.9" + while + "(want the address of another router)"},
		{"session to an address of a service", "neighbor 2001:db8:100::9 { remote_as 64500 }", "2001:db8:100::/48 speaker E", "5:12: error: neighbor 2001:db8:100::9 is a virtual address of anycast_service Y, which is here only while the role is (want the address of another router)"},
		{"session to oneself", "neighbor 203.0.113.1 { remote_as 64500 local_address 203.0.113.1 }", line, "5:56: error: local_address 203.0.113.1 is the neighbor itself (want an address of this node)"},
	} {
		t.Run(r.name, func(t *testing.T) {
			files := conf.FileMap{"f": strings.NewReplacer("NEIGHBOR", r.neighbor, "ANNOUNCE", r.announce).Replace(text)}
			_, diags := conf.Parse("f", files, conf.Env{HostName: "a"}, conf.Options{})
			if got := complaints(diags); got != r.want {
				t.Errorf("says\n%s\nwant\n%s", got, r.want)
			}
		})
	}
}

// TestSpeakersThatExcludeEachOther: two speakers neither listen on one port nor call one neighbor from one address.
func TestSpeakersThatExcludeEachOther(t *testing.T) {
	const text = `bgp_speaker E { local_as 64501 router_id 203.0.113.2 allow_prefix { 198.51.100.0/24 } LISTEN-E
  neighbor 203.0.113.1 { remote_as 64500 local_address 203.0.113.2 } }
bgp_speaker F { local_as 64502 router_id 203.0.113.2 allow_prefix { 198.51.100.0/24 } LISTEN-F
  neighbor 203.0.113.1 { remote_as 64500 OTHER } }
vrrp_instance X { interface e0 virtual_router_id 5 virtual_ipaddress { 198.51.100.9/32 } bgp_announce { 198.51.100.0/24 speaker E } }
`
	for _, r := range []struct{ e, f, other, want string }{
		{"listen_port 179", "listen_port 1790", "local_address 203.0.113.3", ""},
		{"listen_port 0", "listen_port 0", "local_address 203.0.113.2 port 1790", ""},
		{"listen_port 179", "listen_port 179", "local_address 203.0.113.3", "3:99: error: listen_port 179: bgp_speaker E listens there already, on all addresses (want another one, or 0: sessions are opened from here)"},
		{"", "", "local_address 203.0.113.2", "4:12: error: neighbor 203.0.113.1: bgp_speaker E calls it from the same address, and it takes one session of an address (want another local_address, or one bgp_speaker for both)"},
	} {
		files := conf.FileMap{"f": strings.NewReplacer("LISTEN-E", r.e, "LISTEN-F", r.f, "OTHER", r.other).Replace(text)}
		_, diags := conf.Parse("f", files, conf.Env{HostName: "a"}, conf.Options{})
		if got := complaints(diags); got != r.want {
			t.Errorf("%q, %q, %q: says\n%s\nwant\n%s", r.e, r.f, r.other, got, r.want)
		}
	}
}

// TestHeadHasNoBody: what cannot match is not waited for.
func TestHeadHasNoBody(t *testing.T) {
	const text = `health_check h { http http://127.0.0.1/ { method HEAD body_match x } }
vrrp_instance X { interface e0 virtual_router_id 5 virtual_ipaddress { 192.0.2.1/24 } track_check { h } }
`
	_, diags := conf.Parse("f", conf.FileMap{"f": text}, conf.Env{HostName: "a"}, conf.Options{})
	const want = `1:55: error: body_match "x": an answer to HEAD has no body, so it would never match (want method GET)`
	if got := complaints(diags); got != want {
		t.Errorf("says\n%s\nwant\n%s", got, want)
	}
}
