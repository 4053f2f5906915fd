package vrrptest

import (
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"os"
	"testing"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// Vector is one recorded or constructed packet with the verdict that a receiver must give on it.
type Vector struct {
	Name      string
	Family    wire.Family
	Version   wire.Version
	Src, Dst  netip.Addr
	TTL       uint8
	VRID      uint8
	Priority  uint8
	Interval  wire.Centiseconds `json:"interval_cs"`
	Addresses []netip.Addr
	PacketHex string `json:"packet_hex"`
	Valid     bool
	// Reason is the name of the wire.DropReason of an invalid packet.
	Reason       string `json:"error_reason"`
	ChecksumMode string `json:"checksum_mode"`
	Receiver     Receiver
}

// Receiver is the virtual router that a Vector is judged by.
type Receiver struct {
	Version   wire.Version
	VRID      uint8
	Family    wire.Family
	Mode      string       // "multicast" or "unicast"
	Addresses []netip.Addr `json:"vips"`
	Local     netip.Addr   `json:"local_ip"`
	Peers     []netip.Addr
	MinTTL    uint8 `json:"min_ttl"`
	Priority  uint8
	Interval  wire.Centiseconds `json:"interval_cs"`
	AuthType  wire.AuthType     `json:"auth_type"`
	AuthData  string            `json:"auth_data"`
}

// LoadVectors reads the vectors in file, and fails the test if it cannot.
func LoadVectors(tb testing.TB, file string) []Vector {
	tb.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	var vs []Vector
	if err := json.Unmarshal(b, &vs); err != nil {
		tb.Fatalf("%s: %v", file, err)
	}
	if len(vs) == 0 {
		tb.Fatalf("%s holds no vector", file)
	}
	return vs
}

// Payload returns the octets of the VRRP message.
func (v *Vector) Payload(tb testing.TB) []byte {
	tb.Helper()
	b, err := hex.DecodeString(v.PacketHex)
	if err != nil {
		tb.Fatalf("vector %s: %v", v.Name, err)
	}
	return b
}

// Header returns what the IP layer says about the packet.
func (v *Vector) Header() wire.Header { return wire.Header{Src: v.Src, Dst: v.Dst, TTL: v.TTL} }

// Config returns the parameters of the receiving router.
func (r *Receiver) Config() vrrp.Config {
	c := vrrp.Config{
		Key:     vrrp.Key{Interface: "eth0", Family: r.Family, VRID: r.VRID},
		Version: r.Version, Priority: r.Priority, Interval: r.Interval, Preempt: true, Addresses: r.Addresses,
		Unicast: r.Mode == "unicast", AuthType: r.AuthType,
	}
	if r.AuthType == wire.AuthSimple {
		c.AuthData = wire.AuthDataFor(r.AuthData)
	}
	for _, p := range r.Peers {
		c.Peers = append(c.Peers, vrrp.Peer{Address: p, MinTTL: r.MinTTL})
	}
	return c
}
