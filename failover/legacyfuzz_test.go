package failover_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"failoverd/failover"
	"failoverd/failover/failovertest"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// legacyOf returns what a core with a configuration hands over that has been at work for a while, as text.
func legacyOf(t testing.TB, config string) []byte {
	t.Helper()
	core, _ := atWork(t, config, false)
	var fx failover.Effects
	for now := vrrp.Instant(0); now < 10e9; {
		fx.Reset()
		now = max(now+1, min(core.Deadline(), now+1e9))
		core.Expire(now, &fx)
		core.Flush(now, &fx)
	}
	text, err := json.Marshal(core.Legacy(10e9))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// atWork returns a core whose interfaces and links are there; await: it waits for its turn.
func atWork(t testing.TB, config string, await bool) (*failover.Core, *failover.Effects) {
	t.Helper()
	cfg, err := failovertest.ParseConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	core, err := failover.New(cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	if await {
		core.Await()
	}
	fx := new(failover.Effects)
	for i, name := range []string{"lo", "eth0", "eth1"} {
		core.Step(0, failover.InterfaceChanged{Interface: failover.Interface{Name: name, Index: i + 1, Up: true, Loopback: name == "lo"}}, fx)
		for _, f := range []wire.Family{wire.IPv4, wire.IPv6} {
			core.Step(0, failover.LinkChanged{Link: failover.LinkID{Interface: name, Family: f}, Open: true}, fx)
		}
	}
	return core, fx
}

// FuzzTakeUp: whatever a program hands over, text of any kind, it is refused, or the core goes on with it: nothing panics or
// spins.
func FuzzTakeUp(f *testing.F) {
	configs := slices.DeleteFunc(slices.Clone(fuzzConfigs), func(text string) bool {
		cfg, err := failovertest.ParseConfig(text)
		if err == nil {
			_, err = failover.New(cfg, 0)
		}
		return err != nil // one of them is not to be accepted
	})
	rpkiConfig := slices.IndexFunc(configs, func(text string) bool { return strings.Contains(text, " rpki ") })
	if rpkiConfig < 0 {
		f.Fatal("no configuration asks an RPKI cache")
	}
	for i, config := range configs {
		f.Add(i, legacyOf(f, config))
	}
	f.Add(0, []byte(`{"Routers":[{"Key":"eth0/4/1","Standing":{"State":2,"Priority":255,"Learned":1,"Deadline":-9223372036854775808},"HoldUntil":9223372036854775807}]}`))
	f.Add(1, []byte(`{"Told":{"eth0/4/1":"x"},"Groups":{"":"MASTER"},"Routers":null}`))
	f.Add(6, []byte(`{"At":9000000000,"Routers":null,"Idle":[{"Key":"eth0/4/1","Word":"FAULT","Since":1,"Why":"x","Fault":"x","Refused":60000000000,"Refusal":"x"}],"Governors":[`+
		`{"Speaker":"EDGE","Asked":[{"Prefix":"198.51.100.0/24"}],"Heard":true,"History":[{"Prefix":"198.51.100.0/24","Changes":[5,5],"Withdrawals":[30000000000,5]}],`+
		`"Held":[{"Prefix":"198.51.100.0/24","Left":900000000000,"Flaps":true}]},{"Speaker":"CORE","Asked":null}]}`))
	f.Add(rpkiConfig, []byte(`{"At":9000000000,"Routers":null,"Origins":[{"Speaker":"EDGE","AS":64501,"Prefix":"198.51.100.0/24","Validity":3,"Why":"x","Learned":5,"Until":19000000000},`+
		`{"Speaker":"EDGE","AS":64501,"Prefix":"203.0.113.0/24","Validity":1,"Learned":5,"Until":9223372036854775807}]}`))
	f.Fuzz(func(t *testing.T, which int, text []byte) {
		core, fx := atWork(t, configs[uint(which)%uint(len(configs))], true)
		var l failover.Legacy
		if json.Unmarshal(text, &l) != nil {
			return // takeUp refuses it
		}
		now := vrrp.Instant(10e9)
		fx.Reset()
		if err := core.TakeUp(now, &l, fx); err != nil {
			if !errors.Is(err, failover.ErrLegacy) {
				t.Errorf("%v, want ErrLegacy", err)
			}
			if len(fx.Adverts)+len(fx.Notifications) > 0 || fx.Addresses != nil || core.Inheriting() {
				t.Errorf("refused, and done all the same: %+v", fx)
			}
			return
		}
		core.Flush(now, fx)
		for range 100 {
			fx.Reset()
			d := core.Deadline()
			if d == vrrp.Never {
				break
			}
			now = max(now+1, d)
			core.Expire(now, fx)
			core.Flush(now, fx)
			if d := core.Deadline(); d <= now {
				t.Fatalf("due at %v at %v, after everything was carried out", d, now)
			}
		}
	})
}
