package conf

import (
	"failoverd/failover"
)

// interfaceUses lists the interfaces that the instances name, each at its first place. The agent's own macvlan
// interfaces are not among them: they need not be there.
func (d *decoder) interfaceUses() []failover.InterfaceUse {
	var uses []failover.InterfaceUse
	own, seen := map[string]bool{}, map[string]bool{}
	for _, in := range d.instances {
		if in.vmac.name.ok {
			own[in.vmac.name.value] = true
		}
	}
	note := func(name string, at Token) {
		if name == "" || own[name] || seen[name] {
			return
		}
		seen[name] = true
		uses = append(uses, failover.InterfaceUse{Name: name, File: at.Pos.File, Line: at.Pos.Line, Column: at.Pos.Column})
	}
	for _, in := range d.routers() {
		note(in.device.or(""), in.device.at)
		for _, a := range in.addresses {
			note(a.device.or(""), a.device.at)
		}
		for _, t := range in.tracks {
			if t.kind == failover.TrackInterface {
				note(t.at.Text, t.at)
			}
		}
	}
	return uses
}
