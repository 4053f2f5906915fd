package conf_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"failoverd/conf"
	"failoverd/failover"
)

// Every interface that an instance names is there once, with its first place; a macvlan interface of ours is not.
func TestInterfaceUses(t *testing.T) {
	files := conf.FileMap{"x.conf": `vrrp_instance A {
    interface eth0
    virtual_router_id 51
    use_vmac vrrp51
    virtual_ipaddress {
        192.0.2.10/32
        192.0.2.11/32 dev lo
    }
    track_interface {
        eth1
    }
}
vrrp_instance B {
    interface eth0
    virtual_router_id 52
    virtual_ipaddress {
        192.0.2.12/32 dev eth2
    }
}
`}
	cfg, diags := conf.Parse("x.conf", files, conf.Env{}, conf.Options{})
	if cfg == nil {
		t.Fatal(lines(diags))
	}
	want := []failover.InterfaceUse{
		{Name: "eth0", File: "x.conf", Line: 2, Column: 15},
		{Name: "lo", File: "x.conf", Line: 7, Column: 27},
		{Name: "eth1", File: "x.conf", Line: 10, Column: 9},
		{Name: "eth2", File: "x.conf", Line: 17, Column: 27},
	}
	if diff := cmp.Diff(want, cfg.Interfaces); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
