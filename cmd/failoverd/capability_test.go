package main

import (
	"strings"
	"testing"
)

func TestMissingCapabilities(t *testing.T) {
	for _, c := range []struct{ name, status, want string }{
		{"root", "Name:\tx\nCapEff:\t000001ffffffffff\n", ""},
		{"just enough", "CapEff:\t0000000000003000\n", ""},
		{
			"none", "CapPrm:\t000001ffffffffff\nCapEff:\t0000000000000000\n",
			"missing capability CAP_NET_RAW (to send and receive VRRP and gratuitous ARP) and CAP_NET_ADMIN (to add and remove addresses): ",
		},
		{"all but raw", "CapEff:\t000001ffffffdfff\n", "missing capability CAP_NET_RAW (to send and receive VRRP and gratuitous ARP): "},
		{"all but admin", "CapEff:\t000001ffffffefff\n", "missing capability CAP_NET_ADMIN (to add and remove addresses): "},
		{"other kernel", "Name:\tx\n", ""},
		{"garbage", "CapEff:\tmany\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := missingCapabilities(strings.NewReader(c.status))
			if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
}
