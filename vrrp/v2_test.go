package vrrp_test

import (
	"bytes"
	"testing"
	"time"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// fromVector returns a router that sends what a version 2 vector holds.
func fromVector(t *testing.T, name string) (r *vrrp.Router, want []byte) {
	t.Helper()
	v, ok := vectors(t)[name]
	if !ok {
		t.Fatalf("no vector %q", name)
	}
	c := v.Receiver.Config()
	c.Priority, c.Addresses = 100, v.Addresses
	r = newRouter(t, c)
	r.SetSource(v.Src)
	return r, v.Payload(t)
}

func TestV2_TX_01_Encode(t *testing.T) {
	for _, name := range []string{"v2-noauth", "v2-simple-text", "v2-255s"} {
		r, want := fromVector(t, name)
		if got := encode(t, r, wire.IPv4.Group(), 100); !bytes.Equal(got, want) {
			t.Errorf("%s: %x, want %x", name, got, want)
		}
	}
}

func TestV2_TX_02_AuthenticationDataAlwaysPresent(t *testing.T) {
	for _, n := range []int{1, 3, 255} {
		r := newRouter(t, config(100, version2, func(c *vrrp.Config) {
			c.Addresses = list4(n)
			c.AuthData = wire.AuthDataFor("left over") // of a type that is not configured
		}))
		b := encode(t, r, wire.IPv4.Group(), 100)
		if len(b) != 16+4*n || !bytes.Equal(b[len(b)-8:], make([]byte, 8)) {
			t.Errorf("%d addresses: %d octets, the last eight %x", n, len(b), b[len(b)-8:])
		}
	}
}

func TestV2_TX_03_SimpleText(t *testing.T) {
	for password, want := range map[string]string{"s3cret": "s3cret\x00\x00", "longer than eight": "longer t"} {
		r := newRouter(t, config(100, version2, func(c *vrrp.Config) {
			c.AuthType, c.AuthData = wire.AuthSimple, wire.AuthDataFor(password)
		}))
		b := encode(t, r, wire.IPv4.Group(), 100)
		if b[4] != 1 || string(b[len(b)-8:]) != want {
			t.Errorf("type %d, data %q, want %q", b[4], b[len(b)-8:], want)
		}
	}
}

func TestV2_TX_04_FractionOfASecondRefused(t *testing.T) {
	for _, i := range []wire.Centiseconds{0, 1, 50, 99, 150, 25501, 25600} {
		refuseConfig(t, config(100, version2, interval(i)), "version 2 takes whole seconds")
	}
	for _, i := range []wire.Centiseconds{100, 25500} {
		if _, err := vrrp.New(config(100, version2, interval(i))); err != nil {
			t.Error(err)
		}
	}
}

// Accept_Mode is not among the parameters of a virtual router here: who reads the configuration refuses it.
func TestV2_TX_05_IPv6Refused(t *testing.T) {
	refuseConfig(t, config(100, version2, ipv6), "version 2 exists over IPv4 only")
}

func TestV2_RX_01_OtherInterval(t *testing.T) {
	refuseVectors(t, wire.DropInterval, "bad-v2-interval-2s", "bad-v2-interval-0")
	accept(t, "v2-255s")
}

func TestV2_RX_02_OtherAuthenticationType(t *testing.T) {
	refuseVectors(t, wire.DropAuthType,
		"bad-v2-auth1-unconfigured", "bad-v2-auth2-ah", "bad-v2-auth-3", "bad-v2-noauth-when-pass-configured")
	for kind, want := range map[wire.AuthType]string{2: "AH is not supported", 3: "authentication type 3", 255: "type 255"} {
		refuseConfig(t, config(100, version2, func(c *vrrp.Config) { c.AuthType = kind }), want)
	}
	refuseConfig(t, config(100, func(c *vrrp.Config) { c.AuthType = wire.AuthSimple }), "no authentication")
}

func TestV2_RX_03_WrongPassword(t *testing.T) {
	refuseVectors(t, wire.DropAuthData, "bad-v2-wrong-password")
	accept(t, "v2-simple-text")
}

func TestV2_RX_04_DirtyAuthenticationData(t *testing.T) {
	accept(t, "v2-noauth-dirty-authdata")
}

func TestV2_RX_05_OtherAddressList(t *testing.T) {
	refuseVectors(t, wire.DropAddressList, "bad-v2-addrlist-nonowner")
	if r := accept(t, "v2-addrlist-owner-sender")[0]; r.ListMismatches() != 1 {
		t.Error("the owner's other list was not counted")
	}
}

func TestV2_RX_06_AuthenticationDataMissing(t *testing.T) {
	refuseVectors(t, wire.DropTruncatedAuth, "bad-v2-no-authdata", "bad-v2-half-authdata")
	refuseVectors(t, wire.DropTrailing, "bad-v2-trailing")
	refuseVectors(t, wire.DropChecksum, "bad-v2-pseudo-checksum", "bad-v2-checksum")
	refuseVectors(t, wire.DropTTL, "bad-v2-ttl-254")
	refuseVectors(t, wire.DropType, "bad-v2-type-3")
}

func TestV2_RX_07_Version3Packet(t *testing.T) {
	refuseVectors(t, wire.DropVersion, "bad-v3-to-v2-router")
}

func TestV2_FSM_01_SkewIsAFractionOfASecond(t *testing.T) {
	for _, tt := range []struct {
		priority uint8
		interval wire.Centiseconds
		skew     time.Duration
	}{
		{100, 100, 609375 * time.Microsecond},
		{100, 1000, 609375 * time.Microsecond},
		{254, 25500, 7812500 * time.Nanosecond},
		{1, 300, 255 * time.Second / 256},
	} {
		r := backup(t, config(tt.priority, version2, interval(tt.interval)))
		if got := r.SkewTime(); got != tt.skew {
			t.Errorf("priority %d, interval %d: skew %v, want %v", tt.priority, tt.interval, got, tt.skew)
		}
		due(t, r, after(3*tt.interval.Duration()+tt.skew))
		hear(t, r, second, packet(t, r, higher, 0, tt.interval))
		due(t, r, second.Add(tt.skew))
	}
}

func TestV2_FSM_02_LowerPriorityIsAnsweredUnlessSilenced(t *testing.T) {
	for _, silent := range []bool{false, true} {
		for _, version := range []func(*vrrp.Config){version2, func(*vrrp.Config) {}} {
			r, now := active(t, config(100, version, func(c *vrrp.Config) { c.SilentOnLowerPriority = silent }))
			e := hear(t, r, now+second/2, packet(t, r, higher, 50, 100))
			if e.Advert == silent || !e.Rival || e.Changed() {
				t.Errorf("silent %v: %+v", silent, e)
			}
			due(t, r, now+second)
			// A release is answered all the same: somebody may be about to take over.
			if e := hear(t, r, now+second*3/4, packet(t, r, higher, 0, 100)); !e.Advert {
				t.Errorf("silent %v: a release was not answered", silent)
			}
		}
	}
}
