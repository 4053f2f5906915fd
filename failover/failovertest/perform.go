package failovertest

import (
	"reflect"
	"slices"
	"strings"

	"failoverd/failover"
)

// perform carries out the effects of a batch as the daemon does, and lets the checker look at them first.
func (a *agent) perform() {
	w, fx := a.world, &a.fx
	w.mutation.distort(a)
	if w.trace != nil {
		for _, line := range Describe(fx) {
			if !strings.HasPrefix(line, "advert") || strings.Contains(line, "priority 0") {
				w.log(a.host, "%s", line)
			}
		}
	}
	if len(w.with) > 0 {
		a.translate()
	}
	w.checker.batch(a)
	for i := range fx.Adverts {
		w.send(a.host, &fx.Adverts[i])
	}
	for _, n := range fx.Announcements {
		w.announced(a.host, n)
	}
	for i := range fx.Routes {
		a.sound = false
		w.checker.origins(a, &fx.Routes[i])
		w.checker.governed(a, &fx.Routes[i])
		s, before := a.speaker(fx.Routes[i].Speaker), a.desired[fx.Routes[i].Speaker].Routes
		if s != nil && s.adopted {
			before = slices.Concat(before, s.Table) // what the life before has asked for
		}
		a.withdraw(fx.Routes[i].Speaker, before, fx.Routes[i].Desired.Routes)
		a.desired[fx.Routes[i].Speaker] = fx.Routes[i].Desired
		if s != nil {
			s.set(fx.Routes[i].Desired)
		}
	}
	if fx.Objects != nil {
		a.sound = false
		a.objects.set(*fx.Objects)
	}
	a.objects.sweep()
	if fx.Addresses != nil {
		a.worker.set(*fx.Addresses)
	}
	for _, s := range a.speakers {
		s.touched()
	}
	stopped := fx.Stopped
	if len(fx.Events) > 0 {
		a.writeWill()
	}
	fx.Reset()
	w.checker.settled(a, stopped)
	if a.core.Leaving() != a.devices.leaving {
		a.fixtures()
	}
	if stopped {
		a.devices.end()
		w.log(a.host, "agent has stopped")
		a.host.gone(a)
	}
}

// adoptSpeakers starts, restarts and ends speakers as the configuration has it.
func (a *agent) adoptSpeakers(cfg *failover.Config) {
	var kept []*Speaker
	for _, s := range a.speakers {
		if c := cfg.Speaker(s.cfg.Name); c != nil && reflect.DeepEqual(*c, s.cfg) {
			kept = append(kept, s)
			continue
		} else if c == nil {
			delete(a.desired, s.cfg.Name)
			a.changes = nil
		}
		s.end()
	}
	for _, c := range cfg.Speakers {
		if !slices.ContainsFunc(kept, func(s *Speaker) bool { return s.cfg.Name == c.Name }) {
			kept = append(kept, newSpeaker(a, c, a.desired[c.Name]))
			if c.Name == governedSpeaker {
				a.established = false
			}
		}
	}
	a.speakers = kept
}

func (a *agent) speaker(name string) *Speaker {
	i := slices.IndexFunc(a.speakers, func(s *Speaker) bool { return s.cfg.Name == name })
	if i < 0 {
		return nil
	}
	return a.speakers[i]
}
