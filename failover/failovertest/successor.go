package failovertest

import (
	"encoding/json"
	"errors"

	"failoverd/failover"
)

// follow makes the core of another life of the agent. The priorities that it takes over are those of the
// configuration, unless the script says others.
func (s *script) follow(p *configParser, w *words) (err error) {
	if s.cfg, err = ParseConfig(s.configs[w.next()]); err != nil {
		return err
	}
	if s.core, err = NewCore(s.trace, s.cfg, s.now); err != nil {
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
		switch word := w.next(); word {
		case "at":
			heirs[len(heirs)-1].Priority = uint8(p.number(w))
		case "last":
			heirs[len(heirs)-1].Last = w.next()
		default:
			heirs = append(heirs, s.heir(word))
		}
	}
	s.core.Inherit(s.now, heirs, how == "resume", died, until)
	s.batch(false)
	return first(p.errors)
}

// heir returns the heir of a router, with the priority of the configuration. Of a service the name will do.
func (s *script) heir(key string) failover.Heir {
	h := failover.Heir{Key: key}
	for i := range s.cfg.Routers {
		switch r := &s.cfg.Routers[i]; {
		case r.Anycast != nil && r.Name == key:
			h.Key = r.Kind() + " " + r.Name
		case r.VRRP.Key.String() == key:
			h.Priority = r.VRRP.Priority
		}
	}
	return h
}

// testament shows what would become of the roles.
func (s *script) testament() {
	t := s.core.Testament()
	s.say("testament: %d roles, shortest interval %v, guarded %t, signed %t", len(t.Heirs), t.Interval, t.Guarded, t.Signed)
	for _, h := range t.Heirs {
		last := ""
		if h.Last != "" {
			last = ", the last resort: " + h.Last
		}
		s.say("  heir %s priority %d%s", h.Key, h.Priority, last)
	}
	for i := range t.Adverts {
		s.say("  %s", describeAdvert(&t.Adverts[i]))
	}
}

// await makes the core of another program, which sees everything from now on and does nothing. The old core sees nothing
// any more, until upgrade has it hand over: that takes no time here.
func (s *script) await(config string) (err error) {
	if s.cfg, err = ParseConfig(s.configs[config]); err != nil {
		return err
	}
	s.old = s.core
	if s.core, err = NewCore(s.trace, s.cfg, s.now); err != nil {
		return err
	}
	s.core.Await()
	s.say("unready: %q, bar: %q", s.core.Unready(s.now), s.old.HandoverBar())
	return nil
}

// upgrade hands over. What is handed over is text on the way.
func (s *script) upgrade() error {
	s.say("unready: %q, bar: %q", s.core.Unready(s.now), s.old.HandoverBar())
	text, err := json.Marshal(s.old.Legacy(s.now))
	if err != nil {
		return err
	}
	var l failover.Legacy
	if err := json.Unmarshal(text, &l); err != nil {
		return err
	}
	s.old = nil
	if err := s.core.TakeUp(s.now, &l, &s.fx); err != nil {
		s.say("refused: %v", err)
	}
	s.batch(false)
	return nil
}
