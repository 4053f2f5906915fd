package regiontest

import "time"

// The session of a speaker, of which each end has its own view.

// connect opens the session within a delay, and tries again until it can.
func (s *speaker) connect(within time.Duration) {
	s.do(s.node.world.upTo(within), func() {
		switch {
		case s.near:
		case s.frozen || !s.open():
			s.connect(2 * time.Second)
		default:
			s.establish()
		}
	})
}

func (s *speaker) establish() {
	s.node.world.note(s.node, "speaker: session established")
	if s.far {
		s.closeFar() // the router has a new session in place of the old one
	}
	s.session++
	s.near, s.far, s.telling, s.hearing = true, true, true, true
	s.silences[0]++
	s.silences[1]++
	s.since = s.node.local()
	s.report()
	s.update()
}

// reachable reports whether a packet that leaves in one direction arrives; blocked is how many faults keep that direction from working.
func (n *node) reachable(blocked int) bool {
	return !n.off && !n.paused && n.kernel.up && n.uplink == 0 && n.router == 0 && blocked == 0
}

// open reports whether the way to the router is open both ways.
func (s *speaker) open() bool { return s.node.reachable(s.node.in) && s.node.reachable(s.node.out) }

// hush looks which end hears the other one, after something has changed.
func (s *speaker) hush() {
	if s == nil {
		return
	}
	runs := s.agent != nil && !s.frozen
	telling, hearing := runs && s.node.reachable(s.node.out), runs && s.node.reachable(s.node.in)
	if telling != s.telling {
		s.telling = telling
		s.silences[0]++
		s.told(telling)
	}
	if hearing != s.hearing {
		s.hearing = hearing
		s.silences[1]++
		if !hearing {
			s.expireNear()
		}
	}
	switch {
	case !telling || !hearing:
	case s.near && !s.far:
		s.do(s.node.world.upTo(lanDelay), s.closeNear) // the router knows nothing of the session any more
	case s.far && !s.near:
		s.closeFar()
	}
}

// told is what becomes of what the near end sends: the far one hears it again, or waits.
func (s *speaker) told(telling bool) {
	if telling {
		s.update() // what was kept from leaving is sent once more
		return
	}
	silence, session := s.silences[0], s.session
	s.node.world.After(s.patience(), func() {
		if s.silences[0] != silence || s.session != session || !s.far {
			return
		}
		s.closeFar()
		if s.hearing {
			s.do(s.node.world.upTo(lanDelay), s.closeNear) // the notification gets through
		}
	})
}

// patience is how long an end waits that hears nothing any more: it heard the other one at most a third of the hold time ago.
func (s *speaker) patience() time.Duration {
	return s.node.world.hold - s.node.world.upTo(s.node.world.hold/3)
}

// expireNear has the process close the session that hears nothing, if it runs.
func (s *speaker) expireNear() {
	silence, session := s.silences[1], s.session
	s.do(s.patience(), func() {
		if s.silences[1] != silence || s.session != session || s.frozen || !s.near {
			return
		}
		s.closeNear()
		if s.telling {
			s.closeFar() // the notification gets through
		}
	})
}

func (s *speaker) closeFar() {
	if !s.far {
		return
	}
	s.far = false
	s.node.world.log(s.node, "upstream: session closed")
	if s.node.world.mutation == GracefulRestart {
		session := s.session
		s.node.world.After(40*time.Second, func() {
			if s.session == session {
				s.learn(false)
			}
		})
		return
	}
	s.learn(false)
}

func (s *speaker) closeNear() {
	if !s.near {
		return
	}
	s.near = false
	s.node.world.note(s.node, "speaker: session lost")
	s.report()
	s.connect(5 * time.Second)
}

// learn makes the router have the route, or not.
func (s *speaker) learn(route bool) {
	if s.learned != route {
		s.learned = route
		s.node.world.note(s.node, "upstream: route %v", route)
		s.node.world.rules.moved(s.node)
	}
}

// update sends the table, if the session is there and the ends hear each other.
func (s *speaker) update() {
	if !s.near || !s.far || !s.telling {
		return
	}
	w, session, route := s.node.world, s.session, len(s.table) > 0
	if route {
		w.rules.updated(s)
	}
	s.arrives = max(s.arrives, w.Now().Add(w.upTo(lanDelay)))
	w.After(s.arrives.Sub(w.Now()), func() {
		if s.session == session && s.far && (s.telling || !route) {
			s.learn(route)
		}
	})
}

func (s *speaker) gone() {
	n, session := s.node, s.session
	s.life++
	s.agent, s.near, s.table = nil, false, nil
	if !s.far {
		return
	}
	if n.reachable(n.out) {
		n.world.After(n.world.upTo(lanDelay), func() {
			if s.session == session {
				s.closeFar()
			}
		})
		return
	}
	s.hush()
}

// vanish is the end of the machine: nobody closes anything.
func (s *speaker) vanish() {
	if s == nil {
		return
	}
	s.life++
	s.agent, s.near, s.table = nil, false, nil
	s.hush()
}
