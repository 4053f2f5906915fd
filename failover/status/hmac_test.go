package status

import (
	"strings"
	"testing"

	"failoverd/failover"
	"failoverd/vrrp"
)

// What people see of auth_hmac: how strict it is, who signs with what, and what became of what was heard.
func TestDetailOfHMAC(t *testing.T) {
	behind := -12.5
	for _, tt := range []struct {
		h    *failover.HMACStatus
		want []string
	}{
		{nil, nil},
		{
			&failover.HMACStatus{Mode: "enforce", AntiReplay: "time", ActiveKey: 2, Keys: []int{1, 2}, WindowMS: 5000},
			[]string{"auth_hmac   enforce, keys 1 2, 2 signs, anti_replay time within 5000ms"},
		},
		{
			&failover.HMACStatus{
				Mode: "permissive", AntiReplay: "monotonic", ActiveKey: 1, Keys: []int{1}, WindowMS: 5000, SkewMS: &behind,
				SkewOf: "192.0.2.9", Outcomes: map[string]uint64{"ok": 7, "bad_hmac": 2, "stale": 0},
			},
			[]string{
				"auth_hmac   permissive, keys 1, 1 signs, anti_replay monotonic; clock of 192.0.2.9 12.5ms behind",
				"verified    7 ok, 2 bad hmac",
			},
		},
	} {
		var b strings.Builder
		s := &failover.Snapshot{Routers: []failover.RouterStatus{{Name: "V", State: "BACKUP", HMAC: tt.h}}}
		if err := Detail(&b, s, &s.Routers[0], TableOptions{Width: 200}); err != nil {
			t.Fatal(err)
		}
		for _, line := range tt.want {
			if !strings.Contains(b.String(), line) {
				t.Errorf("no %q in\n%s", line, b.String())
			}
		}
		if tt.h == nil && strings.Contains(b.String(), "auth_hmac") {
			t.Errorf("of a router without keys:\n%s", b.String())
		}
	}
}

// The dumps name the key that signs, and count what was refused as keepalived 2.4 does; no key is in them.
func TestDumpsOfHMAC(t *testing.T) {
	const secret = "a-key-that-nobody-else-may-read-0123"
	h := &vrrp.HMAC{Keys: []vrrp.HMACKey{{ID: 7, Secret: secret}}, ActiveKey: 7}
	cfg := &failover.Config{Routers: []failover.RouterConfig{{Name: "V", VRRP: vrrp.Config{HMAC: h}}}}
	s := &failover.Snapshot{Routers: []failover.RouterStatus{{
		Name: "V", Counters: failover.RouterCounters{Drops: map[string]uint64{"auth_hmac_bad_hmac": 5, "auth_hmac_replay": 3}},
	}}}
	var data, stats, js strings.Builder
	for _, err := range []error{DumpData(&data, cfg, s), DumpStats(&stats, cfg, s), DumpJSON(&js, cfg, s)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(data.String(), "HMAC authentication = enforce, active key 7") {
		t.Errorf("data:\n%s", data.String())
	}
	for _, want := range []string{`"auth_ext_invalid_hmac":5`, `"auth_ext_replay":3`} {
		if !strings.Contains(js.String(), want) {
			t.Errorf("no %s in %s", want, js.String())
		}
	}
	if strings.Contains(data.String()+stats.String()+js.String(), secret) {
		t.Error("a key is in a dump")
	}
}
