package heartbeat

import "time"

// A life that ends does not come back: who is started anew has another one. Lives of one name that speak in turns are those of
// several nodes. The network may deliver a request late, after the first one of the next life, so that one return proves
// nothing.
const (
	// returnsOfNamesakes is how often a life must have come back after another one of its name.
	returnsOfNamesakes = 3
	// namesakesFor is how long no life may come back before what was counted is forgotten.
	namesakesFor = time.Minute
)

// turns is who speaks under a name.
type turns struct {
	life     uint64 // that spoke last
	returns  int    // of lives that had spoken before
	returned time.Duration
}

// turn takes note of whose turn it is; known says that this life has spoken before.
func (s *senders) turn(now time.Duration, from sender, known bool) {
	t := s.names[from.name]
	if t == nil {
		t = new(turns)
		s.names[from.name] = t
	}
	if known && t.life != from.boot {
		if now-t.returned > namesakesFor {
			t.returns = 0
		}
		t.returns, t.returned = min(t.returns+1, returnsOfNamesakes), now
	}
	t.life = from.boot
}

// namesakes reports whether several nodes go by a name.
func (s *senders) namesakes(now time.Duration, n name) bool {
	t := s.names[n]
	return t != nil && t.returns == returnsOfNamesakes && now-t.returned <= namesakesFor
}
