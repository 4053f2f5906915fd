package heartbeat

import "time"

// maxSenders is how many senders are remembered.
const maxSenders = 256

// name is what a node calls itself, to whoever hears of its services.
type name struct{ site, node, about string }

// sender is one life of a node, as far as it speaks about one site: it has a life for each that it sends to.
type sender struct {
	name
	boot uint64
}

// mark is the newest request of a sender.
type mark struct {
	id uint64
	at time.Duration
}

// senders knows the newest request of each sender. Only a request that is authentic and fresh gets in here.
type senders struct {
	marks map[sender]mark
	names map[name]*turns
}

// note takes a request in: OK, or Replay if it is not newer than the one before. Flood: there is no room for another
// sender, since all of them were heard lately. Who was not may be forgotten: a replay of anything older than
// ChallengeLife is not fresh.
func (s *senders) note(now time.Duration, from sender, id uint64) Outcome {
	m, known := s.marks[from]
	if known && id <= m.id {
		return Replay
	}
	if !known && len(s.marks) >= maxSenders && !s.forget(now) {
		return Flood
	}
	if s.marks == nil {
		s.marks, s.names = make(map[sender]mark), make(map[name]*turns)
	}
	s.marks[from] = mark{id, now}
	s.turn(now, from, known)
	return OK
}

// forget removes the sender that was heard the longest time ago, if that is long enough, and reports whether it did.
func (s *senders) forget(now time.Duration) bool {
	var oldest sender
	at := now - ChallengeLife
	found := false
	for k, m := range s.marks {
		if m.at < at {
			oldest, at, found = k, m.at, true
		}
	}
	delete(s.marks, oldest)
	if t := s.names[oldest.name]; t != nil && t.life == oldest.boot {
		delete(s.names, oldest.name)
	}
	return found
}
