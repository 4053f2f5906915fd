package failovertest

import (
	"errors"

	"failoverd/failover"
)

// follow makes the core of another life of the agent. The priorities that it takes over are those of the configuration.
func (s *script) follow(p *configParser, w *words) (err error) {
	if s.cfg, err = ParseConfig(s.configs[w.next()]); err != nil {
		return err
	}
	if s.core, err = failover.New(s.cfg, s.now); err != nil {
		return err
	}
	how := w.next()
	if word := w.next(); how != "resume" && how != "resign" || word != "within" {
		return errors.New("want resume or resign, and within")
	}
	died := s.now
	until := died.Add(p.duration(w))
	if len(*w) > 0 && (*w)[0] == "after" {
		w.next()
		s.now = s.now.Add(p.duration(w))
	}
	var heirs []failover.Heir
	for len(*w) > 0 {
		h := failover.Heir{Key: w.next()}
		for i := range s.cfg.Routers {
			if v := &s.cfg.Routers[i].VRRP; v.Key.String() == h.Key {
				h.Priority = v.Priority
			}
		}
		heirs = append(heirs, h)
	}
	s.core.Inherit(s.now, heirs, how == "resume", died, until)
	s.batch(false)
	return first(p.errors)
}

// testament shows what would become of the roles.
func (s *script) testament() {
	t := s.core.Testament()
	s.say("testament: %d roles, shortest interval %v, guarded %t, signed %t", len(t.Heirs), t.Interval, t.Guarded, t.Signed)
	for _, h := range t.Heirs {
		s.say("  heir %s priority %d", h.Key, h.Priority)
	}
	for i := range t.Adverts {
		s.say("  %s", describeAdvert(&t.Adverts[i]))
	}
}
