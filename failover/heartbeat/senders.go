package heartbeat

import "time"

// maxSenders is how many senders are remembered.
const maxSenders = 256

// sender is one life of a node.
type sender struct {
	site, node string
	boot       uint64
}

// mark is the newest request of a sender.
type mark struct {
	id uint64
	at time.Duration
}

// senders knows the newest request of each sender. Only a request that is authentic and fresh gets in here.
type senders struct{ marks map[sender]mark }

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
		s.marks = make(map[sender]mark)
	}
	s.marks[from] = mark{id, now}
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
	return found
}
