package integration

import (
	"errors"
	"net/netip"
	"time"

	"failoverd/integration/lab"
)

// cut is something between or in the sites that can fail by itself.
type cut struct {
	name string
	do   func(*region) error
	undo func(*region) error
}

// The sites as prefixes, for what passes wan.
var (
	siteM = netip.MustParsePrefix("10.1.0.0/24")
	siteW = netip.MustParsePrefix("10.2.0.0/24")
	siteK = netip.MustParsePrefix("10.3.0.0/24")
)

// flows is a cut of paths across wan.
func flows(name string, list ...lab.Flow) *cut {
	return &cut{name, func(r *region) error { return r.wan.Block(list...) }, func(r *region) error { return r.wan.Unblock(list...) }}
}

// ports is a cut of switch ports.
func ports(name string, of func(*region) []*lab.Port) *cut {
	return &cut{name, func(r *region) error { return lab.Cut(of(r)...) }, func(r *region) error { return lab.Mend(of(r)...) }}
}

// power is a power cut of machines.
func power(name string, of func(*region) []*machine) *cut {
	return &cut{name, func(r *region) error { return r.powerCut(of(r)...) }, func(r *region) error { return r.powerOn(of(r)...) }}
}

// The elements of the cut matrix.
var (
	cutLAN      = ports("mainland LAN", func(r *region) []*lab.Port { return r.lan })
	cutUplinkM  = ports("mainland uplink", func(r *region) []*lab.Port { return r.uplinkM })
	cutBetween  = flows("inter-region path", lab.Flow{From: siteM, To: siteK}, lab.Flow{From: siteK, To: siteM})
	cutToHK     = flows("inter-region path to HK", lab.Flow{From: siteM, To: siteK})
	cutFromHK   = flows("inter-region path from HK", lab.Flow{From: siteK, To: siteM})
	cutUplinkK  = ports("HK uplink", func(r *region) []*lab.Port { return r.uplinkK })
	cutWitnessM = flows("witness path of the mainland", lab.Flow{From: siteM, To: siteW}, lab.Flow{From: siteW, To: siteM})
	cutWitnessK = flows("witness path of HK", lab.Flow{From: siteK, To: siteW}, lab.Flow{From: siteW, To: siteK})
	cutNode     = power("power of m1", func(r *region) []*machine { return []*machine{r.m1} })
	cutSite     = power("power of the mainland", func(r *region) []*machine { return []*machine{r.m1, r.m2} })
)

// powerCut silences machines at once and ends what ran on them.
func (r *region) powerCut(list ...*machine) error {
	var silent []*lab.Port
	for _, m := range list {
		if !m.powerless {
			silent = append(silent, m.ports...)
		}
	}
	at := time.Now()
	err := lab.Cut(silent...)
	for _, m := range list {
		if !m.powerless {
			m.powerless, m.off = true, append(m.off, span{From: at})
			err = errors.Join(err, m.agent.proc.Kill())
		}
	}
	return err
}

// powerOn brings machines back as a boot does: without the addresses that their agents had, and with the agent started.
func (r *region) powerOn(list ...*machine) error {
	var errs []error
	for _, m := range list {
		if !m.powerless {
			continue
		}
		has, err := m.HasAddress(netip.MustParseAddr(regionVIP))
		if has {
			err = m.DeleteAddress("lo", regionVIP+"/32")
		}
		errs = append(errs, err, lab.Mend(m.ports...))
		m.powerless, m.off[len(m.off)-1].To = false, time.Now()
		m.agent = startAgent(r.t, r.lab, m.Node, r.conf(m))
	}
	return errors.Join(errs...)
}

// make carries cuts out, as close together as this machine can.
func (r *region) make(list ...*cut) {
	r.t.Helper()
	for _, c := range list {
		must(r.t, c.do(r))
	}
}

// mend ends cuts.
func (r *region) mend(list ...*cut) {
	r.t.Helper()
	for _, c := range list {
		must(r.t, c.undo(r))
	}
}
